"""
Routes: which there are and how each stands; a new one; its policy; on, and dry.

A route that is added is off, and dry, and begins at now: its first snapshot is taken by the rules
of every window (``fn_iu_route_add``), so that what was being written then is attempted, and what
had been committed is not. Nothing here takes a route live: that goes by the gates alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Jsonb

from iu_gates import db, lanes, ledger, proof, refusals, site, stops
from iu_gates.config import ROUTE, Settings, name_advance
from iu_gates.db import Conn
from iu_gates.errors import GateError, RefusedError, UsageError
from iu_gates.model import ROUTE_GATES, Place, Route, RouteChange, scope_gate

PAGE: Final = "docs/routes.md"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
CHANNEL_BYTES: Final = 63


@dataclass(frozen=True, slots=True)
class NewRoute:
    """
    What is asked for of a route; None is what the host or the table says.

    Attributes:
        target_ref: A channel (notify), or the outbox (workflow), which is what None means.
        start: None is now; else the first event that it takes, 1 for all.
        policy: By the names of the columns.
    """

    name: str
    event_type: str
    target_kind: str
    target_ref: str | None
    event_filter: Mapping[str, Any] | None
    policy: Mapping[str, int | str]
    start: int | None = None


def list_routes(settings: Settings, name: str | None = None) -> list[Route]:
    """
    Return every route, or one, as it stands now.

    Raises:
        UsageError: There is no such route; those that there are are named.
        GateError: There are no routes before revision 060.
    """
    with db.connect(settings, "route list") as conn:
        require_substrate(conn)
        if name is not None:
            stops.fetch_route_no(conn, settings.schema, name)
        return read(conn, settings, name)


def read(conn: Conn, settings: Settings, name: str | None = None) -> list[Route]:
    """As `list_routes`, on an open connection; empty if there is no such route."""
    rows = db.fetch_all(conn, db.load("route_list", settings.schema), {"route": name})
    return [_route(row) for row in rows]


def add(settings: Settings, new: NewRoute) -> RouteChange:
    """
    Add a route, off and dry; the ledger says who and what.

    Raises:
        UsageError: The name is taken, or a value is none that a route can have.
    """
    with (
        refusals.recorded(settings, "route add", route=new.name),
        operating(settings, "route add") as conn,
    ):
        facts = _require_possible(conn, settings, new)
        params = {"route": Jsonb(facts), "policy": Jsonb(dict(new.policy)), "start": new.start}
        with conn.transaction():
            done = db.fetch_one(conn, db.load("route_add", settings.schema), params)
            said = {**facts, **new.policy, "from": new.start or "now", "carried": done["carried"]}
            ledger.append(conn, "route", new.name, {"did": "add", **said})
            # If the owner took away one of this name: nothing of its gates counts for this one.
            voided = [scope_gate(gate, new.name) for gate in ROUTE_GATES]
            if any(ledger.fetch_newest(conn, "verdict", gate) for gate in voided):
                conn.execute("select iu_gates.fn_void(%s, 'a route was added anew')", (voided,))
    return RouteChange(
        new.name,
        "add",
        {name: [None, value] for name, value in facts.items() if value is not None},
        int(done["carried"]),
        "off",
        f"iu-gates route enable {new.name}",
    )


def change(settings: Settings, name: str, policy: Mapping[str, int | str]) -> RouteChange:
    """
    Change the policy of a route; what an approval is about only while it is not live.

    Raises:
        RefusedError: IUG-120, the route is live.
    """
    with (
        refusals.recorded(settings, "route set", route=name, policy=dict(policy)),
        operating(settings, "route set") as conn,
    ):
        row = _fetch(conn, settings, name)
        wanted = policy.get("on_dead_letter", row["on_dead_letter"])
        if wanted != row["on_dead_letter"] and row["enabled"] and not row["dry_run"]:
            raise _approved(name)
        params = {"route": name, "policy": Jsonb(dict(policy))}
        with conn.transaction():
            changed = db.fetch_one(conn, db.load("route_set", settings.schema), params)["changed"]
            if changed:
                ledger.append(conn, "route", name, {"did": "set", "changed": changed})
        return RouteChange(name, "set", changed, state=read(conn, settings, name)[0].state)


def enable(settings: Settings, name: str) -> RouteChange:
    """
    Switch a route on, dry; lift what `disable` stopped, if it was never live.

    Raises:
        RefusedError: IUG-120, it was stopped or tripped, and comes back by the gates only.
    """
    with (
        refusals.recorded(settings, "route enable", route=name),
        operating(settings, "route enable") as conn,
    ):
        row = _fetch(conn, settings, name)
        held = [s for s in stops.list_stops(conn) if s.route == name and s.kind != "drill"]
        if held and (name == ROUTE or row["live_from"] is not None):
            raise _by_gates_only(name, held[0].kind, held[0].reason)
        changed: dict[str, Any] = {}
        if held or not row["enabled"]:
            changed = {"enabled": [row["enabled"], True], "stops": [len(held), 0]}
            stops.fold(conn)
            with conn.transaction():
                conn.execute("select set_config('iu_gates.switch_by', 'function', true)")
                conn.execute(db.load("route_enable", settings.schema), {"route": name})
                stops.lift_route(conn, name, [s.epoch for s in held])
                ledger.append(conn, "route", name, {"did": "enable", "changed": changed})
        state = read(conn, settings, name)[0].state
    # Off although it is on: everything is held, and the first route's walk opens the worker gate.
    follows = "iu-gates advance" if state == "off" else name_advance(name)
    return RouteChange(name, "enable", changed, state=state, next_command=follows)


def require_substrate(conn: Conn) -> None:
    """Raise `GateError` before revision 060."""
    db.require_installed(conn)
    if "060" not in lanes.list_applied(conn):
        raise GateError(
            'gate "substrate" is not satisfied: there are no routes before revision 060',
            next_command="iu-gates advance --to substrate",
            more="docs/gates/substrate.md",
        )


def require_route(conn: Conn, settings: Settings, name: str) -> None:
    """Raise unless there is such a route: `GateError` before 060, else `UsageError` with names."""
    require_substrate(conn)
    stops.fetch_route_no(conn, settings.schema, name)


@contextmanager
def operating(settings: Settings, command: str) -> Iterator[Conn]:
    """Give an operator's connection to the installation itself, no copy, from revision 060 on."""
    with db.connect(settings, command, as_owner=True) as conn:
        require_substrate(conn)
        site.require_home(conn, settings)
        yield conn


def _fetch(conn: Conn, settings: Settings, name: str) -> dict[str, Any]:
    stops.fetch_route_no(conn, settings.schema, name)
    rows = db.fetch_all(conn, db.load("routes", settings.schema))
    return next(row for row in rows if row["route_name"] == name)


def _require_possible(conn: Conn, settings: Settings, new: NewRoute) -> dict[str, Any]:
    """Return the row that is asked for, sure that the database and the seam will take it."""
    rows = db.fetch_all(conn, db.load("routes", settings.schema))
    if any(row["route_name"] == new.name for row in rows):
        raise _impossible(
            f'there is a route "{new.name}" already',
            wanted="a name of its own",
            follows=f"iu-gates route show {new.name}",
        )
    for what, text in (("name of a route", new.name), ("type of events", new.event_type)):
        if not NAME.fullmatch(text):
            raise _impossible(
                f'"{text}" can be no {what}',
                wanted="up to 100 of a-z, 0-9, dot, hyphen and underscore, as in orders.created:"
                " it is part of each idempotency key, which ends in the subject, whatever that is",
            )
    last = db.fetch_one(conn, db.load("event_seq", settings.schema))["last_event_id"]
    if new.start is not None and not 1 <= new.start <= max(last, 1):
        raise _impossible(
            f"there is no event {new.start} to begin with",
            wanted=f"1 to {last}" if last else "none yet: leave --from out",
        )
    return {
        "route_name": new.name,
        "event_type": new.event_type,
        "event_filter": dict(new.event_filter) if new.event_filter else None,
        "target_kind": new.target_kind,
        "target_ref": _require_target(conn, settings, new),
    }


def _require_target(conn: Conn, settings: Settings, new: NewRoute) -> str:
    if new.target_kind == "workflow":
        outbox = proof.fetch_names(conn, settings)["iu_outbox_table"]
        if new.target_ref not in {None, outbox}:
            raise _impossible(
                f'"{new.target_ref}" is no target of kind workflow',
                wanted=f'"{outbox}", the outbox of the host',
            )
        return outbox
    if not new.target_ref or len(new.target_ref.encode()) > CHANNEL_BYTES:
        raise _impossible(
            "a target of kind notify is a channel",
            wanted=f"--target-ref with 1 to {CHANNEL_BYTES} bytes",
        )
    return new.target_ref


def _route(row: dict[str, Any]) -> Route:
    state, why = _state(row)
    same = ("name", "event_type", "event_filter", "target_kind", "target_ref", "on_dead_letter")
    numbers = ("max_tries", "retry_seconds", "trip_failures", "trip_seconds", "quota")
    times = ("definition_hash", "created_at", "live_from", "last_attempt_at", "last_status")
    counts = ("behind", "behind_seconds", "held", "parked", "dead")
    return Route(
        state=state,
        why=why,
        delivery=_place(row, "delivery"),
        evaluation=_place(row, "evaluation"),
        **{name: row[name] for name in (*same, *numbers, *times, *counts)},
    )


def _state(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the state in a word, and why nothing moves."""
    kind, _, reason = (row["stop"] or "").partition(": ")
    if kind == "trip":
        return "tripped", reason
    if kind:
        return "off", f"stopped by {kind}: {reason}"
    if not row["enabled"]:
        return "off", "not enabled"
    if not row["is_gate_open"]:
        return "off", "the worker gate is closed"
    if row["mode"] == "live" and row["quota"] is not None:
        return "canary", ""
    return str(row["mode"]), ""


def _place(row: Mapping[str, Any], kind: str) -> Place | None:
    if row[f"{kind}_moved_at"] is None:
        return None
    return Place(*(row[f"{kind}_{name}"] for name in ("event_id", "is_open", "moved_at")))


def _impossible(summary: str, *, wanted: str, follows: str = "") -> UsageError:
    return UsageError(
        summary,
        ident="IUG-119",
        wanted=wanted,
        means="nothing was done",
        next_command=follows or "iu-gates route add --help",
        more=PAGE,
    )


def _approved(name: str) -> RefusedError:
    off = f"iu-gates disable --route {name}"
    return RefusedError(
        f'route "{name}" is live, and on_dead_letter is part of what was approved',
        ident="IUG-120",
        found="live, on an approval of the route as it is defined",
        wanted="a route that is dry; it goes live again with an approval of what it is then",
        means="nothing was changed; tries, backoff and budget can be set on a live route",
        next_command="iu-gates rollback --to 100" if name == ROUTE else off,
        more=PAGE,
    )


def _by_gates_only(name: str, kind: str, reason: str) -> RefusedError:
    return RefusedError(
        f'route "{name}" was stopped by {kind}, and comes back by the gates only',
        ident="IUG-120",
        found=reason,
        wanted="the gates, which prove what they proved before, and lift the stop",
        means="nothing was changed",
        next_command=name_advance(name),
        more=PAGE,
    )
