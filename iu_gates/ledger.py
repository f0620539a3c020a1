"""
The ledger from outside: append, list, verify, and the verdicts in force.

The chain itself is kept by the database (``migrations/control/030_ledger.sql``): this module
only calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from iu_gates import db
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import LedgerEntry, Verdict


def append(conn: Conn, kind: str, subject: str, facts: Mapping[str, Any]) -> int:
    """Write one entry and return its place in the chain."""
    return int(
        db.fetch_value(
            conn, "select iu_gates.fn_ledger_append(%s, %s, %s)", kind, subject, Jsonb(dict(facts))
        )
    )


def record_verdict(
    conn: Conn, verdict: Verdict, *, route: str | None = None, expires_at: datetime | None = None
) -> int:
    """
    Write a verdict; from then on the guard goes by it.

    Args:
        conn: A connection of the owner.
        verdict: What the judge said.
        route: The route that it speaks of; it is void once that is defined otherwise.
        expires_at: It does not count after; None is no limit.
    """
    definition = (
        db.fetch_value(conn, "select iu_gates.fn_route_definition_hash(%s)", route)
        if route
        else None
    )
    facts = verdict.as_dict() | {
        "expires_at": expires_at.isoformat() if expires_at else None,
        "route": route,
        "definition_hash": definition,
    }
    return append(conn, "verdict", verdict.subject, facts)


def fetch_not_in_force(conn: Conn, gate: str) -> str | None:
    """Return why a gate's verdict does not count now, or None if it does."""
    reason: str | None = db.fetch_value(conn, "select iu_gates.fn_not_in_force(%s)", gate)
    return reason


def fetch_newest(conn: Conn, kind: str, subject: str | None = None) -> dict[str, Any]:
    """Return the newest entry of a kind (seq, at, subject, actor, facts), or an empty dict."""
    return db.fetch_one(conn, db.load("newest_entry"), {"kind": kind, "subject": subject})


def fetch_head(settings: Settings) -> tuple[int, str]:
    """Return the place and hash of the newest entry; (0, "") before the first."""
    with db.connect(settings, "ledger") as conn:
        db.require_installed(conn)
        return read_head(conn)


def read_head(conn: Conn) -> tuple[int, str]:
    """As `fetch_head`, on an open connection."""
    row = conn.execute("select seq, hash from iu_gates.ledger order by seq desc limit 1").fetchone()
    return (row[0], row[1]) if row else (0, "")


def list_entries(
    settings: Settings,
    *,
    limit: int | None = None,
    kind: str | None = None,
    since_seq: int | None = None,
    since_at: datetime | None = None,
) -> list[LedgerEntry]:
    """Return entries, newest last; `limit` keeps the newest."""
    wanted = {"limit": limit, "kind": kind, "since_seq": since_seq, "since_at": since_at}
    with db.connect(settings, "ledger") as conn:
        db.require_installed(conn)
        rows = db.fetch_all(conn, db.load("ledger_entries"), wanted)
    return [LedgerEntry(**row) for row in reversed(rows)]


def verify(settings: Settings) -> list[tuple[int, str]]:
    """Return (place, problem) of each entry that is not as it was written; empty if it holds."""
    with db.connect(settings, "ledger") as conn:
        db.require_installed(conn)
        return list_problems(conn)


def list_problems(conn: Conn) -> list[tuple[int, str]]:
    """As `verify`, on an open connection."""
    rows = conn.execute("select seq, problem from iu_gates.fn_ledger_verify()").fetchall()
    return [(seq, problem) for seq, problem in rows]
