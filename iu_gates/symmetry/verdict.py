"""
What was seen of one revision, and what it means. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from iu_gates.symmetry.difference import Difference
from iu_gates.symmetry.project import Failure, Revision
from iu_gates.symmetry.rows import RowDigest
from iu_gates.symmetry.snapshot import Key, Snapshot

Outcome = Literal[
    "symmetric",
    "asymmetric",
    "not repeatable",
    "downgrade fails",
    "refuses",
    "column order only",
    "rows differ",
    "cannot judge",
]
GOOD: Final = ("symmetric", "refuses", "column order only")
"""Outcomes that let a build pass."""

OUR_REFUSAL: Final = "IUG40"
"""SQLSTATE with which our own downgrades refuse to lose history."""


Noise = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A database at one moment: its catalog, and the rows of each table."""

    catalog: Snapshot
    rows: Mapping[str, RowDigest]

    @property
    def subscriptions(self) -> Mapping[Key, Mapping[str, Any]]:
        """The subscriptions in the catalog: CREATE DATABASE … TEMPLATE does not copy them."""
        return {k: v for k, v in self.catalog.objects.items() if k[0] == "subscription"}

    def without_subscriptions(self) -> Picture:
        """Return the picture that a copy of the database gives."""
        if not (gone := self.subscriptions):
            return self
        kept = {k: v for k, v in self.catalog.objects.items() if k not in gone}
        return Picture(Snapshot(kept), self.rows)


@dataclass(frozen=True, slots=True)
class Trial:
    """
    What was seen of one revision.

    Attributes:
        before: Before its upgrade (S0).
        after: After it (S1).
        back: After its downgrade (S2); None if that failed.
        again: After the second upgrade (S3); None if that was not tried or failed.
        down_failure: Why the downgrade failed.
        again_failure: Why the second upgrade failed.
        kept: After a downgrade that failed: what was left.
        noise: Columns (table, column) that come out otherwise each time; "" is the number of
            rows.
    """

    before: Picture
    after: Picture
    back: Picture | None = None
    again: Picture | None = None
    down_failure: Failure | None = None
    again_failure: Failure | None = None
    kept: Picture | None = None
    noise: Noise = frozenset()


@dataclass(frozen=True, slots=True)
class RowsFinding:
    """A table whose rows are not what they were; `columns` are those that differ."""

    table: str
    before: int
    after: int
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line."""
        if self.before != self.after:
            return f"rows of {self.table}: {self.before} → {self.after}"
        where = f" in {', '.join(self.columns)}" if self.columns else ""
        return f"rows of {self.table}: {self.before}, but with another content{where}"


@dataclass(frozen=True, slots=True)
class Result:
    """
    The verdict on one revision.

    Attributes:
        revision: Which.
        outcome: One of `Outcome`.
        why: In words; "" where the findings say it all.
        differences: In the catalog: S0 against S2, or S1 against S3 for "not repeatable".
        rows: Tables whose rows differ, compared as the catalogs are.
        failure: What the project's process raised.
        noise: Columns that could not be compared, as "table.column".
        seconds: How long the trial took.
    """

    revision: Revision
    outcome: Outcome
    why: str = ""
    differences: tuple[Difference, ...] = ()
    rows: tuple[RowsFinding, ...] = ()
    failure: Failure | None = None
    noise: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """True if the revision can be undone, or says that it cannot."""
        return self.outcome in GOOD


def judge(revision: Revision, trial: Trial, refusals: Sequence[str] = ()) -> Result:
    """
    Return the verdict on a revision.

    Args:
        revision: Which.
        trial: What was seen.
        refusals: Regular expressions; a downgrade that fails with such a message refuses by
            design, as `NotImplementedError` does.
    """
    if trial.down_failure is not None:
        return _judge_failure(revision, trial, trial.down_failure, refusals)
    assert trial.back is not None  # noqa: S101  the downgrade did not fail
    back = tuple(trial.before.catalog.diff(trial.back.catalog))
    rows = compare_rows(trial.before, trial.back, trial.noise)
    again: tuple[Difference, ...] = ()
    new_rows: tuple[RowsFinding, ...] = ()
    if trial.again is not None:
        again = tuple(trial.after.catalog.diff(trial.again.catalog))
        new_rows = compare_rows(trial.after, trial.again, trial.noise)
    failure = trial.again_failure
    noise = tuple(f"{table}.{column}".rstrip(".") for table, column in sorted(trial.noise))
    elsewhere = "the second upgrade leads somewhere else than the first"
    first_that_holds: tuple[tuple[object, Result], ...] = (
        (_is_more_than_order(back), Result(revision, "asymmetric", "", back, rows)),
        (failure, Result(revision, "not repeatable", "the second upgrade fails", failure=failure)),
        (_is_more_than_order(again), Result(revision, "not repeatable", elsewhere, again)),
        (rows, Result(revision, "rows differ", "", back, rows)),
        (new_rows, Result(revision, "rows differ", elsewhere, again, new_rows)),
        (back or again, Result(revision, "column order only", "", back or again)),
        (True, Result(revision, "symmetric")),
    )
    return replace(next(result for holds, result in first_that_holds if holds), noise=noise)


def _is_more_than_order(differences: Sequence[Difference]) -> bool:
    return any(d.kind != "column order" for d in differences)


def compare_rows(
    before: Picture, after: Picture, noise: Noise = frozenset()
) -> tuple[RowsFinding, ...]:
    """Return the tables that both have whose rows differ; a table that one lacks is catalog."""
    found = (
        _compare_table(table, before.rows[table], after.rows[table], noise)
        for table in sorted(before.rows.keys() & after.rows.keys())
    )
    return tuple(f for f in found if f is not None)


def _compare_table(
    table: str, before: RowDigest, after: RowDigest, noise: Noise
) -> RowsFinding | None:
    if before.rows != after.rows:
        return None if (table, "") in noise else RowsFinding(table, before.rows, after.rows)
    old, new = dict(before.columns), dict(after.columns)
    common = old.keys() & new.keys()
    other = tuple(c for c in sorted(common) if old[c] != new[c] and (table, c) not in noise)
    is_whole = old.keys() == new.keys()
    is_quiet = not any((table, c) in noise for c in common)
    if other or (is_whole and is_quiet and before.digest != after.digest):
        return RowsFinding(table, before.rows, after.rows, other)
    return None


def _judge_failure(
    revision: Revision, trial: Trial, failure: Failure, refusals: Sequence[str]
) -> Result:
    refused = (
        failure.is_refusal
        or failure.sqlstate == OUR_REFUSAL
        or any(re.search(p, failure.message) for p in refusals)
    )
    if not refused:
        return Result(revision, "downgrade fails", failure=failure)
    left = trial.after.catalog.diff(trial.kept.catalog) if trial.kept is not None else []
    if left:
        why = "it refuses, but half-way: what it had done before stays"
        return Result(revision, "downgrade fails", why, tuple(left), failure=failure)
    return Result(revision, "refuses", failure=failure)
