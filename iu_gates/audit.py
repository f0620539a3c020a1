"""
The audit: an independent count, by another way than the worker's.

Host rows against events, events against attempts, attempts against the target. What is wrong
is named; what only has not been reached yet ("waiting") is no fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from iu_gates import db, proof
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import AuditReport, Finding

NAMES: Final = "_names"
SHOWN: Final = 10
"""Named on a page; --json names up to 1,000."""

IN_ORDER: Final = {"reordered": 0, "reordered_names": ()}
FAULTS: Final = {
    "missed": "host rows without an event",
    "skipped": "events passed over without an attempt",
    "repeated": "events with effect more than once",
    "reordered": "events attempted before an earlier one of their unit",
    "unexplained": "rows of the target without an attempt",
    "orphans": "attempts without an event",
}


def audit(settings: Settings, route: str | None = None) -> list[AuditReport]:
    """Count every route, or one, and name what is wrong."""
    with db.connect(settings, "audit") as conn:
        db.require_installed(conn)
        routes = db.fetch_all(conn, db.load("routes", settings.schema))
        return [count(conn, settings, r) for r in routes if route in (None, r["route_name"])]


def count(conn: Conn, settings: Settings, route: Mapping[str, Any]) -> AuditReport:
    """Count one route (a row of the query "routes"), all in one snapshot."""
    names = proof.fetch_names(conn, settings)
    params = {
        "route": route["route_name"],
        "event_type": route["event_type"],
        "filter": Jsonb(route["event_filter"]) if route["event_filter"] else None,
        "prefix": f"{route['route_name']}:",
    }
    # It writes, by a right of its own; on a standby it leaves that to the primary.
    conn.execute("select iu_gates.fn_capture_baseline()")
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        # Whole tables are held against one another; without statistics, as after a bulk load,
        # the planner takes them for tiny and would compare each row with each.
        conn.execute("set local enable_nestloop = off")
        # What is off is priced beyond every threshold of the compiler, which takes seconds.
        conn.execute("set local jit = off")
        conn.execute("set local work_mem = '128MB'")
        seen = db.fetch_one(conn, host_query("audit_host", settings, names), params)
        # Its rows are in order already, where a table of hashes would not fit into memory.
        conn.execute("set local enable_hashagg = off")
        seen |= db.fetch_one(conn, db.load("audit", settings.schema), params)
        subjects = {"subjects": seen.pop("ahead_subjects") or []}
        query = db.load("audit_order", settings.schema)
        seen |= db.fetch_one(conn, query, params | subjects) if subjects["subjects"] else IN_ORDER
        conn.execute("set local enable_hashagg = on")
        seen |= db.fetch_one(conn, host_query("audit_target", settings, names), params)
    counts = {k: int(v or 0) for k, v in seen.items() if not k.endswith(NAMES)}
    named = {k.removesuffix(NAMES): tuple(v or ()) for k, v in seen.items() if k.endswith(NAMES)}
    findings = tuple(
        Finding(
            text,
            counts[name] == 0,
            _name(counts[name], named[name]),
            "0",
            "iu-gates audit",
        )
        for name, text in FAULTS.items()
    )
    return AuditReport(route["route_name"], counts, findings, named)


def _name(number: int, names: tuple[str, ...]) -> str:
    if not names:
        return str(number)
    more = f" and {number - SHOWN} more" if number > SHOWN else ""
    return f"{number}: {', '.join(names[:SHOWN])}{more}"


def host_query(name: str, settings: Settings, names: Mapping[str, str]) -> sql.SQL:
    """Return a named query that speaks of the host's tables."""
    text = db.load(name, settings.schema).as_string()
    for variable, identifier in {
        "host": sql.Identifier(names["iu_host_schema"], names["iu_unit_table"]),
        "outbox": sql.Identifier(names["iu_host_schema"], names["iu_outbox_table"]),
        "unit": sql.Identifier(names["iu_unit_column"]),
        "version": sql.Identifier(names["iu_version_column"]),
        "key": sql.Identifier(names["iu_key_column"]),
    }.items():
        text = text.replace(f':"{variable}"', identifier.as_string().replace("%", "%%"))
    return sql.SQL(text)
