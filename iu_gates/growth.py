"""How much history there is, and whether the policy is kept: for `status` and `doctor`."""

from __future__ import annotations

from iu_gates import db
from iu_gates.backup import words_of
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import Finding, HistorySize


def fetch_size(conn: Conn, settings: Settings) -> HistorySize:
    """Count the events, and those that are older than `history_keep`; 008 is applied."""
    params = {"schema": settings.schema, "keep": settings.history_keep}
    return HistorySize(**db.fetch_one(conn, db.load("history_size", settings.schema), params))


def judge(size: HistorySize, settings: Settings) -> Finding:
    """Pass unless events lie there that a daily prune would have removed."""
    keep = settings.history_keep
    return Finding(
        "history",
        size.overdue == 0,
        f"{size.events} events, {size.overdue} of them overdue"
        if keep
        else f"{size.events} events",
        f"pruned of what is older than {words_of(keep)}" if keep else "kept for good",
        "iu-gates history prune --dry-run",
    )
