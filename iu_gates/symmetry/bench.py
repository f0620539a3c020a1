"""
One revision, tried in a copy of the trunk: down, look; up again, look.

Rows count as the catalog does, but some come out otherwise each time. Where they differ, there is a
control: a second copy of the same state goes the same way, and the first goes it once more.

    down, twice from one state, other values   `now()`, random numbers: noise
    down, and down again later, other values   noise only in columns that a sequence fills; else it
                                               is a downgrade that takes more each time
    up again, other values in any of the two   noise

A copy that an earlier trial left as the trunk was goes first, and can only show that a revision is
symmetric: see `iu_gates.symmetry.reuse`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psycopg

from iu_gates.symmetry.copies import PREFIX, Copies
from iu_gates.symmetry.project import Failure, Revision, Runner
from iu_gates.symmetry.reuse import Kept, see_sequences
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
        at: How many revisions the trunk has then.
        copy: A copy of the trunk after it; with `ups` a kept one, some revisions behind.
        trunk: Still in that state.
        sequences: Where the trunk's stand.
        ups: What the copy lacks, this revision included.
        can_be_kept: False if what it changes lies outside the database.
    """

    revision: Revision
    before: Picture
    after: Picture
    at: int
    copy: str
    trunk: str
    sequences: Sequence[tuple[Any, ...]]
    ups: tuple[str, ...] = ()
    can_be_kept: bool = True


@dataclass(frozen=True, slots=True)
class Bench:
    """
    Where revisions are tried.

    Attributes:
        copies: Where databases can be made.
        view: How they are looked at.
        refusals: See `verdict.judge`.
        kept: A copy for the next trial.
    """

    copies: Copies
    view: View
    refusals: tuple[str, ...]
    kept: Kept

    def try_out(self, case: Case, runner: Runner) -> Result:
        """Try a revision in its copy; what was made for it is dropped, or kept for the next."""
        began = time.monotonic()
        if case.ups:
            if self._proves(case, runner):
                return Result(case.revision, "symmetric", seconds=time.monotonic() - began)
            try:
                case = replace(case, copy=self.copies.make(case.trunk), ups=())
            except psycopg.Error as error:
                return cannot_copy(case.revision, error)
            # While the one is tried; it takes the place of the one that was spoilt.
            self.kept.make_another(case.trunk, at=case.at)
        result = self._try_fresh(case, runner)
        return replace(result, seconds=time.monotonic() - began)

    def _proves(self, case: Case, runner: Runner) -> bool:
        """Tell whether a kept copy shows that the revision is symmetric."""
        is_proof = False
        try:
            is_proof = self._goes_round(case, runner)
        except psycopg.Error:
            return False  # a fresh copy tells why
        finally:
            self._keep_or_drop(case, is_equal=is_proof)
        return is_proof

    def _goes_round(self, case: Case, runner: Runner) -> bool:
        """
        Tell whether a kept copy comes to where the trunk is, and goes back and forth as that came.

        A downgrade is a run of ``env.py`` by itself; upgrades go on in one, as those of
        ``alembic upgrade``: that each does by itself was seen in the trunk.
        """
        copy, name = case.copy, case.revision.name
        for each in case.ups:
            stays = each != name
            if isinstance(runner.step("up", each, copy, stays=stays), Failure):
                return False
        if isinstance(runner.step("down", name, copy), Failure):
            return False
        if self.view.look(copy) != case.before:
            return False
        if isinstance(runner.step("up", name, copy), Failure):
            return False
        return self._is_as_trunk(case, self.view.look(copy))

    def _try_fresh(self, case: Case, runner: Runner) -> Result:
        is_equal = False
        try:
            trial = self._see(runner, case)
            is_equal = case.can_be_kept and (
                trial.back == case.before and self._is_as_trunk(case, trial.again)
            )
        except psycopg.Error as error:
            return cannot_read(case.revision, error)
        finally:
            self._keep_or_drop(case, is_equal=is_equal)
        if holds_elsewhere(trial.down_failure):
            why = (
                "its downgrade drops what belongs to the whole server, such as a role, and other"
                " databases of this run still use it"
            )
            return Result(case.revision, "cannot judge", why, failure=trial.down_failure)
        return judge(case.revision, trial, self.refusals)

    def _is_as_trunk(self, case: Case, seen: Picture | None) -> bool:
        """Tell whether the copy is as the trunk is, whatever is compared."""
        if seen != case.after:
            return False
        with self.view.sessions.use(case.copy) as conn:
            return see_sequences(conn) == case.sequences

    def _keep_or_drop(self, case: Case, *, is_equal: bool) -> None:
        if is_equal:
            self.kept.put(case.copy, at=case.at)
        else:
            self.kept.discard(case.copy)

    def _see(self, runner: Runner, case: Case) -> Trial:
        """Go through the trial, and again with a control where rows differ."""
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
        made = self.copies.make(case.trunk)
        try:
            control = self._go_round(runner, name, made)
        finally:
            self.kept.discard(made)
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


def cannot_copy(revision: Revision, error: psycopg.Error) -> Result:
    """Return the verdict on a revision of which no copy can be made."""
    why = f"its database cannot be copied: {' '.join(str(error).split())}"
    return Result(revision, "cannot judge", why)


def cannot_read(revision: Revision, error: psycopg.Error) -> Result:
    """Return the verdict on a revision whose database does not answer, or not to all questions."""
    is_lost = isinstance(error, psycopg.OperationalError)
    what = "was lost" if is_lost else "cannot be read (--no-rows leaves rows out)"
    return Result(revision, "cannot judge", f"its database {what}: {' '.join(str(error).split())}")


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


def holds_elsewhere(failure: Failure | None) -> bool:
    """Tell whether a step failed as other databases of this run use what it drops."""
    return failure is not None and failure.sqlstate == DEPENDED_ON and PREFIX in failure.message
