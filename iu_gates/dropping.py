"""
Dropping a database of ours in which somebody may still be.

Who may end whom is the server's to say: a superuser everybody, another login its own sessions
alone. ``WITH (FORCE)`` ends all or none, so one session of another role, or an autovacuum worker
that passes by, makes it fail as if a right were lacking. The plain form asks autovacuum to go and
waits for 5 s; so it is tried next, and again until a deadline, and then it is said who is in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import psycopg
from psycopg import errors as pg
from psycopg import sql

PATIENCE_SECONDS: Final = 20.0
"""After that no further try is begun; a try waits for 5 s at most."""


def drop_database(conn: psycopg.Connection[Any], name: str) -> None:
    """
    Drop a database, if there is one; end who is in it as far as the login may, wait for the others.

    Args:
        conn: To another database, autocommit, of a login that owns this one.
        name: The database's.

    Raises:
        psycopg.errors.ObjectInUse: It is still in use; see `name_holders`.
    """
    drop = sql.SQL("drop database if exists {}").format(sql.Identifier(name))
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        conn.execute(drop + sql.SQL(" with (force)"))
    except pg.InsufficientPrivilege:
        while not _is_dropped(conn, name, drop, is_last=time.monotonic() >= deadline):
            pass


def _is_dropped(
    conn: psycopg.Connection[Any], name: str, drop: sql.Composed, *, is_last: bool
) -> bool:
    end_sessions(conn, name)
    try:
        conn.execute(drop)
    except pg.ObjectInUse:
        if is_last:
            raise
        return False
    return True


def end_sessions(conn: psycopg.Connection[Any], database: str, spared: Iterable[int] = ()) -> None:
    """
    End the sessions in a database of ours: it cannot be copied with one in it.

    Those of other roles only as a superuser. Autovacuum makes room by itself.

    Args:
        conn: To another database.
        database: Its name.
        spared: Processes of sessions that may stay.
    """
    conn.execute(
        "select pg_terminate_backend(a.pid, 5000)"
        " from pg_stat_activity as a join pg_roles as r on r.rolname = current_user"
        " where a.datname = %s and a.backend_type = 'client backend'"
        " and (r.rolsuper or a.usesysid = r.oid) and a.pid <> all (%s::int[])",
        (database, list(spared)),
    )


def name_holders(conn: psycopg.Connection[Any], database: str) -> str:
    """Return who is in a database, in words; empty if nobody is."""
    rows = conn.execute(
        "select format('pid %%s, %%s%%s', a.pid, coalesce('login ' || a.usename, 'no login'),"
        " coalesce(', ' || nullif(a.application_name, ''), ''))"
        " from pg_stat_activity as a where a.datname = %(name)s"
        " union all select format('prepared transaction %%L', p.gid)"
        " from pg_prepared_xacts as p where p.database = %(name)s",
        {"name": database},
    )
    return "; ".join(text for (text,) in rows)
