"""
Stops and the barrier: how something is held, and how one knows that nothing is in hand.

Two phases. `stop` commits an INSERT that waits for nobody: from the next batch on workers find
it. `wait_until_drained` then takes the exclusive advisory key that every batch holds shared;
once it has been had, whatever was in hand is over, and whatever begins finds the stop. A
batch that does not end within the bound is named.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from psycopg import errors as pg

from iu_gates import db
from iu_gates.db import Conn
from iu_gates.errors import UsageError
from iu_gates.model import Stop

FOLD_PATIENCE: Final = "1s"


@dataclass(frozen=True, slots=True)
class InHand:
    """
    A batch in hand: of a session (`pid`) or of a prepared transaction (`gid`).

    A server without `pg_read_all_stats` for our owner shows no age, state and application of
    another login's session: those are None, and the batch is named all the same.
    """

    pid: int | None
    gid: str | None
    login: str
    application: str | None
    age_seconds: float | None
    state: str | None

    def __str__(self) -> str:
        if self.pid is None and self.gid is None:
            return "somebody who was gone at each look"
        who = f"pid {self.pid}" if self.pid else f"prepared transaction '{self.gid}'"
        application = self.application or "no application"
        if self.age_seconds is None:
            return f"{who}, login {self.login}, application, state and age not shown to this login"
        return f"{who}, login {self.login}, {application}, {self.state}, {self.age_seconds:.1f} s"


UNKNOWN = InHand(None, None, "not known", "", 0.0, "")
"""The barrier could not be had, and nobody was seen to hold it."""


def stop(conn: Conn, route: str | None, kind: str, reason: str) -> int:
    """Hold the gate (route None) or one route, at once, and return the stop's epoch."""
    return int(db.fetch_value(conn, "select iu_gates.fn_stop(%s, %s, %s)", route, kind, reason))


def lift_drill(conn: Conn, epoch: int) -> None:
    """End a drill, at once, and then write that into the ledger; no other stop is touched."""
    conn.execute("select iu_gates.fn_lift_drill(%s)", (epoch,))
    fold(conn)


def fold(conn: Conn) -> None:
    """Write stops and lifts into the ledger; what its lock keeps out now, the next one folds."""
    with suppress(pg.LockNotAvailable), conn.transaction():
        conn.execute("select set_config('lock_timeout', %s, true)", (FOLD_PATIENCE,))
        conn.execute("select iu_gates.fn_fold_stops()")


def lift_orphans(conn: Conn, own: int | None = None) -> list[int]:
    """
    End every drill in force but `own`, and return their epochs.

    Only for whoever holds the walk's lock: nobody else walks then, so whoever began them is dead.
    """
    epochs = [s.epoch for s in list_stops(conn) if s.kind == "drill" and s.epoch != own]
    for epoch in epochs:
        lift_drill(conn, epoch)
    return epochs


def lift_route(conn: Conn, route: str, stops_seen: list[int]) -> None:
    """Lift the stops of one route that are among those seen; later ones stay in force (T27)."""
    seen = "{" + ",".join(map(str, stops_seen)) + "}"
    with conn.transaction():
        conn.execute("select set_config('iu_gates.stops_seen', %s, true)", (seen,))
        conn.execute("select iu_gates.fn_lift_stops(%s)", (route,))


def wait_until_drained(conn: Conn, route_no: int | None, bound: timedelta) -> bool:
    """Return True once no batch is in hand, False if some still is after `bound`."""
    with conn.transaction():
        return bool(
            db.fetch_value(
                conn,
                "select iu_gates.fn_take_barrier(%s, %s)",
                route_no,
                int(bound.total_seconds() * 1000),
            )
        )


def list_in_hand(conn: Conn, route_no: int | None) -> list[InHand]:
    """Return the batches in hand, the oldest first."""
    return [InHand(**row) for row in db.fetch_all(conn, db.load("in_hand"), {"route_no": route_no})]


def list_stops(conn: Conn) -> list[Stop]:
    """Return the stops in force, the oldest first."""
    return [Stop(**row) for row in db.fetch_all(conn, db.load("stops"))]


def fetch_route_no(conn: Conn, schema: str, route: str) -> int:
    """
    Return the number under which a route's advisory keys stand.

    Raises:
        UsageError: There is no such route; those that there are are named.
    """
    rows = {r["route_name"]: r["route_no"] for r in db.fetch_all(conn, db.load("routes", schema))}
    if route not in rows:
        raise UsageError(
            f'no route "{route}"',
            ident="IUG-016",
            wanted=f"one of {', '.join(rows) or 'none: there are no routes'}",
            next_command="iu-gates route list",
        )
    return int(rows[route])
