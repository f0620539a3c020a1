"""The writers of a soak: each a thread with a session of its own, and transactions of all kinds."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
from psycopg import errors as pg
from soak_model import PREFIX, Model, Transaction, Version

INSERT: Final = (
    "insert into public.unit_version (unit, version_seq, created_at) values (%s, %s, %s)"
)
BULK: Final = (
    "insert into public.unit_version (unit, version_seq, created_at)"
    " select * from unnest(%s::text[], %s::integer[], %s::timestamptz[])"
)
COPY: Final = "copy public.unit_version (unit, version_seq, created_at) from stdin"
UNITS: Final = tuple(f"{PREFIX}{number}" for number in range(12))
PAUSE: Final = 0.02
MOST_PREPARED: Final = 8


@dataclass
class Scene:
    """
    What the writers share.

    Args:
        url: Of the host's own database.
        model: What was done is noted there.
        may_prepare: Cleared where the server takes no prepared transactions.
        over: Set to end the writers after the transaction in hand.
        prepared: Transactions that wait for their end.
    """

    url: str
    model: Model
    may_prepare: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    prepared: list[tuple[str, Transaction]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    error: BaseException | None = None

    def finish_prepared(self, conn: psycopg.Connection, chance: random.Random) -> bool:
        """End the oldest prepared transaction; tell whether there was one."""
        with self.lock:
            if not self.prepared:
                return False
            gid, transaction = self.prepared.pop(0)
        ending = "commit" if chance.random() < 0.7 else "rollback"  # noqa: PLR2004
        try:
            conn.execute(f"{ending} prepared '{gid}'")
        except pg.UndefinedObject:
            # It was lost at its PREPARE, or ended when the answer was lost.
            transaction.end("unknown")
        except psycopg.OperationalError:
            with self.lock:
                self.prepared.append((gid, transaction))
            raise
        else:
            transaction.end("committed" if ending == "commit" else "rolled back")
        return True


class Writer(threading.Thread):
    """One session of the host's, that comes back when the server does."""

    def __init__(self, scene: Scene, number: int, seed: str) -> None:
        super().__init__(name=f"writer {number}", daemon=True)
        self._scene = scene
        self._number = number
        self._chance = random.Random(seed)  # noqa: S311  no secret
        self._known: list[Version] = []
        self._count = 0
        self._shapes: tuple[tuple[str, int, Callable[..., None]], ...] = (
            ("single", 40, self._single),
            ("several rows", 15, self._several),
            ("copy", 6, self._copy),
            ("savepoints", 12, self._savepoints),
            ("rolled back", 8, self._rolled_back),
            ("on conflict", 8, self._on_conflict),
            ("new unit", 4, self._new_unit),
            ("long", 1, self._long),
            ("prepared", 6, self._prepared),
        )

    def run(self) -> None:
        """Write until told to stop; an error that no crash explains ends the soak."""
        while not self._scene.over.is_set():
            try:
                with psycopg.connect(self._scene.url, autocommit=True) as conn:
                    while not self._scene.over.wait(self._chance.uniform(0, 2 * PAUSE)):
                        self._play(conn)
            except psycopg.OperationalError:
                self._scene.over.wait(0.05)
            except BaseException as error:
                self._scene.error = error
                raise

    def _play(self, conn: psycopg.Connection) -> None:
        if self._chance.random() < 0.05:  # noqa: PLR2004
            self._scene.finish_prepared(conn, self._chance)
        weights = [weight for _, weight, _ in self._shapes]
        ((name, _, shape),) = self._chance.choices(self._shapes, weights)
        transaction = self._scene.model.begin(name)
        conn.execute("begin")
        try:
            shape(conn, transaction)
        except psycopg.OperationalError as error:
            # A deadlock or a time-out is no crash, and nothing here should meet one.
            if not conn.broken:
                raise AssertionError(f"{name}: {error}") from error
            raise

    def _commit(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        try:
            conn.execute("commit")
        except psycopg.OperationalError:
            transaction.end("unknown")
            raise
        transaction.end("committed")
        self._known = [v for v, _ in transaction.rows][-5:] or self._known

    def _draw(self, transaction: Transaction, count: int, unit: str | None = None) -> list[Version]:
        versions = self._scene.model.draw(unit or self._chance.choice(UNITS), count)
        written = time.monotonic()
        transaction.rows += [(version, written) for version in versions]
        return versions

    def _clock(self) -> datetime:
        """Return the time on a client's clock: it goes wrong now and then, by years."""
        wrong = timedelta(days=self._chance.uniform(-9000, 9000))
        return datetime.now(UTC) + (wrong if self._chance.random() < 0.3 else timedelta())  # noqa: PLR2004

    def _write(self, conn: psycopg.Connection, transaction: Transaction, count: int = 1) -> None:
        """Write versions of one unit, with one statement for each."""
        for version in self._draw(transaction, count):
            conn.execute(INSERT, (*version, self._clock()))

    def _single(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        self._write(conn, transaction)
        self._commit(conn, transaction)

    def _several(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        for _ in range(self._chance.randint(1, 3)):
            versions = self._draw(transaction, self._chance.randint(2, 20))
            conn.execute(BULK, self._columns(versions))
        self._commit(conn, transaction)

    def _columns(self, versions: Sequence[Version]) -> tuple[list[str], list[int], list[datetime]]:
        numbers = [version.number for version in versions]
        return [v.unit for v in versions], numbers, [self._clock() for _ in versions]

    def _copy(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        versions = self._draw(transaction, self._chance.randint(5, 60))
        with conn.cursor() as cursor, cursor.copy(COPY) as copy:
            for version in versions:
                copy.write_row((*version, self._clock()))
        self._commit(conn, transaction)

    def _savepoints(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        for number in range(self._chance.randint(1, 4)):
            kept = len(transaction.rows)
            conn.execute(f"savepoint s{number}")
            self._write(conn, transaction, self._chance.randint(1, 3))
            if self._chance.random() < 0.4:  # noqa: PLR2004
                conn.execute(f"rollback to s{number}")
                transaction.undo(kept)
        self._write(conn, transaction)
        self._commit(conn, transaction)

    def _rolled_back(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        self._write(conn, transaction, self._chance.randint(1, 5))
        conn.execute("rollback")

    def _on_conflict(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        """Offer versions of which some are there: what is told to be inserted was."""
        fresh = self._draw(transaction, self._chance.randint(1, 5))
        offered = [*self._known, *fresh]
        with conn.cursor() as cursor:
            query = f"{BULK} on conflict do nothing returning unit, version_seq"
            cursor.execute(query, self._columns(offered))
            inserted = [Version(*row) for row in cursor.fetchall()]
        if inserted != fresh:
            raise AssertionError(f"of {offered} it inserted {inserted}")
        self._commit(conn, transaction)

    def _new_unit(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        self._count += 1
        unit = f"{PREFIX}new {self._number}.{self._count} ☃ %s"
        for version in self._draw(transaction, self._chance.randint(1, 3), unit):
            conn.execute(INSERT, (*version, self._clock()))
        self._commit(conn, transaction)

    def _long(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        """Stay open for seconds between two writes."""
        self._write(conn, transaction)
        self._scene.over.wait(self._chance.uniform(1, 6))
        self._write(conn, transaction)
        self._commit(conn, transaction)

    def _prepared(self, conn: psycopg.Connection, transaction: Transaction) -> None:
        """Leave the end to another session, later."""
        # Never as many as the server takes, one more of each writer included.
        is_full = len(self._scene.prepared) >= MOST_PREPARED
        if is_full or not self._scene.may_prepare.is_set():
            self._single(conn, transaction)
            return
        self._count += 1
        gid = f"soak {self._number}.{self._count}"
        self._write(conn, transaction, self._chance.randint(1, 4))
        try:
            conn.execute(f"prepare transaction '{gid}'")
        finally:
            with self._scene.lock:
                self._scene.prepared.append((gid, transaction))


class Elsewhere(threading.Thread):
    """Long write transactions in another database of the cluster (P4)."""

    def __init__(self, scene: Scene, url: str, seed: str) -> None:
        super().__init__(name="elsewhere", daemon=True)
        self._scene = scene
        self._url = url
        self._chance = random.Random(seed)  # noqa: S311  no secret

    def run(self) -> None:
        """Hold one transaction after the other for some seconds."""
        while not self._scene.over.is_set():
            try:
                with psycopg.connect(self._url) as conn:
                    conn.execute("select pg_current_xact_id()")
                    self._scene.over.wait(self._chance.uniform(2, 15))
            except psycopg.OperationalError:
                self._scene.over.wait(0.1)
