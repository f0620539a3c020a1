"""
Connections, named queries, and what the database's errors mean to a user.

SQL stands in ``queries/*.sql``; `load` puts the schema of our objects into it. Connections
are autocommit, so that a transaction is where the code says ``with conn.transaction()``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, dict_row

from iu_gates import network
from iu_gates.config import EMBEDDED, Settings, require_url
from iu_gates.errors import (
    SAME,
    GateError,
    IuGatesError,
    LockHeldError,
    RefusedError,
    UnreachableError,
    UsageError,
)

Conn = psycopg.Connection[TupleRow]
SQLSTATES: Mapping[str, type[IuGatesError]] = {
    "IUG10": UsageError,
    "IUG20": GateError,
    "IUG38": GateError,
    "IUG40": RefusedError,
    "IUG41": RefusedError,
    "IUG46": RefusedError,
    "IUG48": RefusedError,
    "IUG83": RefusedError,
}

STYLES: Final = {"DateStyle": "ISO", "IntervalStyle": "postgres"}
FULL: Final = "53100"
TIMED_OUT: Final = {"25P03", "25P04"}
"""A session ended by idle_in_transaction_session_timeout or transaction_timeout."""
CAUSES: Final = (
    (
        "could not translate host name",
        "the host's name is not known",
        "IUG-051",
        "iu-gates doctor --database-url postgresql://user@host/database",
    ),
    (
        # psycopg looks names up before libpq can.
        "failed to resolve host",
        "the host's name is not known",
        "IUG-051",
        "iu-gates doctor --database-url postgresql://user@host/database",
    ),
    (
        "does not exist",
        "there is no such database or login",
        "IUG-052",
        "psql -l",
    ),
    (
        "password authentication failed",
        "the login or its password was refused",
        "IUG-053",
        f"export PGPASSFILE=~/.pgpass && {SAME}",
    ),
    (
        "no password supplied",
        "the server asks for a password",
        "IUG-053",
        f"export PGPASSFILE=~/.pgpass && {SAME}",
    ),
    (
        "too many c",  # "connections for role", "connections for database", "clients already"
        "the server takes no more sessions",
        "IUG-056",
        SAME,
    ),
    (
        "remaining connection slots are reserved",
        "the server takes no more sessions",
        "IUG-056",
        SAME,
    ),
    (
        "no pg_hba.conf entry",
        "the server does not let this login in from here",
        "IUG-053",
        'psql -c "table pg_hba_file_rules"',
    ),
)
"""A sign in the message, then summary, id and remedy."""


@cache
def _read(name: str) -> str:
    return (files("iu_gates") / "queries" / f"{name}.sql").read_text("utf-8")


def load(name: str, schema: str = "iu_core") -> sql.SQL:
    """Return the named query, with ``:"iu_schema"`` replaced by the schema of our objects."""
    text, name_of_schema = _read(name), sql.Identifier(schema).as_string()
    if "%(" in text:
        # With parameters, psycopg takes a single percent sign for the beginning of one.
        name_of_schema = name_of_schema.replace("%", "%%")
    return sql.SQL(text.replace(':"iu_schema"', name_of_schema))


def fetch_one(
    conn: Conn, query: sql.SQL | sql.Composed, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Run a query and return its first row by column names; empty if there is none."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, params).fetchone() or {}


def fetch_all(
    conn: Conn, query: sql.SQL | sql.Composed, params: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Run a query and return its rows by column names."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, params).fetchall()


def fetch_value(conn: Conn, statement: LiteralString, *params: object) -> Any:
    """Run a one-line statement and return its first column of its first row; None without a row."""
    row = conn.execute(statement, params or None).fetchone()
    return row[0] if row else None


def resolve_url(settings: Settings) -> str:
    """
    Return what libpq takes, with the bounds of a network that says nothing.

    ``embedded``, and nothing else, starts the embedded server.
    """
    url = require_url(settings)
    if url == EMBEDDED:
        # Most calls need no server of their own, and should not pay for the code that has one.
        from iu_gates.embedded import default_state_dir, open_state_server  # noqa: PLC0415

        return open_state_server(default_state_dir()).conninfo("postgres")
    url = url.replace("postgresql+psycopg://", "postgresql://", 1)
    return network.with_keepalives(url, settings.network_wait)


@contextmanager
def connect(
    settings: Settings,
    command: str,
    *,
    as_owner: bool = False,
) -> Iterator[Conn]:
    """
    Open a connection for one command.

    Args:
        settings: Whose database.
        command: Goes into `application_name`.
        as_owner: Act for the owner of our schemas (SET ROLE), with its rights and no others; the
            ledger's actor stays the login. For what walks: a pooler would keep it.

    Raises:
        RefusedError: The login may not act for the owner.
        UsageError: The URL is no URL.
        UnreachableError: No server, no such database, no such login.
    """
    conn = open_connection(resolve_url(settings), command, settings.network_wait)
    try:
        if as_owner:
            conn.execute(load("act_as_owner"))
        yield conn
    except psycopg.Error as error:
        raise translate(error) from error
    finally:
        conn.close()


def open_connection(
    url: str, command: str, network_wait: timedelta | None = None, *, autocommit: bool = True
) -> Conn:
    """Open a connection, with a bound for a network that says nothing; see `connect`."""
    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise UsageError(
            "the database's URL cannot be read",
            ident="IUG-015",
            found=_scrub(str(error), url),
            wanted="postgresql://user@host:port/database, or host=… dbname=…",
            next_command="iu-gates status --database-url postgresql://user@host/database",
        ) from error
    known = {"connect_timeout": "10", **{k: v for k, v in known.items() if v is not None}}
    known |= {"application_name": f"iu-gates {command}", "client_encoding": "utf8"}
    try:
        # No prepared statements: behind a pooler the next transaction is another session's.
        conn = network.BoundedConnection.connect(
            autocommit=True, prepare_threshold=None, **cast("dict[str, Any]", known)
        )
    except psycopg.OperationalError as error:
        raise _unreachable(error, url) from error
    set_styles(conn)
    conn.autocommit = autocommit
    if network_wait is not None:
        conn.patience, conn.way = network_wait.total_seconds(), known
    return conn


def set_styles(conn: psycopg.Connection[Any]) -> None:
    """Set what psycopg can read, where the login, the database or the server has another style."""
    for name, readable in STYLES.items():
        if (conn.info.parameter_status(name) or readable).split(",")[0] != readable:
            conn.execute("select set_config(%s, %s, false)", (name, readable))


def _unreachable(error: psycopg.OperationalError, url: str) -> UnreachableError:
    text = _scrub(" ".join(str(error).split()), url)
    for sign, summary, ident, remedy in CAUSES:
        if sign in text:
            return UnreachableError(summary, ident=ident, found=text, next_command=remedy)
    return UnreachableError(
        "no PostgreSQL server answers",
        ident="IUG-050",
        found=text,
        means="nothing was done",
        next_command=_ask_server(url),
    )


def _ask_server(url: str) -> str:
    """Return the command that asks whether the URL's server takes connections."""
    known = conninfo_to_dict(url)
    options = (f"--{name}={known[name]}" for name in ("host", "port") if known.get(name))
    return shlex.join(["pg_isready", *options])


def _scrub(text: str, url: str) -> str:
    """Take the password of the URL out of a message."""
    try:
        password = conninfo_to_dict(url).get("password")
    except psycopg.ProgrammingError:
        return "it is neither a URL nor a list of name=value"
    return text.replace(str(password), "***") if password else text


def translate(error: psycopg.Error) -> IuGatesError:
    """
    Return what a database error means to the user.

    Our own SQL raises with SQLSTATE IUGnn, detail and hint; the rest is mapped by class:
    08, 57 and timeouts of a session are the server going away, 42501 a missing right, 55P03 a lock.
    """
    state = error.sqlstate or ""
    message = (error.diag.message_primary or " ".join(str(error).split())).rstrip(".")
    # A hint is a command where our own SQL means it to be typed, else an explanation.
    hint = error.diag.message_hint or ""
    is_command = hint.startswith(("iu-gates ", "alembic "))
    fields: dict[str, Any] = {
        "found": error.diag.message_detail,
        "means": None if is_command else hint or None,
        "next_command": hint if is_command else "iu-gates doctor",
    }
    if state in SQLSTATES:
        return SQLSTATES[state](message, ident=f"IUG-0{state[3:]}", **fields)
    if isinstance(error, pg.QueryCanceled):
        return _cancelled(message)
    if state in TIMED_OUT or (
        isinstance(error, psycopg.OperationalError) and not isinstance(error, pg.LockNotAvailable)
    ):
        return _server_error(state, message)
    return _refusal(error, message, fields) or IuGatesError(
        f"the database said: {message} ({state})",
        ident="IUG-002",
        found=fields["found"],
        next_command="iu-gates doctor",
    )


def _refusal(error: psycopg.Error, message: str, fields: dict[str, Any]) -> IuGatesError | None:
    """Return what the database does not let us do, by the error's class; None if it is another."""
    if isinstance(error, pg.InsufficientPrivilege) and "set role" in message:
        return RefusedError(
            "this login is no operator",
            ident="IUG-087",
            found=message,
            wanted="a login that may act for the owner of our schemas",
            means="nothing was changed; doctor prints the grant",
            next_command="iu-gates doctor",
            more="docs/rights.md",
        )
    if isinstance(error, pg.InsufficientPrivilege):
        return RefusedError(
            f"this login may not do that: {message}",
            ident="IUG-042",
            means="the transaction in hand was rolled back; doctor prints the grants",
            next_command="iu-gates doctor",
        )
    if isinstance(error, pg.LockNotAvailable):
        return LockHeldError(
            f"a lock could not be had: {message}",
            ident="IUG-061",
            next_command="iu-gates status",
        )
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return read_only()
    if isinstance(error, pg.FeatureNotSupported | pg.IntegrityError):
        ident = "IUG-043" if isinstance(error, pg.IntegrityError) else "IUG-047"
        return RefusedError(f"the database refuses it: {message}", ident=ident, **fields)
    return None


def _cancelled(message: str) -> UnreachableError:
    return UnreachableError(
        f"a statement was ended before its end: {message}",
        ident="IUG-100",
        wanted="an end within its statement_timeout, which a step of ours has at 60 s",
        means="the transaction in hand was rolled back: the server is slow or busy, or somebody"
        " cancelled it; the same command goes on from there",
        next_command=SAME,
    )


def _server_error(state: str, message: str) -> UnreachableError:
    if state == FULL:
        return UnreachableError(
            f"the server has no room: {message}",
            ident="IUG-057",
            wanted="room on the server's disk, where this file lies",
            means="the transaction in hand was rolled back; the same command goes on from there",
            next_command=SAME,
        )
    lost = state[:2] in {"", "08", "57"} or state in TIMED_OUT
    return UnreachableError(
        f"the {'connection was lost' if lost else 'server cannot do it now'}: {message}",
        ident="IUG-054",
        means="the transaction in hand was rolled back, or committed with nobody to be told;"
        " the same command goes on from there",
        next_command=SAME,
    )


def is_installed(conn: Conn) -> bool:
    """Return whether the control schema is there."""
    # Not by to_regclass, which raises for a login that may not use the schema.
    return (
        fetch_value(
            conn,
            "select exists (select from pg_class as c"
            " join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname = 'iu_gates' and c.relname = 'ledger')",
        )
        is True
    )


def count_rows(conn: Conn) -> dict[str, int]:
    """Return the rows of each table of ours, by "schema.table"."""
    counts = {}
    for table in fetch_all(conn, load("row_counts")):
        query = sql.SQL("select count(*) as rows from {}").format(
            sql.Identifier(table["schema"], table["name"])
        )
        counts[f"{table['schema']}.{table['name']}"] = int(fetch_one(conn, query)["rows"])
    return counts


def require_writable(conn: Conn) -> None:
    """Raise `RefusedError` on a standby, or where sessions are read-only by default."""
    if fetch_value(
        conn, "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool"
    ):
        raise read_only()


def read_only() -> RefusedError:
    """Return IUG-084: this server, or this login's sessions, write nothing."""
    return RefusedError(
        "nothing can be written here: a standby, or a read-only session",
        ident="IUG-084",
        wanted="the primary, and default_transaction_read_only = off",
        means="nothing was changed, and nothing is delivered from a standby",
        next_command="iu-gates status --database-url postgresql://user@primary/database",
    )


def require_installed(conn: Conn) -> None:
    """Raise `GateError` if the control schema is not there yet."""
    if not is_installed(conn):
        raise GateError(
            "iu-gates is not installed in this database",
            ident="IUG-033",
            wanted="the control schema iu_gates",
            next_command="iu-gates advance",
        )
