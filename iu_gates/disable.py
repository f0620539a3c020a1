"""
`disable`: off at once, then the barrier, then everything else.

Phase 1 commits a stop: it waits for no worker, no migration, no ledger (T26). Phase 2 waits, within
a bound, until no batch is in hand; then nothing more is delivered. Only after that answer are
the stop folded into the ledger and the runtime lane walked back; what fails there changes
nothing about "off". The way back on is `advance`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

import psycopg
from psycopg import errors as pg
from psycopg import sql

from iu_gates import db, lanes, refusals, rights, stops
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.errors import IuGatesError, NotDrainedError, RefusedError, UnreachableError
from iu_gates.model import DisableResult, scope_gate

LANE_PATIENCE: Final = timedelta(seconds=5)
LOST: Final = "IUG-054"
FOLD_PATIENCE: Final = "2s"
ROUTE_PATIENCE: Final = "500ms"
ROUTE_STEPS: Final = frozenset({"081", "082"})
GATE_STEPS: Final = ROUTE_STEPS | {"080"}


def disable(
    settings: Settings,
    *,
    route: str | None = None,
    reason: str = "",
    terminate: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> DisableResult:
    """
    Hold everything, or one route, and say when nothing is in hand any more.

    Args:
        settings: Whose database; `barrier_wait` bounds the wait.
        route: One route only; None is the gate.
        reason: Goes into the ledger.
        terminate: End the batches that are still in hand after the bound.
        notify: Called with progress.

    Raises:
        NotDrainedError: Off and committed, but batches are in hand; they are named.
        UnreachableError: The connection was lost, and with it whether it is off or drained.
        UsageError: There is no such route; nothing was done.
    """
    with (
        refusals.recorded(settings, "disable", route=route, reason=reason),
        _connected(settings, route) as conn,
    ):
        db.require_installed(conn)
        route_no = _fetch_route_no(conn, settings, route) if route else None
        epoch = stops.stop(conn, route, "disable", reason or "disable")
        notify("off; waits for batches in hand")
        in_hand, ended = _drain(conn, settings, route_no, terminate=terminate)
        notify("off, not drained" if in_hand else "off and drained")
        lane = _follow(conn, settings, route)
        result = DisableResult(route, epoch, not in_hand, in_hand, ended, lane)
        if in_hand:
            # To ask once more for what this login may not do would lead nowhere.
            grant = rights.find_signal_grant(conn) if terminate else None
            raise _not_drained(result, grant)
    return result


@contextmanager
def _connected(settings: Settings, route: str | None) -> Iterator[Conn]:
    """Give the connection of a `disable`; where it is lost, say what is known, and what to do."""
    try:
        with db.connect(settings, "disable") as conn:
            yield conn
    except UnreachableError as error:
        if error.ident == LOST:
            error.wanted = 'the answer "off and drained"'
            error.means = (
                "whether the stop was written is not known, so take it that deliveries go on; the"
                " same command says. While the network is silent, end the workers, or stop from a"
                " machine that reaches the server"
            )
            error.next_command = _name_command(route)
            error.more = "docs/runbooks/stop.md"
        raise


def _name_command(route: str | None) -> str:
    return f"iu-gates disable --route {shlex.quote(route)}" if route else "iu-gates disable"


def walk_back(conn: Conn, settings: Settings, route: str | None) -> str:
    """
    Fold the stops into the ledger, undo the runtime lane as far as a stop asks, and say to where.

    A stop of the gate asks for ``runtime@base``, one of the gates' route for ``runtime@080``. The
    lane has nothing to do with a further route: that one is made dry where it stands.

    Raises:
        IuGatesError: The lane could not follow; what was stopped stays so.
    """
    target, standing = ("runtime@080", ROUTE_STEPS) if route else ("runtime@base", GATE_STEPS)
    with conn.transaction():
        # Local to this transaction: behind a pooler the session is not ours.
        conn.execute("select set_config('lock_timeout', %s, true)", (FOLD_PATIENCE,))
        conn.execute("select iu_gates.fn_fold_stops()")
        applied = lanes.list_applied(conn)
    if route is not None and route != ROUTE:
        return make_dry(conn, settings, route, "it was stopped")
    if not standing & set(applied):
        return f"already at {target}"
    _require_owner(conn, settings)
    lanes.downgrade(settings, target)
    return target


def make_dry(conn: Conn, settings: Settings, route: str, why: str) -> str:
    """Take a further route back to dry-run and its gates out of force; say what there was to do."""
    rows = db.fetch_all(conn, db.load("routes", settings.schema))
    if all(r["dry_run"] for r in rows if r["route_name"] == route):
        return "dry already"
    _require_owner(conn, settings)
    with db.connect(settings, "disable", as_owner=True) as owner, owner.transaction():
        owner.execute("select set_config('lock_timeout', %s, true)", (FOLD_PATIENCE,))
        owner.execute(db.load("route_dry", settings.schema), {"route": route})
        voided = [scope_gate(gate, route) for gate in ("canary", "live")]
        owner.execute("select iu_gates.fn_void(%s, %s)", (voided, f"{route} is dry: {why}"))
    return "dry now"


def _require_owner(conn: Conn, settings: Settings) -> None:
    """Raise what a login that may not act for the owner would else be told by some statement."""
    query = (
        "select pg_has_role(n.nspowner, case when current_setting('server_version_num')::integer"
        " >= 160000 then 'SET' else 'MEMBER' end) from pg_namespace as n where n.nspname = %s"
    )
    if not db.fetch_value(conn, query, settings.schema):
        raise RefusedError(
            "this login is no operator and may not walk the lane",
            ident="IUG-087",
            means="an operator's disable or advance walks it; doctor prints the grant",
            next_command="iu-gates doctor",
        )


def _fetch_route_no(conn: Conn, settings: Settings, route: str) -> int | None:
    """Return the number of a route's barrier; None, the barrier of all, where it cannot be read."""
    try:
        with conn.transaction():
            conn.execute("select set_config('lock_timeout', %s, true)", (ROUTE_PATIENCE,))
            return stops.fetch_route_no(conn, settings.schema, route)
    except (pg.LockNotAvailable, pg.UndefinedTable, pg.InsufficientPrivilege):
        # A migration rewrites the routes, or they are gone: off comes first.
        return None


def _drain(
    conn: Conn, settings: Settings, route_no: int | None, *, terminate: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Wait for the batches in hand; return those that are left and those that were ended."""
    in_hand = _wait(conn, settings, route_no)
    if not (in_hand and terminate):
        return tuple(map(str, in_hand)), ()
    ended = _terminate(conn, in_hand)
    return tuple(map(str, _wait(conn, settings, route_no))), ended


def _wait(conn: Conn, settings: Settings, route_no: int | None) -> list[stops.InHand]:
    """Return the batches that are in hand after the bound; none is as much as the barrier."""
    for _ in range(2):
        if stops.wait_until_drained(conn, route_no, settings.barrier_wait):
            return []
        # A batch may have ended between the bound and this look: then the barrier is free.
        if in_hand := stops.list_in_hand(conn, route_no):
            return in_hand
    return [stops.UNKNOWN]


def _follow(conn: Conn, settings: Settings, route: str | None) -> str:
    """Let the lane follow, and say where it is or why it did not: "off" stands in any case."""
    try:
        return walk_back(conn, replace(settings, lock_wait=LANE_PATIENCE), route)
    except (IuGatesError, psycopg.Error) as error:
        mapped = db.translate(error) if isinstance(error, psycopg.Error) else error
        again = _name_command(route)
        first = f"{mapped.next_command} && " if isinstance(mapped, RefusedError) else ""
        return f"lane behind: {mapped.summary}; {first}{again}"


def _terminate(conn: Conn, in_hand: list[stops.InHand]) -> tuple[str, ...]:
    """End what is in hand, and name what was ended; who may not end one leaves it in hand."""
    ended = []
    for batch in in_hand:
        try:
            if batch.pid is not None:
                conn.execute("select pg_terminate_backend(%s, 5000)", (batch.pid,))
            elif batch.gid is not None:
                conn.execute(sql.SQL("rollback prepared {}").format(sql.Literal(batch.gid)))
        except (pg.InsufficientPrivilege, pg.UndefinedObject):
            continue
        ended.append(str(batch))
    return tuple(ended)


def _not_drained(result: DisableResult, grant: str | None) -> NotDrainedError:
    plural = "" if len(result.in_hand) == 1 else "es"
    return NotDrainedError(
        f"off, but still in hand: {len(result.in_hand)} batch{plural}",
        found="; ".join(result.in_hand),
        wanted="no batch in hand",
        means="no new batch begins; those in hand may still deliver when they commit",
        next_command=grant or f"{_name_command(result.route)} --terminate",
        more="docs/runbooks/stop.md",
        facts={
            "route": result.route,
            "epoch": result.epoch,
            "drained": result.drained,
            "in_hand": list(result.in_hand),
            "terminated": list(result.terminated),
            "lane": result.lane,
        },
    )
