"""Capture sees every way in which a row can be written (T1, T2)."""

from __future__ import annotations

import psycopg
import pytest

from iu_gates.embedded import Server
from tests.support.databases import Database, connections
from tests.support.engine import Engine, Event, wait_until
from tests.support.moving import work
from tests.support.walk import HOST, State, rehome, require_template, walk_to

MERGE = """
merge into public.unit_version as t
using (values ('m', 1), ('m', 2), ('m', 3)) as s (unit, n)
on t.unit = s.unit and t.version_seq = s.n
when not matched then insert (unit, version_seq) values (s.unit, s.n)
"""
UPSERT = """
insert into public.unit_version (unit, version_seq) values ('u', 2), ('u', 3)
on conflict (unit, version_seq) do update set version_seq = excluded.version_seq
"""
CASCADE = """
create table public.orders (unit text);
create function public.fn_order() returns trigger language plpgsql as $$
begin
    insert into public.unit_version (unit, version_seq) values (new.unit, 2), (new.unit, 3);
    return new;
end $$;
create trigger orders after insert on public.orders for each row execute function public.fn_order();
"""
PARTITIONED = """
create table public.unit_version (
    id bigint, unit text not null, version_seq integer not null, body jsonb, commit_hash text,
    created_at timestamptz default now(),
    unique (unit, version_seq)) partition by hash (unit);
create table public.unit_version_0 partition of public.unit_version
    for values with (modulus 2, remainder 0);
create table public.unit_version_1 partition of public.unit_version
    for values with (modulus 2, remainder 1);
"""


def events(conn: psycopg.Connection) -> list[Event]:
    """Return the captured events in order."""
    rows = conn.execute("select subject, version_seq from iu_core.iu_event order by event_id")
    return [Event(*row) for row in rows]


@pytest.mark.every_major
def test_every_statement_that_inserts_is_captured(live: Engine) -> None:
    """
    T1: many rows, COPY, MERGE, ON CONFLICT, INSERT in a CTE and from a trigger, each row once.
    """
    conn = live.conn
    conn.execute(
        "insert into public.unit_version (unit, version_seq) values ('r', 1), ('r', 2), ('r', 3)"
    )
    with conn.cursor().copy("copy public.unit_version (unit, version_seq) from stdin") as copy:
        for version in (1, 2, 3):
            copy.write_row(("c", version))
    conn.execute(MERGE)
    conn.execute(UPSERT)
    conn.execute(UPSERT)
    conn.execute(
        "with w as (insert into public.unit_version (unit, version_seq) values ('w', 2), ('w', 3)"
        " returning unit) select count(*) from w"
    )
    conn.execute(CASCADE)
    conn.execute("insert into public.orders values ('t')")
    assert events(conn) == [Event(unit, n) for unit in "rcmuwt" for n in (2, 3)]


def test_row_written_straight_into_a_partition_is_captured(empty_database: Database) -> None:
    """
    T1: the trigger is on each partition, also on one that is made later.
    """
    with connections(empty_database.conninfo) as make_conn:
        conn = make_conn()
        conn.execute(PARTITIONED)
        conn.execute(HOST)
        walk_to(empty_database.conninfo, "substrate@060")
        conn.execute(
            "insert into public.unit_version (unit, version_seq) values ('a', 2), ('b', 2)"
        )
        for part in (0, 1):
            home = f"public.unit_version_{part}"
            conn.execute(
                f"insert into {home} (unit, version_seq)"
                f" select unit, 3 from {home} where version_seq = 2"
            )
        conn.execute("alter table public.unit_version detach partition public.unit_version_1")
        conn.execute("create table public.later (like public.unit_version_1 including all)")
        conn.execute(
            "alter table public.unit_version attach partition public.later"
            " for values with (modulus 2, remainder 1)"
        )
        conn.execute(
            "insert into public.unit_version (unit, version_seq)"
            " select 'x' || n, 2 from generate_series(1, 20) as n"
        )
        captured = events(conn)
    assert sorted(captured[:4]) == [("a", 2), ("a", 3), ("b", 2), ("b", 3)]
    assert len(captured) == 24


@pytest.mark.slow
def test_logical_apply_is_captured(live: Engine, own_server: Server) -> None:
    """
    T1: what a subscription applies is captured there (ENABLE ALWAYS), once, and is delivered.
    """
    name = require_template(own_server, State.LIVE)
    with psycopg.connect(own_server.conninfo(), autocommit=True) as conn:
        conn.execute(f"create database subscriber template {name}")
    rehome(own_server.conninfo("subscriber"))
    live.conn.execute("create publication units for table public.unit_version")
    live.conn.execute("insert into public.unit_version (unit, version_seq) values ('before', 2)")
    with psycopg.connect(own_server.conninfo("subscriber"), autocommit=True) as conn:
        source = live.database.conninfo.replace("'", "''")
        conn.execute(f"create subscription units connection '{source}' publication units")
        wait_until(lambda: len(events(conn)) == 1, "the first copy")
        live.conn.execute("insert into public.unit_version (unit, version_seq) values ('a', 2)")
        wait_until(lambda: len(events(conn)) == 2, "what came after")
        assert events(conn) == [Event("before", 2), Event("a", 2)]
        assert work(conn) == 2
        conn.execute("drop subscription units")
