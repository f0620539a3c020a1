"""
The stage: one database, and a login for each of the people in the story.

The embedded server trusts whoever reaches its socket. So the logins show the flow (who asks,
who approves, who works), not security, and the demo says so.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from iu_gates.config import Settings
from iu_gates.embedded import Server, default_state_dir, open_state_server
from iu_gates.hostplay import make_host

DATABASE: Final = "iu_gates_demo"
HOST, OPERATOR, APPROVER, WORKER = "demo_host", "demo_operator", "demo_approver", "demo_worker"
RIGHTS: Final[tuple[LiteralString, ...]] = ("createrole", "createdb")
"""Of the operator: to make the groups, and the scratch database of the rehearsal."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """
    What the demo is asked for.

    Attributes:
        repo: A git repository whose history is replayed.
        history: A file of versions, JSON Lines, may be gzipped.
        fresh: Throw the kept server's data away first.
        keep: "live" stops at live and leaves the server up.
        state_dir: Where the server is kept; None is the usual place.
    """

    repo: Path | None = None
    history: Path | None = None
    fresh: bool = False
    keep: str | None = None
    state_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """The server and how each login reaches the demo's database."""

    server: Server
    state_dir: Path

    def url(self, login: str) -> str:
        """Return how a login connects."""
        return self.server.conninfo(DATABASE, login)

    def settings(self, login: str) -> Settings:
        """Return the settings of a login: those of a small installation."""
        return Settings(
            database_url=self.url(login),
            backup_dir=self.state_dir / "backups",
            bin_dir=self.server.bin_dir,
            invocation="manual",
            dry_run_min_events=3,
            drill_wait=timedelta(seconds=20),
            site_key_file=self.state_dir / "site-key",
        )


def open_stage(options: DemoOptions) -> Stage:
    """Start the kept server, and make the demo's database and logins anew."""
    state_dir = (options.state_dir or default_state_dir()).absolute()
    server = open_state_server(state_dir, fresh=options.fresh)
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE))
        )
        for login in (HOST, OPERATOR, APPROVER, WORKER):
            _make_login(conn, login, RIGHTS if login == OPERATOR else ())
        conn.execute(
            sql.SQL("grant {} to {}").format(sql.Identifier(HOST), sql.Identifier(OPERATOR))
        )
        conn.execute(
            sql.SQL("create database {} owner {}").format(
                sql.Identifier(DATABASE), sql.Identifier(OPERATOR)
            )
        )
    shutil.rmtree(state_dir / "backups", ignore_errors=True)
    stage = Stage(server, state_dir)
    with psycopg.connect(server.conninfo(DATABASE), autocommit=True) as conn:
        conn.execute(sql.SQL("grant create on schema public to {}").format(sql.Identifier(HOST)))
    with psycopg.connect(stage.url(HOST), autocommit=True) as conn:
        make_host(conn)
    return stage


def grant_groups(stage: Stage) -> None:
    """Give approver and worker their groups, which the first `advance` made."""
    with psycopg.connect(stage.server.conninfo(DATABASE), autocommit=True) as conn:
        conn.execute(sql.SQL("grant iu_gates_approver to {}").format(sql.Identifier(APPROVER)))
        conn.execute(sql.SQL("grant iu_gates_worker to {}").format(sql.Identifier(WORKER)))


def _make_login(
    conn: psycopg.Connection[tuple[object, ...]], login: str, rights: tuple[LiteralString, ...]
) -> None:
    name = sql.Identifier(login)
    if conn.execute("select to_regrole(%s)", (login,)).fetchone() == (None,):
        conn.execute(sql.SQL("create role {} login").format(name))
    for right in rights:
        conn.execute(sql.SQL("alter role {} {}").format(name, sql.SQL(right)))
