"""One call of `advance`: which gate comes next, what is written down, where it stops."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from iu_gates import config, db, disable, lanes, ledger, site, standing, stops
from iu_gates.advance.deeds import Deeds
from iu_gates.advance.judging import judge, refusal
from iu_gates.config import Settings, name_advance
from iu_gates.db import Conn
from iu_gates.errors import IuGatesError
from iu_gates.model import GATES, AdvanceResult, Finding, GateReport, Verdict

ABOUT_ROUTE: Final = GATES[GATES.index("dry_run") :]
SETTLE_SECONDS: Final = 3.0


def next_gate(conn: Conn) -> str | None:
    """Return the first gate that is not in force; None at live."""
    if not db.is_installed(conn):
        return GATES[0]
    return standing.next_gate(standing.list_gates(conn))


class Walk:
    """One call of `advance`: the connection, the settings, and the stops seen when it began."""

    gates: tuple[str, ...] = GATES

    def __init__(self, conn: Conn, settings: Settings, deeds: Deeds) -> None:
        self.conn = conn
        self.settings = settings
        self.deeds = deeds

    def go(self, to: str | None) -> AdvanceResult:
        """Walk, and say what was passed."""
        reports: list[GateReport] = []
        self._begin()
        while (gate := self._next()) is not None:
            if (reports and to is None) or (to and self.gates.index(gate) > self.gates.index(to)):
                break
            try:
                reports.append(self._pass(gate))
            except IuGatesError as error:
                error.facts.setdefault("passed", [r.verdict.gate for r in reports])
                raise
        seq, head = ledger.read_head(self.conn)
        again = name_advance(self.deeds.route) if gate else ""
        return AdvanceResult(tuple(reports), gate, again, seq, head)

    def _next(self) -> str | None:
        return next_gate(self.conn)

    def _install(self) -> None:
        """Make the control schema and the site key, where plain Alembic or nobody has been yet."""
        if db.is_installed(self.conn) and site.has_key(self.conn):
            return
        config.make_site_key(self.settings)
        lanes.bootstrap(self.settings)
        self.deeds.did.append(
            "made the control schema iu_gates, and the site key of this installation"
        )

    def _begin(self) -> None:
        self._install()
        self._see_stops()
        self._follow_stops()
        if self._next() not in {None, "host"}:
            self._require_host()

    def _see_stops(self) -> None:
        # We hold the walk's lock: whoever began a drill that still stands is dead.
        for epoch in stops.lift_orphans(self.conn):
            self.deeds.did.append(f"lifted what an interrupted drill had stopped (epoch {epoch})")
        self.deeds.stops_seen = db.fetch_value(self.conn, "select iu_gates.fn_stops_in_force()")

    def _require_host(self) -> None:
        host = judge(self.conn, self.settings, "host")
        if not host.passed:
            self._record(host)
            raise refusal(host, self.deeds.did)

    def _follow_stops(self) -> None:
        """
        Walk the lane back where a `disable` could not, and lift stops of the route if it is dry.

        The gate's stops are lifted by revision 080, a live route's by 081. A route that is dry
        delivers nothing, and has to be evaluated for the gates on the way to 081 (T28). A further
        route goes dry here too, and comes back by gates of its own, or by `route enable`.
        """
        for stop in stops.list_stops(self.conn):
            lane = disable.walk_back(self.conn, self.settings, stop.route)
            if lane.startswith("runtime"):
                self.deeds.did.append(f"walked back to {lane}, where the stop {stop.epoch} left it")
            self._lift_if_dry(stop.route)

    def _lift_if_dry(self, route: str | None) -> None:
        rows = db.fetch_all(self.conn, db.load("routes", self.settings.schema))
        is_dry = any(r["route_name"] == route and r["dry_run"] for r in rows)
        if route is not None and route == self.deeds.route and is_dry:
            stops.lift_route(self.conn, route, self.deeds.stops_seen)
            self.deeds.did.append(f"lifted the stop of {route}, which is dry now")

    def _pass(self, gate: str) -> GateReport:
        """Do what belongs to a gate, judge it, write the verdict; raise if it is not satisfied."""
        self.deeds.do(gate)
        verdict = self._standing(gate) or self._settle(gate)
        if gate == "approval" and verdict.passed:
            # Before the verdict: killed in between, the gate is judged, and granted, once more.
            self.deeds.grant()
        self._record(verdict)
        did, self.deeds.did = self.deeds.did, []
        if not verdict.passed:
            raise refusal(verdict, did)
        return GateReport(verdict, tuple(did))

    def _standing(self, gate: str) -> Verdict | None:
        """
        Return the verdict of "dry_run" if it stands and only its revision had been taken back.

        After `disable` the way up is opened again; evidence from before live is not asked for
        a second time, and a dead letter of the live route is no fault of it (T28).
        """
        if gate != "dry_run" or ledger.fetch_not_in_force(self.conn, gate) is not None:
            return None
        entry = ledger.fetch_newest(self.conn, "verdict", gate)
        found = f"stands, ledger entry {entry['seq']}"
        facts = entry["facts"].get("facts", {})
        outcome = entry["facts"]["outcome"]
        return Verdict(gate, outcome, (Finding("verdict", passed=True, found=found),), facts)

    def _settle(self, gate: str) -> Verdict:
        """Judge; where only a worker's next batch is missing, give it a moment."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            verdict = self._judge(gate)
            waits = all(f.waits for f in verdict.failures) and gate in {"dry_run", "canary"}
            if verdict.passed or not waits or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if gate == "canary" and not verdict.passed and self.deeds.present_again():
            verdict = self._judge(gate)
        return verdict

    def _judge(self, gate: str) -> Verdict:
        return judge(self.conn, self.settings, gate)

    def _record(self, verdict: Verdict) -> None:
        """Write a verdict, unless the ledger says the same already; backups write their own."""
        if verdict.gate == "backup" or self._is_known(verdict):
            return
        expires = verdict.facts.get("expires_at") or verdict.facts.get("waiver", {}).get("until")
        ledger.record_verdict(
            self.conn,
            verdict,
            route=self.deeds.route if verdict.gate in ABOUT_ROUTE else None,
            expires_at=datetime.fromisoformat(expires) if expires else None,
        )

    def _is_known(self, verdict: Verdict) -> bool:
        last = ledger.fetch_newest(self.conn, "verdict", verdict.subject).get("facts", {})
        in_force = ledger.fetch_not_in_force(self.conn, verdict.subject) is None
        failed = [f["name"] for f in last.get("findings", []) if not f["passed"]]
        same = last.get("outcome") == verdict.outcome and failed == [
            f.name for f in verdict.failures
        ]
        return same and in_force == verdict.passed
