"""
A database with all who play on it: a host that writes, workers, approvers, and our settings.

    stages      a maker of stages; each is a database of its own, dropped afterwards
    Stage       the database, its settings, and what tests ask of it
    Host        a thread that writes organic changes
    Worker      a thread that runs `iu_gates.worker.run`

Nothing here sleeps to let something happen: whoever waits polls, and fails at a deadline.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest
from psycopg import sql

from iu_gates import advance, approvals, config, ledger, worker
from iu_gates.config import Settings
from iu_gates.ending import Ending
from iu_gates.errors import GateError, IuGatesError
from iu_gates.model import AdvanceResult, Batch, Status
from iu_gates.status import fetch_status
from tests.support.databases import Database, Servers, cloned_database
from tests.support.walk import HOST, SITE_KEY, State, rehome, require_template

ROUTE = config.ROUTE
WAIVER = {"gate": "rehearsal", "who": "a test", "why": "for speed", "until": "2100-01-01"}
INSERT = "insert into public.unit_version (unit, version_seq) values (%s, %s)"
WALK_SECONDS = 30
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.support.play", "iu_gates.lanes", "alembic.command"])


def advance_and_say(values: dict[str, Any], path: Path, known: list[str] | None) -> None:
    """
    Run ``advance --to live`` and write what it says into a file; errors by their next command.

    Args:
        values: The settings.
        path: The file.
        known: This process kills itself (SIGKILL) at the first text that is not among these.
    """

    def say(text: str) -> None:
        with path.open("a") as file:
            file.write(f"{text}\n")

    def notify(gate: str, text: str) -> None:
        say(f"{gate} {text}")
        if known is not None and f"{gate} {text}" not in known:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        advance.advance(config.build(values), to="live", notify=notify)
    except IuGatesError as error:
        say(f"refused {error.summary} {error.next_command}")


class Host(threading.Thread):
    """
    A host that inserts versions of a few units, one transaction each, until it is left.

    Args:
        conninfo: Of the database.
        insert: Takes a unit (a UUID, as text) and a version.
        pause: Seconds between two versions.
    """

    def __init__(self, conninfo: str, insert: str = INSERT, pause: float = 0.01) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self._conninfo = conninfo
        self._insert = insert
        self._pause = pause
        self._units = [str(uuid.uuid4()) for _ in range(7)]
        self._done = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Write until told to stop."""
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as conn:
                while not self._done.wait(self._pause):
                    unit = self._units[self.written % len(self._units)]
                    conn.execute(self._insert, (unit, self.written // len(self._units) + 1))
                    self.written += 1
        except BaseException as error:
            self._error = error
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self.join()
        if error is None and self._error is not None:
            raise self._error


class Worker(threading.Thread):
    """A worker, as `iu-gates worker run` runs one, until it is left."""

    def __init__(self, settings: Settings, limit: int = 1000) -> None:
        super().__init__(daemon=True)
        self.batches: list[Batch] = []
        self.stop = Ending()
        self.error: BaseException | None = None
        self._settings = settings
        self._limit = limit

    def run(self) -> None:
        """Work until told to stop."""
        try:
            worker.run(
                self._settings, limit=self._limit, on_batch=self.batches.append, stop=self.stop
            )
        except BaseException as error:  # noqa: BLE001  told in the test's own thread
            self.error = error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop.set()
        self.join()
        if error is None and self.error is not None:
            raise self.error


@dataclass
class Stage:
    """
    A database and the settings of its installation.

    Args:
        database: Where it all plays.
        values: The settings, as a TOML file would hold them.
        conn: A superuser's session to look with.
    """

    database: Database
    values: dict[str, Any]
    conn: psycopg.Connection
    logins: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings of this installation."""
        return config.build(self.values)

    def with_settings(self, **values: Any) -> Settings:
        """Return the settings with some of them replaced."""
        return config.build({**self.values, **values})

    def settings_as(self, login: str, **values: Any) -> Settings:
        """Return the settings for another login."""
        return self.with_settings(database_url=self.database.conninfo_as(login), **values)

    def make_login(self, *groups: str) -> str:
        """Make a login of this test's own, in these group roles."""
        name = f"{self.database.name} login {len(self.logins)}"
        self.logins.append(name)
        self.conn.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
        for group in groups:
            self.conn.execute(
                sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(name))
            )
        return name

    def make_settings_of(self, *groups: str) -> Settings:
        """Return the settings of a new login in these group roles."""
        return self.settings_as(self.make_login(*groups))

    def approve(self, login: str | None = None) -> str:
        """Approve what is asked for, as a login that is not ours; return what it was."""
        settings = self.settings_as(login or self.make_login("iu_gates_approver"))
        pending = approvals.require_pending(settings)
        approvals.vote(settings, pending.digest, "approve", "a test")
        return pending.subject

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.conn.execute(query, parameters or None).fetchall()

    def fetch_value(self, query: str, *parameters: object) -> Any:
        """Return the one value of a query."""
        ((value,),) = self.fetch(query, *parameters)
        return value

    def status(self) -> Status:
        """Return what `iu-gates status` would show."""
        return fetch_status(self.settings)

    def gate_is_in_force(self, gate: str) -> bool:
        """Tell whether `status` shows a gate as in force."""
        return next(g for g in self.status().gates if g.gate == gate).in_force

    def list_revisions(self) -> tuple[str, ...]:
        """Return the applied revisions."""
        return self.status().revisions

    def list_steps(self) -> list[str]:
        """Return the lane steps in the ledger: "up 008" and so on."""
        return [
            f"{e.facts['direction']} {e.subject}"
            for e in ledger.list_entries(self.settings, kind="step")
        ]

    def list_kinds(self) -> list[str]:
        """Return the kinds of all ledger entries, in order."""
        return [e.kind for e in ledger.list_entries(self.settings)]

    def write(self, unit: str, *versions: int) -> None:
        """Write versions of a unit, each in a transaction of its own."""
        for version in versions:
            self.conn.execute(INSERT, (unit, version))

    def count(self, *statuses: str) -> int:
        """Return how many attempts there are of these statuses, or of any."""
        query = "select count(*) from iu_core.iu_route_attempt where status = any (%s) or %s"
        return int(self.fetch_value(query, list(statuses), not statuses))

    def host(self, **arguments: Any) -> Host:
        """Return a host that writes while it is entered."""
        return Host(self.database.conninfo, **arguments)

    def worker(self, **arguments: Any) -> Worker:
        """Return a worker that works while it is entered."""
        return Worker(self.settings, **arguments)

    def advance(self, to: str | None = None) -> AdvanceResult:
        """Advance once."""
        return advance.advance(self.settings, to=to)

    def walk(self, to: str = "live") -> list[str]:
        """Advance until `to` is passed, approving what is asked for; return the gates passed."""
        deadline = time.monotonic() + WALK_SECONDS
        passed: list[str] = []
        while True:
            try:
                result = self.advance(to)
            except GateError as error:
                if time.monotonic() > deadline:
                    pytest.fail(f"waited {WALK_SECONDS} s for {to}: {error.summary}; {error.facts}")
                self.mend(error)
                passed.extend(error.facts.get("passed", ()))
            else:
                return [*passed, *(r.verdict.gate for r in result.reports)]

    def mend(self, error: IuGatesError) -> None:
        """Approve where an approval is asked for; raise what only a person could mend."""
        if "approve" in (error.next_command or ""):
            self.approve()
        elif "waits" not in (error.means or ""):
            raise error

    def advance_in_a_process(self, path: Path, known: list[str] | None = None) -> BaseProcess:
        """Start `advance_and_say` as a process of its own."""
        process = PROCESSES.Process(target=advance_and_say, args=(self.values, path, known))
        process.start()
        return process


MakeStage = Callable[..., Stage]


@contextmanager
def stages(servers: Servers, major: int, directory: Path) -> Iterator[MakeStage]:
    """
    Give a maker of stages.

    The maker takes a `State` (None: the demo's host and nothing of ours; "empty": nothing at
    all) and settings that differ from those of the tests.
    """
    with ExitStack() as stack:

        def make(state: State | str | None = None, **values: Any) -> Stage:
            return stack.enter_context(_stage(servers, major, directory, state, values))

        yield make


@contextmanager
def _stage(
    servers: Servers,
    major: int,
    directory: Path,
    state: State | str | None,
    values: dict[str, Any],
) -> Iterator[Stage]:
    server = servers.get(major)
    walked = isinstance(state, State)
    template = require_template(server, state) if isinstance(state, State) else "template0"
    with cloned_database(server, template) as database:
        home = directory / database.name
        home.mkdir()
        if walked:
            (home / "site-key").write_text(SITE_KEY)
            rehome(database.conninfo)
        with psycopg.connect(database.conninfo, autocommit=True) as conn:
            if state is None:
                conn.execute(HOST)
            stage = Stage(database, _values(database, home) | values, conn)
            try:
                yield stage
            finally:
                _drop_logins(database, stage.logins)


def _values(database: Database, home: Path) -> dict[str, Any]:
    return {
        "database_url": database.conninfo,
        "backup_dir": str(home / "backups"),
        "site_key_file": str(home / "site-key"),
        "bin_dir": str(database.bin_dir),
        "invocation": "manual",
        "drill_wait": "5 s",
        "barrier_wait": "5 s",
        "lock_wait": "10 s",
        "waivers": [WAIVER],
    }


def _drop_logins(database: Database, logins: list[str]) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        for login in logins:
            name = sql.Identifier(login)
            conn.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s",
                (login,),
            )
            conn.execute(sql.SQL("drop owned by {}").format(name))
            conn.execute(sql.SQL("drop role {}").format(name))
