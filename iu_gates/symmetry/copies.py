"""
Databases that are made for a trial and dropped after it.

Their names begin with ``iu_gates_symmetry_``, and their comment says who made them and when: what
a killed run left behind is found by both, and by nobody's session being in it.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from iu_gates.errors import RefusedError, UnreachableError

PREFIX: Final = "iu_gates_symmetry_"
MADE_BY: Final = "made by iu-gates symmetry"
APPLICATION: Final = "iu-gates symmetry"


class Copies:
    """
    Makes databases on one server, and drops all that it made.

    Args:
        conninfo: Of a login that may CREATE DATABASE, on any database of the server.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._made: list[str] = []

    @property
    def server_version(self) -> int:
        """As libpq has it, for instance 180001."""
        with closing(self._connect()) as conn:
            return conn.info.server_version

    def make(self, origin: str | None = None) -> str:
        """
        Return the conninfo of a new database: a copy of `origin`, or an empty one.

        Raises:
            RefusedError: The login may not make databases.
        """
        name = f"{PREFIX}{secrets.token_hex(6)}"
        template = sql.Identifier(name_of(origin) if origin else "template0")
        with closing(self._connect()) as conn:
            if origin:
                end_sessions(conn, name_of(origin))
            try:
                self._made.append(name)
                conn.execute(
                    sql.SQL("create database {} template {}").format(sql.Identifier(name), template)
                )
            except psycopg.errors.InsufficientPrivilege as error:
                raise RefusedError(
                    "this login may not make databases to try revisions in",
                    ident="IUG-042",
                    wanted="CREATEDB",
                    next_command="iu-gates symmetry --database-url embedded",
                ) from error
            told = f"{MADE_BY}, process {os.getpid()} on {socket.gethostname()}"
            conn.execute(
                sql.SQL("comment on database {} is {}").format(
                    sql.Identifier(name), sql.Literal(told)
                )
            )
        return make_conninfo(self._conninfo, dbname=name)

    def drop(self, conninfo: str) -> None:
        """Drop a database that was made here, whoever is still in it."""
        name = name_of(conninfo)
        with closing(self._connect()) as conn:
            drop_database(conn, name)
        self._made.remove(name)

    def drop_all(self) -> None:
        """Drop whatever is left of what was made here."""
        with suppress(UnreachableError), closing(self._connect()) as conn:
            for name in self._made:
                drop_database(conn, name)
        self._made.clear()

    def drop_leftovers(self) -> list[str]:
        """Drop what killed runs left behind, and return the names."""
        query = """
            select d.datname from pg_database as d
            where starts_with(d.datname, %s) and d.datname <> all (%s)
              and starts_with(coalesce(shobj_description(d.oid, 'pg_database'), ''), %s)
              and not exists (select from pg_stat_activity as a where a.datname = d.datname)
            order by 1
        """
        with closing(self._connect()) as conn:
            found = [n for (n,) in conn.execute(query, (PREFIX, self._made, MADE_BY)).fetchall()]
            for name in found:
                drop_database(conn, name)
        return found

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(
                self._conninfo, autocommit=True, application_name=APPLICATION, connect_timeout=10
            )
        except psycopg.OperationalError as error:
            raise UnreachableError(
                "the server on which revisions are to be tried does not answer",
                ident="IUG-050",
                found=str(error).strip(),
                next_command="iu-gates symmetry --database-url embedded",
            ) from error


@contextmanager
def making(conninfo: str) -> Iterator[Copies]:
    """Give a maker of databases, and drop all that it made at the end."""
    copies = Copies(conninfo)
    try:
        yield copies
    finally:
        copies.drop_all()


def name_of(conninfo: str) -> str:
    """Return the database's name in a conninfo."""
    return str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"])


def end_sessions(conn: psycopg.Connection[Any], database: str) -> None:
    """End the sessions in a database of ours: it cannot be copied with one in it."""
    conn.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s",
        (database,),
    )


def drop_database(conn: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, with the sessions, slots and subscriptions that hold it."""
    identifier = sql.Identifier(name)
    conn.execute(sql.SQL("drop database if exists {} with (force)").format(identifier))
