"""
A generated history, for where there is no real one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from iu_gates.errors import UsageError
from iu_gates.history.version import History, Version

BEGINNING: Final = datetime(2024, 1, 1, tzinfo=UTC)
MAX_IN_COMMIT: Final = 6


def generate(seed: int = 1, units: int = 40, versions: int = 600) -> History:
    """
    Return a made-up history; the same arguments give the same one, everywhere.

    Old units change less often than young ones, a commit changes up to six, and the
    clock of its author is off by up to two hours, as in real histories.

    Raises:
        UsageError: `units` is below 1 or above `versions`.
    """
    if not 1 <= units <= versions:
        raise UsageError(
            f"cannot generate {versions} versions of {units} units",
            wanted="at least one unit, and a version for each",
            next_command="iu-gates demo",
        )
    return History(
        f"generated history (seed {seed})",
        f"generated: {versions:,} versions of {units:,} units, not a real history",
        tuple(_versions(random.Random(seed), units, versions)),  # noqa: S311 - no secret
    )


def _versions(chance: random.Random, units: int, versions: int) -> Iterator[Version]:
    newest: list[int] = []
    left = versions
    clock = BEGINNING
    while left:
        clock += timedelta(seconds=chance.randrange(60, 90_000))
        author = clock + timedelta(seconds=chance.randrange(-7_200, 7_200))
        commit = hashlib.sha1(f"{clock} {left}".encode(), usedforsecurity=False).hexdigest()
        touched: set[int] = set()
        for _ in range(min(left, chance.randrange(1, MAX_IN_COMMIT + 1))):
            missing = units - len(newest)
            create = missing and (not newest or missing == left or chance.random() < missing / left)
            index = len(newest) if create else _existing(chance, len(newest))
            if index in touched:
                break
            if create:
                newest.append(0)
            touched.add(index)
            newest[index] += 1
            left -= 1
            yield _version(index, newest[index], commit, author)


def _existing(chance: random.Random, count: int) -> int:
    """Return the index of a unit that is there, young ones more often."""
    return max(chance.randrange(count), chance.randrange(count))


def _version(index: int, version_seq: int, commit: str, author: datetime) -> Version:
    unit = f"unit/{index + 1:04}.md"
    content = f"{unit} {version_seq}".encode()
    blob = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return Version(unit, version_seq, commit, author.isoformat(), blob)
