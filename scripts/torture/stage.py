"""Where it plays: a server of its own, a database with a host at work, a worker, an approver."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from iu_gates import approvals, config
from iu_gates.config import Settings
from iu_gates.embedded import Server
from iu_gates.hostplay import make_host

ROOT: Final = Path(__file__).parents[2]
OPERATOR, APPROVER, WORKER = "torture_operator", "torture_approver", "torture_worker"
SITE_KEY: Final = "the site of the torture"
INSERT: Final = "insert into public.unit_version (unit, version_seq) values (%s, %s)"
NEWEST: Final = "select coalesce(max(version_seq), 0) from public.unit_version where unit = %s"
TOML: Final = """
invocation = "manual"
drill_wait = "5 s"
barrier_wait = "5 s"
lock_wait = "10 s"
[[waivers]]
gate = "rehearsal"
who = "the torture"
why = "one database is enough to kill on"
until = 2099-01-31T00:00:00Z
"""


class Failure(Exception):  # noqa: N818  what the torture looks for
    """Something did not hold."""


def poll(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Return once a condition holds, or raise what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds:.0f} s for: {what}")
        time.sleep(0.02)


class Host(threading.Thread):
    """A host that changes units, and comes back when the server does."""

    def __init__(self, url: str, pause: float = 0.02) -> None:
        super().__init__(name="host", daemon=True)
        self.pause = pause
        self.at_work = threading.Event()
        self._url = url
        self._over = threading.Event()
        self._units = [str(uuid.uuid4()) for _ in range(5)]

    def run(self) -> None:
        """Write while `at_work` is set, until `end`."""
        while not self._over.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as conn:
                    self._write(conn)
            except psycopg.OperationalError:
                self._over.wait(0.05)

    def end(self) -> None:
        """Stop after the row in hand."""
        self._over.set()
        self.join()

    def _write(self, conn: psycopg.Connection) -> None:
        while not self._over.wait(self.pause):
            if not self.at_work.is_set():
                continue
            for unit in self._units:
                row = conn.execute(NEWEST, (unit,)).fetchone()
                conn.execute(INSERT, (unit, row[0] + 1 if row else 1))
                if self._over.wait(self.pause):
                    return


@dataclass
class Stage:
    """
    One database that is walked up and down.

    Args:
        server: Of the torture's own; it is killed and started again.
        name: Of the database.
        folder: Settings, backups, and what the commands say.
    """

    server: Server
    name: str
    folder: Path
    worker: subprocess.Popen[bytes] | None = None
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.host = Host(self.url())

    def url(self, user: str = OPERATOR) -> str:
        """Return the URL of the database."""
        return self.server.conninfo(self.name, user)

    @property
    def settings(self) -> Settings:
        """The settings of the operator, for a look from this process."""
        return config.build(
            {"database_url": self.url(), "backup_dir": str(self.folder / "backups")}
        )

    @contextmanager
    def connect(self, user: str = "postgres") -> Iterator[psycopg.Connection]:
        """Give an autocommit session."""
        with psycopg.connect(self.url(user), autocommit=True) as conn:
            yield conn

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as the superuser."""
        with self.connect() as conn:
            return conn.execute(query, parameters or None).fetchall()

    def start(self, program: list[str], user: str = OPERATOR) -> subprocess.Popen[str]:
        """Start a Python program with this installation's settings, and nothing else told."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
        told = {
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "IU_GATES_DATABASE_URL": self.url(user),
            "IU_GATES_SITE_KEY": SITE_KEY,
        }
        return subprocess.Popen(
            [sys.executable, *program],
            cwd=self.folder,
            env=inherited | told,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def see_to_worker(self) -> None:
        """Start the worker where none runs."""
        if self.worker is not None and self.worker.poll() is None:
            return
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
        told = {
            "PYTHONPATH": str(ROOT),
            "IU_GATES_DATABASE_URL": self.url(WORKER),
            "IU_GATES_SITE_KEY": SITE_KEY,
            "IU_GATES_INVOCATION": "manual",
        }
        with (self.folder / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "iu_gates", "worker", "run"],
                cwd=self.folder,
                env=inherited | told,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill_worker(self) -> None:
        """End the worker by SIGKILL."""
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()
            self.worker = None

    def approve(self) -> None:
        """Approve what waits, as another login."""
        with self.connect() as conn:
            conn.execute(f"grant iu_gates_approver to {APPROVER}")
            conn.execute(f"grant iu_gates_worker to {WORKER}")
        settings = config.build({"database_url": self.url(APPROVER)})
        pending = approvals.fetch_pending(settings)
        if pending is not None:
            approvals.vote(settings, pending.digest, "approve", "the torture")


@contextmanager
def open_stage(server: Server, name: str, folder: Path) -> Iterator[Stage]:
    """Give a database with the host's tables, owned by the operator; it goes at the end."""
    folder.mkdir()
    (folder / "iu-gates.toml").write_text(TOML, "utf-8")
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        for statement in ("create database {} owner {}",):
            names = map(sql.Identifier, (name, OPERATOR))
            conn.execute(sql.SQL(statement).format(*names))
    stage = Stage(server, name, folder)
    with stage.connect(OPERATOR) as conn:
        make_host(conn)
    stage.host.start()
    try:
        yield stage
    finally:
        stage.kill_worker()
        stage.host.end()
        server.start()
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def open_server(
    major: int | None, settings: Mapping[str, str | int]
) -> Iterator[tuple[Server, Path]]:
    """Give a running server with the three logins, and the directory that it is in; both go."""
    with tempfile.TemporaryDirectory(prefix="iu-gates-torture-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        server = Server(directory / "server", major=major, settings=settings)
        server.start()
        try:
            _make_logins(server)
            yield server, directory
        finally:
            server.wipe()


def _make_logins(server: Server) -> None:
    """Make the three logins."""
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(f"create role {OPERATOR} login createrole")
        conn.execute(f"create role {APPROVER} login")
        conn.execute(f"create role {WORKER} login")
