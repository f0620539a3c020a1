"""
How much history there is, and whether the policy is kept: for `status` and `doctor`.

To count all of it takes seconds a million events, so `status` counts a history of a few pages, and
looks at a share of the pages of a longer one. Such a number is *about*, and named so.
"""

from __future__ import annotations

from typing import Any, Final

from iu_gates import db
from iu_gates.backup import words_of
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import Finding, HistorySize

FEW_PAGES: Final = 400
"""Of events; some 20,000 of them, which are counted within a tenth of a second."""

SHARE_PAGES: Final = 200


def fetch_share(conn: Conn, settings: Settings) -> dict[str, Any] | None:
    """Return which share of a long history is looked at, as parameters; None: it is counted."""
    pages = db.fetch_one(conn, db.load("history_pages"), {"schema": settings.schema})
    if (pages["event_pages"] or 0) <= FEW_PAGES:
        return None
    return {
        **pages,
        "events": _percent(pages["event_pages"]),
        "attempts": _percent(pages["attempt_pages"]),
    }


def _percent(pages: int) -> float:
    return min(100.0, 100.0 * SHARE_PAGES / max(pages, 1))


def fetch_size(conn: Conn, settings: Settings, share: dict[str, Any] | None = None) -> HistorySize:
    """Count the events, and those older than `history_keep`; 008 is applied."""
    params = {"schema": settings.schema, "keep": settings.history_keep, **(share or {})}
    name = "history_size_about" if share else "history_size"
    row = db.fetch_one(conn, db.load(name, settings.schema), params)
    return HistorySize(**row, is_about=share is not None)


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
