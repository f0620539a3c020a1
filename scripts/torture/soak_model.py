"""What the writers of a soak did, and what must have become of it in the database."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stage import Failure

PREFIX: Final = "soak "
"""Of each unit of the model; what the stage's own host writes is left to the audit."""


class Version(NamedTuple):
    """An applied change, or the creation of its unit."""

    unit: str
    number: int


@dataclass(slots=True)
class Transaction:
    """
    What one transaction wrote, in order, and how it ended.

    `outcome` is "committed", "rolled back", or "unknown" if the connection was lost while it was
    ending. `rows` hold each version with the moment before its statement was sent.
    """

    shape: str
    outcome: str = "rolled back"
    rows: list[tuple[Version, float]] = field(default_factory=list)
    undone: list[Version] = field(default_factory=list)
    ended: float = 0.0

    def end(self, outcome: str) -> None:
        """Note how it ended, and that it had ended by now."""
        self.outcome, self.ended = outcome, time.monotonic()

    def undo(self, kept: int) -> None:
        """Note that it went back to a savepoint."""
        self.undone += [version for version, _ in self.rows[kept:]]
        del self.rows[kept:]


class Model:
    """All transactions of a soak."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self._numbers: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, shape: str) -> Transaction:
        """Return a new transaction; it counts as rolled back until it ends otherwise."""
        transaction = Transaction(shape)
        with self._lock:
            self.transactions.append(transaction)
        return transaction

    def draw(self, unit: str, count: int) -> list[Version]:
        """Take the next versions of a unit: no two transactions get the same."""
        with self._lock:
            first = self._numbers[unit] + 1
            self._numbers[unit] += count
        return [Version(unit, number) for number in range(first, first + count)]

    def count_written(self) -> int:
        """Return the rows that were committed so far, as far as is known."""
        return sum(len(t.rows) for t in list(self.transactions) if t.outcome == "committed")

    def resolve(self, there: set[Version]) -> list[Transaction]:
        """
        Return the transactions that were committed, by what is in the host's table.

        Raises:
            Failure: One that was acknowledged is not there, one that was rolled back is, or one
                of unknown end is there by half.
        """
        committed = []
        for transaction in self.transactions:
            rows = [version for version, _ in transaction.rows]
            found = sum(version in there for version in rows)
            if transaction.outcome == "unknown" and found in {0, len(rows)}:
                transaction.outcome = "committed" if found else "rolled back"
            wanted = len(rows) if transaction.outcome == "committed" else 0
            if found != wanted:
                raise Failure(f"{found} of {len(rows)} rows are there: {_describe(transaction)}")
            if still := [version for version in transaction.undone if version in there]:
                raise Failure(f"{still[0]} was rolled back to a savepoint, and is there")
            if wanted:
                committed.append(transaction)
        return committed


def _describe(transaction: Transaction) -> str:
    first = transaction.rows[0][0]
    return f"{transaction.outcome} ({transaction.shape}), begins with {first}"


def compare(
    route: str,
    committed: Iterable[Transaction],
    delivered: list[Version],
    *,
    unit: str | None,
    dead: set[Version],
) -> int:
    """
    Hold what a route delivered, in its order, against what it had to.

    Args:
        route: For the message.
        committed: The transactions.
        delivered: What is in the target.
        unit: The only unit that the route takes; None is all.
        dead: What has been a dead letter and may be late (P3).

    Returns:
        How many were delivered.

    Raises:
        Failure: Something is missing, was repeated, was never committed, or is out of order.
    """
    rows: dict[str, list[tuple[Version, float, float]]] = defaultdict(list)
    for transaction in committed:
        for version, written in transaction.rows:
            if version.number > 1 and unit in {None, version.unit}:
                rows[version.unit].append((version, written, transaction.ended))
    wanted = {version for of_unit in rows.values() for version, _, _ in of_unit}
    place = {version: number for number, version in enumerate(delivered)}
    for what, found in {
        "repeated": [v for v, n in Counter(delivered).items() if n > 1],
        "skipped": sorted(wanted - place.keys()),
        "delivered, and never committed": sorted(place.keys() - wanted),
    }.items():
        if found:
            raise Failure(f"{route}: {len(found)} {what}, the first: {found[0]}")
    for of_unit in rows.values():
        _compare_order(route, [row for row in of_unit if row[0] not in dead], place)
    return len(delivered)


def _compare_order(
    route: str, rows: list[tuple[Version, float, float]], place: dict[Version, int]
) -> None:
    """Written after another was committed: delivered after it (P3)."""
    ended = sorted(rows, key=lambda row: row[2])
    last: Version | None = None
    number = 0
    for version, written, _ in sorted(rows, key=lambda row: row[1]):
        while number < len(ended) and ended[number][2] < written:
            before = ended[number][0]
            last = before if last is None or place[before] > place[last] else last
            number += 1
        if last is not None and place[version] < place[last]:
            raise Failure(f"{route}: {version} was delivered before {last}, committed before it")


def compare_within(
    route: str, committed: Iterable[Transaction], delivered: list[Version], dead: set[Version]
) -> None:
    """Written later in the same transaction: delivered later (P3)."""
    place = {version: number for number, version in enumerate(delivered)}
    for transaction in committed:
        last: dict[str, Version] = {}
        for version, _ in transaction.rows:
            if version not in place or version in dead:
                continue
            before = last.get(version.unit)
            if before is not None and place[version] < place[before]:
                raise Failure(f"{route}: {version} was delivered before {before} of one commit")
            last[version.unit] = version
