"""Names that need quoting: the database's, the schemas', the host's."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from psycopg import sql

from tests.support.command import bootstrap, make_config, run_alembic, take_catalog
from tests.support.databases import Database
from tests.support.walk import HOST, ROUTE, SITE_KEY, pass_gates, walk_down, walk_to

SCHEMA = 'we"ird 100%'
HOST_SCHEMA = 'ho\'st "%(x)s" 50%'


@pytest.fixture
def odd_url(empty_database: Database) -> Iterator[str]:
    """Give the URL of a database with an odd name, with the host's tables in an odd schema."""
    name = f'{empty_database.name} o"d d%20 100%'
    url = empty_database.server.conninfo(name)
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            with psycopg.connect(url) as host:
                host.execute(sql.SQL("create schema {}").format(sql.Identifier(HOST_SCHEMA)))
                quoted = sql.Identifier(HOST_SCHEMA).as_string(host)
                host.execute(HOST.replace("public.", f"{quoted}.").encode())
            yield url
        finally:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.mark.long_on_each_major
def test_lanes_walk_under_odd_names(odd_url: str) -> None:
    """
    P11: quotes, spaces and percent signs in every name: to live and back to base, symmetric.
    """
    config = make_config(odd_url, schema=SCHEMA, host={"schema": HOST_SCHEMA})
    bootstrap(odd_url, schema=SCHEMA, host={"schema": HOST_SCHEMA}, scratch=True)
    base = take_catalog(odd_url)
    command.upgrade(config, "heads")
    heads = take_catalog(odd_url)
    command.downgrade(config, "base")
    assert base.diff(take_catalog(odd_url)) == []
    command.upgrade(config, "heads")
    assert heads.diff(take_catalog(odd_url)) == []
    with psycopg.connect(odd_url) as conn:
        assert conn.execute("select * from iu_gates.fn_drift()").fetchall() == []
        row = conn.execute("select count(*) from iu_gates.fn_catalog()").fetchone()
        assert row is not None
        assert row[0] > 50


@pytest.mark.long
def test_event_is_delivered_under_odd_names(odd_url: str) -> None:
    """
    The plain command, with names from the environment, from nothing to a delivered event.
    """
    environment = {
        "IU_GATES_DATABASE_URL": odd_url,
        "IU_GATES_SCHEMA": SCHEMA,
        "IU_GATES_HOST_SCHEMA": HOST_SCHEMA,
        "IU_GATES_SITE_KEY": SITE_KEY,
    }
    for target in ("substrate@060", "runtime@080", "substrate@090", "substrate@100", "runtime@081"):
        pass_gates(odd_url)
        done = run_alembic("upgrade", target, **environment)
        assert done.returncode == 0, done.stderr
    with psycopg.connect(odd_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("insert into {}.unit_version (unit, version_seq) values ({}, 2)").format(
                sql.Identifier(HOST_SCHEMA), "it's 100%"
            )
        )
        run = sql.SQL("select sent from {}.fn_iu_route_worker_run({}, 10, {})")
        found = conn.execute(run.format(sql.Identifier(SCHEMA), ROUTE, SITE_KEY)).fetchall()
        assert found == [(1,)]
        outbox = sql.SQL("select subject from {}.event_outbox")
        assert conn.execute(outbox.format(sql.Identifier(HOST_SCHEMA))).fetchall() == [
            ("it's 100%",)
        ]
    done = run_alembic("downgrade", "009", **environment)
    assert done.returncode == 0, done.stderr


def test_names_are_those_that_were_installed(odd_url: str) -> None:
    """
    Once capture stands, another setting moves nothing: a downgrade speaks of the same things.
    """
    config = make_config(odd_url, schema=SCHEMA, host={"schema": HOST_SCHEMA})
    command.upgrade(config, "substrate@060")
    before = take_catalog(odd_url)

    other = make_config(odd_url, schema="elsewhere", host={"schema": "public"})
    command.downgrade(other, "009")
    command.upgrade(config, "substrate@060")

    assert before.diff(take_catalog(odd_url)) == []


@pytest.mark.long
def test_constants_of_the_outbox_come_from_the_environment_too(empty_database: Database) -> None:
    """
    A host whose outbox has a column of its own works by the plain command as well.
    """
    environment = {"IU_GATES_DATABASE_URL": empty_database.conninfo}
    with psycopg.connect(empty_database.conninfo) as conn:
        conn.execute(HOST + "alter table event_outbox add column tenant text not null")
    refused = run_alembic("upgrade", "substrate@060", **environment)
    assert "public.event_outbox.tenant: not null, without a default" in refused.stderr
    environment["IU_GATES_HOST_OUTBOX_CONSTANTS"] = "acme"
    refused = run_alembic("upgrade", "substrate@060", **environment)
    assert "IU_GATES_HOST_OUTBOX_CONSTANTS is no JSON object" in refused.stderr
    environment["IU_GATES_HOST_OUTBOX_CONSTANTS"] = '{"tenant": "acme"}'
    done = run_alembic("upgrade", "substrate@060", **environment)
    assert done.returncode == 0, done.stderr


def test_routes_follow_the_outbox_to_its_new_name(host_database: Database) -> None:
    """
    Renamed between two spans of capture, with history: 060 points routes to the outbox there is.
    """
    with psycopg.connect(host_database.conninfo, autocommit=True) as conn:
        walk_to(host_database.conninfo, "substrate@060")
        conn.execute("insert into unit_version (unit, version_seq) values ('u', 2)")
        conn.execute(
            "insert into iu_core.iu_outbound_route"
            " (route_name, event_type, target_kind, target_ref)"
            " values ('second', 'x', 'workflow', 'event_outbox'),"
            " ('told', 'x', 'notify', 'event_outbox')"
        )
        walk_down(host_database.conninfo, "009")
        conn.execute('alter table event_outbox rename to "Out-Box 50%"')

        walk_to(host_database.conninfo, "substrate@060", host={"outbox_table": "Out-Box 50%"})

        targets = conn.execute(
            "select target_ref from iu_core.iu_outbound_route order by route_name"
        ).fetchall()
        assert targets == [("Out-Box 50%",), ("Out-Box 50%",), ("event_outbox",)]
