# ruff: noqa: E501  a change by hand stands beside the name it is given
"""`adopt`: what was made by hand is taken over if it is what the revisions give, or named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.util import CommandError
from psycopg import sql

from iu_gates import advance, audit, config, drift, lanes, ledger
from iu_gates.adopt import adopt, compare
from iu_gates.config import Settings
from iu_gates.errors import GateError, IuGatesError, LockHeldError, RefusedError
from iu_gates.status import fetch_status
from tests.migrations.test_drift import split
from tests.support.byhand import make_by_hand
from tests.support.databases import Database
from tests.support.walk import HOST, ROUTE, walk_to

EVENT = "table iu_core.iu_event"
DIFFERENCES = {
    "alter function iu_core.fn_iu_capture() cost 7": "function iu_core.fn_iu_capture(): changed",
    "drop function iu_core.fn_iu_event_seq()": "function iu_core.fn_iu_event_seq(): missing",
    "create function iu_core.mine() returns void language sql as ''": "function iu_core.mine(): added",
    "alter table iu_core.iu_event add column mine integer": f"{EVENT}: column mine: added",
    "alter table iu_core.iu_event alter column event_id set cache 20":
        "sequence iu_core.iu_event_event_id_seq: changed",
    "alter table iu_core.iu_outbound_route alter column dry_run set default false":
        "table iu_core.iu_outbound_route: column dry_run: default: changed",
    "alter table iu_core.iu_outbound_route drop constraint iu_outbound_route_safe_chk":
        "table iu_core.iu_outbound_route: constraint iu_outbound_route_safe_chk: missing",
    "drop index iu_core.iu_route_attempt_once_idx":
        "table iu_core.iu_route_attempt: index iu_route_attempt_once_idx: missing",
    "alter table public.unit_version enable trigger iu_unit_version_capture":
        "table public.unit_version: trigger iu_unit_version_capture: state: changed",
    "drop trigger iu_unit_version_capture on public.unit_version":
        "table public.unit_version: trigger iu_unit_version_capture: missing",
    "grant insert on iu_core.iu_event to public": f"{EVENT}: privilege INSERT of public: added",
    "alter table iu_gates.stop add column mine integer": "table iu_gates.stop: column mine: added",
    "alter table iu_gates.approval drop constraint approval_pkey cascade":
        "table iu_gates.approval: constraint approval_pkey: missing",
    "delete from iu_core.iu_route_cursor; delete from iu_core.iu_outbound_route": "row of the route: missing",
    "delete from iu_core.iu_runtime_gate": "row of the gate: missing",
}  # fmt: skip


@pytest.fixture
def conn(host_database: Database) -> Iterator[psycopg.Connection]:
    """Give a session of the owner on the host's database."""
    with psycopg.connect(host_database.conninfo, autocommit=True) as conn:
        yield conn


@pytest.fixture
def settings(host_database: Database, tmp_path: Path) -> Settings:
    """Give the settings of an installation that is still to be made."""
    return config.build(
        {
            "database_url": host_database.conninfo,
            "site_key_file": str(tmp_path / "site.key"),
            "backup_dir": str(tmp_path / "backups"),
            "bin_dir": str(host_database.bin_dir),
        }
    )


def write(conn: psycopg.Connection, *versions: int) -> None:
    """Write versions of a unit."""
    for version in versions:
        conn.execute(
            "insert into public.unit_version (unit, version_seq) values ('a', %s)", [version]
        )


def fetch_all(conn: psycopg.Connection, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    return conn.execute(query.encode()).fetchall()


@pytest.mark.long_on_each_major
def test_equal_objects_are_taken_over(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    Version, ledger, the catalog to compare with: as if the steps had been made by us.
    """
    make_by_hand(host_database.conninfo)
    write(conn, 1, 2, 3)

    done = adopt(settings)

    assert (done.revisions, done.objects > 30) == (("008", "009", "060"), True)
    assert fetch_all(conn, "select version_num from iu_gates.alembic_version") == [("060",)]
    entry = ledger.fetch_newest(conn, "adopt", "060")
    assert entry["facts"]["revisions"] == ["008", "009", "060"]
    assert (done.ledger_seq, done.ledger_hash) == ledger.read_head(conn)
    assert drift.list_names(conn) == ()
    assert (
        fetch_all(conn, "select nspname from pg_namespace where nspname like '%\\_\\_iug%'") == []
    )
    conn.execute("alter function iu_core.fn_iu_capture() cost 7")
    assert drift.list_names(conn) == ("function iu_core.fn_iu_capture(): changed",)


@pytest.mark.parametrize("revisions", [("008",), ("008", "009")])
def test_a_part_of_the_way_is_taken_over(
    host_database: Database,
    settings: Settings,
    conn: psycopg.Connection,
    revisions: tuple[str, ...],
) -> None:
    """
    Which revisions stand is found out; the rest of them is applied on top.
    """
    make_by_hand(host_database.conninfo, revisions)

    assert adopt(settings).revisions == revisions

    walk_to(host_database.conninfo, "substrate@060")
    assert lanes.list_applied(conn) == ("008", "009", "060")
    assert drift.list_names(conn) == ()


@pytest.mark.long
@pytest.mark.long_on_each_major
def test_each_difference_is_named_and_mended(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    Whatever is another, missing or too much: named, with the SQL for it, and nothing is recorded.
    """
    make_by_hand(host_database.conninfo)
    for statement, expected in DIFFERENCES.items():
        conn.execute(statement.encode())
        with pytest.raises(RefusedError) as raised:
            adopt(settings)

        assert expected in raised.value.facts["found"], statement
        assert (raised.value.ident, raised.value.exit_code) == ("IUG-048", 4)
        assert lanes.list_applied(conn) == ()
        kinds = "select distinct kind from iu_gates.ledger"
        assert fetch_all(conn, kinds) == [("refusal",)], statement
        for text in split(compare(settings).sql):
            conn.execute(text.encode())
        assert compare(settings).found == (), statement
        conn.execute("reset all")
    assert adopt(settings).revisions == ("008", "009", "060")


def test_all_differences_are_named_at_once(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    An object a line, none forgotten, and no part of an object that is itself named.
    """
    make_by_hand(host_database.conninfo)
    conn.execute("alter function iu_core.fn_iu_capture() cost 7")
    conn.execute("create table iu_core.iu_mine (a integer primary key)")
    conn.execute("grant insert on iu_core.iu_event to public")
    with pytest.raises(RefusedError, match="and 2 more") as raised:
        adopt(settings)
    assert raised.value.facts["found"] == [
        "function iu_core.fn_iu_capture(): changed",
        f"{EVENT}: privilege INSERT of public: added",
        "table iu_core.iu_mine: added",
    ]


def open_gate(conn: psycopg.Connection) -> None:
    """Let the worker gate be open."""
    conn.execute("update iu_core.iu_runtime_gate set gate_value = 'true'")


def go_live(conn: psycopg.Connection) -> None:
    """Let a route be live, against a CHECK that is put back for all other rows."""
    conn.execute("alter table iu_core.iu_outbound_route drop constraint iu_outbound_route_safe_chk")
    conn.execute("update iu_core.iu_outbound_route set dry_run = false")
    conn.execute(
        "alter table iu_core.iu_outbound_route add constraint iu_outbound_route_safe_chk"
        " check (enabled = false or dry_run = true) not valid"
    )


@pytest.mark.parametrize(
    ("switch_on", "said"),
    [(open_gate, "the worker gate is true"), (go_live, "iu_outbound_route_safe_chk: changed")],
)
def test_what_is_switched_on_is_not_taken_over(
    host_database: Database,
    settings: Settings,
    conn: psycopg.Connection,
    switch_on: Callable[[psycopg.Connection], None],
    said: str,
) -> None:
    """
    Whatever delivers has passed no gate: it is named, and switched off by hand first.
    """
    make_by_hand(host_database.conninfo)
    switch_on(conn)
    with pytest.raises(RefusedError, match=said):
        adopt(settings)
    assert lanes.list_applied(conn) == ()


def test_a_host_at_work_is_not_held_up(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    Comparing takes nothing stronger than ACCESS SHARE on the host's tables, and nothing on ours.
    """
    make_by_hand(host_database.conninfo)
    with psycopg.connect(host_database.conninfo) as other:
        other.execute("lock table public.unit_version, public.event_outbox in exclusive mode")
        other.execute("lock table iu_core.iu_event, iu_gates.ledger in exclusive mode")
        assert compare(settings).found == ()
    assert drift.name_remedy(conn) == "iu-gates adopt"


def test_nothing_to_take_over_is_said(settings: Settings) -> None:
    """
    On a database without our objects there is nothing to adopt.
    """
    with pytest.raises(RefusedError, match="nothing to take over") as raised:
        adopt(settings)
    assert raised.value.next_command == "iu-gates advance"


def test_a_second_time_there_is_nothing_to_do(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    What is recorded is left alone.
    """
    make_by_hand(host_database.conninfo)
    adopt(settings)
    before = ledger.read_head(conn)
    done = adopt(settings)
    assert (done.revisions, done.objects) == (("008", "009", "060"), 0)
    assert ledger.read_head(conn) == before


def test_a_login_that_may_not_compare_is_told_who_may(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    An operator has no right to make schemas: the next command names the login that has it.
    """
    make_by_hand(host_database.conninfo)
    name = f"{host_database.name} operator"
    role = sql.Identifier(name)
    conn.execute(sql.SQL("create role {} login in role iu_gates_operator").format(role))
    try:
        operator = dataclasses.replace(settings, database_url=host_database.conninfo_as(name))
        for call in (adopt, compare):
            with pytest.raises(RefusedError) as raised:
                call(operator)
            assert raised.value.ident == "IUG-101"
            line = "iu-gates adopt --database-url postgresql://postgres@host/database"
            assert raised.value.next_command == line
            assert lanes.list_applied(conn) == ()
    finally:
        conn.execute(sql.SQL("drop role {}").format(role))


def test_a_walk_keeps_it_away(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    One walk at a time: who has the lock is named.
    """
    make_by_hand(host_database.conninfo)
    conn.execute("select pg_advisory_lock(18773005, 0)")
    with pytest.raises(LockHeldError):
        adopt(settings)


def test_capture_is_counted_from_its_first_transaction(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    Nobody recorded when capture began: rows before its first event are older, rows after it missed.
    """
    write(conn, 1, 2, 3)
    make_by_hand(host_database.conninfo)
    conn.execute("delete from iu_gates.capture_span")
    write(conn, 4)
    conn.execute("set session_replication_role = replica")
    conn.execute("alter table public.unit_version disable trigger iu_unit_version_capture")
    write(conn, 5)
    conn.execute("alter table public.unit_version enable always trigger iu_unit_version_capture")
    conn.execute("reset session_replication_role")

    done = adopt(settings)

    assert "not known when it began: counted from transaction" in done.capture
    (report,) = audit.audit(settings, ROUTE)
    assert (report.counts["captured"], report.counts["baseline"], report.counts["missed"]) == (
        1,
        2,
        1,
    )


def test_capture_that_has_captured_nothing_is_counted_from_now(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    The usual case: no change was made yet, so none is missed, and all rows are older.
    """
    write(conn, 1, 2)
    make_by_hand(host_database.conninfo)
    conn.execute("delete from iu_gates.capture_span")

    done = adopt(settings)

    assert done.capture == "not known when it began, and nothing was captured: counted from now"
    write(conn, 3)
    (report,) = audit.audit(settings, ROUTE)
    assert [report.counts[k] for k in ("captured", "baseline", "missed")] == [1, 1, 0]


def test_advance_and_plain_alembic_name_adopt(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    No step goes over objects that nobody recorded: the gate substrate says what to do.
    """
    make_by_hand(host_database.conninfo)
    with pytest.raises(CommandError, match=r"table iu_core\.iu_event is added"):
        walk_to(host_database.conninfo, "substrate@008")

    with pytest.raises(GateError) as raised:
        advance.advance(settings, to="substrate")

    assert raised.value.facts["verdict"]["gate"] == "substrate"
    assert raised.value.next_command == "iu-gates adopt"
    assert fetch_status(settings).next_command == "iu-gates adopt"
    adopt(settings)
    advance.advance(settings, to="substrate")
    assert fetch_status(settings).drift == ()
    assert lanes.list_applied(conn) == ("008", "009", "060")


@pytest.mark.long_on_each_major
def test_odd_names_are_taken_over(empty_database: Database, tmp_path: Path) -> None:
    """
    Schemas of other names, one of them that has to be quoted.
    """
    schema, host = 'Our "odd" 100%', "host's"
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("create schema {}").format(sql.Identifier(host)))
        conn.execute(HOST.replace("public.", f'"{host}".').encode())
        settings = config.build(
            {
                "database_url": empty_database.conninfo,
                "schema": schema,
                "host": {"schema": host},
                "site_key_file": str(tmp_path / "site.key"),
            }
        )
    make_by_hand(empty_database.conninfo, schema=schema, host_schema=host)
    assert adopt(settings).revisions == ("008", "009", "060")


def test_our_objects_may_stand_among_those_of_the_host(
    empty_database: Database, tmp_path: Path
) -> None:
    """
    Where both live in one schema, ours are told by their names, and the host's are not looked at.
    """
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute("create schema iu_core; create table iu_core.other (a integer)")
        conn.execute(HOST.replace("public.", "iu_core.").encode())
        settings = config.build(
            {
                "database_url": empty_database.conninfo,
                "host": {"schema": "iu_core"},
                "site_key_file": str(tmp_path / "site.key"),
            }
        )
        make_by_hand(empty_database.conninfo, host_schema="iu_core")
        adopt(settings)
        assert drift.list_names(conn) == ()
        conn.execute("alter table iu_core.other add column b integer; create table iu_core.more ()")
        assert drift.list_names(conn) == ()


def test_another_owner_is_no_difference(
    host_database: Database, settings: Settings, conn: psycopg.Connection
) -> None:
    """
    Whoever made them by hand: the bootstrap gives them to the owner of all our objects.
    """
    make_by_hand(host_database.conninfo)
    name = sql.Identifier(f"maker of {host_database.name}")
    conn.execute(sql.SQL("create role {}").format(name))
    try:
        conn.execute(sql.SQL("alter table iu_core.iu_event owner to {}").format(name))
        adopt(settings)
        assert drift.list_names(conn) == ()
    finally:
        conn.execute(sql.SQL("reassign owned by {} to postgres; drop role {}").format(name, name))


def test_without_rights_it_is_refused(host_database: Database, settings: Settings) -> None:
    """
    A login that may not make a schema is told so.
    """
    make_by_hand(host_database.conninfo)
    with psycopg.connect(host_database.conninfo, autocommit=True) as conn:
        name = sql.Identifier(f"guest of {host_database.name}")
        conn.execute(sql.SQL("create role {} login").format(name))
        try:
            url = host_database.conninfo_as(f"guest of {host_database.name}")
            guest = config.build(
                {"database_url": url, "site_key_file": str(settings.site_key_file)}
            )
            with pytest.raises(IuGatesError) as raised:
                adopt(guest)
            assert raised.value.exit_code == 4
        finally:
            conn.execute(sql.SQL("drop owned by {}; drop role {}").format(name, name))
