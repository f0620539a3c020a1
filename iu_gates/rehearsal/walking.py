"""
The rest of the way on restored data: up, a load at the top, and down; and what is seen between.

Every revision is walked by itself through `iu_gates.lanes`, as `advance` and `rollback` walk
it; the scratch mark opens the guard. Around each the whole catalog is taken as a value, the
host's objects included: what comes back down must be what went up (P11). From 090 on the
consumer proof runs in each state. The last walk is down to 009, and keeps the history (P7).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import psycopg

from iu_gates import db, digest, lanes, ledger, proof
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import IuGatesError
from iu_gates.model import Direction, Finding, RehearsedStep
from iu_gates.rehearsal import load
from iu_gates.symmetry import Snapshot, snapshot

CONTROL: Final = ("iu_gates",)
SEAM: Final = "090"
LOWEST: Final = "009"
MOST_DIFFERENCES: Final = 5


@dataclass
class Walked:
    """
    What a walk saw.

    Attributes:
        steps: In the order in which they were walked.
        states: Our objects with their hashes, at each state on the way up, by its revisions.
        checks: What was held against what it should be.
    """

    steps: list[RehearsedStep] = field(default_factory=list)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    checks: list[Finding] = field(default_factory=list)


class Walk:
    """One walk in a scratch database."""

    def __init__(
        self, conn: Conn, url: str, settings: Settings, notify: Callable[[str], None]
    ) -> None:
        self.conn = conn
        self.settings = replace(settings, database_url=url)
        self.notify = notify
        self.seen = Walked()
        self._proofs: list[str] = []

    def go(self) -> Walked:
        """Walk there and back; a step that fails ends the walk, and is a check that failed."""
        try:
            self._there_and_back()
        except (IuGatesError, psycopg.Error) as error:
            mapped = db.translate(error) if isinstance(error, psycopg.Error) else error
            found = ": ".join(text for text in (mapped.summary, mapped.found) if text)
            self._check("walk", found, "every step, up and down", passed=False)
        return self.seen

    def _there_and_back(self) -> None:
        begin = lanes.list_applied(self.conn)
        ahead = [r for r in lanes.REVISIONS if r.name not in begin]
        before: dict[str, Snapshot] = {}
        # As `advance` does first; it gives back what was not restored: owners, rights on row types.
        lanes.bootstrap(self.settings)
        self.conn.execute(db.load("act_as_owner"))
        self._look()
        for revision in ahead:
            before[revision.name] = self._take()
            self._up(revision)
            self._look()
        found = ", ".join(self._proofs) or "none: there was no seam"
        self._check("consumer proof, rolled back", found, "at each state from 090 on")
        self.seen.checks.append(
            load.run(self.conn, self.settings.schema, proof.fetch_names(self.conn, self.settings))
        )
        self._back([r for r in reversed(ahead) if r.name > LOWEST], before)
        self._to_lowest()

    def _up(self, revision: lanes.Revision) -> None:
        self.notify(f"applies {revision.name}: {revision.summary}")
        with self._timed(revision.name, "up"):
            lanes.upgrade(
                self.settings,
                revision.name,
                gate="rehearsal",
                stops_seen=db.fetch_value(self.conn, "select iu_gates.fn_stops_in_force()"),
                notify=self.notify,
            )

    def _back(self, revisions: list[lanes.Revision], before: Mapping[str, Snapshot]) -> None:
        """Undo what was done, and look each time whether the catalog is as it was."""
        differing: list[str] = []
        for revision in revisions:
            self.notify(f"undoes {revision.name}")
            with self._timed(revision.name, "down"):
                lanes.downgrade(self.settings, _below(revision))
            now = self._take()
            differing += [f"{revision.name}: {d}" for d in before[revision.name].diff(now)]
        self._check(
            "catalog after each step down",
            _most(differing) or f"as before, {len(revisions)} times",
            "as it was before the step up",
            passed=not differing,
        )

    def _to_lowest(self) -> None:
        """Go on down to 009, which is as far as history lets anybody go."""
        kept = self._count_history()
        if lanes.list_applied(self.conn)[-1] > LOWEST:
            self.notify(f"undoes everything down to {LOWEST}")
            with self._timed(LOWEST, "down", is_target=True):
                lanes.downgrade(self.settings, LOWEST)
        now = self._count_history()
        found = ", ".join(f"{name} {rows}" for name, rows in now.items())
        self._check(f"history kept at {LOWEST}", found, "every row", passed=now == kept)

    def _look(self) -> None:
        """Note the state that was reached, and prove it where there is a seam."""
        applied = lanes.list_applied(self.conn)
        self.seen.states[" ".join(applied)] = digest.fetch_catalog(self.conn)
        if SEAM not in applied:
            return
        report = proof.run(self.conn, self.settings)
        self._proofs.append(f"{applied[-1]} in {report.held_ms:.0f} ms")
        for check in report.checks:
            if not check.passed:
                name = f"proof at {applied[-1]}: {check.name}"
                self._check(name, check.found, check.wanted, passed=False)

    def _take(self) -> Snapshot:
        return snapshot(self.conn, exclude_schemas=CONTROL)

    def _count_history(self) -> dict[str, int]:
        tables = ("iu_event", "iu_route_attempt", "iu_route_dead_letter", "iu_route_redrive")
        names = [f"{self.settings.schema}.{table}" for table in tables]
        counts = db.count_rows(self.conn)
        return {name: counts[name] for name in names}

    @contextmanager
    def _timed(
        self, revision: str, direction: Direction, *, is_target: bool = False
    ) -> Iterator[None]:
        after, _ = ledger.read_head(self.conn)
        began = time.perf_counter()
        yield
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        held = db.fetch_one(self.conn, db.load("rehearsal_step"), {"after": after}).get("held_ms")
        self.seen.steps.append(RehearsedStep(revision, direction, milliseconds, held, is_target))

    def _check(self, name: str, found: str, wanted: str, *, passed: bool = True) -> None:
        remedy = "" if passed else "iu-gates rehearse"
        self.seen.checks.append(Finding(name, passed, found, wanted, remedy))


def _below(revision: lanes.Revision) -> str:
    """Return the target that undoes a revision and nothing else, if it is the last of its lane."""
    lane = ["base", *(r.name for r in lanes.REVISIONS if r.lane == revision.lane)]
    return f"{revision.lane}@{lane[lane.index(revision.name) - 1]}"


def _most(texts: Iterable[str]) -> str:
    every = list(texts)
    more = [f"and {len(every) - MOST_DIFFERENCES} more"] if len(every) > MOST_DIFFERENCES else []
    return "; ".join([*every[:MOST_DIFFERENCES], *more])
