"""
Where each gate stands, as `advance` goes by it: the verdict in force, and the revisions applied.

Three things make this more than the newest verdict. A gate whose revision was taken back is
open again, whatever its verdict says. What runs out by the hour (a backup, an approval, a
waiver) is asked for where a step needs it, and does not stop what is live: a backup is renewed
before each step, an approval must be *used* before it expires. And drift takes "substrate" out
of force at once, without waiting for anybody to judge it.

A further route has five gates of its own, and switches in the place of revisions: the canary and
live do not count while it is dry, nor live while a quota stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from iu_gates import db, lanes
from iu_gates import drift as drifted
from iu_gates.config import ROUTE, Settings, name_further
from iu_gates.db import Conn
from iu_gates.errors import RefusedError
from iu_gates.model import GATES, ROUTE_GATES, SHARED_GATES, GateState, scope_gate

LAST_REVISION: Final = lanes.REVISIONS[-1].name
LAST_SHARED: Final = SHARED_GATES[-1]
RESTORE: Final = "iu-gates rollback --to 009"
"""Makes 060 the next step again, which makes the first route's row."""


@dataclass(frozen=True, slots=True)
class Further:
    """A further route as its gates look at it; `switch` as `name_switch` says."""

    route: str
    switch: str
    target_kind: str


def list_gates(conn: Conn, drift: tuple[str, ...] | None = None) -> tuple[GateState, ...]:
    """Return where each gate stands, in their order; `drift` if it was listed already."""
    applied = lanes.list_applied(conn)
    rows = {r["gate"]: r for r in db.fetch_all(conn, db.load("verdicts"), {"gates": list(GATES)})}
    drift = drifted.list_names(conn) if drift is None else drift
    return tuple(_with_drift(_state(rows[gate], applied), drift) for gate in GATES)


def list_shared(states: Iterable[GateState]) -> tuple[GateState, ...]:
    """Return those of the first route's gates that every further route stands on."""
    return tuple(s for s in states if s.gate in SHARED_GATES)


def fetch_route(conn: Conn, settings: Settings, route: str) -> dict[str, Any]:
    """
    Return the row of a route.

    Raises:
        RefusedError: It is not there: somebody has deleted it by hand.
    """
    rows = {r["route_name"]: r for r in db.fetch_all(conn, db.load("routes", settings.schema))}
    if route not in rows:
        raise RefusedError(
            f'there is no row of route "{route}"',
            ident="IUG-046",
            found=f"routes: {', '.join(rows) or 'none'}",
            wanted="the row that 060 made" if route == ROUTE else "the row that was added",
            means="somebody deleted it by hand; nothing is evaluated or delivered by it",
            next_command=RESTORE if route == ROUTE else "iu-gates route list",
            more="docs/runbooks/drift.md",
        )
    return rows[route]


def fetch_further(conn: Conn, settings: Settings, route: str) -> Further | None:
    """Return a further route as it stands; None for the first."""
    if name_further(route) is None:
        return None
    row = fetch_route(conn, settings, route)
    return Further(route, name_switch(row), row["target_kind"])


def name_switch(row: Mapping[str, Any]) -> str:
    """Return how a route's own switches stand: "off", "dry", "canary" or "live"."""
    if not row["enabled"]:
        return "off"
    if row["dry_run"]:
        return "dry"
    return "live" if row["quota"] is None else "canary"


def list_route_gates(conn: Conn, row: Mapping[str, Any]) -> tuple[GateState, ...]:
    """Return where the gates of a further route stand, in their order."""
    subjects = [scope_gate(gate, row["route_name"]) for gate in ROUTE_GATES]
    found = db.fetch_all(conn, db.load("verdicts"), {"gates": subjects})
    rows = {r["gate"]: r for r in found}
    states = zip(ROUTE_GATES, subjects, strict=True)
    return tuple(_route_state(gate, rows[s], name_switch(row)) for gate, s in states)


def next_gate(states: Iterable[GateState]) -> str | None:
    """Return the first gate that is not in force; None at live."""
    return next((s.gate for s in states if not s.in_force), None)


def _state(row: Mapping[str, Any], applied: tuple[str, ...]) -> GateState:
    gate = row["gate"]
    reason = row["reason"] or ""
    if row["expired"] and (gate == "backup" or LAST_REVISION in applied):
        reason = ""
    behind = [r.name for r in lanes.REVISIONS if r.gate == gate and r.name not in applied]
    if behind and not reason:
        reason = f"revision {', '.join(behind)} is not applied"
    return GateState(gate, row["outcome"], not reason, reason, row["at"])


def _route_state(gate: str, row: Mapping[str, Any], switch: str) -> GateState:
    reason = row["reason"] or ""
    if row["expired"] and switch == "live":
        reason = ""
    wanted = {"canary": ("canary", "live"), "live": ("live",)}.get(gate, (switch,))
    if switch not in wanted and not reason:
        reason = f"the route is switched to {switch}"
    return GateState(gate, row["outcome"], not reason, reason, row["at"])


def _with_drift(state: GateState, drift: tuple[str, ...]) -> GateState:
    if state.gate != "substrate" or not drift or not state.in_force:
        return state
    return replace(state, in_force=False, reason=f"drift: {'; '.join(drift)}")
