"""A database that moved: it goes on without loss or repeat, or says which command lets it (P9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from iu_gates import config, rebase
from iu_gates.config import Settings
from iu_gates.embedded import Server
from iu_gates.errors import GateError, RefusedError, UsageError
from iu_gates.model import RebaseResult
from iu_gates.site import require_home
from tests.support.databases import Database, Servers
from tests.support.engine import LAG, Engine, open_engine, write, write_bulk
from tests.support.moving import (
    assert_each_once_and_in_order,
    list_outbox,
    restored,
    templated,
    work,
)
from tests.support.walk import HOST, ROUTE, SITE_KEY, State, walk_to

OLDER_BY = 3000
"""Transactions; a restore takes some hundred."""


@dataclass(frozen=True)
class Site:
    """A machine with the site key, and how it takes a copy into use."""

    folder: Path

    def settings(self, conninfo: str, *, key: str = "site-key") -> Settings:
        """Return the settings for a database."""
        return config.build({"database_url": conninfo, "site_key_file": str(self.folder / key)})

    def rebase(self, conninfo: str, *, moved: bool = True) -> RebaseResult | None:
        """Take a copy into use."""
        return rebase.rebase(self.settings(conninfo), moved=moved, as_new_site=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give the machine of the tests' site."""
    (tmp_path / "site-key").write_text(SITE_KEY)
    return Site(tmp_path)


@pytest.fixture
def origin(servers: Servers, major: int) -> Iterator[Engine]:
    """Give a live database, with more behind it than a new cluster has."""
    with open_engine(servers.get(major), State.LIVE) as engine:
        engine.conn.execute(
            f"do $$ begin for i in 1..{OLDER_BY} loop"
            " perform pg_current_xact_id(); commit; end loop; end $$"
        )
        yield engine


def refuses(conn: psycopg.Connection) -> None:
    """A worker stops with the error that names the one command."""
    with pytest.raises(psycopg.Error) as raised:
        work(conn)
    assert (raised.value.sqlstate, raised.value.diag.message_hint) == ("IUG41", "iu-gates rebase")


def fetch_xid(conn: psycopg.Connection) -> int:
    """Return a transaction id of this cluster."""
    row = conn.execute("select pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def open_window(origin: Engine) -> None:
    """Deliver some, leave a window open half-way, a late committer in it, and more behind it."""
    late = origin.make_conn(autocommit=False)
    write(late, "late", 2)
    write_bulk(origin.conn, "done", 2, 11)
    work(origin.conn)
    late.commit()
    write_bulk(origin.conn, "window", 2, 11)
    assert work(origin.conn, 4, batches=1) == 4
    write(origin.conn, "behind", 2, 3)


def test_dump_goes_on_in_a_younger_cluster_and_back(
    origin: Engine, own_server: Server, site: Site
) -> None:
    """
    T22, P1, P2, P3: out of an open window into lower xids, and half-way back again.
    """
    open_window(origin)
    there, back = f"{origin.database.name}_there", f"{origin.database.name}_back"
    with restored(origin.database.name, origin.database.server, own_server, there) as copy:
        with psycopg.connect(copy, autocommit=True) as conn:
            assert fetch_xid(conn) < fetch_xid(origin.conn)
            write(conn, "behind", 4)
            refuses(conn)

            result = site.rebase(copy)

            # late is in the four that were worked through; 8 - 1 in the window, and 3 behind it.
            assert result is not None
            assert result.carried == {ROUTE: 10}
            row = conn.execute(LAG).fetchone()
            assert row == (10,), "what is carried over waits"
            write(conn, "after", 2)
            running = psycopg.connect(copy)
            write(running, "running", 2)
            assert work(conn, 3, batches=2) == 6
            assert site.rebase(copy) is None
            running.commit()
            running.close()
        with (
            restored(there, own_server, origin.database.server, back) as third,
            psycopg.connect(third, autocommit=True) as conn,
        ):
            refuses(conn)
            write(conn, "behind", 5)
            assert site.rebase(third) is not None
            write(conn, "behind", 6)
            work(conn, 2)
            assert_each_once_and_in_order(conn)
            assert len(list_outbox(conn)) == 1 + 10 + 10 + 5 + 2


def test_numbers_of_the_old_cluster_mean_nothing(
    origin: Engine, own_server: Server, site: Site
) -> None:
    """
    T22, P2: an event of the old cluster whose xid runs here is not taken for a late committer's.
    """
    write_bulk(origin.conn, "old", 2, 4)
    work(origin.conn)
    name = f"{origin.database.name}_there"
    with restored(origin.database.name, origin.database.server, own_server, name) as copy:
        site.rebase(copy)
        with psycopg.connect(copy, autocommit=True) as conn, psycopg.connect(copy) as running:
            running.execute("select pg_current_xact_id()")
            conn.execute("alter table iu_core.iu_event disable trigger all")
            conn.execute(
                "update iu_core.iu_event set xact_id = %s::text::xid8", [fetch_xid(running)]
            )
            write(conn, "new", 2)
            assert work(conn) == 1
            running.commit()
            write(conn, "new", 3)
            assert work(conn) == 1
            assert_each_once_and_in_order(conn)


def test_template_copy_waits_until_the_original_is_closed(origin: Engine, site: Site) -> None:
    """
    T22: beside the original a copy is refused whatever one says; with it closed it goes on.
    """
    open_window(origin)
    server, name = origin.database.server, origin.database.name
    origin.conn.close()
    with psycopg.connect(origin.database.conninfo, autocommit=True) as conn:
        conn.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    with (
        templated(server, name, f"{name}_copy") as copy,
        psycopg.connect(copy, autocommit=True) as conn,
    ):
        refuses(conn)
        with pytest.raises(RefusedError, match="cannot be seen from here"):
            site.rebase(copy, moved=False)
        with pytest.raises(RefusedError, match="the original stands beside it") as raised:
            site.rebase(copy)
        assert raised.value.next_command == f'alter database "{name}" allow_connections false'
        conn.execute(
            sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name))
        )
        assert site.rebase(copy) is not None
        work(conn, 3)
        assert_each_once_and_in_order(conn)


def test_clone_without_the_key_never_delivers(origin: Engine, site: Site, tmp_path: Path) -> None:
    """
    T42, P9: no key, or another, is refused; as a site of its own it begins at now, stopped.
    """
    write(origin.conn, "before", 2)
    origin.conn.close()
    other = site.settings("", key="other")
    other.site_key_file.write_text("another")
    server, name = origin.database.server, origin.database.name
    with templated(server, name, f"{name}_copy") as copy:
        for key in ("none", "other"):
            with pytest.raises(RefusedError) as raised:
                rebase.rebase(site.settings(copy, key=key), moved=True, as_new_site=False)
            assert raised.value.ident == "IUG-113"
        with pytest.raises(RefusedError, match="a site key here already") as raised:
            rebase.rebase(site.settings(copy), moved=False, as_new_site=True)
        assert (raised.value.next_command or "").startswith("export IU_GATES_SITE_KEY_FILE=")

        done = rebase.rebase(site.settings(copy, key="none"), moved=False, as_new_site=True)

        assert done is not None
        assert done.carried == {ROUTE: 0}
        new_key = (tmp_path / "none").read_text().strip()
        with psycopg.connect(copy, autocommit=True) as conn:
            write(conn, "after", 2)
            with pytest.raises(psycopg.Error, match="another site"):
                work(conn)
            run = "select state from iu_core.fn_iu_route_worker_run(%s, 9, %s)"
            assert conn.execute(run, [ROUTE, new_key]).fetchone() == ("hold",)
            conn.execute("update iu_gates.stop set lifted_at = now()")
            assert conn.execute(run, [ROUTE, new_key]).fetchone() == ("live",)
            assert list_outbox(conn) == [("after", 2)]


def test_verdicts_are_void_and_the_ledger_says_why(origin: Engine, site: Site) -> None:
    """
    T31: after a re-base no verdict is in force; the entry names both databases.
    """
    origin.conn.execute(
        "update iu_gates.installation set system_identifier = system_identifier - 1"
    )
    site.rebase(origin.database.conninfo)
    voided = "select iu_gates.fn_not_in_force('canary')"
    assert "the database was re-based" in origin.fetch_value(voided)
    facts = origin.fetch_value("select facts from iu_gates.ledger where kind = 'rebase'")
    difference = int(facts["to"]["system_identifier"]) - int(facts["from"]["system_identifier"])
    assert (difference, facts["carried"]) == (1, {ROUTE: 0})


def test_sequence_behind_the_events_is_never_passed_and_is_mended(live: Engine, site: Site) -> None:
    """
    P1: the ids to come would lie before the cursor, so the database refuses; the command mends it.
    """
    write(live.conn, "before", 2, 3)
    work(live.conn)
    live.conn.execute("update iu_gates.installation set system_identifier = system_identifier - 1")
    live.conn.execute("alter table iu_core.iu_event alter event_id restart with 1")
    entries = live.fetch_value("select count(*) from iu_gates.ledger")
    with pytest.raises(psycopg.Error, match="is behind the events") as raised:
        live.conn.execute("select iu_core.fn_iu_rebase('of this site', false)")
    assert (raised.value.sqlstate, raised.value.diag.message_hint) == ("IUG41", "iu-gates rebase")
    assert live.fetch_value("select count(*) from iu_gates.ledger") == entries

    assert site.rebase(live.database.conninfo) is not None

    write(live.conn, "after", 2, 3)
    assert work(live.conn) == 2
    assert_each_once_and_in_order(live.conn)


def test_subscription_that_still_writes_is_named(
    live: Engine, empty_database: Database, site: Site
) -> None:
    """
    While rows of the original may come it is refused (IUG-114); what the error gives ends that.
    """
    name = sql.Identifier('of "old", 100%')
    with psycopg.connect(empty_database.conninfo, autocommit=True) as old:
        old.execute("create schema iu_core create table iu_event (event_id bigint)")
        old.execute("create publication everything for all tables")
        old.execute("select pg_create_logical_replication_slot('of_rebase', 'pgoutput')")
    live.conn.execute("update iu_gates.installation set system_identifier = system_identifier - 1")
    live.conn.execute(
        sql.SQL(
            "create subscription {} connection {} publication everything"
            " with (create_slot = false, slot_name = of_rebase, copy_data = false)"
        ).format(name, sql.Literal(empty_database.conninfo))
    )
    try:
        with pytest.raises(RefusedError, match="a subscription still writes") as raised:
            site.rebase(live.database.conninfo)
        assert (raised.value.ident, raised.value.found) == ("IUG-114", 'of "old", 100%')
        live.conn.execute((raised.value.next_command or "").encode())
        assert site.rebase(live.database.conninfo) is not None
    finally:
        live.conn.execute(sql.SQL("drop subscription {}").format(name))


def test_wrong_schema_names_the_one_it_has(origin: Engine, site: Site) -> None:
    """
    Settings that say another schema than the installation: the next command sets that one.
    """
    settings = replace(site.settings(origin.conn.info.dsn), schema="elsewhere")
    with pytest.raises(UsageError) as raised:
        rebase.rebase(settings, moved=True, as_new_site=False)
    assert raised.value.next_command == "export IU_GATES_SCHEMA=iu_core && !!"


def test_copy_without_cursors_can_begin_anew(empty_database: Database, site: Site) -> None:
    """
    Before 009 there is no history to carry over: what is named makes room for a new installation.
    """
    settings = site.settings(empty_database.conninfo)
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(HOST)
        walk_to(empty_database.conninfo, "substrate@008")
        conn.execute("update iu_gates.installation set system_identifier = 1")
        with pytest.raises(GateError) as raised:
            rebase.rebase(settings, moved=True, as_new_site=False)
        command = raised.value.next_command or ""
        assert command.startswith("drop schema ")
        conn.execute(command.encode())
        require_home(conn, settings)
        walk_to(empty_database.conninfo, "substrate@008")
