"""
What `advance` does for each gate, before it is judged: a backup, steps, a proof, a drill.

One method a gate, by name; a gate that only watches has none. Each can be done twice: what
stands already is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from iu_gates import (
    approvals,
    backups,
    db,
    digest,
    drift,
    drill,
    gates,
    lanes,
    ledger,
    proof,
    rehearsal,
    stops,
)
from iu_gates.advance.judging import judge, refusal
from iu_gates.config import ROUTE, Settings, name_advance, name_further
from iu_gates.db import Conn
from iu_gates.errors import GateError
from iu_gates.evidence import fetch as fetch_evidence
from iu_gates.model import Verdict, scope_gate

Notify = Callable[[str, str], None]
"""Called with a gate and a line of progress."""


class Deeds:
    """
    The deeds of one call of `advance`.

    Attributes:
        did: What was done since it was last emptied, in words.
        stops_seen: The stops in force when the walk began; a later one ends it (T27).
        route: Whose gates they are.
    """

    route: str = ROUTE

    def __init__(self, conn: Conn, settings: Settings, notify: Notify, bar: backups.Bar) -> None:
        self.conn = conn
        self.settings = settings
        self.notify = notify
        self.bar = bar
        self.did: list[str] = []
        self.stops_seen: list[int] = []

    def do(self, gate: str) -> None:
        """Do what belongs to a gate."""
        self.notify(gate, "begins")
        action = getattr(self, f"_do_{gate}", None)
        if action is not None:
            action()

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
                    means="this walk does not turn on again what was stopped while it went;"
                    " the next advance does, from here",
                    next_command="iu-gates status",
                    facts={"did": self.did},
                ) from cause

    def _require_backup(self, gate: str, *, is_ddl: bool) -> None:
        """
        Make sure that a backup counts before a step; renew one that ran out, never one that broke.

        Raises:
            GateError: The archive that the ledger names is missing or was altered, or the site's
                own backup beside it does not count.
        """
        in_force = ledger.fetch_not_in_force(self.conn, "backup") is None
        if in_force and not is_ddl:
            return
        facts = gates.backup.collect(self.conn, self.settings, gate=gate)
        verdict = gates.backup.judge(facts, self.settings)
        if facts.defect is not None:
            raise refusal(verdict, self.did)
        if in_force and verdict.passed:
            return
        self._renew_backup(gate, facts, verdict)
        verdict = judge(self.conn, self.settings, "backup")
        if not verdict.passed:
            raise refusal(verdict, self.did)

    def _renew_backup(self, gate: str, facts: gates.backup.BackupFacts, verdict: Verdict) -> None:
        """
        Take another archive where that mends anything, else judge the one at hand anew.

        Raises:
            GateError: The archive at hand was put in the place of the one that is on record.
        """
        if tampered := gates.backup.find_tampering(facts, verdict):
            raise refusal(replace(verdict, findings=tuple(tampered)), self.did)
        if facts.newest is None or gates.backup.is_mended_by_another(verdict):
            self._take_backup(gate)
            return
        backups.record(self.conn, self.settings, facts.newest)
        if verdict.passed:
            self.did.append(f"took over {facts.newest.path.name}")

    def _take_backup(self, gate: str) -> None:
        self.notify(gate, "takes a backup and reads it back whole")
        manifest = backups.take(self.conn, self.settings, self.bar).require_manifest()
        size = f"{manifest.size_bytes / 2**20:.1f} MiB"
        self.did.append(
            f"took {manifest.archive} ({size}, sha256 {manifest.sha256[:12]}, read back whole)"
        )

    def _do_backup(self) -> None:
        facts = gates.backup.collect(self.conn, self.settings)
        self._renew_backup("backup", facts, gates.backup.judge(facts, self.settings))

    def _do_substrate(self) -> None:
        # Over drift no step goes on, nor over objects that nobody recorded: see `adopt`.
        if not drift.list_names(self.conn):
            self._steps("substrate")

    def _do_invocation(self) -> None:
        if self.settings.invocation is not None:
            self._request("invocation", digest.fetch_invocation(self.settings), needed=1)

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

    def _do_rehearsal(self) -> None:
        """Rehearse, unless that was done for this package, or is waived by name."""
        if judge(self.conn, self.settings, "rehearsal").passed:
            return
        if rehearsal.find_backup(self.conn, self.settings) is None:
            self._take_backup("rehearsal")
        try:
            report = rehearsal.run(
                self.conn, self.settings, lambda text: self.notify("rehearsal", text)
            )
        except GateError as error:
            error.summary = f'gate "rehearsal" is not satisfied: {error.summary}'
            error.facts.setdefault("did", self.did)
            raise
        word = "passed" if report.passed else "failed"
        self.did.append(
            f"rehearsed on {Path(report.archive).name}, restored in {report.restore_seconds} s:"
            f" {len(report.steps)} steps, {report.seconds} s, {word}"
        )
        self.did.extend(
            f"  {c.name}: {c.found}, wanted {c.wanted}" for c in report.checks if not c.passed
        )

    def _do_approval(self) -> None:
        contents = digest.fetch_contents(self.conn, self.settings, self.route)
        self._request(approvals.name_package(self.route), contents, self.settings.approvals_needed)

    def _do_canary(self) -> None:
        self._require_approved()
        if lanes.REVISIONS[-1].name in lanes.list_applied(self.conn):
            self._begin_canary_anew()
        self._steps("canary")

    def _begin_canary_anew(self) -> None:
        """
        Take a live route back to where its canary begins: it has no verdict, as after a re-base.

        Raises:
            GateError: It could not come up again, so it stays live.
        """
        self._require_backup("canary", is_ddl=False)
        query = "select iu_gates.fn_guard_findings('081')"
        if findings := db.fetch_value(self.conn, query):
            raise GateError(
                "a live route that is to be a canary again could not come up again",
                found="; ".join(findings),
                wanted="every gate before the canary in force",
                means="nothing was changed; off, the way up asks for what is lacking",
                next_command="iu-gates disable && iu-gates advance",
                more="docs/gates/canary.md",
                facts={"did": self.did},
            )
        self.notify("canary", "takes the route back to dry-run: it is to be a canary again")
        lanes.downgrade(self.settings, "runtime@080", stops_seen=self.stops_seen)
        self.did.append("took the route back to runtime@080: live, and no canary in force")

    def _do_live(self) -> None:
        self._require_approved()
        self._drill("live", "081")
        if fetch_evidence(self.conn, "drill", "081").passed:
            self._steps("live")

    def _require_approved(self) -> None:
        """Take the approval out of force if the package is another one now (T36)."""
        further = name_further(self.route)
        if further is None and lanes.REVISIONS[-1].name in lanes.list_applied(self.conn):
            return
        subject = scope_gate("approval", further)
        approved = ledger.fetch_newest(self.conn, "verdict", subject)["facts"]["facts"]
        about = digest.compute(digest.fetch_contents(self.conn, self.settings, self.route))
        if approved.get("digest", about) == about:
            return
        why = f"the package is another one now, digest {about[:12]}"
        self.conn.execute("select iu_gates.fn_void(array[%s], %s)", (subject, why))
        raise GateError(
            f'gate "approval" is not in force any more: {why}',
            found=f"digest {about[:12]}: settings or SQL have changed",
            wanted=f"digest {approved['digest'][:12]}, which was approved",
            means="nothing was changed past this gate; what it is now has to be approved",
            next_command=name_advance(self.route),
            more="docs/gates/approval.md",
            facts={"did": self.did},
        )

    def _prove(self, since: str) -> None:
        evidence = fetch_evidence(self.conn, "proof", since, self.route)
        if evidence.passed and not evidence.facts.get("pending", []):
            return
        for attempt in range(5):
            report = proof.run(self.conn, self.settings, self.route)
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

    def _request(self, subject: str, contents: dict[str, Any], needed: int) -> None:
        """Ask for approval in the ledger, once for each digest."""
        about = digest.compute(contents)
        last = ledger.fetch_newest(self.conn, "request", subject)
        if last.get("facts", {}).get("digest") != about:
            ledger.append(
                self.conn,
                "request",
                subject,
                {"digest": about, "contents": contents, "needed": needed},
            )
            self.did.append(f"asked for approval of the {subject}, digest {about[:12]}")

    def grant(self) -> None:
        """Turn the votes into an approval that the route's foreign key can stand on."""
        contents = digest.fetch_contents(self.conn, self.settings, self.route)
        self.conn.execute(
            "select iu_gates.fn_grant_approval(%s, %s, %s, %s, %s)",
            (
                self.route,
                contents["definition_hash"],
                digest.compute(contents),
                self.settings.approvals_needed,
                self.settings.approval_valid_for,
            ),
        )

    def present_again(self) -> bool:
        """Present the canary's event to the seam a second time, rolled back."""
        facts = gates.canary.collect(self.conn, self.settings, self.route)
        if facts.event_id in {None, facts.again.get("event_id")} or not facts.has_keys:
            return False
        seen = proof.present_again(self.conn, self.settings, self.route, facts.event_id)
        self.did.append(f"presented event {facts.event_id} again: {seen}")
        return True
