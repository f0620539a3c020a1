"""The fixtures keep their word, because every other test stands on them."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.support.databases import Database, Servers, cloned_database


@pytest.mark.every_major
def test_database_is_on_the_major_asked_for(conn: psycopg.Connection, database: Database) -> None:
    """
    `database` says what `conn` sees.
    """
    assert conn.info.server_version // 10000 == database.major
    assert conn.info.dbname == database.name


def test_sessions_are_different(conn: psycopg.Connection, other_conn: psycopg.Connection) -> None:
    """
    `conn` and `other_conn` are two sessions on one database, both autocommit.
    """
    assert conn.info.backend_pid != other_conn.info.backend_pid
    assert conn.info.dbname == other_conn.info.dbname
    assert conn.autocommit
    assert other_conn.autocommit


def test_make_conn_takes_a_role(
    conn: psycopg.Connection, make_conn: Callable[..., psycopg.Connection]
) -> None:
    """
    A session of another role, in a transaction, is one call.
    """
    conn.execute("drop role if exists passer_by")
    conn.execute("create role passer_by login")
    session = make_conn(user="passer_by", autocommit=False)
    assert (session.info.user, session.autocommit) == ("passer_by", False)
    session.close()
    conn.execute("drop role passer_by")


@pytest.mark.every_major
def test_database_that_holds_on_is_dropped(servers: Servers, major: int) -> None:
    """
    Prepared transactions, slots and open sessions of a test do not outlive it.
    """
    server = servers.get(major)
    with cloned_database(server) as database:
        session = psycopg.connect(database.conninfo, autocommit=True)
        session.execute("select pg_create_logical_replication_slot('held', 'pgoutput')")
        session.execute("begin; create table t (); prepare transaction 'it''s'")
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        query = "select count(*) from pg_database where datname = %s"
        assert conn.execute(query, [database.name]).fetchone() == (0,)
    session.close()


def test_empty_database_is_empty(empty_database: Database) -> None:
    """
    `empty_database` has no schema but PostgreSQL's own.
    """
    with psycopg.connect(empty_database.conninfo) as conn:
        schemas = conn.execute(
            "select nspname from pg_namespace where nspname !~ '^pg_' order by 1"
        ).fetchall()
    assert schemas == [("information_schema",), ("public",)]
