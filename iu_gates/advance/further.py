"""
The walk of a further route: its own gates, on top of those that it shares with the first.

No revision says how far it is: its row does, and the ledger. The two switches are made in one
transaction each, with their entry, under the guard in the database.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import psycopg

from iu_gates import db, disable, gates, ledger, locks, standing, stops
from iu_gates import drift as drifted
from iu_gates.advance.deeds import Deeds, Notify
from iu_gates.advance.judging import judge_route
from iu_gates.advance.walk import Walk
from iu_gates.backups import Bar
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError
from iu_gates.model import ROUTE_GATES, GateState, Verdict

NEXT: Final = "iu-gates advance"


def list_lacking(conn: Conn) -> tuple[str, ...]:
    """Return what is lacking of the ground that every further route stands on, in words."""
    shared: tuple[GateState, ...] = standing.list_shared(standing.list_gates(conn))
    held = [
        f"everything is stopped by {stop.kind}: {stop.reason}"
        for stop in stops.list_stops(conn)
        if stop.route is None
    ]
    return (*held, *(f"{s.gate}: {s.reason}" for s in shared if not s.in_force))


def require_shared(conn: Conn, route: str) -> None:
    """
    Raise unless the first route's way stands up to and with "rehearsal", and nothing is stopped.

    Raises:
        GateError: It does not; what is lacking is named.
    """
    if lacking := list_lacking(conn):
        raise GateError(
            f'the gates of "{route}" stand on others that are not in force: {lacking[0]}',
            ident="IUG-126",
            found="; ".join(lacking),
            wanted=f"each gate up to and with {standing.LAST_SHARED} in force, nothing stopped",
            means="nothing was changed",
            next_command=drifted.name_remedy(conn) if drifted.list_names(conn) else NEXT,
            more="docs/routes.md",
        )


class FurtherDeeds(Deeds):
    """The deeds for the gates of one further route."""

    def __init__(
        self, conn: Conn, settings: Settings, notify: Notify, bar: Bar, route: str
    ) -> None:
        super().__init__(conn, settings, notify, bar)
        self.route = route

    def _do_dry_run(self) -> None:
        """Wait for evidence only: the worker gate is open, and `route enable` switches it on."""

    def _do_seam(self) -> None:
        self._prove("100")

    def _do_canary(self) -> None:
        self._require_approved()
        facts = gates.canary.collect(self.conn, self.settings, self.route)
        row = standing.fetch_route(self.conn, self.settings, self.route)
        if not facts.begun or standing.name_switch(row) != "canary":
            self._switch("canary", "live with a quota of one")

    def _do_live(self) -> None:
        self._require_approved()
        row = standing.fetch_route(self.conn, self.settings, self.route)
        if standing.name_switch(row) != "live":
            self._switch("live", "live: quota lifted")

    def _switch(self, gate: str, summary: str) -> None:
        """Switch, trying again while a lock cannot be had; a new stop is told as such."""
        self.notify(gate, f"switches {self.route}: {summary}")
        name = f"{self.route}/{gate}"
        patience = locks.Patience(self.settings, partial(self.notify, gate), name)
        try:
            patience.call(partial(self._try_switch, gate))
        except GateError as error:
            self._require_no_new_stop(error)
            raise
        self.did.append(f"switched {self.route}: {summary}")

    def _try_switch(self, gate: str) -> None:
        seen = "{" + ",".join(map(str, self.stops_seen)) + "}"
        options = {
            **locks.timeouts(self.settings),
            "iu_gates.barrier_wait": f"{locks.BARRIER_TRY_MS}ms",
            "iu_gates.stops_seen": seen,
        }
        try:
            with self.conn.transaction():
                for option in options.items():
                    self.conn.execute("select set_config(%s, %s, true)", option)
                guard = "select iu_gates.fn_guard_route(%s, %s)"
                self.conn.execute(guard, (self.route, gate))
                query = db.load(f"route_{gate}", self.settings.schema)
                self.conn.execute(query, {"route": self.route})
                ledger.append(self.conn, "route", self.route, {"did": gate})
        except psycopg.Error as error:
            raise db.translate(error) from error


class FurtherWalk(Walk):
    """One call of `advance --route`."""

    gates = ROUTE_GATES

    def _begin(self) -> None:
        require_shared(self.conn, self.deeds.route)
        self._see_stops()
        self._follow_stops()
        if self._next() is not None:
            self._require_host()

    def _follow_stops(self) -> None:
        """Make the route dry where its stop could not, and lift its stops: it delivers nothing."""
        route = self.deeds.route
        if any(stop.route == route for stop in stops.list_stops(self.conn)):
            disable.walk_back(self.conn, self.settings, route)
            self._lift_if_dry(route)

    def _next(self) -> str | None:
        row = standing.fetch_route(self.conn, self.settings, self.deeds.route)
        return standing.next_gate(standing.list_route_gates(self.conn, row))

    def _standing(self, gate: str) -> Verdict | None:  # noqa: ARG002  no revision can be lacking
        return None

    def _judge(self, gate: str) -> Verdict:
        return judge_route(self.conn, self.settings, gate, self.deeds.route)
