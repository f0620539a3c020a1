"""
The catalog as a value: every kind of object, what differs, what does not, and the rows.

`CASES` has a case for each kind: what is there, one change, and its exact inverse, with the
differences that the change must show. All cases run in one database, so that a change that shows
anywhere else shows here too. test_symmetry_kinds.py has every attribute of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import dict_row

from iu_gates.symmetry import KINDS, Difference, Snapshot, row_digests, snapshot
from iu_gates.symmetry import snapshot as snapshot_function
from tests.support.databases import Database, Servers, cloned_database
from tests.support.majors import list_majors

Conn = psycopg.Connection[Any]

ROLES = """
do $$ begin
    if to_regrole('snapshot_alice') is null then create role snapshot_alice; end if;
    if to_regrole('snapshot_bob') is null then create role snapshot_bob; end if;
    if to_regrole('snapshot_carol') is null then create role snapshot_carol superuser; end if;
end $$;
"""


class Case(NamedTuple):
    """What is there, a change, its inverse, and the differences (kind, identity, attribute)."""

    setup: str
    change: str
    undo: str
    expected: tuple[tuple[str, str, str], ...]
    since: int = 15


def on_database(command: str) -> str:
    """Return the command for the database one is in, whatever its name."""
    return f"do $$ begin execute format('{command}', current_database()); end $$"


def case(setup: str, change: str, undo: str, *expected: str, since: int = 15) -> Case:
    """Return a case; a difference is written as ``kind|identity|attribute``."""
    split = [text.split("|") for text in expected]
    return Case(setup, change, undo, tuple((a, b, c) for a, b, c in split), since)


def attributes(of: str, names: str) -> list[str]:
    """Return the differences in several attributes of one object."""
    return [f"{of}|{name}" for name in names.split(", ")]


def remade(what: str, before: str, after: str, *expected: str) -> Case:
    """Return the case of an object that is dropped and made again in another way."""
    drop = f"drop {what}; create {what} "
    return case(f"create {what} {before}", drop + after, drop + before, *expected)


def owned_by(role: str) -> str:
    """Return what gives the objects o1 … o16 to the role."""
    owned = (
        "view o1, sequence o2, statistics o4, operator family o5 using btree,"
        "operator =*= (integer; integer), publication o6, event trigger o7,"
        "foreign data wrapper o8, server o9, foreign table o10, type o11, domain o12,"
        "aggregate o13(int), text search configuration o14, text search dictionary o15,"
        "subscription o16"
    )
    named = [one.strip().replace(";", ",") for one in owned.split(",")]
    return "; ".join(f"alter {one} owner to {role}" for one in named)


CASES = (
    # ------------------------------------------------ the database, schemas, languages
    case(
        "select",
        on_database("alter database %I connection limit 5"),
        on_database("alter database %I connection limit -1"),
        "database|this database|connection limit",
    ),
    case(
        on_database("alter database %I set work_mem = ''5MB''"),
        on_database("alter database %I set work_mem = ''6MB''"),
        on_database("alter database %I set work_mem = ''5MB''"),
        "setting|all roles|work_mem",
    ),
    case(
        "select",
        on_database("alter role snapshot_bob in database %I set work_mem = ''6MB''"),
        on_database("alter role snapshot_bob in database %I reset all"),
        "setting|snapshot_bob|exists",
    ),
    case(
        "create schema s1",
        "alter schema s1 owner to snapshot_alice",
        "alter schema s1 owner to postgres",
        "schema|s1|owner",
    ),
    case(
        "create trusted language lang1 handler plpgsql_call_handler inline plpgsql_inline_handler"
        " validator plpgsql_validator",
        "alter language lang1 owner to snapshot_alice",
        "alter language lang1 owner to postgres",
        "language|lang1|owner",
    ),
    case(
        "create access method heap1 type table handler heap_tableam_handler",
        "drop access method heap1",
        "create access method heap1 type table handler heap_tableam_handler",
        "access method|heap1|exists",
    ),
    # ------------------------------------------------ types
    case(
        "create type enum1 as enum ('a', 'c')",
        "alter type enum1 add value 'b' before 'c'",
        "drop type enum1; create type enum1 as enum ('a', 'c')",
        "type|public.enum1|labels",
    ),
    case(
        "create type composite1 as (x int, y text)",
        "alter type composite1 alter attribute y type varchar(5)",
        "alter type composite1 alter attribute y type text",
        "column|public.composite1.y|type",
    ),
    case(
        "create type range1 as range (subtype = int4, multirange_type_name = ranges1)",
        "drop type range1;"
        " create type range1 as range (subtype = int8, multirange_type_name = ranges1)",
        "drop type range1;"
        " create type range1 as range (subtype = int4, multirange_type_name = ranges1)",
        "type|public.range1|range",
    ),
    case(
        "create type base1; set client_min_messages = error;"
        " create function base1_in(cstring) returns base1 language internal immutable strict"
        " as 'textin';"
        " create function base1_out(base1) returns cstring language internal immutable strict"
        " as 'textout';"
        " create type base1 (input = base1_in, output = base1_out, storage = extended);"
        " reset client_min_messages",
        "alter type base1 set (storage = main)",
        "alter type base1 set (storage = extended)",
        "type|public.base1|base",
    ),
    case("select", "create type shell1", "drop type shell1", "type|public.shell1|exists"),
    case(
        "create domain domain1 as text default 'a' check (value <> '')",
        "alter domain domain1 set default 'b'",
        "alter domain domain1 set default 'a'",
        "domain|public.domain1|default",
    ),
    case(
        "create domain domain2 as text constraint domain2_chk check (value <> '')",
        "alter domain domain2 set not null; alter domain domain2 drop constraint domain2_chk",
        "alter domain domain2 drop not null;"
        " alter domain domain2 add constraint domain2_chk check (value <> '')",
        "domain|public.domain2|not null",
        "constraint|public.domain2.domain2_chk|exists",
    ),
    case(
        "create collation collation1 (locale = 'C')",
        "alter collation collation1 owner to snapshot_alice",
        "alter collation collation1 owner to postgres",
        "collation|public.collation1|owner",
    ),
    case(
        "create conversion conversion1 for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8",
        "alter conversion conversion1 owner to snapshot_alice",
        "alter conversion conversion1 owner to postgres",
        "conversion|public.conversion1|owner",
    ),
    # ------------------------------------------------ functions and what is made of them
    case(
        "create function f1(a int, b text default 'x') returns int language sql as 'select 1'",
        "create or replace function f1(a int, b text default 'y') returns int language sql"
        " as 'select 2'",
        "create or replace function f1(a int, b text default 'x') returns int language sql"
        " as 'select 1'",
        "function|public.f1(integer,text)|arguments",
        "function|public.f1(integer,text)|body",
    ),
    case(
        "create function f2() returns setof int language sql as 'select 1'",
        "alter function f2() stable strict security definer leakproof parallel safe cost 7 rows 8"
        " set work_mem = '5MB'",
        "alter function f2() volatile called on null input security invoker not leakproof"
        " parallel unsafe cost 100 rows 1000 reset all",
        *(
            f"function|public.f2()|{attribute}"
            for attribute in (
                "cost",
                "leakproof",
                "parallel",
                "rows",
                "security definer",
                "settings",
                "strict",
                "volatility",
            )
        ),
    ),
    case(
        "create function f3() returns int return 1",
        "create or replace function f3() returns int return 2",
        "create or replace function f3() returns int return 1",
        "function|public.f3()|sql body",
    ),
    case(
        "create procedure p1(inout a int) language sql as 'select 1'",
        "alter procedure p1(int) owner to snapshot_alice",
        "alter procedure p1(int) owner to postgres",
        "function|public.p1(integer)|owner",
    ),
    case(
        "create aggregate aggregate1(int) (sfunc = int4pl, stype = int, initcond = '0')",
        "create or replace aggregate aggregate1(int) (sfunc = int4pl, stype = int, initcond = '1')",
        "create or replace aggregate aggregate1(int) (sfunc = int4pl, stype = int, initcond = '0')",
        "aggregate|public.aggregate1(integer)|initial",
    ),
    case(
        "create operator === (leftarg = int, rightarg = int, function = int4eq)",
        "alter operator === (int, int) set (restrict = eqsel)",
        "alter operator === (int, int) set (restrict = none)",
        "operator|public.===(integer,integer)|restrict",
    ),
    case(
        "create operator family family1 using btree",
        "alter operator family family1 using btree"
        " add function 1 (int4, int8) btint48cmp(int4, int8), operator 1 < (int4, int8)",
        "alter operator family family1 using btree"
        " drop function 1 (int4, int8), operator 1 (int4, int8)",
        "operator family|public.family1 using btree|functions",
        "operator family|public.family1 using btree|operators",
    ),
    case(
        "create operator class class1 for type int4 using hash as operator 1 =,"
        " function 1 hashint4(int4)",
        "alter operator class class1 using hash owner to snapshot_alice",
        "alter operator class class1 using hash owner to postgres",
        "operator class|public.class1 using hash|owner",
    ),
    case(
        "create type composite2 as (x int); create cast (composite2 as text) with inout",
        "drop cast (composite2 as text); create cast (composite2 as text) with inout as assignment",
        "drop cast (composite2 as text); create cast (composite2 as text) with inout",
        "cast|public.composite2 as text|context",
    ),
    case(
        "create transform for int language sql (from sql with function prsd_lextype(internal),"
        " to sql with function int4recv(internal))",
        "create or replace transform for int language sql"
        " (to sql with function int4recv(internal))",
        "create or replace transform for int language sql (from sql with function"
        " prsd_lextype(internal), to sql with function int4recv(internal))",
        "transform|for integer language sql|from sql",
    ),
    # ------------------------------------------------ sequences and tables
    case(
        "create sequence q1; create table q1t (a int)",
        "alter sequence q1 as int increment 5 cache 2 cycle start 3 owned by q1t.a",
        "alter sequence q1 as bigint increment 1 cache 1 no cycle start 1 no maxvalue"
        " owned by none",
        *(
            f"sequence|public.q1|{attribute}"
            for attribute in (
                "cache",
                "cycle",
                "increment",
                "maximum",
                "owned by",
                "start",
                "type",
            )
        ),
    ),
    case(
        "create table t1 (a text)",
        "alter table t1 set (fillfactor = 70, toast.autovacuum_enabled = false);"
        " alter table t1 replica identity full; alter table t1 enable row level security;"
        " alter table t1 force row level security; alter table t1 set unlogged;"
        " alter table t1 owner to snapshot_alice",
        "alter table t1 reset (fillfactor, toast.autovacuum_enabled);"
        " alter table t1 replica identity default; alter table t1 disable row level security;"
        " alter table t1 no force row level security; alter table t1 set logged;"
        " alter table t1 owner to postgres",
        *(
            f"table|public.t1|{attribute}"
            for attribute in (
                "options",
                "owner",
                "persistence",
                "replica identity",
                "row security",
                "row security forced",
                "toast options",
            )
        ),
    ),
    case(
        "create access method heap2 type table handler heap_tableam_handler;"
        " create table t2 (a int)",
        "alter table t2 set access method heap2",
        "alter table t2 set access method heap",
        "table|public.t2|access method",
    ),
    case(
        "create table t3 (a int); create table t3a (a int)",
        "alter table t3a inherit t3",
        "alter table t3a no inherit t3",
        "table|public.t3a|inherits",
        "column|public.t3a.a|parents",
    ),
    case(
        "create table t4 (a int) partition by list (a); create table t4a (a int)",
        "alter table t4 attach partition t4a for values in (1)",
        "alter table t4 detach partition t4a",
        "table|public.t4a|inherits",
        "table|public.t4a|partition bound",
        "column|public.t4a.a|local",
        "column|public.t4a.a|parents",
    ),
    case(
        "create table t5 (a int, b int) partition by list (a)",
        "drop table t5; create table t5 (a int, b int) partition by range (a)",
        "drop table t5; create table t5 (a int, b int) partition by list (a)",
        "table|public.t5|partition key",
    ),
    case(
        "create type composite3 as (a int); create table t6 of composite3",
        "alter table t6 not of",
        "alter table t6 of composite3",
        "table|public.t6|of type",
    ),
    case("select", "create table t7 ()", "drop table t7", "table|public.t7|exists"),
    # ------------------------------------------------ columns
    case(
        "create table c1 (a int, b text, c text not null default 'x')",
        "alter table c1 alter a type bigint; alter table c1 alter b set not null;"
        " alter table c1 alter c set default 'y'",
        "alter table c1 alter a type int; alter table c1 alter b drop not null;"
        " alter table c1 alter c set default 'x'",
        "column|public.c1.a|type",
        "column|public.c1.b|not null",
        "column|public.c1.c|default",
    ),
    case(
        "create table c2 (a text, b text, c text, d text, e text)",
        "alter table c2 alter a set storage external; alter table c2 alter b set compression pglz;"
        " alter table c2 alter c set statistics 7; alter table c2 alter d set (n_distinct = 3);"
        ' alter table c2 alter e type text collate "C"',
        "alter table c2 alter a set storage extended;"
        " alter table c2 alter b set compression default;"
        " alter table c2 alter c set statistics -1; alter table c2 alter d reset (n_distinct);"
        ' alter table c2 alter e type text collate "default"',
        "column|public.c2.a|storage",
        "column|public.c2.b|compression",
        "column|public.c2.c|statistics target",
        "column|public.c2.d|options",
        "column|public.c2.e|collation",
    ),
    case(
        "create table c3 (a int generated always as identity, b int,"
        " c int generated always as (b + 1) stored)",
        "alter table c3 alter a set generated by default; alter table c3 alter c drop expression",
        "alter table c3 alter a set generated always; alter table c3 drop c;"
        " alter table c3 add c int generated always as (b + 1) stored",
        "column|public.c3.a|identity",
        "column|public.c3.c|default",
        "column|public.c3.c|generated",
    ),
    case(
        "create table c4 (a int, b int)",
        "alter table c4 drop a; alter table c4 add a int",
        "alter table c4 drop b; alter table c4 add b int",
        "column order|public.c4|order",
    ),
    case(
        "create table c5 (a int, b int, c int)",
        "alter table c5 drop b",
        "alter table c5 drop c; alter table c5 add b int; alter table c5 add c int",
        "column|public.c5.b|exists",
    ),
    case(
        "create table c6 (a int)",
        "alter table c6 add constraint c6_a_nn not null a not valid",
        "alter table c6 drop constraint c6_a_nn",
        "column|public.c6.a|not null",
        since=18,
    ),
    # ------------------------------------------------ constraints and indexes
    case(
        "create table k1 (a int); alter table k1 add constraint k1_chk check (a > 0) not valid",
        "alter table k1 validate constraint k1_chk",
        "alter table k1 drop constraint k1_chk;"
        " alter table k1 add constraint k1_chk check (a > 0) not valid",
        "constraint|public.k1.k1_chk|definition",
        "constraint|public.k1.k1_chk|validated",
    ),
    case(
        "create table k2 (a int constraint k2_pkey primary key);"
        " create table k2a (a int constraint k2a_fkey references k2)",
        "alter table k2a alter constraint k2a_fkey deferrable initially deferred",
        "alter table k2a alter constraint k2a_fkey not deferrable",
        "constraint|public.k2a.k2a_fkey|deferrable",
        "constraint|public.k2a.k2a_fkey|deferred",
        "constraint|public.k2a.k2a_fkey|definition",
    ),
    case(
        "create table k3 (a int constraint k3_pkey primary key);"
        " create table k3a (a int constraint k3a_fkey references k3)",
        "alter table k3a disable trigger all",
        "alter table k3a enable trigger all",
        "constraint|public.k3a.k3a_fkey|trigger states",
    ),
    case(
        "create table k4 (a int constraint k4_chk check (a > 0))",
        "alter table k4 drop constraint k4_chk;"
        " alter table k4 add constraint k4_chk check (a > 0) no inherit",
        "alter table k4 drop constraint k4_chk; alter table k4 add constraint k4_chk check (a > 0)",
        "constraint|public.k4.k4_chk|definition",
        "constraint|public.k4.k4_chk|no inherit",
    ),
    case(
        "create table k5 (a int constraint k5_key unique)",
        "alter table k5 drop constraint k5_key",
        "alter table k5 add constraint k5_key unique (a)",
        "constraint|public.k5.k5_key|exists",
        "index|public.k5_key|exists",
    ),
    case(
        "create table k6 (a int constraint k6_pkey primary key);"
        " create table k6a (a int constraint k6a_fkey references k6)",
        "alter table k6a alter constraint k6a_fkey not enforced",
        "alter table k6a alter constraint k6a_fkey enforced",
        "constraint|public.k6a.k6a_fkey|definition",
        "constraint|public.k6a.k6a_fkey|enforced",
        "constraint|public.k6a.k6a_fkey|validated",
        since=18,
    ),
    case(
        "create table k7 (a int constraint k7_pkey primary key) partition by list (a);"
        " create table k7p partition of k7 for values in (1);"
        " create table k7a (a int constraint k7a_fkey references k7)",
        "alter table k7a drop constraint k7a_fkey",
        "alter table k7a add constraint k7a_fkey foreign key (a) references k7",
        "constraint|public.k7a.k7a_fkey|exists",
    ),
    case(
        "create table i1 (a int not null, b int); create unique index i1_a on i1 (a)",
        "alter table i1 cluster on i1_a; alter table i1 replica identity using index i1_a",
        "alter table i1 set without cluster; alter table i1 replica identity default",
        "index|public.i1_a|clustered",
        "index|public.i1_a|replica identity",
        "table|public.i1|replica identity",
    ),
    case(
        "create table i2 (a int, b int); create index i2_x on i2 (a)",
        "drop index i2_x; create unique index i2_x on i2 (a desc) include (b) where a > 0",
        "drop index i2_x; create index i2_x on i2 (a)",
        "index|public.i2_x|definition",
    ),
    case(
        "create table i3 (a int); create index i3_x on i3 ((a + 1))",
        "alter index i3_x alter column 1 set statistics 9;"
        " update pg_index set indisvalid = false where indexrelid = 'i3_x'::regclass",
        "alter index i3_x alter column 1 set statistics -1;"
        " update pg_index set indisvalid = true where indexrelid = 'i3_x'::regclass",
        "index|public.i3_x|statistics targets",
        "index|public.i3_x|valid",
    ),
    case(
        "create table i4 (a int) partition by list (a); create table i4a partition of i4"
        " for values in (1); create index i4_x on only i4 (a); create index i4a_y on i4a (a)",
        "alter index i4_x attach partition i4a_y",
        "drop index i4_x; create index i4_x on only i4 (a); create index i4a_y on i4a (a)",
        "index|public.i4_x|valid",
        "index|public.i4a_y|parent",
    ),
    case(
        "create table s2 (a int, b int); create statistics s2_x (ndistinct) on a, b from s2",
        "alter statistics s2_x set statistics 9",
        "alter statistics s2_x set statistics -1",
        "statistics|public.s2_x|target",
    ),
    # ------------------------------------------------ views, triggers, rules, policies
    case(
        "create table v1t (a int); create view v1 as select a from v1t where a > 0",
        "create or replace view v1 with (security_barrier) as select a from v1t where a > 1",
        "create or replace view v1 as select a from v1t where a > 0;"
        " alter view v1 reset (security_barrier)",
        "view|public.v1|definition",
        "view|public.v1|options",
    ),
    case(
        "create materialized view v2 as select 1 as a",
        "refresh materialized view v2 with no data",
        "refresh materialized view v2",
        "view|public.v2|populated",
    ),
    case(
        "create table g1 (a int); create function g1_f() returns trigger language plpgsql"
        " as 'begin return new; end';"
        " create trigger g1_x before insert on g1 for each row execute function g1_f();"
        " create trigger g1_y before insert on g1 for each row execute function g1_f()",
        "alter table g1 disable trigger g1_x; drop trigger g1_y on g1;"
        " create trigger g1_y after insert on g1 for each row execute function g1_f()",
        "alter table g1 enable trigger g1_x; drop trigger g1_y on g1;"
        " create trigger g1_y before insert on g1 for each row execute function g1_f()",
        "trigger|public.g1.g1_x|enabled",
        "trigger|public.g1.g1_y|definition",
    ),
    case(
        "create table r1 (a int); create rule r1_x as on insert to r1 do also select 1;"
        " create rule r1_y as on update to r1 do also select 1",
        "alter table r1 disable rule r1_x;"
        " create or replace rule r1_y as on update to r1 do also select 2",
        "alter table r1 enable rule r1_x;"
        " create or replace rule r1_y as on update to r1 do also select 1",
        "rule|public.r1.r1_x|enabled",
        "rule|public.r1.r1_y|definition",
    ),
    case(
        "create table l1 (a int); create policy l1_x on l1 using (a > 0) with check (a > 0)",
        "alter policy l1_x on l1 to snapshot_alice using (a > 1) with check (a > 1)",
        "alter policy l1_x on l1 to public using (a > 0) with check (a > 0)",
        "policy|public.l1.l1_x|check",
        "policy|public.l1.l1_x|roles",
        "policy|public.l1.l1_x|using",
    ),
    case(
        "create table l2 (a int); create policy l2_x on l2 for select using (true)",
        "drop policy l2_x on l2; create policy l2_x on l2 as restrictive for delete using (true)",
        "drop policy l2_x on l2; create policy l2_x on l2 for select using (true)",
        "policy|public.l2.l2_x|command",
        "policy|public.l2.l2_x|permissive",
    ),
    case(
        "create function e1_f() returns event_trigger language plpgsql as 'begin end';"
        " create event trigger e1 on sql_drop when tag in ('DROP TABLE') execute function e1_f()",
        "alter event trigger e1 disable",
        "alter event trigger e1 enable",
        "event trigger|e1|enabled",
    ),
    # ------------------------------------------------ text search
    case(
        "create text search configuration ts1 (parser = default);"
        " alter text search configuration ts1 add mapping for word with simple",
        "alter text search configuration ts1 add mapping for asciiword with simple",
        "alter text search configuration ts1 drop mapping for asciiword",
        "text search configuration|public.ts1|mapping",
    ),
    case(
        "create text search dictionary ts2 (template = simple, accept = true)",
        "alter text search dictionary ts2 (accept = false)",
        "alter text search dictionary ts2 (accept = true)",
        "text search dictionary|public.ts2|options",
    ),
    case(
        "create text search parser ts3 (start = prsd_start, gettoken = prsd_nexttoken,"
        " end = prsd_end, lextypes = prsd_lextype)",
        "drop text search parser ts3; create text search parser ts3 (start = prsd_start,"
        " gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype,"
        " headline = prsd_headline)",
        "drop text search parser ts3; create text search parser ts3 (start = prsd_start,"
        " gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)",
        "text search parser|public.ts3|headline",
    ),
    case(
        "create text search template ts4 (lexize = dsimple_lexize)",
        "drop text search template ts4;"
        " create text search template ts4 (init = dsimple_init, lexize = dsimple_lexize)",
        "drop text search template ts4; create text search template ts4 (lexize = dsimple_lexize)",
        "text search template|public.ts4|init",
    ),
    # ------------------------------------------------ foreign data, replication
    case(
        "create foreign data wrapper w1 options (a 'x')",
        "alter foreign data wrapper w1 options (set a 'y')",
        "alter foreign data wrapper w1 options (set a 'x')",
        "foreign data wrapper|w1|options",
    ),
    case(
        "create foreign data wrapper w2; create server w2s type 't' version '1'"
        " foreign data wrapper w2 options (a 'x')",
        "alter server w2s version '2' options (drop a)",
        "alter server w2s version '1' options (add a 'x')",
        "foreign server|w2s|options",
        "foreign server|w2s|version",
    ),
    case(
        "create foreign data wrapper w3; create server w3s foreign data wrapper w3;"
        " create user mapping for snapshot_alice server w3s options (password 'secret1')",
        "alter user mapping for snapshot_alice server w3s options (set password 'secret2')",
        "alter user mapping for snapshot_alice server w3s options (set password 'secret1')",
        "user mapping|for snapshot_alice server w3s|options",
    ),
    case(
        "create foreign data wrapper w4; create server w4s foreign data wrapper w4;"
        " create foreign table w4t (a int options (b 'x')) server w4s options (c 'x')",
        "alter foreign table w4t options (set c 'y');"
        " alter foreign table w4t alter a options (set b 'y')",
        "alter foreign table w4t options (set c 'x');"
        " alter foreign table w4t alter a options (set b 'x')",
        "foreign table|public.w4t|options",
        "column|public.w4t.a|foreign options",
    ),
    case(
        "create table pub1t (a int, b int); create schema pub1s;"
        " create publication pub1 for table pub1t, tables in schema pub1s",
        "drop publication pub1; create publication pub1 for table pub1t (b) where (b > 0)"
        " with (publish = 'insert', publish_via_partition_root)",
        "drop publication pub1; create publication pub1 for table pub1t, tables in schema pub1s",
        *(
            f"publication|pub1|{attribute}"
            for attribute in (
                "delete",
                "schemas",
                "tables",
                "truncate",
                "update",
                "via root",
            )
        ),
    ),
    case(
        "create subscription sub1 connection 'host=/nowhere dbname=x' publication one"
        " with (connect = false, slot_name = none, streaming = on)",
        "alter subscription sub1 set publication two with (refresh = false)",
        "alter subscription sub1 set publication one with (refresh = false)",
        "subscription|sub1|publications",
    ),
    # ------------------------------------------------ privileges, comments
    case(
        "create table a1 (a int, b int); create sequence a1q; create schema a1s;"
        " create function a1f() returns int return 1; create domain a1d as int",
        "grant select, insert on a1 to snapshot_alice; grant update (b) on a1 to public;"
        " revoke delete on a1 from postgres; grant usage on sequence a1q to snapshot_alice;"
        " grant create on schema a1s to snapshot_alice with grant option;"
        " revoke execute on function a1f() from public; revoke usage on domain a1d from public",
        "revoke select, insert on a1 from snapshot_alice; revoke update (b) on a1 from public;"
        " grant delete on a1 to postgres; revoke usage on sequence a1q from snapshot_alice;"
        " revoke create on schema a1s from snapshot_alice;"
        " grant execute on function a1f() to public; grant usage on domain a1d to public",
        "privilege|column public.a1.b|exists",
        "privilege|function public.a1f()|exists",
        "privilege|schema a1s|exists",
        "privilege|sequence public.a1q|exists",
        "privilege|table public.a1|exists",
        "privilege|type public.a1d|exists",
    ),
    case(
        "create table a2 (a int); grant select on a2 to snapshot_alice",
        "grant insert on a2 to snapshot_alice; grant select on a2 to snapshot_bob",
        "revoke insert on a2 from snapshot_alice; revoke select on a2 from snapshot_bob",
        "privilege|table public.a2|granted to snapshot_alice",
        "privilege|table public.a2|granted to snapshot_bob",
    ),
    case(
        "create foreign data wrapper a4; create server a4s foreign data wrapper a4",
        "grant usage on foreign data wrapper a4 to public;"
        " grant usage on foreign server a4s to public;"
        " grant usage on language lang1 to snapshot_bob;"
        + on_database("revoke temporary on database %I from public"),
        "revoke usage on foreign data wrapper a4 from public;"
        " revoke usage on foreign server a4s from public;"
        " revoke usage on language lang1 from snapshot_bob;"
        + on_database("grant temporary on database %I to public"),
        "privilege|foreign data wrapper a4|exists",
        "privilege|foreign server a4s|exists",
        "privilege|language lang1|exists",
        "privilege|this database|exists",
    ),
    case(
        "create table m1 (a int constraint m1_chk check (a > 0)); comment on table m1 is 'x';"
        " create domain m1d as int constraint m1d_chk check (value > 0);"
        " create schema m1s; create foreign data wrapper m1w",
        "comment on table m1 is 'y'; comment on column m1.a is 'y';"
        " comment on constraint m1_chk on m1 is 'y'; comment on schema m1s is 'y';"
        " comment on constraint m1d_chk on domain m1d is 'y';"
        " comment on foreign data wrapper m1w is 'y'; comment on schema public is null",
        "comment on table m1 is 'x'; comment on column m1.a is null;"
        " comment on constraint m1_chk on m1 is null; comment on schema m1s is null;"
        " comment on constraint m1d_chk on domain m1d is null;"
        " comment on foreign data wrapper m1w is null;"
        " comment on schema public is 'standard public schema'",
        "comment|domain constraint m1d_chk on public.m1d|exists",
        "comment|foreign-data wrapper m1w|exists",
        "comment|schema m1s|exists",
        "comment|schema public|exists",
        "comment|table column public.m1.a|exists",
        "comment|table constraint m1_chk on public.m1|exists",
        "comment|table public.m1|text",
    ),
    # ------------------------------------------------ owners, and what only a new object can change
    case(
        on_database("comment on database %I is ''x''"),
        on_database("alter database %I owner to snapshot_carol")
        + ";"
        + on_database("alter database %I is_template true")
        + ";"
        + on_database("comment on database %I is ''y''"),
        on_database("alter database %I owner to postgres")
        + ";"
        + on_database("alter database %I is_template false")
        + ";"
        + on_database("comment on database %I is ''x''"),
        "database|this database|comment",
        "database|this database|owner",
        "database|this database|template",
    ),
    case(
        "create view o1 as select 1 as a; create sequence o2; create table o3 (a int, b int);"
        " create statistics o4 on a, b from o3; create operator family o5 using btree;"
        " create operator =*= (leftarg = int, rightarg = int, function = int4eq);"
        " create publication o6; create function o7_f() returns event_trigger language plpgsql"
        " as 'begin end'; create event trigger o7 on sql_drop when tag in ('DROP VIEW')"
        " execute function o7_f(); create foreign data wrapper o8;"
        " create server o9 foreign data wrapper o8; create foreign table o10 (a int) server o9;"
        " create type o11 as enum ('a'); create domain o12 as int;"
        " create aggregate o13(int) (sfunc = int4pl, stype = int);"
        " create text search configuration o14 (copy = simple);"
        " create text search dictionary o15 (template = simple);"
        " create subscription o16 connection 'dbname=x' publication one"
        " with (connect = false, slot_name = none, streaming = on)",
        owned_by("snapshot_carol"),
        owned_by("postgres"),
        "aggregate|public.o13(integer)|owner",
        "domain|public.o12|owner",
        "event trigger|o7|owner",
        "foreign data wrapper|o8|owner",
        "foreign server|o9|owner",
        "foreign table|public.o10|owner",
        "operator family|public.o5 using btree|owner",
        "operator|public.=*=(integer,integer)|owner",
        "publication|o6|owner",
        "sequence|public.o2|owner",
        "statistics|public.o4|owner",
        "subscription|o16|owner",
        "text search configuration|public.o14|owner",
        "text search dictionary|public.o15|owner",
        "type|public.o11|owner",
        "view|public.o1|owner",
    ),
    remade(
        "access method heap3",
        "type table handler heap_tableam_handler",
        "type index handler bthandler",
        "access method|heap3|handler",
        "access method|heap3|type",
    ),
    remade(
        "aggregate n1(int)",
        "(sfunc = int4pl, stype = int)",
        "(sfunc = int4_avg_accum, stype = _int8, finalfunc = int8_avg, initcond = '{0,0}',"
        " combinefunc = int4_avg_combine, parallel = safe, sspace = 9,"
        " finalfunc_modify = read_write, msfunc = int4_avg_accum, minvfunc = int4_avg_accum_inv,"
        " mstype = _int8, mfinalfunc = int8_avg, minitcond = '{0,0}')",
        *attributes(
            "aggregate|public.n1(integer)",
            "combine, final, final modify, initial, moving, parallel, result, state size,"
            " state type, transition",
        ),
    ),
    case(
        "create aggregate n2(int) (sfunc = int4smaller, stype = int);"
        " create aggregate n3(numeric)"
        " (sfunc = numeric_avg_accum, finalfunc = numeric_avg, stype = internal)",
        "drop aggregate n2(int);"
        " create aggregate n2(a int) (sfunc = int4smaller, stype = int, sortop = <);"
        " drop aggregate n3(numeric); create aggregate n3(numeric) (sfunc = numeric_avg_accum,"
        " finalfunc = numeric_avg, stype = internal, combinefunc = numeric_avg_combine,"
        " serialfunc = numeric_avg_serialize, deserialfunc = numeric_avg_deserialize)",
        "drop aggregate n2(int); create aggregate n2(int) (sfunc = int4smaller, stype = int);"
        " drop aggregate n3(numeric);"
        " create aggregate n3(numeric)"
        " (sfunc = numeric_avg_accum, finalfunc = numeric_avg, stype = internal)",
        *attributes("aggregate|public.n2(integer)", "arguments, sort operator"),
        *attributes("aggregate|public.n3(numeric)", "combine, deserial, serial"),
    ),
    case(
        "create type n4 as (x int); create function n4_f(n4) returns text return 'x';"
        " create cast (n4 as text) with inout",
        "drop cast (n4 as text); create cast (n4 as text) with function n4_f(n4)",
        "drop cast (n4 as text); create cast (n4 as text) with inout",
        *attributes("cast|public.n4 as text", "function, method"),
    ),
    remade(
        "collation n5",
        "(lc_collate = 'C', lc_ctype = 'C')",
        "(lc_collate = 'POSIX', lc_ctype = 'POSIX')",
        *attributes("collation|public.n5", "collate, ctype"),
    ),
    case(
        "create conversion n6 for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8",
        "drop conversion n6;"
        " create default conversion n6 for 'UTF8' to 'LATIN2' from utf8_to_iso8859",
        "drop conversion n6; create conversion n6 for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8",
        *attributes("conversion|public.n6", "default, from, function, to"),
    ),
    remade(
        "domain n7",
        "as text",
        'as varchar(5) collate "C"',
        *attributes("domain|public.n7", "collation, type"),
    ),
    case(
        "create function n8_f() returns event_trigger language plpgsql as 'begin end';"
        " create function n8_g() returns event_trigger language plpgsql as 'begin end';"
        " create event trigger n8 on sql_drop when tag in ('DROP RULE') execute function n8_f()",
        "drop event trigger n8; create event trigger n8 on ddl_command_end"
        " when tag in ('CREATE RULE') execute function n8_g()",
        "drop event trigger n8; create event trigger n8 on sql_drop when tag in ('DROP RULE')"
        " execute function n8_f()",
        *attributes("event trigger|n8", "event, function, tags"),
    ),
    case(
        "create function n9_f() returns fdw_handler language internal as 'int4in';"
        " create foreign data wrapper n9; create foreign data wrapper n9w;"
        " create server n9s foreign data wrapper n9; create server n9t foreign data wrapper n9;"
        " create foreign table n9_x (a int) server n9t;"
        " create table n9_p (a int) partition by list (a);"
        " create foreign table n9_y (a int) server n9t",
        "alter foreign data wrapper n9w handler n9_f validator postgresql_fdw_validator;"
        " drop server n9s; create server n9s type 'x' foreign data wrapper n9w;"
        " drop foreign table n9_x; create foreign table n9_x (a int) server n9s;"
        " alter table n9_p attach partition n9_y for values in (1)",
        "alter table n9_p detach partition n9_y;"
        " drop foreign table n9_x; create foreign table n9_x (a int) server n9t;"
        " drop server n9s; create server n9s foreign data wrapper n9;"
        " alter foreign data wrapper n9w no handler no validator",
        *attributes("foreign data wrapper|n9w", "handler, validator"),
        *attributes("foreign server|n9s", "type, wrapper"),
        "foreign table|public.n9_x|server",
        *attributes("foreign table|public.n9_y", "inherits, partition bound"),
        *attributes("column|public.n9_y.a", "local, parents"),
    ),
    case(
        "create transform for bigint language plpgsql (from sql with function"
        " prsd_lextype(internal)); create function n10() returns int language sql as 'select 1'",
        "drop function n10(); create function n10() returns setof bigint transform for type bigint"
        " language plpgsql as 'begin end' window support generate_series_int4_support",
        "drop function n10(); create function n10() returns int language sql as 'select 1'",
        *attributes(
            "function|public.n10()", "body, kind, language, result, rows, support, transforms"
        ),
    ),
    case(
        "create table n11 (a int not null constraint n11_key unique, b int);"
        " create index n11_b on n11 (b)",
        "alter table n11 drop constraint n11_key;"
        " alter table n11 add constraint n11_key primary key (a) deferrable;"
        " update pg_index set indisready = false where indexrelid = 'n11_b'::regclass",
        "update pg_index set indisready = true where indexrelid = 'n11_b'::regclass;"
        " alter table n11 drop constraint n11_key;"
        " alter table n11 add constraint n11_key unique (a)",
        *attributes("constraint|public.n11.n11_key", "deferrable, definition"),
        *attributes("index|public.n11_key", "immediate, primary"),
        "index|public.n11_b|ready",
    ),
    case(
        "create trusted language n12 handler plpgsql_call_handler inline plpgsql_inline_handler"
        " validator plpgsql_validator",
        "drop language n12; create function n12_h() returns language_handler language internal"
        " as 'int4in'; create language n12 handler n12_h",
        "drop language n12; drop function n12_h(); create trusted language n12"
        " handler plpgsql_call_handler inline plpgsql_inline_handler validator plpgsql_validator",
        *attributes("language|n12", "handler, inline, trusted, validator"),
        "function|public.n12_h()|exists",
    ),
    case(
        "create operator =%= (leftarg = int, rightarg = int, function = int4eq);"
        " create operator <%> (leftarg = int, rightarg = int, function = int4ne)",
        "drop operator =%= (int, int);"
        " create operator =%= (leftarg = int, rightarg = int, function = int4ne,"
        " commutator = operator(public.=%=), negator = operator(public.<%>), join = neqjoinsel,"
        " merges, hashes)",
        "drop operator =%= (int, int);"
        " create operator =%= (leftarg = int, rightarg = int, function = int4eq)",
        *attributes(
            "operator|public.=%=(integer,integer)",
            "commutator, function, hashes, join, merges, negator",
        ),
        "operator|public.<%>(integer,integer)|negator",
    ),
    case(
        "create function n14_f(int, int) returns int return 1;"
        " create operator =&= (leftarg = int, rightarg = int, function = int4eq)",
        "drop operator =&= (int, int);"
        " create operator =&= (leftarg = int, rightarg = int, function = n14_f)",
        "drop operator =&= (int, int);"
        " create operator =&= (leftarg = int, rightarg = int, function = int4eq)",
        *attributes("operator|public.=&=(integer,integer)", "function, result"),
    ),
    case(
        "create type n15 as enum ('a'); create operator family n15f using gist;"
        " create operator family n15g using gist;"
        " create operator class n15 for type text using gist family n15f as storage text",
        "drop operator class n15 using gist; create operator class n15 default for type n15"
        " using gist family n15g as storage int",
        "drop operator class n15 using gist; create operator class n15 for type text"
        " using gist family n15f as storage text",
        *attributes("operator class|public.n15 using gist", "default, family, storage, type"),
    ),
    case(
        "create publication n16 with (publish = 'insert, update')",
        "drop publication n16; create publication n16 for all tables with (publish = 'update')",
        "drop publication n16; create publication n16 with (publish = 'insert, update')",
        *attributes("publication|n16", "all tables, insert"),
    ),
    case(
        "create publication n17",
        "alter publication n17 set (publish_generated_columns = stored)",
        "alter publication n17 set (publish_generated_columns = none)",
        "publication|n17|generated columns",
        since=18,
    ),
    case(
        "create sequence n18; create table n18t (a int, b int);"
        " create statistics n18s (ndistinct) on a, b from n18t",
        "alter sequence n18 minvalue -5; alter sequence n18 set unlogged;"
        " drop statistics n18s; create statistics n18s (mcv) on a, b from n18t",
        "alter sequence n18 minvalue 1; alter sequence n18 set logged;"
        " drop statistics n18s; create statistics n18s (ndistinct) on a, b from n18t",
        *attributes("sequence|public.n18", "minimum, persistence"),
        "statistics|public.n18s|definition",
    ),
    case(
        "create subscription n19 connection 'dbname=x' publication one"
        " with (connect = false, slot_name = none, streaming = on)",
        "alter subscription n19 set (binary, streaming = off, disable_on_error,"
        " synchronous_commit = local, slot_name = 'x')",
        "alter subscription n19 set (binary = off, streaming = on, disable_on_error = off,"
        " synchronous_commit = off, slot_name = none)",
        *attributes(
            "subscription|n19", "binary, disable on error, slot, streaming, synchronous commit"
        ),
    ),
    case(
        "create table n20 (a int constraint n20_chk check (a > 0)); create table n20a (a int"
        " constraint n20_chk check (a > 0)); create table n20p (a int) partition by list (a);"
        " create table n20q partition of n20p for values in (1)",
        "alter table n20a inherit n20; update pg_inherits set inhdetachpending = true"
        " where inhrelid = 'n20q'::regclass",
        "alter table n20a no inherit n20; update pg_inherits set inhdetachpending = false"
        " where inhrelid = 'n20q'::regclass",
        "table|public.n20a|inherits",
        "column|public.n20a.a|parents",
        "constraint|public.n20a.n20_chk|parents",
        "table|public.n20q|detach pending",
    ),
    case(
        "create table n21 (a int constraint n21_chk check (a > 0));"
        " create table n21a () inherits (n21)",
        "alter table n21a add constraint n21_chk check (a > 0)",
        "drop table n21a; create table n21a () inherits (n21)",
        "constraint|public.n21a.n21_chk|local",
    ),
    case(
        "create function n22_start(internal, int) returns internal language internal"
        " as 'prsd_start'; create function n22_token(internal, internal, internal)"
        " returns internal language internal as 'prsd_nexttoken'; create function"
        " n22_end(internal) returns void language internal as 'prsd_end';"
        " create function n22_types(internal) returns internal language internal"
        " as 'prsd_lextype'; create text search parser n22 (start = prsd_start,"
        " gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);"
        " create text search parser n22p (start = prsd_start,"
        " gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);"
        " create text search configuration n22c (parser = default);"
        " create text search template n22t (init = dsimple_init, lexize = dsimple_lexize);"
        " create text search dictionary n22d (template = simple);"
        " create text search template n22u (lexize = dsimple_lexize)",
        "drop text search parser n22; create text search parser n22 (start = n22_start,"
        " gettoken = n22_token, end = n22_end, lextypes = n22_types);"
        " drop text search configuration n22c; create text search configuration n22c"
        " (parser = n22p); drop text search dictionary n22d;"
        " create text search dictionary n22d (template = n22t);"
        " drop text search template n22u;"
        " create text search template n22u (lexize = dispell_lexize)",
        "drop text search parser n22; create text search parser n22 (start = prsd_start,"
        " gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);"
        " drop text search configuration n22c; create text search configuration n22c"
        " (parser = default); drop text search dictionary n22d;"
        " create text search dictionary n22d (template = simple);"
        " drop text search template n22u;"
        " create text search template n22u (lexize = dsimple_lexize)",
        *attributes("text search parser|public.n22", "end, start, token, token types"),
        "text search configuration|public.n22c|parser",
        "text search dictionary|public.n22d|template",
        "text search template|public.n22u|lexize",
    ),
    case(
        "create transform for smallint language sql (to sql with function int2recv(internal))",
        "create or replace transform for smallint language sql"
        " (from sql with function prsd_lextype(internal))",
        "create or replace transform for smallint language sql"
        " (to sql with function int2recv(internal))",
        *attributes("transform|for smallint language sql", "from sql, to sql"),
    ),
    case(
        "create table n23 (a int) partition by list (a);"
        " create table n23a partition of n23 for values in (1);"
        " create function n23_f() returns trigger language plpgsql as 'begin return new; end';"
        " create trigger n23_x after insert on n23a for each row execute function n23_f()",
        "drop trigger n23_x on n23a;"
        " create trigger n23_x after insert on n23 for each row execute function n23_f()",
        "drop trigger n23_x on n23;"
        " create trigger n23_x after insert on n23a for each row execute function n23_f()",
        "trigger|public.n23.n23_x|exists",
        "trigger|public.n23a.n23_x|cloned from parent",
    ),
    case(
        "create type n24",
        "drop type n24; create type n24 as enum ('a')",
        "drop type n24; create type n24",
        *attributes("type|public.n24", "defined, kind, labels"),
    ),
    case(
        "create view n25 as select 1 as a",
        "drop view n25; create materialized view n25 as select 1 as a",
        "drop materialized view n25; create view n25 as select 1 as a",
        *attributes("view|public.n25", "access method, materialized, replica identity"),
    ),
    # ------------------------------------------------ last, as it is about what is made after it
    case(
        "create schema a3; alter default privileges in schema a3 grant select on tables to public",
        "alter default privileges revoke execute on functions from public;"
        " alter default privileges in schema a3 grant insert on tables to public",
        "alter default privileges grant execute on functions to public;"
        " alter default privileges in schema a3 revoke insert on tables from public",
        "privilege|default of postgres for f|exists",
        "privilege|default of postgres for r in a3|granted to public",
    ),
)


@pytest.fixture
def empty_conn(empty_database: Database) -> Iterator[Conn]:
    """Give an autocommit session on a database with nothing in it, where the roles are."""
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(ROLES)
        yield conn


def cases_for(conn: Conn) -> list[Case]:
    """Return the cases that the server can run."""
    return [case for case in CASES if conn.info.server_version // 10_000 >= case.since]


def run(conn: Conn, cases: list[Case], what: Callable[[Case], str]) -> None:
    """Run a part of each case, one statement at a time."""
    for one in cases:
        conn.execute(what(one).encode())


def named(differences: list[Difference]) -> set[tuple[str, str, str]]:
    """Return which attributes differ."""
    return {(x.kind, x.identity, x.attribute) for x in differences}


# ---------------------------------------------------------------- every kind


@pytest.mark.every_major
def test_each_change_is_named_and_each_inverse_is_clean(empty_conn: Conn) -> None:
    """
    Of every kind of object, each changed attribute is named and nothing else; undone, no trace.
    """
    cases = cases_for(empty_conn)
    run(empty_conn, cases, lambda case: case.setup)
    before = snapshot(empty_conn)

    run(empty_conn, cases, lambda case: case.change)
    changed = snapshot(empty_conn)
    run(empty_conn, cases[::-1], lambda case: case.undo)
    after = snapshot(empty_conn)

    seen, expected = named(before.diff(changed)), {x for case in cases for x in case.expected}
    assert sorted(seen - expected) == []
    assert sorted(expected - seen) == []
    assert [str(x) for x in before.diff(after)] == []
    assert before == after


def test_each_kind_has_a_query() -> None:
    """
    No kind is listed without a query, and no query is forgotten.
    """
    queries = Path(snapshot_function.__globals__["QUERIES"])

    files = {path.stem.replace("_", " ") for path in queries.glob("*.sql")} - {"settings"}

    assert files == set(KINDS)


@pytest.mark.every_major
def test_extension_stands_for_its_members(empty_conn: Conn) -> None:
    """
    An extension is one object and its comment; what it brought is not listed.
    """
    before = snapshot(empty_conn)

    empty_conn.execute("drop extension plpgsql")
    changed = snapshot(empty_conn)
    empty_conn.execute("create extension plpgsql")

    assert named(before.diff(changed)) == {
        ("extension", "plpgsql", "exists"),
        ("comment", "extension plpgsql", "exists"),
    }
    assert snapshot(empty_conn) == before


# ---------------------------------------------------------------- equal catalogs


@pytest.mark.every_major
def test_equal_databases_compare_equal(empty_conn: Conn, servers: Servers, major: int) -> None:
    """
    Two databases made by the same statements are equal, with other OIDs, attnums and names.
    """
    with (
        cloned_database(servers.get(major), template=None) as other,
        psycopg.connect(other.conninfo, autocommit=True) as other_conn,
    ):
        other_conn.execute("create table x (x int, a int); alter table x drop x")
        empty_conn.execute("create table x (a int)")
        for conn in (other_conn, empty_conn):
            cases = [case for case in cases_for(conn) if "subscription" not in case.setup]
            run(conn, cases, lambda case: case.setup)

        assert snapshot(empty_conn).diff(snapshot(other_conn)) == []


def test_majors_compare_equal(servers: Servers) -> None:
    """
    The same statements make equal catalogs on all majors, views' text before 16 apart.
    """
    found: dict[int, Snapshot] = {}
    with ExitStack() as stack:
        for major in list_majors():
            database = stack.enter_context(cloned_database(servers.get(major), template=None))
            conn = stack.enter_context(psycopg.connect(database.conninfo, autocommit=True))
            conn.execute(ROLES)
            run(conn, [x for x in CASES if x.since == 15], lambda case: case.setup)
            found[major] = snapshot(conn)

    newest = found.pop(max(found))
    for major, other in found.items():
        different = newest.diff(other)
        if major < 16:
            different = [x for x in different if (x.kind, x.attribute) != ("view", "definition")]
        assert [f"{major}: {x}" for x in different] == []


# ---------------------------------------------------------------- how it is taken


def test_snapshot_within_a_transaction_sees_it_and_leaves_it_alone(empty_conn: Conn) -> None:
    """
    In a transaction the snapshot sees what it has done; transaction and settings stay as they are.
    """
    before = snapshot(empty_conn)
    with empty_conn.transaction(force_rollback=True):
        empty_conn.execute("set local search_path to pg_temp, public")
        empty_conn.execute("create table public.t (a int)")

        inside = snapshot(empty_conn)

        assert ("table", "public.t", "exists") in named(before.diff(inside))
        assert empty_conn.execute("show search_path").fetchone() == ("pg_temp, public",)
        empty_conn.execute("insert into t values (1)")
    assert snapshot(empty_conn) == before


def test_snapshot_does_not_depend_on_the_session(
    empty_database: Database, empty_conn: Conn
) -> None:
    """
    The session's settings, its row factory and its transaction mode make no difference.
    """
    empty_conn.execute(
        "create table public.t (a timestamptz default '2020-01-01 12:00+00',"
        " b interval default '1 day 2 hours', c double precision default '0.30000000000000004')"
    )
    empty_conn.execute("create view public.v as select a from public.t")
    expected = snapshot(empty_conn)
    with psycopg.connect(empty_database.conninfo, row_factory=dict_row) as conn:
        for setting in (
            "timezone to 'Asia/Tokyo'",
            "datestyle to 'German'",
            "intervalstyle to 'iso_8601'",
            "extra_float_digits to 0",
            "quote_all_identifiers to on",
            "search_path to public",
        ):
            conn.execute(f"set {setting}".encode())
        conn.commit()

        assert snapshot(conn).diff(expected) == []
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert conn.execute("show timezone").fetchone() == {"TimeZone": "Asia/Tokyo"}


def test_search_path_of_a_function_is_the_same_however_it_was_set(empty_conn: Conn) -> None:
    """
    P11: a dump restores it without the quotes that set_config kept; a name that needs them differs.
    """
    make = "create or replace function f() returns int language sql set search_path from current"
    seen = []
    for path in ('"public", pg_temp', "public, pg_temp", '"Public", pg_temp'):
        empty_conn.execute("select set_config('search_path', %s, false)", [path])
        empty_conn.execute(f"{make.replace('f()', 'public.f()')} as 'select 1'".encode())
        seen.append(snapshot(empty_conn))

    assert seen[0].diff(seen[1]) == []
    assert [d.attribute for d in seen[1].diff(seen[2])] == ["settings"]


def test_excluded_schema_leaves_no_trace(empty_conn: Conn) -> None:
    """
    A schema that is left out is left out with all that is in it or hangs on it.
    """
    before = snapshot(empty_conn, exclude_schemas=["Left, \"out'"])

    empty_conn.execute('create schema "Left, ""out\'"')
    empty_conn.execute('set search_path to "Left, ""out\'"')
    run(
        empty_conn,
        [
            x
            for x in cases_for(empty_conn)
            if x.expected
            and all(identity.startswith("public.") for _, identity, _ in x.expected)
            and "schema" not in x.setup
            and "access method" not in x.setup
            and "foreign" not in x.setup
            and "transform" not in x.setup
        ],
        lambda case: case.setup,
    )
    empty_conn.execute(
        "create table x (a int constraint x_chk check (a > 0)); comment on table x is 'x';"
        " comment on column x.a is 'x'; comment on constraint x_chk on x is 'x';"
        ' comment on schema "Left, ""out\'" is \'x\'; grant select on x to public;'
        " create policy p on x using (true); comment on policy p on x is 'x';"
        " create rule r as on insert to x do also select 1; comment on rule r on x is 'x';"
        " create domain d as int constraint d_chk check (value > 0);"
        " comment on constraint d_chk on domain d is 'x';"
        " create function f() returns trigger language plpgsql as 'begin return new; end';"
        " create trigger g before insert on x execute function f(); "
        " comment on trigger g on x is 'x';"
        ' alter default privileges in schema "Left, ""out\'" grant select on tables to public'
    )

    after = snapshot(empty_conn, exclude_schemas=["Left, \"out'"])

    assert [str(x) for x in before.diff(after)] == []
    assert before != snapshot(empty_conn)
    assert row_digests(empty_conn, ["Left, \"out'"]) == {}


def test_ordinary_user_can_take_a_snapshot(empty_database: Database, empty_conn: Conn) -> None:
    """
    A snapshot needs no rights of a superuser and shows no password.
    """
    empty_conn.execute("alter role snapshot_bob login")
    cases = cases_for(empty_conn)
    run(empty_conn, cases, lambda case: case.setup)
    expected = snapshot(empty_conn)

    with psycopg.connect(empty_database.conninfo_as("snapshot_bob")) as conn:
        seen = snapshot(conn)

    assert {x.kind for x in expected.diff(seen)} == {"user mapping", "subscription"}
    assert "secret" not in repr(expected.objects)
    assert "nowhere" not in repr(expected.objects)


# ---------------------------------------------------------------- how it reads


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (True, False, "table public.t: is gone"),
        (False, True, "table public.t: is new"),
    ],
)
def test_missing_object_reads_well(before: object, after: object, text: str) -> None:
    """
    An object that one side lacks is gone or new.
    """
    assert str(Difference("table", "public.t", "exists", before, after)) == text


def test_difference_reads_well() -> None:
    """
    A difference names object and attribute, with both values, or a diff of long ones.
    """
    short = Difference("column", "public.t.é", "default", None, "'é'")
    long = Difference("function", "public.f()", "body", "a\nb\nc", "a\nx\nc")

    assert str(short) == "column public.t.é: default null → \"'é'\""
    assert str(long) == (
        "function public.f(): body\n    @@ -1,3 +1,3 @@\n     a\n    -b\n    +x\n     c"
    )


# ---------------------------------------------------------------- rows


@pytest.mark.long_on_each_major
def test_rows_count_and_their_order_does_not(empty_conn: Conn) -> None:
    """
    The same rows in another order, in other columns' order, have the same digest.
    """
    empty_conn.execute("create table a (x int, y text, iu_gates_row text)")
    empty_conn.execute("insert into a values (1, 'one', null), (2, null, ''), (2, null, '')")
    first = row_digests(empty_conn)

    empty_conn.execute("drop table a; create table a (iu_gates_row text, y text, x int)")
    empty_conn.execute("insert into a values ('', null, 2), ('', null, 2), (null, 'one', 1)")

    assert row_digests(empty_conn) == first
    assert first["public.a"].rows == 3


@pytest.mark.parametrize(
    "change",
    [
        "update a set x = 9 where x = 1",
        "update a set y = '' where y is null",
        "delete from a where x = 2",
        "insert into a values (2, null)",
        "update a set x = 3 - x",
    ],
)
def test_changed_rows_change_the_digest(empty_conn: Conn, change: str) -> None:
    """
    A changed, lost, doubled or mixed-up value shows, and in its own table alone.
    """
    empty_conn.execute("create table a (x int, y text); insert into a values (1, 'a'), (2, null)")
    empty_conn.execute('create schema "B"; create table "B"."a b" (); create table "B".e (z int)')
    before = row_digests(empty_conn)

    empty_conn.execute(change.encode())
    after = row_digests(empty_conn)

    assert {table for table in before if before[table] != after[table]} == {"public.a"}
    assert set(before) == {"public.a", '"B"."a b"', '"B".e'}


def test_rows_of_partitions_children_and_views_count_once(empty_conn: Conn) -> None:
    """
    A row counts in the table that holds it; a materialized view is a table, a view is none.
    """
    empty_conn.execute(
        "create table p (a int) partition by list (a);"
        " create table p1 partition of p for values in (1); insert into p values (1);"
        " create table q (a int); create table q1 () inherits (q); insert into q1 values (1), (2);"
        " create view v as select * from q; create materialized view m as select * from q;"
        " create materialized view n as select * from q with no data"
    )

    rows = {table: digest.rows for table, digest in row_digests(empty_conn).items()}

    assert rows == {"public.p1": 1, "public.q": 0, "public.q1": 2, "public.m": 2}


def test_rows_hidden_by_policies_are_no_digest(empty_database: Database, empty_conn: Conn) -> None:
    """
    Where a policy would hide rows from the session, there is an error, not a digest of the rest.
    """
    empty_conn.execute(
        "alter role snapshot_bob login; create table a (x int); insert into a values (1), (2);"
        " alter table a enable row level security; create policy p on a using (x = 1);"
        " grant select on a to snapshot_bob"
    )

    with (
        psycopg.connect(empty_database.conninfo_as("snapshot_bob")) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
    ):
        row_digests(conn)
