"""
Locks of the steps: what each takes, who stands in its way, and how long it waits.

A statement that queues for a table lock holds up everybody who comes after it, for as long as
it queues: one try of 1 s behind one open writer was seen to stall the host for 1 s (T38). So
a step looks into pg_locks first and does not try while a transaction that has been open for
longer than a try would last holds what it needs. Only then does it try, for 100 ms at a time.

Writers that come and go must not starve it, so the longer a step has waited, the older a
transaction must be to hold it back: older than half of the wait. One that was open before the
step began is always older, and is never queued behind; where all end within t, the step tries
after 2 t at the latest.

The barrier is another matter: only workers queue for the advisory key of all batches, never
the host, and no table is locked before it is had. So a step may wait for it longer than for a
table; still not without an end, because workers that come later wait behind the step.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import errors as pg

from iu_gates import db
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import SAME, LockHeldError
from iu_gates.model import Direction, LockNeed

UNIT: Final = "unit_table"
"""Stands for the host's version table, whatever it is called there."""

TRY_MS: Final = 100
BARRIER_TRY_MS: Final = 1_000
SHORTEST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 1.0
NAMED: Final = 5

CONFLICTS: Final[Mapping[str, tuple[str, ...]]] = {
    "SHARE ROW EXCLUSIVE": (
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ),
    "ACCESS EXCLUSIVE": (
        "AccessShareLock",
        "RowShareLock",
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ),
}
"""For each mode that a step takes, the modes of pg_locks that it waits for."""

_ROUTE: Final = "iu_outbound_route"
_TABLES: Final[Mapping[tuple[str, Direction], Mapping[str, str]]] = {
    ("008", "down"): dict.fromkeys(
        (
            "iu_event",
            _ROUTE,
            "iu_route_attempt",
            "iu_route_dead_letter",
            "iu_route_redrive",
            "iu_route_parked",
        ),
        "ACCESS EXCLUSIVE",
    ),
    ("009", "up"): {_ROUTE: "SHARE ROW EXCLUSIVE"},
    ("009", "down"): dict.fromkeys(
        (
            _ROUTE,
            "iu_route_cursor",
            "iu_route_carry_over",
            "iu_runtime_gate",
            "iu_worker_heartbeat",
        ),
        "ACCESS EXCLUSIVE",
    ),
    ("060", "up"): {UNIT: "SHARE ROW EXCLUSIVE"},
    ("060", "down"): {UNIT: "ACCESS EXCLUSIVE"},
    ("100", "up"): {_ROUTE: "ACCESS EXCLUSIVE", "iu_gates.approval": "SHARE ROW EXCLUSIVE"},
    ("100", "down"): {_ROUTE: "ACCESS EXCLUSIVE", "iu_gates.approval": "ACCESS EXCLUSIVE"},
}
"""What a step takes above ROW EXCLUSIVE on tables that it finds; a test compares with pg_locks."""

HOLDS_BATCHES: Final[frozenset[tuple[str, Direction]]] = frozenset(
    {
        ("009", "down"),
        ("060", "down"),
        ("090", "up"),
        ("090", "down"),
        ("100", "up"),
        ("100", "down"),
        ("081", "up"),
    }
)
"""Steps that wait until no batch is in hand and let none begin until they have ended."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """
    A session (`pid`) or prepared transaction (`gid`) that holds what a step needs.

    Attributes:
        xact: Names its transaction for as long as that is open.
        age_seconds: How long its transaction is open; None if this login is not shown that.
        query_seconds: How long ago its last statement was begun; None likewise.
        is_batch: It holds the key of all batches, not a table.
    """

    pid: int | None
    gid: str | None
    xact: str
    login: str | None
    application: str
    kind: str
    age_seconds: float | None
    query_seconds: float | None
    query: str
    holds: str
    is_batch: bool

    def __str__(self) -> str:
        """Return who it is, since when, and what it does, in one line."""
        known = self.age_seconds is not None
        age = f"open for {self.age_seconds:.1f} s" if known else "age not shown to this login"
        age = f"{age}, holds {self.holds}"
        if self.pid is None:
            return f"prepared transaction '{self.gid}', login {self.login}, {age}"
        who = f"login {self.login}" if self.login else self.kind
        begun = "" if self.query_seconds is None else f" {self.query_seconds:.1f} s ago"
        said = f"; its statement{begun}: {self.query}" if self.query else ""
        return f"pid {self.pid}, {who}, {self.application or 'no application'}, {age}{said}"


def timeouts(settings: Settings) -> dict[str, str]:
    """
    Return those of a walk's transaction, local to it: behind a pooler the session is not ours.

    A client whose network has gone silent in the middle of a step keeps the step's locks, on the
    host's tables too, for no longer than the network is borne.
    """
    borne_ms = round(settings.network_wait.total_seconds() * 1000)
    return {
        "lock_timeout": f"{TRY_MS}ms",
        "statement_timeout": "60s",
        "idle_in_transaction_session_timeout": f"{borne_ms}ms",
    }


def list_needs(
    names: Mapping[str, str], revision: str, direction: Direction
) -> tuple[LockNeed, ...]:
    """
    Return the table locks that a step takes, under their names in this database.

    Args:
        names: The variables of the SQL files.
        revision: Of `lanes.REVISIONS`.
        direction: Up or down.
    """
    needs = []
    for table, mode in _TABLES.get((revision, direction), {}).items():
        if table == UNIT:
            place = (names["iu_host_schema"], names["iu_unit_table"])
        else:
            schema, _, name = table.rpartition(".")
            place = (schema or names["iu_schema"], name)
        needs.append(LockNeed(*place, mode))
    return tuple(needs)


def list_blockers(conn: Conn, needs: Iterable[LockNeed], *, batches: bool) -> list[Blocker]:
    """Return who holds a lock that a step needs, or (`batches`) a batch; the oldest first."""
    wanted = [
        {"schema_name": n.schema, "table_name": n.table, "modes": CONFLICTS[n.mode]} for n in needs
    ]
    parameters = {"needs": json.dumps(wanted), "batches": batches}
    return [Blocker(**row) for row in db.fetch_all(conn, db.load("blockers"), parameters)]


class Patience:
    """
    The wait of a walk for its locks: each of its steps has `lock_wait` in all, and no more.

    `look` is called before each step, outside of any transaction; `call` runs the walk and runs
    it again where a lock could not be had (SQLSTATE 55P03 only). `name` is what is walked where no
    step was looked at.
    """

    def __init__(
        self, settings: Settings, notify: Callable[[str], None], name: str = "control schema"
    ) -> None:
        self._settings = settings
        self._notify = notify
        self._name = name
        self._bound = settings.lock_wait.total_seconds()
        self._step: tuple[str, Direction] | None = None
        self._names: Mapping[str, str] = {}
        self._begin(None)

    def _begin(self, step: tuple[str, Direction] | None) -> None:
        self._step = step
        self._began = time.monotonic()
        self._pause = SHORTEST_PAUSE
        self._seen: dict[str, float] = {}

    @property
    def _waited(self) -> float:
        return time.monotonic() - self._began

    def look(
        self, conn: Conn, revision: str, direction: Direction, names: Mapping[str, str]
    ) -> dict[str, str]:
        """
        Wait until nobody is seen who would hold up a step, and return its time-outs.

        Args:
            conn: The walk's own session, in no transaction; it is in none afterwards.
            revision: The step's.
            direction: The step's.
            names: The variables of the SQL files.

        Raises:
            LockHeldError: Somebody is, until the end of the bound; nothing was tried.
        """
        if self._step != (revision, direction):
            self._begin((revision, direction))
        self._names = names
        if (revision, direction) in _TABLES.keys() | HOLDS_BATCHES:
            while blockers := [b for b in self._list(conn) if self._holds_back(b)]:
                self._wait(blockers)
        left_ms = max(1, int((self._bound - self._waited) * 1000))
        return {
            "lock_timeout": f"{min(TRY_MS, left_ms)}ms",
            "iu_gates.barrier_wait": f"{min(BARRIER_TRY_MS, left_ms)}ms",
        }

    def _list(self, conn: Conn) -> list[Blocker]:
        if self._step is None:
            return []
        needs = list_needs(self._names, *self._step)
        with conn.transaction():
            return list_blockers(conn, needs, batches=self._step in HOLDS_BATCHES)

    def _holds_back(self, blocker: Blocker) -> bool:
        """Tell whether a try would most likely queue behind it in vain; see the module's head."""
        waited, shortest = self._waited, (BARRIER_TRY_MS if blocker.is_batch else TRY_MS) / 1000
        age = blocker.age_seconds
        if age is None:
            # Its age is not ours to read: it counts from when we saw it first.
            is_first_look = waited < TRY_MS / 1000
            first = self._seen.setdefault(blocker.xact, 0.0 if is_first_look else waited)
            if is_first_look and not blocker.is_batch:
                return True
            age = waited - first
        return age >= max(shortest, waited / 2)

    def call(self, walk: Callable[[], object]) -> None:
        """
        Run a walk until no lock is lacking.

        Raises:
            LockHeldError: A lock could not be had within the bound; who holds it is named.
        """
        while True:
            try:
                walk()
            except LockHeldError as error:
                if not _is_timeout(error):
                    raise
                with db.connect(self._settings, "locks") as conn:
                    blockers = self._list(conn)
                self._wait(blockers, error)
            else:
                return

    def _wait(self, blockers: list[Blocker], cause: LockHeldError | None = None) -> None:
        """Pause, with jitter, longer each time; raise where the bound is reached."""
        names = "; ".join(map(str, blockers[:NAMED])) or (cause.summary if cause else "gone by now")
        name = self._step[0] if self._step else self._name
        left = self._bound - self._waited
        if left <= 0:
            raise _gave_up(name, self._bound, names) from cause
        self._notify(f"{name} waits for a lock: {names}")
        pause = self._pause * random.uniform(0.5, 1.5)  # noqa: S311  jitter, not a secret
        time.sleep(min(pause, left))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


def _is_timeout(error: LockHeldError) -> bool:
    """Tell whether an error stands for SQLSTATE 55P03: nothing else is tried again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, pg.LockNotAvailable):
            return True
        cause = cause.__cause__
    return False


def _gave_up(name: str, bound_seconds: float, blockers: str) -> LockHeldError:
    return LockHeldError(
        f"step {name} could not have its locks within {bound_seconds:.0f} s",
        ident="IUG-061",
        found=blockers,
        means="nothing of this step was applied; wait for the sessions named, or end them",
        next_command=SAME,
    )
