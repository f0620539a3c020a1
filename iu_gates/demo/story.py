"""
The steps of the demo, in order.

Nothing is staged but the host: each gate is judged by the same code, on the same tables, as on
any other database.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from iu_gates import advance, approvals, db, disable, rollback, worker
from iu_gates.demo import report
from iu_gates.demo.crew import PATIENCE_SECONDS, Crew
from iu_gates.demo.parts import Scenes, cut
from iu_gates.demo.stage import APPROVER, OPERATOR, DemoOptions, Stage, grant_groups, open_stage
from iu_gates.errors import GateError, IuGatesError, RefusedError
from iu_gates.history import choose
from iu_gates.model import GATES

TRUST: Final = "the embedded server trusts every login: this shows who does what, not security"
LOOKS_WHILE_OFF: Final = 5


def run_demo(options: DemoOptions, console: Console) -> dict[str, Any]:
    """
    Play the whole story and return its numbers.

    Returns:
        captured, dry_run, delivered, held (the peak), held_at_end, repeated, skipped, reordered,
        after_disable, seconds, gates (each verdict), waivers, history, notes; of a server that
        stays up the commands look and stop.

    Raises:
        UsageError: The history that was named cannot be played.
        IuGatesError: A step did not do what it should; the server is stopped, its data stay.
    """
    began = time.monotonic()
    history = choose(options.repo, options.history, Path.cwd())
    scenes = cut(history)
    stage = open_stage(options)
    crew = Crew(stage, console)
    counts = f"{len(history.versions)} versions of {history.units} units"
    crew.say(f"{history.title}: {counts}, {history.applied} applied changes", "bold")
    crew.say(f"  {history.description}")
    stays_up = False
    try:
        result = _Story(stage, scenes, crew).play(stop_at_live=options.keep == "live")
        stays_up = options.keep == "live"
    finally:
        if not stays_up:
            stage.server.stop()
    result["history"] = f"{history.title}: {history.description}"
    result["seconds"] = round(time.monotonic() - began, 1)
    return result


class _Story:
    """One telling: who is on stage, and what has been seen so far."""

    def __init__(self, stage: Stage, scenes: Scenes, crew: Crew) -> None:
        self.stage = stage
        self.scenes = scenes
        self.crew = crew
        self.operator = stage.settings(OPERATOR)
        self.approver = stage.settings(APPROVER)
        self.peak_held = 0
        self.after_disable = 0
        self.notes = [TRUST]

    def play(self, *, stop_at_live: bool) -> dict[str, Any]:
        """Tell it from nothing to live, and on to base unless it is to stop there."""
        self._go("substrate")
        grant_groups(self.stage)
        self.crew.replay("dry evidence", self.scenes.evidence)
        with self.crew.working():
            self._to_live()
            if stop_at_live:
                return self._stay()
            self._disable_under_load()
            self._back_to_live()
        numbers = self._numbers()
        self._back_to_base()
        return numbers

    def _to_live(self) -> None:
        self._go("check_relaxed")
        with self.crew.load(self.scenes.first_drill):
            self._go("disable_proven")
        self.crew.wait_until_worked_off()
        self._go("approval")
        host = self.crew.play_when_live(self.scenes.canary)
        self._go("canary")
        host.join()
        with self.crew.load(self.scenes.second_drill):
            self._go("live")
        self.crew.replay("live tail", self.scenes.tail)
        self.crew.wait_until_worked_off()

    def _stay(self) -> dict[str, Any]:
        """Deliver the rest live and leave the server up."""
        scenes = self.scenes
        rest = (*scenes.disabling, *scenes.disabled, *scenes.third_drill)
        self.crew.replay("the rest, live", rest)
        self.crew.wait_until_worked_off()
        data = shlex.quote(str(self.stage.server.data))
        self.notes.append("live, and up; iu-gates demo begins anew")
        return self._numbers() | {
            "look": f"psql {shlex.quote(self.stage.url(OPERATOR))}",
            "stop": f"pg_ctl stop -D {data}  # as its owner",
        }

    def _go(self, to: str) -> None:
        """Walk to a gate, with the approver's vote where one is asked for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                result = advance.advance(self.operator, to=to, notify=self._tell)
            except GateError as error:
                if time.monotonic() > deadline or not self._help(error):
                    raise
                continue
            for done in result.reports:
                self.crew.say(f"✓ {done.verdict.gate}: {done.verdict.outcome}", "green")
            if result.next_gate is None or GATES.index(result.next_gate) > GATES.index(to):
                return

    def _tell(self, gate: str, text: str) -> None:
        if text != "begins":
            self.crew.say(f"  {gate}: {text}")

    def _help(self, error: GateError) -> bool:
        """Do what a gate waits for: another login's vote, or a moment for the worker."""
        verdict = error.facts.get("verdict", {})
        wanting = {f["name"] for f in verdict.get("findings", []) if not f["passed"]}
        if wanting & {"approvals", "approval of the choice"}:
            pending = approvals.require_pending(self.approver)
            approvals.vote(self.approver, pending.digest, "approve", "seen in the demo")
            self.crew.say(f"  {APPROVER} approves the {pending.subject}: {pending.digest[:12]}")
            return True
        time.sleep(0.1)
        return verdict.get("gate") in ("invocation", "dry_run", "canary")

    def _disable_under_load(self) -> None:
        """Disable while the host writes; count what is delivered after "drained"."""
        self.crew.say("disables under load", "bold")
        with db.connect(self.operator, "demo") as conn:
            with self.crew.load(self.scenes.disabling) as host:
                host.wait_for(1, PATIENCE_SECONDS)
                result = disable.disable(self.operator, reason="the demo's disable")
                mark = report.last_delivery(conn, self.operator)
            self.crew.say(f"  off and drained; the lane follows: {result.lane}")
            self.crew.replay("while disabled", self.scenes.disabled)
            # Long enough for several rounds of the worker, which finds the stop and holds.
            for _ in range(LOOKS_WHILE_OFF):
                time.sleep(worker.LONGEST_WAIT / 2)
                self.after_disable = report.count_deliveries(conn, self.operator, mark)
        self.crew.say(f"  delivered after drained: {self.after_disable}")

    def _back_to_live(self) -> None:
        """Go up again: what came since is held first, then delivered."""
        self._go("dry_run")
        self.crew.wait_until_worked_off()
        self.peak_held = report.count(self.operator).counts["held"]
        self.crew.say(f"  held: {self.peak_held}")
        self._go("canary")
        with self.crew.load(self.scenes.third_drill):
            self._go("live")
        self.crew.wait_until_worked_off()

    def _back_to_base(self) -> None:
        done = rollback.rollback(self.operator, "009")
        self.crew.say(f"✓ rolled back to 009: {', '.join(done.undone)}", "green")
        try:
            rollback.rollback(self.operator, "base")
        except RefusedError as error:
            self.crew.say(f"✓ the rollback to base is refused: {error.found}", "green")
            kept = sum(n for name, n in done.kept.items() if name.endswith(".iu_event"))
            self.notes.append(f"rolled back to 009; base is refused: {kept} events are kept")
        else:
            raise IuGatesError("the rollback to base was not refused although history exists")

    def _numbers(self) -> dict[str, Any]:
        found = report.count(self.operator)
        self.notes.append(report.describe(found))
        with db.connect(self.operator, "demo") as conn:
            verdicts = report.list_verdicts(conn)
        return {
            "captured": found.counts["captured"],
            "dry_run": found.counts["dry_run"],
            "delivered": found.counts["delivered"],
            "held": self.peak_held,
            "held_at_end": found.counts["held"] + found.counts["waiting"],
            "repeated": found.counts["repeated"],
            "skipped": found.counts["skipped"] + found.counts["missed"],
            "reordered": found.counts["reordered"],
            "after_disable": self.after_disable,
            "gates": verdicts,
            "waivers": report.list_waivers(self.operator),
            "notes": self.notes,
        }
