"""Which old archives go: pure, so with made-up ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iu_gates.backup import (
    Backup,
    Identity,
    Manifest,
    Retention,
    SnapshotFacts,
    choose_removable,
)
from iu_gates.errors import BackupError

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)
HERE = Identity(1, 2, "app", 180_004)
BROKEN = BackupError("it is truncated", ident="IUG-026")


def make(age: int, identity: Identity = HERE, defect: BackupError | None = None) -> Backup:
    """Return a backup that was taken so many days ago."""
    name, taken = f"{age}.dump", NOW - age * DAY
    facts = SnapshotFacts()
    manifest = Manifest(name, "0" * 64, 1, 1, identity, taken, taken, taken, facts, {})
    return Backup(Path(name), manifest, defect)


def chosen(
    backups: list[Backup],
    count: int | None,
    span: timedelta | None,
    is_needed: Callable[[Backup], bool] = lambda _: False,
) -> list[str]:
    """Return the names of what would go."""
    retention = Retention(count, span)
    found = choose_removable(backups, retention, identity=HERE, is_needed=is_needed, now=NOW)
    return [backup.path.stem for backup in found]


TEN = [make(age) for age in range(10)]


@pytest.mark.parametrize(
    ("count", "span", "gone"),
    [
        (None, None, ""),
        (3, None, "9876543"),
        (20, None, ""),
        (None, 4 * DAY, "98765"),
        (3, 6 * DAY, "987"),
        (8, 4 * DAY, "98"),
        (None, timedelta(0), "987654321"),
    ],
)
def test_what_is_beyond_every_limit_goes(count: int | None, span: timedelta, gone: str) -> None:
    """
    The oldest first; a limit that is not set does not decide, and without any nothing goes.
    """
    assert "".join(chosen(TEN, count, span)) == gone


def test_what_is_needed_stays() -> None:
    """
    An archive on which the ledger stands does not go, however old it is.
    """
    assert chosen(TEN, 1, None, lambda b: b.path.stem == "9") == list("87654321")


@pytest.mark.parametrize("defect", [BROKEN, None])
def test_broken_ones_and_those_of_others_are_left_alone(defect: BackupError | None) -> None:
    """
    They do not go, and they do not count among the newest: what is good is kept.
    """
    identity = HERE if defect else replace(HERE, database_oid=3)
    others = [make(0, identity, defect), make(9, identity, defect)]

    assert chosen([others[0], make(1), make(2), others[1]], 1, None) == ["2"]


def test_server_of_another_minor_version_has_the_same_database() -> None:
    """
    After an update of the server the archives are still this database's.
    """
    older = make(5, replace(HERE, server_version_num=180_003))

    assert chosen([make(1), older], 1, None) == ["5"]


@given(
    st.lists(st.integers(0, 20), unique=True),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(0, 10),
)
def test_newest_is_never_chosen(ages: list[int], count: int | None, days: int | None) -> None:
    """
    Whatever the limits are, and whatever lies there, the newest stays.
    """
    backups = [make(age) for age in sorted(ages)]
    span = None if days is None else days * DAY

    gone = chosen(backups, count, span)

    assert not ages or str(min(ages)) not in gone
    assert gone == sorted(gone, key=int, reverse=True)
    assert len(ages) - len(gone) >= min(len(ages), count or 1)
