"""
The copy that proved to be as the trunk is, kept for the next trial.

To make a copy and to drop it again writes a whole database to the disk, and took half of a run. A
trial that found S2 = S0 and S3 = S1, rows included, has left its copy as the trunk was: one upgrade
takes it to where the next trial begins.

A picture does not show everything, so a kept copy is believed one thing only: that a revision is
symmetric. Where it shows anything else (a difference, noise, a failure, sequences that stand
elsewhere than the trunk's) it is dropped, and the revision is tried again in a fresh copy of the
trunk, which waits for it. A verdict other than "symmetric" is always one found in a fresh copy.

What lies outside the database could be changed by the first of two trials and seen by the second:
a revision that changes roles, tablespaces or settings of the server, or whose text says so, is
tried in a fresh copy at once, and nothing is kept of it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from iu_gates.symmetry.copies import Copies
from iu_gates.symmetry.view import Sessions

FEW: Final = 4
"""Upgrades that are cheaper than a copy."""

OUTSIDE: Final = re.compile(
    rb"\b(create|alter|drop)\s+"
    rb"(role|user(?!\s+mapping)|group|tablespace|system|database|subscription)\b"
    rb"|\b(drop|reassign)\s+owned\b|replication_(slot|origin)|\bon\s+parameter\b",
    re.IGNORECASE,
)

SEQUENCES: Final = """
    select n.nspname, c.relname
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind = 'S' and has_table_privilege(c.oid, 'select') and n.nspname !~ '^pg_temp'
    order by 1, 2
"""
WHERE: Final = sql.SQL("select {name}, last_value, is_called from {sequence}")


class Kept:
    """At most one copy, with how many revisions it has; threads may share it."""

    def __init__(self, copies: Copies, sessions: Sessions) -> None:
        self._copies = copies
        self._sessions = sessions
        self._copy: tuple[int, str] | None = None
        self._lock = threading.Lock()
        self._aside = ThreadPoolExecutor(1)
        self._under_way: list[Future[None]] = []
        self._making: Future[None] | None = None

    def put(self, copy: str, *, at: int) -> None:
        """Keep a copy; the one with fewer revisions is dropped."""
        with self._lock:
            found = sorted(filter(None, (self._copy, (at, copy))))
            self._copy = found.pop()
        for _, other in found:
            self.discard(other)

    def take(self, at: int) -> tuple[int, str] | None:
        """Give the copy away, if it is behind a place in the trunk by a few revisions."""
        with self._lock:
            if self._copy is None or not 0 < at - self._copy[0] <= FEW:
                return None
            copy, self._copy = self._copy, None
            return copy

    def make_another(self, trunk: str, *, at: int) -> None:
        """Begin to make a copy of the trunk, which has to wait for it."""
        self._making = self._do_aside(lambda: self.put(self._copies.make(trunk), at=at))

    def discard(self, copy: str) -> None:
        """Begin to drop a copy, and end the session in it first."""
        self._sessions.close(copy)
        self._do_aside(lambda: self._copies.drop(copy))

    def settle(self) -> None:
        """Wait for a copy that is being made: the trunk may go on then."""
        making, self._making = self._making, None
        if making is not None:
            wait([making])

    def drop(self) -> None:
        """Drop it, if there is one, and wait until all that was discarded is gone."""
        self.settle()
        with self._lock:
            copy, self._copy = self._copy, None
        if copy is not None:
            self.discard(copy[1])
        with self._lock:
            begun, self._under_way = self._under_way, []
        wait(begun)

    def close(self) -> None:
        """End what goes on aside; databases that are left are dropped with the run's."""
        self._aside.shutdown()

    def _do_aside(self, task: Callable[[], None]) -> Future[None]:
        def go() -> None:
            with suppress(psycopg.Error):  # one copy fewer; what is left goes with the run's
                task()

        begun = self._aside.submit(go)
        with self._lock:
            self._under_way.append(begun)
        return begun


def see_sequences(conn: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Return where the sequences of a database stand, to be compared: no picture shows it."""
    names = conn.execute(SEQUENCES).fetchall()
    each = [
        WHERE.format(name=sql.Literal(f"{schema}.{name}"), sequence=sql.Identifier(schema, name))
        for schema, name in names
    ]
    return conn.execute(sql.SQL(" union all ").join(each)).fetchall() if each else []


def says_outside(path: Path) -> bool:
    """Tell whether a text names a statement on what lies outside its database."""
    try:
        return OUTSIDE.search(path.read_bytes()) is not None
    except OSError:
        return False
