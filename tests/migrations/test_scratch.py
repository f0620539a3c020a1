"""The mark of a scratch database: set before any host row, never removed (T34)."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from psycopg import errors

from tests.support.command import bootstrap, make_config, take_picture
from tests.support.databases import Database
from tests.support.engine import MakeEngine, run_batch
from tests.support.walk import State


def test_scratch_database_walks_to_live_without_a_verdict(host_database: Database) -> None:
    """
    T34: the guard lets pass, on a fixture approval that is tied to the mark.
    """
    config = make_config(host_database.conninfo, scratch=True)
    command.upgrade(config, "heads")
    with psycopg.connect(host_database.conninfo) as conn:
        route = "select enabled, dry_run from iu_core.iu_outbound_route"
        assert conn.execute(route).fetchone() == (True, False)
        logins = "select distinct logins from iu_gates.approval"
        assert conn.execute(logins).fetchall() == [(["scratch"],)]


def test_worker_refuses_a_scratch_database(host_database: Database) -> None:
    """
    T34, T42: whatever walks there, nothing is delivered from it.
    """
    site = "21d3cb3b9da1c4a5e6e9dfb5f3a8e8cc" * 2
    command.upgrade(make_config(host_database.conninfo, scratch=True), "heads")
    with psycopg.connect(host_database.conninfo, autocommit=True) as conn:
        conn.execute(
            "update iu_gates.installation"
            " set site_key_sha256 = encode(sha256(convert_to(%s, 'UTF8')), 'hex')",
            [site],
        )
        with pytest.raises(errors.DatabaseError, match="scratch database") as refused:
            run_batch(conn, site_key=site)
    assert refused.value.sqlstate == "IUG41"


@pytest.mark.parametrize("version", [1, 2])
def test_database_with_host_rows_is_never_marked(host_database: Database, version: int) -> None:
    """
    T34: one row of the host, even a first version, and the mark is refused, changing nothing.
    """
    with psycopg.connect(host_database.conninfo) as conn:
        conn.execute("insert into unit_version (unit, version_seq) values ('u', %s)", [version])
    before = take_picture(host_database.conninfo)

    with pytest.raises(errors.DatabaseError, match="cannot become a scratch database") as refused:
        bootstrap(host_database.conninfo, scratch=True)

    assert refused.value.sqlstate == "IUG40"
    assert before.diff(take_picture(host_database.conninfo)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "delete from iu_gates.scratch_mark",
        "update iu_gates.scratch_mark set marked_by = 'x'",
        "truncate iu_gates.scratch_mark",
    ],
)
def test_mark_is_never_removed(host_database: Database, statement: str) -> None:
    """
    T34: there is no way back from scratch, for the owner neither.
    """
    bootstrap(host_database.conninfo, scratch=True)
    bootstrap(host_database.conninfo)
    with psycopg.connect(host_database.conninfo, autocommit=True) as conn:
        with pytest.raises(errors.DatabaseError, match="append-only"):
            conn.execute(statement)
        assert conn.execute("select iu_gates.fn_is_scratch()").fetchone() == (True,)


def test_fixture_approval_is_for_scratch_databases_only(make_engine: MakeEngine) -> None:
    """
    T34: elsewhere nobody, the owner included, gets an approval that nobody voted for.
    """
    engine = make_engine(State.RELAXED)
    with pytest.raises(errors.DatabaseError, match="scratch databases only"):
        engine.conn.execute("select iu_gates.fn_fixture_approval('r', 'h')")
    with pytest.raises(errors.DatabaseError, match="no unexpired approval"):
        engine.conn.execute("select iu_gates.fn_usable_approval('r', 'h')")
