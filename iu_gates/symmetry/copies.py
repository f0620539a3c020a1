"""
Databases that are made for a trial and dropped after it.

Their names are ``iu_gates_symmetry_``, the number of the run, and a number each. As long as a run
lives, one session of it holds the advisory lock of its number: what has such a name and a lock that
nobody holds was left behind by a run that was killed.

The number of a run ends with a digest of how it begins, so that a name which somebody has made up
is none of ours. Nothing else tells: a revision may change all of a database but its name.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from iu_gates.dropping import drop_database, end_sessions, name_holders
from iu_gates.errors import GateError, RefusedError, UnreachableError
from iu_gates.symmetry.carry import carry

PREFIX: Final = "iu_gates_symmetry_"
NAME: Final = re.compile(rf"{PREFIX}(?P<drawn>[0-9a-f]{{8}})(?P<digest>[0-9a-f]{{8}})_[0-9]+")
APPLICATION: Final = "iu-gates symmetry"
LOCKS: Final = 0x1A75
"""The first half of the advisory keys; the second is made of the number of the run."""


class Copies:
    """
    Makes databases on one server, and drops all that it made; threads may share it.

    Args:
        conninfo: Of a login that may CREATE DATABASE, on any database of the server.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._made: list[str] = []
        self._lock = threading.Lock()
        self._keeper: psycopg.Connection[Any] | None = None

    @property
    def server_version(self) -> int:
        """As libpq has it, for instance 180001."""
        with closing(self.connect()) as conn:
            return conn.info.server_version

    def make(self, origin: str | None = None) -> str:
        """
        Return the conninfo of a new database: a copy of `origin`, or an empty one.

        Raises:
            RefusedError: The login may not make databases.
            psycopg.errors.ObjectInUse: There are sessions in `origin` that are not ours to end.
        """
        with self._lock:
            self._keep()
            name = f"{PREFIX}{self._run}{_digest(self._run)}_{next(self._numbers)}"
            self._made.append(name)
        template = sql.Identifier(name_of(origin) if origin else "template0")
        with closing(self.connect()) as conn:
            if origin:
                end_sessions(conn, name_of(origin))
            try:
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
            if origin:
                carry(conn, name_of(origin), name)
        return make_conninfo(self._conninfo, dbname=name)

    def drop(self, conninfo: str) -> None:
        """Drop a database that was made here, whoever is still in it."""
        name = name_of(conninfo)
        with closing(self.connect()) as conn:
            self._drop(conn, name)
        with self._lock:
            self._made.remove(name)

    def drop_all(self) -> None:
        """Drop whatever is left of what was made here, and end the run."""
        with suppress(UnreachableError), closing(self.connect()) as conn:
            for name in self._made:
                with suppress(psycopg.Error):  # what is left over, `drop_leftovers` drops
                    self._drop(conn, name)
        self._made.clear()
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def drop_leftovers(self) -> list[str]:
        """
        Drop what killed runs left behind, and return the names.

        Raises:
            GateError: IUG-086, somebody is in one of them, or it is another login's.
        """
        query = "select datname from pg_database where starts_with(datname, %s) order by 1"
        with closing(self.connect()) as conn:
            names = [n for (n,) in conn.execute(query, (PREFIX,)).fetchall()]
            found = [n for n in names if (match := NAME.fullmatch(n)) and _is_dead(conn, match)]
            for name in found:
                try:
                    self._drop(conn, name)
                except (psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege) as error:
                    raise _not_dropped(name, name_holders(conn, name), error) from error
        return found

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Give the session of this run, to one thread at a time."""
        with self._lock:
            yield self._keep()

    def connect(self) -> psycopg.Connection[Any]:
        """Return a session in the database that the server was named with."""
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

    def _keep(self) -> psycopg.Connection[Any]:
        """Hold the lock of this run; take it anew where the session that held it was ended."""
        if self._keeper is not None:
            try:
                self._keeper.execute("select 1")
            except psycopg.OperationalError:
                self._keeper.close()
            else:
                return self._keeper
        self._keeper = self.connect()
        self._keeper.execute("set idle_session_timeout = 0")
        self._keeper.execute("select pg_advisory_lock(%s, %s)", (LOCKS, _key(self._run)))
        return self._keeper

    def _drop(self, conn: psycopg.Connection[Any], name: str) -> None:
        try:
            drop_database(conn, name)
        except (psycopg.errors.ObjectInUse, psycopg.errors.WrongObjectType):
            self._free(conn, name)
            drop_database(conn, name)

    def _free(self, conn: psycopg.Connection[Any], name: str) -> None:
        """Remove what a revision may have left that keeps its database from being dropped."""
        identifier = sql.Identifier(name)
        conn.execute(sql.SQL("alter database {} is_template false").format(identifier))
        there = make_conninfo(self._conninfo, dbname=name)
        with psycopg.connect(there, autocommit=True, application_name=APPLICATION) as inside:
            for statement in inside.execute(_HELD_BY).fetchall():
                inside.execute(statement[0])


_HELD_BY: Final = """
    select format('rollback prepared %L', gid) from pg_prepared_xacts
    where database = current_database()
    union all
    select format(step, s.subname) from pg_subscription as s cross join unnest(array[
        'alter subscription %I disable',
        'alter subscription %I set (slot_name = none)',
        'drop subscription %I']) as step
    where s.subdbid = (select oid from pg_database where datname = current_database())
"""


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


def _not_dropped(name: str, holders: str, error: psycopg.Error) -> GateError:
    return GateError(
        f'the database "{name}" of a killed run could not be dropped',
        ident="IUG-086",
        found=holders or " ".join(str(error).split()),
        wanted="nobody in it, and its owner's login",
        means="it is in the way of nothing but room",
        next_command="iu-gates symmetry --clean",
        more="docs/symmetry.md",
    )


def _digest(run: str) -> str:
    """Return the second half of a run's number, which nobody makes up."""
    return hashlib.sha256(f"{PREFIX}{run}".encode()).hexdigest()[:8]


def _key(run: str) -> int:
    """Return the second half of a run's advisory key: an integer of 32 bits with its sign."""
    return int.from_bytes(bytes.fromhex(run), "big", signed=True)


def _is_dead(conn: psycopg.Connection[Any], name: re.Match[str]) -> bool:
    """Tell whether a run made it, and nobody, in whatever database, holds the lock of that run."""
    if _digest(name["drawn"]) != name["digest"]:
        return False
    # pg_locks shows the halves of a key without their signs.
    query = (
        "select from pg_locks where locktype = 'advisory' and objsubid = 2"
        " and classid = %s::oid and objid = %s::oid"
    )
    key = int(name["drawn"], 16)
    return conn.execute(query, (str(LOCKS), str(key))).fetchone() is None
