"""A database of ours is dropped though another role is in it, once that has gone."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from iu_gates import dropping
from tests.support.engine import in_background, wait_until
from tests.support.play import MakeStage, Stage

UNDER_WAY = (
    "select count(*) = 1 from pg_stat_activity where pid = %s and state = 'active'"
    " and query like 'drop database%%' and query not like '%%force%%'"
)


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """Give a stage with nothing on it."""
    return make_stage("empty")


@pytest.fixture
def owner(stage: Stage) -> Iterator[psycopg.Connection]:
    """Give a session of a login that may make databases and no more; it has made "NAME ours"."""
    login = stage.make_login()
    stage.conn.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(login)))
    url = stage.database.server.conninfo("postgres", login)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name(stage))))
        yield conn
        conn.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name(stage))))


def name(stage: Stage) -> str:
    """Return the name of the database that is to be dropped."""
    return f"{stage.database.name} ours"


def enter(stage: Stage, login: str = "postgres") -> psycopg.Connection:
    """Open a session in it."""
    return psycopg.connect(stage.database.server.conninfo(name(stage), login))


def exists(stage: Stage) -> bool:
    """Tell whether it is there."""
    query = "select exists (select from pg_database where datname = %s)"
    return bool(stage.fetch_value(query, name(stage)))


def test_own_session_is_ended_and_that_of_another_role_is_waited_for(
    stage: Stage, owner: psycopg.Connection
) -> None:
    """
    WITH (FORCE) is refused as a whole then; the database goes as soon as the other has, named.
    """
    own = enter(stage, stage.logins[0])
    other = enter(stage)
    with in_background(dropping.drop_database, owner, name(stage)) as dropped:
        pid = owner.info.backend_pid
        wait_until(lambda: stage.fetch_value(UNDER_WAY, pid), "the plain form is tried")
        assert exists(stage)
        named = f"pid {other.info.backend_pid}, login postgres"
        assert dropping.name_holders(stage.conn, name(stage)) == named
        other.close()
    dropped.result()
    assert not exists(stage)
    with pytest.raises(psycopg.OperationalError):
        own.execute("select 1")
