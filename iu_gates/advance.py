"""
`advance`: the gates in order, one a call, or as far as can be gone.

For the first gate that is not in force: do what belongs to it (a backup, a lane step, a proof, a
drill, a request for approval), collect, judge, write the verdict. A verdict that passed stays
in force until something voids it; the host is judged anew in every call that has work to do.

Killed anywhere, the same command goes on: each lane step is one transaction with its ledger
entry, evidence is in the ledger, and a drill's stop that nobody lifted is lifted first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from iu_gates import (
    backups,
    config,
    db,
    digest,
    disable,
    drill,
    gates,
    lanes,
    ledger,
    proof,
    site,
    standing,
    stops,
)
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError, IuGatesError, UsageError
from iu_gates.evidence import fetch as fetch_evidence
from iu_gates.model import GATES, AdvanceResult, Finding, GateReport, Verdict

Notify = Callable[[str, str], None]
ABOUT_ROUTE: Final = GATES[GATES.index("dry_run") :]
SETTLE_SECONDS: Final = 3.0


def advance(
    settings: Settings, *, to: str | None = None, notify: Notify = lambda _gate, _text: None
) -> AdvanceResult:
    """
    Go through the next gate, or through all up to and with `to`.

    Raises:
        GateError: The next gate is not satisfied; `facts` hold "verdict" and "did".
        UsageError: `to` is no gate.
        LockHeldError: Another walk is at work, or a step could not have its locks.
    """
    if to is not None and to not in GATES:
        raise UsageError(
            f'"{to}" is no gate',
            ident="IUG-018",
            wanted=f"one of {', '.join(GATES)}",
            next_command="iu-gates plan",
        )
    with db.connect(settings, "advance") as conn:
        first = _judge(conn, settings, "host")
        if not first.passed and not (db.is_installed(conn) and _is_writable(first)):
            raise refusal(first, [])
        site.require_home(conn, settings)
        with site.walk_lock(settings, "advance"):
            return _Walk(conn, settings, notify).go(to)


def next_gate(conn: Conn) -> str | None:
    """Return the first gate that is not in force; None at live."""
    if not db.is_installed(conn):
        return GATES[0]
    return standing.next_gate(standing.list_gates(conn))


def refusal(verdict: Verdict, did: list[str]) -> GateError:
    """Return the error that says which limit a gate does not meet, and what to type next."""
    worst = next((f for f in verdict.failures if not f.waits), None) or verdict.failures[0]
    word = "is not built" if verdict.outcome == "not built" else "is not satisfied"
    return GateError(
        f'gate "{verdict.gate}" {word}: {worst.name}: {worst.found}',
        found=worst.found,
        wanted=worst.wanted,
        means="it waits for this" if worst.waits else "nothing was changed past this gate",
        next_command=worst.remedy or "iu-gates advance",
        more=f"docs/gates/{verdict.gate}.md",
        facts={"verdict": verdict.as_dict(), "did": did},
    )


def _judge(conn: Conn, settings: Settings, gate: str) -> Verdict:
    module = gates.BY_NAME[gate]
    result: Verdict = module.judge(module.collect(conn, settings), settings)
    now: datetime = db.fetch_value(conn, "select clock_timestamp()")
    waiver = settings.waiver(gate, now)
    if result.outcome == "not built" and waiver:
        facts = {
            **result.facts,
            "waiver": {"who": waiver.who, "why": waiver.why, "until": waiver.until.isoformat()},
        }
        finding = Finding(
            "waived",
            passed=True,
            found=f"by {waiver.who} until {waiver.until:%Y-%m-%d}: {waiver.why}",
        )
        return Verdict(gate, "waived", (finding,), facts)
    return result


def _is_writable(host: Verdict) -> bool:
    """Tell whether the ledger could hold this verdict at all."""
    return not {"server", "primary", "writable"} & {f.name for f in host.failures}


class _Walk:
    """One call of `advance`: the connection, the settings, and the stops seen when it began."""

    def __init__(self, conn: Conn, settings: Settings, notify: Notify) -> None:
        self.conn = conn
        self.settings = settings
        self.notify = notify
        self.did: list[str] = []
        self.stops_seen: list[int] = []

    def go(self, to: str | None) -> AdvanceResult:
        """Walk, and say what was passed."""
        reports: list[GateReport] = []
        self._install()
        self._begin()
        while (gate := next_gate(self.conn)) is not None:
            if (reports and to is None) or (to and GATES.index(gate) > GATES.index(to)):
                break
            try:
                reports.append(self._pass(gate))
            except IuGatesError as error:
                error.facts.setdefault("passed", [r.verdict.gate for r in reports])
                raise
        seq, head = ledger.read_head(self.conn)
        return AdvanceResult(tuple(reports), gate, "iu-gates advance" if gate else "", seq, head)

    def _install(self) -> None:
        """Make the control schema and the site key, where plain Alembic or nobody has been yet."""
        if db.is_installed(self.conn) and site.has_key(self.conn):
            return
        config.make_site_key(self.settings)
        lanes.bootstrap(self.settings)
        self.did.append("made the control schema iu_gates, and the site key of this installation")

    def _begin(self) -> None:
        # We hold the walk's lock: whoever began a drill that still stands is dead.
        for epoch in stops.lift_orphans(self.conn):
            self.did.append(f"lifted what an interrupted drill had stopped (epoch {epoch})")
        self.stops_seen = db.fetch_value(self.conn, "select iu_gates.fn_stops_in_force()")
        self._follow_stops()
        if next_gate(self.conn) not in {None, "host"}:
            host = _judge(self.conn, self.settings, "host")
            if not host.passed:
                self._record(host)
                raise refusal(host, self.did)

    def _follow_stops(self) -> None:
        """
        Walk the lane back where a `disable` could not, and lift stops of routes that are dry.

        The gate's stops are lifted by revision 080, a live route's by 081. A route that is dry
        delivers nothing, and has to be evaluated for the gates on the way to 081 (T28).
        """
        for stop in stops.list_stops(self.conn):
            lane = disable.walk_back(self.conn, self.settings, stop.route)
            if lane.startswith("runtime"):
                self.did.append(f"walked back to {lane}, where the stop {stop.epoch} left it")
            if stop.route is not None and self._is_dry(stop.route):
                stops.lift_route(self.conn, stop.route, self.stops_seen)
                self.did.append(f"lifted the stop of {stop.route}, which is dry now")

    def _is_dry(self, route: str) -> bool:
        rows = db.fetch_all(self.conn, db.load("routes", self.settings.schema))
        return any(r["route_name"] == route and r["dry_run"] for r in rows)

    def _pass(self, gate: str) -> GateReport:
        """Do what belongs to a gate, judge it, write the verdict; raise if it is not satisfied."""
        self.notify(gate, "begins")
        action = getattr(self, f"_do_{gate}", None)
        if action is not None:
            action()
        verdict = self._standing(gate) or self._settle(gate)
        if gate == "approval" and verdict.passed:
            # Before the verdict: killed in between, the gate is judged, and granted, once more.
            self._grant()
        self._record(verdict)
        did, self.did = self.did, []
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
            verdict = _judge(self.conn, self.settings, gate)
            waits = all(f.waits for f in verdict.failures) and gate in {"dry_run", "canary"}
            if verdict.passed or not waits or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if gate == "canary" and not verdict.passed and self._present_again():
            verdict = _judge(self.conn, self.settings, gate)
        return verdict

    def _record(self, verdict: Verdict) -> None:
        """Write a verdict, unless the ledger says the same already; backups write their own."""
        if verdict.gate == "backup" or self._is_known(verdict):
            return
        expires = verdict.facts.get("expires_at") or verdict.facts.get("waiver", {}).get("until")
        ledger.record_verdict(
            self.conn,
            verdict,
            route=ROUTE if verdict.gate in ABOUT_ROUTE else None,
            expires_at=datetime.fromisoformat(expires) if expires else None,
        )

    def _is_known(self, verdict: Verdict) -> bool:
        last = ledger.fetch_newest(self.conn, "verdict", verdict.gate).get("facts", {})
        in_force = ledger.fetch_not_in_force(self.conn, verdict.gate) is None
        failed = [f["name"] for f in last.get("findings", []) if not f["passed"]]
        same = last.get("outcome") == verdict.outcome and failed == [
            f.name for f in verdict.failures
        ]
        return same and in_force == verdict.passed

    def _steps(self, gate: str) -> None:
        """Apply the revisions of a gate that are lacking, each under a backup that counts."""
        for revision in lanes.REVISIONS:
            if revision.gate != gate or revision.name in lanes.list_applied(self.conn):
                continue
            self._require_backup(gate, is_ddl=revision.is_ddl)
            self.notify(gate, f"applies {revision.name}: {revision.summary}")
            self._upgrade(gate, revision.name)
            self.did.append(f"applied {revision.lane}/{revision.name}: {revision.summary}")

    def _upgrade(self, gate: str, revision: str) -> None:
        """Apply one revision; where that is refused because of a stop, say so first."""
        try:
            lanes.upgrade(
                self.settings,
                revision,
                gate=gate,
                stops_seen=self.stops_seen,
                notify=lambda text: self.notify(gate, text),
            )
        except GateError as error:
            self._require_no_new_stop(error)
            raise

    def _require_no_new_stop(self, cause: GateError) -> None:
        for stop in stops.list_stops(self.conn):
            if stop.kind != "drill" and stop.epoch not in self.stops_seen:
                raise GateError(
                    f'stopped by "{stop.by}": {stop.reason}',
                    ident="IUG-038",
                    found=f"{stop.kind} of {stop.route or 'everything'}, {stop.at:%H:%M:%S}",
                    means="this walk does not turn on again what was stopped while it went",
                    next_command="iu-gates status; then iu-gates advance, to go on from here",
                    facts={"did": self.did},
                ) from cause

    def _require_backup(self, gate: str, *, is_ddl: bool) -> None:
        """
        Make sure that a backup counts before a step; renew one that ran out, never one that broke.

        Raises:
            GateError: The archive that the ledger names is missing or was altered.
        """
        in_force = ledger.fetch_not_in_force(self.conn, "backup") is None
        if in_force and not is_ddl:
            return
        facts = gates.backup.collect(self.conn, self.settings, gate=gate)
        verdict = gates.backup.judge(facts, self.settings)
        if facts.defect is not None:
            raise refusal(verdict, self.did)
        if not (in_force and verdict.passed):
            self._take_backup(gate)

    def _take_backup(self, gate: str) -> None:
        self.notify(gate, "takes a backup and reads it back whole")
        manifest = backups.take(self.conn, self.settings).require_manifest()
        size = f"{manifest.size_bytes / 2**20:.1f} MiB"
        self.did.append(
            f"took {manifest.archive} ({size}, sha256 {manifest.sha256[:12]}, read back whole)"
        )

    def _do_backup(self) -> None:
        facts = gates.backup.collect(self.conn, self.settings)
        if (
            facts.newest is not None
            and facts.defect is None
            and gates.backup.judge(facts, self.settings).passed
        ):
            backups.record(self.conn, self.settings, facts.newest)
            self.did.append(f"took over {facts.newest.path.name}")
        else:
            self._take_backup("backup")

    def _do_substrate(self) -> None:
        self._steps("substrate")

    def _do_invocation(self) -> None:
        if self.settings.invocation is not None:
            self._request("invocation", digest.fetch_invocation(self.settings))

    def _do_dry_run(self) -> None:
        self._steps("dry_run")

    def _do_seam(self) -> None:
        self._steps("seam")
        self._prove("090")

    def _do_check_relaxed(self) -> None:
        self._steps("check_relaxed")
        self._prove("100")

    def _do_disable_proven(self) -> None:
        self._drill("disable_proven", "100")

    def _do_approval(self) -> None:
        self._request("package", digest.fetch_contents(self.conn, self.settings))

    def _do_canary(self) -> None:
        self._require_approved()
        self._steps("canary")

    def _do_live(self) -> None:
        self._require_approved()
        self._drill("live", "081")
        if fetch_evidence(self.conn, "drill", "081").passed:
            self._steps("live")

    def _require_approved(self) -> None:
        """Take the approval out of force if the package is another one now (T36)."""
        if lanes.REVISIONS[-1].name in lanes.list_applied(self.conn):
            return
        approved = ledger.fetch_newest(self.conn, "verdict", "approval")["facts"]["facts"]
        about = digest.compute(digest.fetch_contents(self.conn, self.settings))
        if approved.get("digest", about) == about:
            return
        why = f"the package is another one now, digest {about[:12]}"
        self.conn.execute("select iu_gates.fn_void(array['approval'], %s)", (why,))
        raise GateError(
            f'gate "approval" is not in force any more: {why}',
            found=f"digest {about[:12]}: settings or SQL have changed",
            wanted=f"digest {approved['digest'][:12]}, which was approved",
            means="nothing was changed past this gate",
            next_command="iu-gates advance, which asks for approval of what it is now",
            more="docs/gates/approval.md",
            facts={"did": self.did},
        )

    def _prove(self, since: str) -> None:
        evidence = fetch_evidence(self.conn, "proof", since)
        if evidence.passed and not evidence.facts.get("pending", []):
            return
        for attempt in range(5):
            report = proof.run(self.conn, self.settings)
            waits = [c for c in report.checks if not c.passed and c.waits]
            if report.passed or not waits:
                break
            time.sleep(0.1 * 2**attempt)
        inside = f" with {', '.join(report.pending)} inside" if report.pending else ""
        word = "passed" if report.passed else "failed"
        self.did.append(
            f"consumer proof{inside} in BEGIN … ROLLBACK, {report.held_ms:.0f} ms: {word}"
        )
        self.did.extend(
            f"  {c.name}: {c.found}, wanted {c.wanted}" for c in report.checks if not c.passed
        )

    def _drill(self, gate: str, since: str) -> None:
        if fetch_evidence(self.conn, "drill", since).passed:
            return
        legs = drill.run(self.conn, self.settings, lambda text: self.notify(gate, text))
        for leg in legs:
            word = "passed" if leg.passed else "not passed"
            self.did.append(f"drill of the {leg.scope}: {word} in {leg.seconds} s")

    def _request(self, subject: str, contents: dict[str, Any]) -> None:
        """Ask for approval in the ledger, once for each digest."""
        about = digest.compute(contents)
        last = ledger.fetch_newest(self.conn, "request", subject)
        if last.get("facts", {}).get("digest") != about:
            needed = self.settings.approvals_needed if subject == "package" else 1
            ledger.append(
                self.conn,
                "request",
                subject,
                {"digest": about, "contents": contents, "needed": needed},
            )
            self.did.append(f"asked for approval of the {subject}, digest {about[:12]}")

    def _grant(self) -> None:
        """Turn the votes into an approval that the route's foreign key can stand on."""
        contents = digest.fetch_contents(self.conn, self.settings)
        self.conn.execute(
            "select iu_gates.fn_grant_approval(%s, %s, %s, %s, %s)",
            (
                ROUTE,
                contents["definition_hash"],
                digest.compute(contents),
                self.settings.approvals_needed,
                self.settings.approval_valid_for,
            ),
        )

    def _present_again(self) -> bool:
        """Present the canary's event to the seam a second time, rolled back."""
        facts = gates.canary.collect(self.conn, self.settings)
        if facts.event_id is None or facts.again:
            return False
        seen = proof.present_again(self.conn, self.settings, ROUTE, facts.event_id)
        self.did.append(f"presented event {facts.event_id} again: {seen}")
        return True
