"""
The drill: the disable path walked for real under organic load, and back.

For the route and then for the gate: wait for a batch (before), stop, take the barrier, wait for
an event of the host (during), look that nothing was attempted after the barrier, lift the
drill's own stop, and wait until the worker goes on. Without a batch before and an event during
there was no load, and the drill does not pass (T43): a switch that nobody leaned on is not
proven. All that is waited for is read from the database, within a bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from iu_gates import db, ledger, stops
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn

POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Leg:
    """
    One half of a drill, of the route or of the gate.

    Attributes:
        batch_before: Attempts were made between the start and the stop.
        drained: The barrier was taken within the bound.
        event_during: The host committed an applied change while it was off.
        after_barrier: Attempts that came after the barrier; must be 0.
        back: The worker went on after the stop was lifted.
    """

    scope: str
    batch_before: bool
    drained: bool
    event_during: bool
    after_barrier: int
    back: bool
    seconds: float

    @property
    def passed(self) -> bool:
        """True if all of it held, under load."""
        return (
            self.batch_before
            and self.drained
            and self.event_during
            and self.after_barrier == 0
            and self.back
        )


def run(
    conn: Conn, settings: Settings, notify: Callable[[str], None], route: str = ROUTE
) -> list[Leg]:
    """Drill the route and then the gate, and write what was seen into the ledger."""
    routes = {r["route_name"]: r for r in db.fetch_all(conn, db.load("routes", settings.schema))}
    seconds = settings.drill_wait.total_seconds()
    legs = []
    for scope in ("route", "gate"):
        notify(f"drill of the {scope}: waits for organic load, at most {seconds:.0f} s a step")
        legs.append(_leg(conn, settings, route, scope))
        if not legs[-1].passed:
            break
    passed = len(legs) == 2 and all(leg.passed for leg in legs)  # noqa: PLR2004  route and gate
    facts = {
        "passed": passed,
        "legs": [asdict(leg) for leg in legs],
        "live_before": routes[route]["live_from"] is not None,
    }
    ledger.append(conn, "drill", route, facts)
    return legs


def _leg(conn: Conn, settings: Settings, route: str, scope: str) -> Leg:
    began = time.perf_counter()
    marks = _read(conn, settings, route)
    before = _until(
        settings.drill_wait,
        lambda: _read(conn, settings, route)["attempt_id"] > marks["attempt_id"],
    )
    epoch = stops.stop(conn, route if scope == "route" else None, "drill", f"drill of the {scope}")
    try:
        route_no = stops.fetch_route_no(conn, settings.schema, route) if scope == "route" else None
        drained = stops.wait_until_drained(conn, route_no, settings.barrier_wait)
        off = _read(conn, settings, route)
        during = (
            before
            and drained
            and _until(
                settings.drill_wait,
                lambda: _read(conn, settings, route)["event_id"] > off["event_id"],
            )
        )
        after = _read(conn, settings, route)["attempts"] - off["attempts"]
    finally:
        stops.lift_drill(conn, epoch)
    back = during and _until(
        settings.drill_wait, lambda: _read(conn, settings, route)["attempt_id"] > off["attempt_id"]
    )
    return Leg(scope, before, drained, during, after, back, round(time.perf_counter() - began, 3))


def _read(conn: Conn, settings: Settings, route: str) -> dict[str, Any]:
    return db.fetch_one(conn, db.load("drill_marks", settings.schema), {"route": route})


def _until(bound: timedelta, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + bound.total_seconds()
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
