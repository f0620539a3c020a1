"""
One revision, tried in a copy of the trunk: down, look; up again, look.

Rows count as the catalog does, but some come out otherwise each time. Where they differ, there is a
control: a second copy of the same state goes the same way, and the first goes it once more.

    down, twice from one state, other values   `now()`, random numbers: noise
    down, and down again later, other values   noise only in columns that a sequence fills; else it
                                               is a downgrade that takes more each time
    up again, other values in any of the two   noise
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psycopg

from iu_gates.symmetry.copies import PREFIX, Copies
from iu_gates.symmetry.project import Failure, Revision, Runner
from iu_gates.symmetry.rows import RowDigest
from iu_gates.symmetry.snapshot import Snapshot
from iu_gates.symmetry.verdict import Noise, Picture, Result, Trial, compare_rows, judge
from iu_gates.symmetry.view import View

NOTHING: Final = Picture(Snapshot({}), {})
WALK_NAME: Final = "base ← heads"
LEFT_AS_IT_IS: Final = ("Died", "Timeout")
COLUMN: Final = re.compile(r'(?P<table>.+)\.(?P<column>"(?:[^"]|"")+"|[^."]+)')
DEPENDED_ON: Final = "2BP01"
"""SQLSTATE of what cannot be dropped, as something else needs it."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    A revision to be tried.

    Attributes:
        revision: Which.
        before: The trunk before it.
        after: The trunk after it.
        copy: A copy of the trunk after it.
        trunk: Still in that state, if there is no `control`.
        control: Another copy.
    """

    revision: Revision
    before: Picture
    after: Picture
    copy: str
    trunk: str
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """
    Where revisions are tried.

    Attributes:
        copies: Where databases can be made.
        view: How they are looked at.
        refusals: See `verdict.judge`.
    """

    copies: Copies
    view: View
    refusals: tuple[str, ...]

    def try_out(self, case: Case, runner: Runner) -> Result:
        """Try a revision in its copy, and drop what was made for it."""
        began = time.monotonic()
        try:
            trial = self._see(runner, case)
        except psycopg.OperationalError as error:
            why = f"its database was lost: {' '.join(str(error).split())}"
            return Result(case.revision, "cannot judge", why)
        finally:
            for made in filter(None, (case.copy, case.control)):
                self.copies.drop(made)
        if _holds_elsewhere(trial.down_failure):
            why = (
                "its downgrade drops what belongs to the whole server, such as a role, and other"
                " databases of this run still use it"
            )
            return Result(case.revision, "cannot judge", why, failure=trial.down_failure)
        result = judge(case.revision, trial, self.refusals)
        return replace(result, seconds=time.monotonic() - began)

    def _see(self, runner: Runner, case: Case) -> Trial:
        before, after, copy, name = case.before, case.after, case.copy, case.revision.name
        down = runner.step("down", name, copy)
        if isinstance(down, Failure):
            kept = self.view.look(copy) if down.kind not in LEFT_AS_IT_IS else None
            return Trial(before, after, down_failure=down, kept=kept)
        back = self.view.look(copy)
        up = runner.step("up", name, copy)
        if isinstance(up, Failure):
            return Trial(before, after, back, again_failure=up)
        trial = Trial(before, after, back, self.view.look(copy))
        assert trial.again is not None  # noqa: S101  it is the picture above
        if compare_rows(before, back) or compare_rows(after, trial.again):
            return replace(trial, noise=self._hear_noise(runner, case, back, trial.again))
        return trial

    def _hear_noise(self, runner: Runner, case: Case, back: Picture, again: Picture) -> Noise:
        name = case.revision.name
        later = self._go_round(runner, name, case.copy)
        if case.control:
            control = self._go_round(runner, name, case.control)
        else:
            made = self.copies.make(case.trunk)
            try:
                control = self._go_round(runner, name, made)
            finally:
                self.copies.drop(made)
        drawn = _list_drawn(case.before.catalog)
        noise = _differing(back, control[0]) | (_differing(back, later[0]) & drawn)
        if compare_rows(case.before, back, noise):
            return noise  # what comes after a loss excuses nothing
        return noise | _differing(again, control[1]) | _differing(again, later[1])

    def _go_round(self, runner: Runner, name: str, copy: str) -> tuple[Picture, Picture]:
        """Go down and up once; what cannot be gone tells nothing."""
        seen = [NOTHING, NOTHING]
        for number, direction in enumerate(("down", "up")):
            if isinstance(runner.step(direction, name, copy), Failure):
                break
            seen[number] = self.view.look(copy)
        return seen[0], seen[1]


def judge_walk(
    first: Picture, after: Picture, back: Picture, again: Picture, noise: Noise
) -> Result:
    """
    Return the verdict on the walk to base and up again.

    Rows that revisions put in come anew, with new numbers and times: of them only how many there
    are is looked at.
    """
    walk = name_walk()
    loud = {table for table, column in noise if not column}
    trial = Trial(first, _counted(after, loud), back, _counted(again, loud))
    return judge(walk, trial)


def judge_broken_walk(
    at: Revision, direction: str, failure: Failure, refusals: tuple[str, ...]
) -> Result:
    """Return the verdict on a walk that ended half-way."""
    if direction == "up":
        why = f"the second upgrade fails at {at.name}"
        return Result(name_walk(), "not repeatable", why, failure=failure)
    result = judge(at, Trial(NOTHING, NOTHING, down_failure=failure), refusals)
    return Result(name_walk(), result.outcome, f"at {at.name}", failure=failure)


def name_walk() -> Revision:
    """Return what stands for all revisions together."""
    return Revision(WALK_NAME, (), (), (), "all of them, together", Path())


def _counted(picture: Picture, loud: set[str]) -> Picture:
    counts = {t: RowDigest(d.rows, "", ()) for t, d in picture.rows.items() if t not in loud}
    return Picture(picture.catalog, counts)


def _differing(one: Picture, other: Picture) -> Noise:
    """Return the columns in which the rows of two pictures differ; "" is the number of rows."""
    found = compare_rows(one, other)
    return frozenset((f.table, c) for f in found for c in f.columns or ("",))


def _list_drawn(catalog: Snapshot) -> Noise:
    """Return the columns that a sequence fills."""
    return frozenset(
        (match["table"], match["column"].strip('"').replace('""', '"'))
        for (kind, name), attributes in catalog.objects.items()
        if kind == "column" and _is_drawn(attributes) and (match := COLUMN.fullmatch(name))
    )


def _is_drawn(attributes: Mapping[str, Any]) -> bool:
    return "nextval(" in str(attributes.get("default") or "") or bool(attributes.get("identity"))


def _holds_elsewhere(failure: Failure | None) -> bool:
    return failure is not None and failure.sqlstate == DEPENDED_ON and PREFIX in failure.message
