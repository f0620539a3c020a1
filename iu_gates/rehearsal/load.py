"""
What is done to restored data so that nothing leaves the database, and the load on it.

The sink comes before the first step (T42). A route of kind `workflow` writes into the scratch
database's own outbox, and `notify` is heard in its own database only: both stay. Every other
kind is rewritten to a channel that nobody hears. Triggers of the host on the two tables that
we write may do anything, a call to another system included: they are switched off and named.

The load comes at the top. Workers refuse a scratch database, and that rule is not bent for our
own sake: synthetic changes are committed in the host's table, and the events that the trigger
captured of them are handed to the seam, twice, each time in a transaction that commits. That is
a worker's batch without its cursor, and what a proof that is rolled back cannot show: that the
host's deferred constraints hold at COMMIT, with the real rows in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psycopg import sql

from iu_gates import db, hostrow
from iu_gates.config import ROUTE
from iu_gates.db import Conn
from iu_gates.model import Finding

CHANGES: Final = 10


def fit_sink(conn: Conn, schema: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """Make sure that nothing leaves the database, and return what was switched off for it."""
    off = []
    params = {
        "schema": names["iu_host_schema"],
        "tables": [names["iu_unit_table"], names["iu_outbox_table"]],
        "ours": schema,
    }
    for row in db.fetch_all(conn, db.load("rehearsal_triggers"), params):
        table = sql.Identifier(row["schema"], row["table"])
        name = sql.Identifier(row["name"])
        conn.execute(sql.SQL("alter table {} disable trigger {}").format(table, name))
        off.append(f"TRIGGER {row['name']} on {row['schema']}.{row['table']}")
    if (
        db.fetch_value(
            conn, "select to_regclass(%s)", sql.Identifier(schema, "iu_outbound_route").as_string()
        )
        is not None
    ):
        rows = db.fetch_all(conn, db.load("rehearsal_sink", schema))
        off += [f"TARGET of route {row['route_name']}" for row in rows]
    return tuple(off)


def run(conn: Conn, schema: str, names: Mapping[str, str]) -> Finding:
    """Commit synthetic changes and deliver them, twice; the scratch database is live."""
    mark = _read_events(conn, schema, None)[1]
    for _ in range(CHANGES):
        conn.execute(hostrow.build_insert(conn, names))
    events, _ = _read_events(conn, schema, mark)
    first, second = (_deliver(conn, schema, events) for _ in range(2))
    passed = (len(events), first, second) == (CHANGES, (CHANGES, 0, 0), (0, CHANGES, 0))
    found = (
        f"{len(events)} of {CHANGES} captured; then sent {first[0]}, no-op {first[1]},"
        f" dead {first[2]}; again: sent {second[0]}, no-op {second[1]}, dead {second[2]}"
    )
    wanted = f"{CHANGES} captured, sent once, and a no-op the second time"
    return Finding("synthetic load", passed, found, wanted, "" if passed else "iu-gates rehearse")


def _read_events(conn: Conn, schema: str, after: int | None) -> tuple[list[int], int]:
    row = db.fetch_one(conn, db.load("rehearsal_events", schema), {"after": after})
    return row["events"], row["last"]


def _deliver(conn: Conn, schema: str, events: list[int]) -> tuple[int, int, int]:
    row = db.fetch_one(
        conn, db.load("rehearsal_attempt", schema), {"route": ROUTE, "events": events}
    )
    return row["sent"], row["duplicates"], row["dead"]
