"""A database that moves: dumped and restored, copied, and worked on where it came to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from iu_gates.embedded import Server
from tests.support.databases import SETTINGS
from tests.support.walk import ROUTE, SITE_KEY

RUN = "select state, events from iu_core.fn_iu_route_worker_run(%s, %s, %s)"


def work(conn: psycopg.Connection, limit: int = 1000, *, batches: int = 1000) -> int:
    """Run batches until there is nothing to do, or so many; return the events they took."""
    taken = 0
    for _ in range(batches):
        row = conn.execute(RUN, [ROUTE, limit, SITE_KEY]).fetchone()
        assert row is not None
        if row[0] in ("idle", "hold"):
            break
        taken += row[1]
    return taken


def list_outbox(conn: psycopg.Connection) -> list[tuple[str, int]]:
    """Return subject and version of each row of the outbox, in its order."""
    return conn.execute(
        "select subject, (payload -> 'data' ->> 'version_seq')::int"
        " from public.event_outbox order by id"
    ).fetchall()


def assert_each_once_and_in_order(conn: psycopg.Connection) -> None:
    """P1, P2, P3: every event is in the outbox once, each unit's in the order of its versions."""
    outbox = list_outbox(conn)
    captured = conn.execute("select subject, version_seq::int from iu_core.iu_event").fetchall()
    assert sorted(outbox) == sorted(captured)
    for subject in {s for s, _ in outbox}:
        versions = [v for s, v in outbox if s == subject]
        assert versions == sorted(versions), subject


@contextmanager
def restored(origin: str, source: Server, target: Server, name: str) -> Iterator[str]:
    """Give the conninfo of a copy on `target`, dumped from the database `origin` on `source`."""
    with psycopg.connect(target.conninfo(), autocommit=True) as conn:
        conn.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    try:
        move(source.conninfo(origin), target.conninfo(name), target)
        yield target.conninfo(name)
    finally:
        if target.is_running():
            with psycopg.connect(target.conninfo(), autocommit=True) as conn:
                conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def move(origin: str, copy: str, tools: Server, *options: str) -> None:
    """Dump `origin` and restore it into the empty database `copy`, but for rights and owners."""
    dump = subprocess.run(
        [tools.bin_dir / "pg_dump", "--format=custom", *options, origin],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [tools.bin_dir / "pg_restore", "--no-acl", "--no-owner", "--exit-on-error", "-d", copy],
        check=True,
        input=dump.stdout,
        capture_output=True,
    )


@contextmanager
def templated(server: Server, origin: str, name: str) -> Iterator[str]:
    """Give the conninfo of a copy by CREATE DATABASE … TEMPLATE."""
    names = sql.Identifier(name), sql.Identifier(origin)
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(sql.SQL("create database {} template {}").format(*names))
        try:
            yield server.conninfo(name)
        finally:
            conn.execute(sql.SQL("alter database {} allow_connections true").format(names[1]))
            conn.execute(sql.SQL("drop database {} with (force)").format(names[0]))


@contextmanager
def make_standby(primary: Server, directory: Path) -> Iterator[Server]:
    """Give a hot standby of a server, streaming over its socket."""
    standby = Server(directory, major=primary.major, settings=SETTINGS)
    standby.data.mkdir(mode=0o700)
    standby._account.own(standby.data)
    options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
    copied = standby._account.run(
        [
            str(primary.bin_dir / "pg_basebackup"),
            "-d",
            primary.conninfo(),
            "-D",
            str(standby.data),
            *options,
        ]
    )
    assert copied.returncode == 0, copied.stdout
    try:
        standby.start()
        yield standby
    finally:
        standby.wipe()
