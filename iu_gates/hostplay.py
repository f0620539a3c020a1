"""
The host, as the demo plays it: a content system that inserts rows into ``unit_version``.

What one commit of the history changed is one transaction, row by row, as the host would
write it; so the order within and between transactions is that of the history. The rows'
``created_at`` is the committer's clock, which goes back now and then, as real clocks do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from iu_gates.history import Version, parse_instant

HOST_SQL: Final = Path(__file__).with_name("queries") / "demo_host.sql"
INSERT: Final = """
    insert into public.unit_version (unit, version_seq, body, commit_hash, created_at)
    values (%s, %s, %s, %s, coalesce(%s, now()))
"""
Progress = Callable[[int], None]


def make_host(conn: psycopg.Connection) -> None:
    """Make the host's two tables in ``public``; those that are there stay as they are."""
    with conn.transaction():
        conn.execute("set local client_min_messages to warning")
        conn.execute(HOST_SQL.read_bytes())


def replay(
    conn: psycopg.Connection,
    versions: Iterable[Version],
    *,
    batch: int = 200,
    on_progress: Progress | None = None,
) -> int:
    """
    Insert the versions in their order, a transaction for each commit of the history.

    Args:
        conn: In autocommit mode and not in a transaction, or all would be one.
        versions: Neighbours with the same commit go into one transaction; a version
            without a commit has its own.
        batch: How many transactions are sent before the answers are waited for. An
            error leaves those committed that came before it, and none after it.
        on_progress: Called after each batch with the number of versions played so far.

    Returns:
        How many versions were inserted.

    Raises:
        ValueError: `conn` is in a transaction, or would begin one by itself.
    """
    if not conn.autocommit or conn.info.transaction_status != TransactionStatus.IDLE:
        raise ValueError("expected a connection in autocommit mode and in no transaction")
    played = 0
    commits = grouped(versions)
    while some := list(islice(commits, batch)):
        _commit(conn, some)
        played += sum(map(len, some))
        if on_progress:
            on_progress(played)
    return played


def grouped(versions: Iterable[Version]) -> Iterator[tuple[Version, ...]]:
    """Yield what belongs into one transaction: neighbours of one commit."""
    for commit, group in groupby(versions, key=lambda version: version.commit):
        if commit is None:
            yield from ((version,) for version in group)
        else:
            yield tuple(group)


def _commit(conn: psycopg.Connection, commits: Iterable[Sequence[Version]]) -> None:
    """
    Insert and commit each of the commits, row by row, in one round trip.

    `conn.transaction` waits for answers in a pipeline and takes twice as long.
    """
    try:
        with conn.pipeline(), conn.cursor() as cursor:
            for versions in commits:
                cursor.execute("begin")
                for version in versions:
                    cursor.execute(INSERT, _row(version), prepare=True)
                cursor.execute("commit")
    except BaseException:
        if not conn.closed:
            conn.rollback()
        raise


def _row(version: Version) -> tuple[object, ...]:
    body = Jsonb({"blob": version.blob})
    instant = parse_instant(version.committed_at)
    return version.unit, version.version_seq, body, version.commit, instant


class BackgroundPlayer(AbstractContextManager["BackgroundPlayer"]):
    """
    Plays versions at a given rate in a thread, until they are used up or it is stopped.

    As a context manager it starts on entry and stops on exit. What went wrong in the
    thread is raised by `wait_for` and by `stop`, once.

    Args:
        conninfo: Where the host is.
        versions: In their order.
        rate: Versions a second, on average; a commit is played at once.
        apart: Each version in a transaction of its own, so that few commits are load too.
    """

    def __init__(
        self, conninfo: str, versions: Sequence[Version], *, rate: float, apart: bool = False
    ) -> None:
        self._conninfo = conninfo
        self._versions = tuple(versions)
        self._rate = rate
        self._apart = apart
        self._played = 0
        self._error: Exception | None = None
        self._is_over = False
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo host", daemon=True)

    @property
    def played(self) -> int:
        """How many versions have been committed."""
        return self._played

    @property
    def remaining(self) -> tuple[Version, ...]:
        """What has not been played; once stopped, `replay` can go on with it."""
        return self._versions[self._played :]

    def start(self) -> Self:
        """Begin to play."""
        self._thread.start()
        return self

    def wait_for(self, count: int, timeout: float) -> bool:
        """
        Wait until at least `count` versions were committed, and return True.

        Return False if `timeout` seconds went by, or it ended with fewer. Raise what
        ended it, if it was an error.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._played >= count or self._is_over, timeout)
        self._raise_error()
        return self._played >= count

    def stop(self) -> int:
        """End after the commit in hand, raise what went wrong, return how many were played."""
        self._stopping.set()
        self._thread.join()
        self._raise_error()
        return self._played

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; an error of the thread does not hide one of the block."""
        self._stopping.set()
        self._thread.join()
        if error is None:
            self._raise_error()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error:
            raise error

    def _run(self) -> None:
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as conn:
                self._play(conn)
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _play(self, conn: psycopg.Connection) -> None:
        """Play each commit when its time has come; what is late is not waited for."""
        began = time.monotonic()
        commits = ((v,) for v in self._versions) if self._apart else grouped(self._versions)
        for commit in commits:
            due = began + self._played / self._rate
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            _commit(conn, [commit])
            with self._changed:
                self._played += len(commit)
                self._changed.notify_all()
