"""
The line for `downgrade()`: put there, and run by Alembic, it leads back.

Names have quotes, percent signs, colons and capitals, and stand in a schema that has them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from iu_gates.symmetry import Snapshot, advice, snapshot
from tests.support.databases import Database
from tests.support.kinds.thing import MAKE_ROLES, quote

NAME: Final = """N.a m"e %s:x '%(y)s"""
OTHER: Final = 'o%t"her:Y'
SCHEMA: Final = """S"c%:h.e'ma"""
HOST: Final = (
    "create table {n} (a int not null, b text default 'x');"
    " create function {o}() returns trigger language plpgsql as 'begin return new; end'"
)
FIRED: Final = (
    f"{HOST}; create trigger {{o}} before insert on {{n}} for each row execute function {{o}}()"
)
LEFT: Final = {
    "table": ("select", "create table {o} (a int primary key, b serial, c text unique)"),
    "table with all": (
        "create table {n} (a int primary key)",
        (
            "create table {o} (a int constraint {n} references {n}); create index on {o} (a);"
            " comment on table {o} is 'x'; comment on column {o}.a is 'y';"
            " grant select on {o} to snapshot_alice; grant update (a) on {o} to snapshot_alice;"
            " create policy {n} on {o} using (true)"
        ),
    ),
    "column": (HOST, "alter table {n} add {o} text not null default '%:x'"),
    "index": (HOST, "create index {o} on {n} (a)"),
    "check": (HOST, "alter table {n} add constraint {o} check (a > 0)"),
    "key": (HOST, "alter table {n} add constraint {o} unique (a)"),
    "type": ("select", "create type {n} as enum ('a')"),
    "composite type": ("select", "create type {n} as (a int, b text)"),
    "field of a type": ("create type {n} as (a int)", "alter type {n} add attribute {o} text"),
    "domain": ("select", "create domain {n} as int constraint {o} check (value > 0)"),
    "check of a domain": (
        "create domain {n} as int",
        "alter domain {n} add constraint {o} check (value > 0)",
    ),
    "function": ("select", "create function {n}(int, text) returns int return 1"),
    "procedure": ("select", "create procedure {n}(int) begin atomic end"),
    "aggregate": ("select", "create aggregate {n}(int) (sfunc = int4pl, stype = int)"),
    "trigger": (
        HOST,
        "create trigger {o} before insert on {n} for each row execute function {o}()",
    ),
    "rule": (HOST, "create rule {o} as on insert to {n} do also select 1"),
    "policy": (HOST, "create policy {o} on {n} using (a > 0)"),
    "view": ("select", "create view {n} as select 1 as a"),
    "materialized view": ("select", "create materialized view {n} as select 1 as a"),
    "schema": ("select", "create schema {n}"),
    "sequence": ("select", "create sequence {n}"),
    "collation": ("select", "create collation {n} (locale = 'C')"),
    "statistics": (HOST, "create statistics {o} on a, b from {n}"),
    "publication": ("select", "create publication {n}"),
    "server": (
        "select",
        "create foreign data wrapper {n}; create server {o} foreign data wrapper {n}",
    ),
    "cast": ("create type {n} as (a int)", "create cast ({n} as text) with inout"),
    "operator": (
        "select",
        "create operator {s}.=%= (leftarg = int, rightarg = int, function = int4eq)",
    ),
    "comment": (HOST, "comment on table {n} is 'it''s 100%: \\ :x'"),
    "comment on a column": (HOST, "comment on column {n}.a is 'x'"),
    "comment on a constraint": (
        "create table {n} (a int constraint {o} check (a > 0))",
        "comment on constraint {o} on {n} is 'x'",
    ),
    "comment on a function": (
        "create function {n}(int) returns int return 1",
        "comment on function {n}(int) is 'x'",
    ),
    "grant": (HOST, "grant select, insert on {n} to snapshot_alice, public"),
    "grant on a column": (HOST, "grant update (a) on {n} to snapshot_alice"),
    "grant on a schema": ("create schema {n}", "grant usage on schema {n} to snapshot_alice"),
    "grant on a function": (HOST, "revoke execute on function {o}() from public"),
    "grant on a sequence": ("create sequence {n}", "grant usage on sequence {n} to snapshot_alice"),
    "default privilege": (
        "select",
        "alter default privileges in schema {s} grant select on tables to snapshot_alice",
    ),
}
CHANGED: Final = {
    "type of a column": (HOST, "alter table {n} alter a type bigint"),
    "type that needs a cast": (
        "create table {n} ({o} int)",
        "alter table {n} alter {o} type text",
    ),
    "default": (HOST, "alter table {n} alter b drop default"),
    "no default": (HOST, "alter table {n} alter a set default 5"),
    "not null": (HOST, "alter table {n} alter a drop not null"),
    "null": (HOST, "alter table {n} alter b set not null"),
    "identity": (HOST, "alter table {n} alter a add generated always as identity"),
    "other identity": (
        "create table {n} (a int generated by default as identity)",
        "alter table {n} alter a set generated always",
    ),
    "identity that is gone": (
        "create table {n} (a int generated always as identity)",
        "alter table {n} alter a drop identity",
    ),
    "statistics target": (HOST, "alter table {n} alter a set statistics 5"),
    "storage": (HOST, "alter table {n} alter b set storage main"),
    "index": (
        f"{HOST}; create index {{o}} on {{n}} (a)",
        "drop index {o}; create index {o} on {n} (b)",
    ),
    "index that is gone": (f"{HOST}; create index {{o}} on {{n}} (b)", "drop index {o}"),
    "constraint": (
        "create table {n} (a int constraint {o} check (a > 0))",
        "alter table {n} drop constraint {o}; alter table {n} add constraint {o} check (a > 1)",
    ),
    "constraint that is gone": (
        "create table {n} (a int constraint {o} unique)",
        "alter table {n} drop constraint {o}",
    ),
    "constraint of a domain": (
        "create domain {n} as int constraint {o} check (value > 0)",
        "alter domain {n} drop constraint {o}",
    ),
    "column that is gone": (
        "create table {n} (a int, {o} varchar(7) not null default 'a%b:c')",
        "alter table {n} drop {o}",
    ),
    "trigger that is off": (
        FIRED,
        "alter table {n} disable trigger {o}",
    ),
    "trigger that is gone": (
        FIRED,
        "drop trigger {o} on {n}",
    ),
    "policy that is gone": (
        f"{HOST}; create policy {{o}} on {{n}} for update to snapshot_alice using (a > 0)",
        "drop policy {o} on {n}",
    ),
    "policy": (
        f"{HOST}; create policy {{o}} on {{n}} using (a > 0)",
        "alter policy {o} on {n} to snapshot_alice using (a > 1)",
    ),
    "row security": (HOST, "alter table {n} enable row level security"),
    "forced row security": (HOST, "alter table {n} force row level security"),
    "options": (HOST, "alter table {n} set (fillfactor = 70)"),
    "view": ("create view {n} as select 1 as a", "create or replace view {n} as select 2 as a"),
    "view that is gone": ("create view {n} as select '%:x' as a", "drop view {n}"),
    "enum that is gone": ("create type {n} as enum ('a', 'b%')", "drop type {n}"),
    "schema that is gone": ("create schema {n}", "drop schema {n}"),
    "sequence that is gone": ("create sequence {n} as int increment 5 cycle", "drop sequence {n}"),
    "sequence": ("create sequence {n}", "alter sequence {n} increment 5 cycle"),
    "owner": (HOST, "alter table {n} owner to snapshot_carol"),
    "comment": (
        f"{HOST}; comment on table {{n}} is 'it''s 100%: :x'",
        "comment on table {n} is 'b'",
    ),
    "comment that is gone": (
        f"{HOST}; comment on column {{n}}.a is 'b'",
        "comment on column {n}.a is null",
    ),
    "grant that is gone": (
        f"{HOST}; grant select on {{n}} to snapshot_alice with grant option",
        "revoke select on {n} from snapshot_alice",
    ),
    "type of a column with a collation": (
        'create table {n} (a varchar(9) collate "C")',
        'alter table {n} alter a type text collate "C"',
    ),
    "owner with an odd name": (
        (
            'create role "Advice Odd"; create table {n} (); grant create on schema {s} to'
            ' "Advice Odd"; alter table {n} owner to "Advice Odd"'
        ),
        "alter table {n} owner to postgres",
    ),
    "view with options": (
        f"{HOST}; create view {{o}} with (security_barrier) as select a from {{n}}",
        "create or replace view {o} with (security_barrier) as select a + 1 as a from {n}",
    ),
    "options of a materialized view": (
        "create materialized view {n} with (fillfactor = 50) as select 1 as a",
        "alter materialized view {n} reset (fillfactor)",
    ),
    "materialized view without data that is gone": (
        "create materialized view {n} as select 1 as a with no data",
        "drop materialized view {n}",
    ),
    "trigger that is off and another": (
        f"{FIRED}; alter table {{n}} disable trigger {{o}}",
        (
            "drop trigger {o} on {n}; create trigger {o} after insert on {n} for each row"
            " execute function {o}(); alter table {n} disable trigger {o}"
        ),
    ),
    "index that its table is clustered on": (
        f"{HOST}; create index {{o}} on {{n}} (a); alter table {{n}} cluster on {{o}}",
        "drop index {o}",
    ),
    "index that is the replica identity": (
        (
            f"{HOST}; create unique index {{o}} on {{n}} (a);"
            " alter table {n} replica identity using index {o}"
        ),
        (
            "drop index {o}; create unique index {o} on {n} (a desc);"
            " alter table {n} replica identity using index {o}"
        ),
    ),
    "field that is gone": (
        "create type {n} as (a int, {o} text)",
        "alter type {n} drop attribute {o}",
    ),
    "type of a field": ("create type {n} as (a int)", "alter type {n} alter attribute a type text"),
    "comment on a field": ("create type {n} as (a int)", "comment on column {n}.a is 'x'"),
    "comment on an aggregate": (
        "create aggregate {n}(*) (sfunc = int8inc, stype = int8, initcond = '0')",
        "comment on aggregate {n}(*) is 'x'",
    ),
    "constraint of a parent": (
        "create table {n} (a int constraint c check (a > 0)); create table {o} () inherits ({n})",
        "alter table {n} drop constraint c",
    ),
    "column of a parent": (
        "create table {n} (a int); create table {o} () inherits ({n})",
        "alter table {n} add b int",
    ),
    "type of a parent's column": (
        (
            "create table {n} (a int, b int) partition by list (a);"
            " create table {o} partition of {n} default"
        ),
        "alter table {n} alter b type bigint",
    ),
    "index of a parent": (
        (
            "create table {n} (a int) partition by list (a); create table {o} partition of {n}"
            " default; create index i on {n} (a)"
        ),
        "drop index i",
    ),
    "trigger of a parent": (
        (
            f"{HOST}; create table p (a int) partition by list (a);"
            " create table q partition of p default;"
            " create trigger {o} after insert on p for each row execute function {o}()"
        ),
        "drop trigger {o} on p",
    ),
    "key that is another": (
        "create table {n} (a int, b int, constraint {o} unique (a))",
        "alter table {n} drop constraint {o}, add constraint {o} unique (a, b)",
    ),
    "view with a column more": (
        f"{HOST}; create view {{o}} as select a, b from {{n}}",
        "drop view {o}; create view {o} as select a from {n}",
    ),
    "grant of the owner": (HOST, "revoke delete on {n} from postgres"),
}


@pytest.fixture
def engine(empty_database: Database) -> Iterator[sa.Engine]:
    """Give SQLAlchemy's way to a database with a schema of an odd name."""
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(MAKE_ROLES)
        conn.execute(f"create schema {quote(SCHEMA)}".encode())
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(empty_database.conninfo)
    )
    yield engine
    engine.dispose()


def fill(text: str, schema: str) -> str:
    """Return SQL with the odd names, qualified."""
    return re.sub(
        r"\{([nos])\}",
        lambda m: {"n": quote(NAME), "o": quote(OTHER), "s": quote(schema)}[m[1]],
        text,
    )


def look(conn: sa.Connection) -> Snapshot:
    """Return the catalog, as the transaction of Alembic sees it."""
    raw: Any = conn.connection.driver_connection
    return snapshot(raw)


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(LEFT, marks=pytest.mark.long, id="left behind"),
        pytest.param(CHANGED, id="changed"),
    ],
)
@pytest.mark.parametrize("schema", [pytest.param("public", marks=pytest.mark.long), SCHEMA])
def test_line_for_downgrade_leads_back(
    engine: sa.Engine, schema: str, cases: dict[str, tuple[str, str]]
) -> None:
    """
    P11: with the lines that are given, run by Alembic, S0 = S2.
    """
    wrong: dict[str, object] = {}
    for name, (before, change) in cases.items():
        with engine.connect() as conn, conn.begin() as transaction:
            raw: Any = conn.connection.driver_connection
            raw.execute(f"set local search_path to {quote(schema)}, public")
            raw.execute(fill(before, schema))
            first = look(conn)
            raw.execute(fill(change, schema))
            raw.execute("set local search_path to public")
            found = advice.drop_parts(first.diff(look(conn)))
            lines = [line for d in reversed(found) if (line := advice.line(d))]
            op = Operations(MigrationContext.configure(conn))
            try:
                exec("\n".join(lines), {"op": op})  # noqa: S102  what a reader pastes
                left = [str(d) for d in first.diff(look(conn)) if d.kind != "column order"]
            except (sa.exc.SQLAlchemyError, SyntaxError) as error:
                left = [str(error)]
            if left or not lines:
                wrong[name] = (lines, left)
            transaction.rollback()
    assert wrong == {}


def test_what_comes_with_a_new_object_is_no_finding_of_its_own(engine: sa.Engine) -> None:
    """
    A table left behind, with all that hangs on it, is one line.
    """
    before, change = LEFT["table with all"]
    with engine.connect() as conn, conn.begin() as transaction:
        raw: Any = conn.connection.driver_connection
        raw.execute(fill(before, "public"))
        first = look(conn)
        raw.execute(fill(change, "public"))
        every = first.diff(look(conn))
        transaction.rollback()

    assert len(every) > 7
    assert [advice.line(d) for d in advice.drop_parts(every)] == [f"op.drop_table({OTHER!r})"]
