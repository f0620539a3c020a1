"""One server for each major, one template on it, one clone for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from pytest_postgresql.janitor import DatabaseJanitor

from iu_gates.embedded import Server
from iu_gates.embedded.server import SOCKET_PORT
from tests.support.template import build_template

SETTINGS: dict[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": 200,
    "max_prepared_transactions": 20,
    "track_commit_timestamp": "on",
    "max_wal_size": "256MB",
    "max_replication_slots": 10,
    "shared_buffers": "64MB",
    "wal_level": "logical",
}
TEMPLATE = "iu_gates_template"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """
    A database of a test.

    Args:
        conninfo: libpq URI of the superuser `postgres`.
        name: Its name on the server.
        major: The server's major version.
        bin_dir: Where this major's pg_dump, pg_restore and psql are.
        server: The server it is on; shared by the whole session, so never stop it.
    """

    conninfo: str
    name: str
    major: int
    bin_dir: Path
    server: Server = field(repr=False, compare=False)

    def conninfo_as(self, user: str) -> str:
        """Return the conninfo of the same database for another role; no password is asked."""
        return self.server.conninfo(self.name, user)


class Servers:
    """The servers of a session, started when the first test wants them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[int, Server] = {}

    def get(self, major: int) -> Server:
        """Return the server of `major`, running, with the template built."""
        if major not in self._running:
            server = Server(self._directory / str(major), major=major, settings=SETTINGS)
            server.start()
            self._running[major] = server
            _make_template(server)
        return self._running[major]

    def close(self) -> None:
        """Stop all servers and remove their data."""
        for server in self._running.values():
            server.wipe()


@contextmanager
def cloned_database(server: Server, template: str | None = TEMPLATE) -> Iterator[Database]:
    """Give a clone of `template` (an empty database if None), and drop it afterwards."""
    janitor = _make_janitor(server, f"test_{next(_numbers)}", template)
    janitor.init()
    database = Database(
        conninfo=server.conninfo(janitor.dbname),
        name=janitor.dbname,
        major=server.major,
        bin_dir=server.bin_dir,
        server=server,
    )
    try:
        yield database
    finally:
        _release(database)
        janitor.drop()


@contextmanager
def connections(conninfo: str) -> Iterator[Callable[..., psycopg.Connection]]:
    """
    Give a maker of connections to `conninfo`, and close what it made.

    The maker takes psycopg's arguments; `autocommit` is on unless said otherwise.
    """
    made: list[psycopg.Connection] = []

    def make(*, autocommit: bool = True, **parameters: str | int) -> psycopg.Connection:
        connection = psycopg.connect(make_conninfo(conninfo, **parameters), autocommit=autocommit)
        made.append(connection)
        return connection

    try:
        yield make
    finally:
        for connection in made:
            connection.close()


def _make_template(server: Server) -> None:
    """Build the template, then close it: no session, autovacuum included, may hold up a clone."""
    _make_janitor(server, TEMPLATE, None).init()
    build_template(server.conninfo(TEMPLATE))
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(f"alter database {TEMPLATE} with allow_connections false is_template true")


def _make_janitor(server: Server, name: str, template: str | None) -> DatabaseJanitor:
    return DatabaseJanitor(
        user="postgres",
        host=str(server.socket_dir),
        port=SOCKET_PORT,
        dbname=name,
        template_dbname=template,
    )


def _release(database: Database) -> None:
    """Remove what would hold up DROP DATABASE: prepared transactions, slots, subscriptions."""
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(database.conninfo, autocommit=True) as conn,
    ):
        _end_sessions(conn)
        for (gid,) in conn.execute(
            "select gid from pg_prepared_xacts where database = current_database()"
        ).fetchall():
            conn.execute(psycopg.sql.SQL("rollback prepared {}").format(gid))
        for (name,) in conn.execute(
            "select subname from pg_subscription s join pg_database d on d.oid = s.subdbid"
            " where d.datname = current_database()"
        ).fetchall():
            identifier = psycopg.sql.Identifier(name)
            conn.execute(psycopg.sql.SQL("alter subscription {} disable").format(identifier))
            conn.execute(
                psycopg.sql.SQL("alter subscription {} set (slot_name = none)").format(identifier)
            )
            conn.execute(psycopg.sql.SQL("drop subscription {}").format(identifier))
        conn.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
            " where database = current_database() and not active"
        )


def _end_sessions(conn: psycopg.Connection) -> None:
    conn.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type in ('client backend', 'walsender')"
    )
