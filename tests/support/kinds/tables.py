"""
Tables and what hangs on them.
"""

from __future__ import annotations

from typing import Final

from tests.support.kinds.thing import Thing, owned

EMPTY: Final = "alter table {n} drop a, drop b, drop c"


def column(attribute: str, *values: str, of: str = "a") -> dict[str, tuple[str, ...]]:
    """Return an attribute of a column of table ``{n}``: what follows ALTER COLUMN."""
    return {f"column|{attribute}": tuple(f"alter table {{n}} alter {of} {v}" for v in values)}


def table(attribute: str, *values: str) -> dict[str, tuple[str, ...]]:
    """Return an attribute of table ``{n}``: what follows ALTER TABLE."""
    return {f"table|{attribute}": tuple(f"alter table {{n}} {v}" for v in values)}


TABLES: Final = (
    Thing(
        "table",
        "create table {n} (a int not null, b text)",
        "drop table {n}",
        altered={
            **owned("table", "table {n}"),
            **table("options", "reset (fillfactor)", "set (fillfactor = 70)"),
            **table(
                "toast options",
                "reset (toast.autovacuum_enabled)",
                "set (toast.autovacuum_enabled = off)",
            ),
            **table("persistence", "set logged", "set unlogged"),
            **table(
                "replica identity",
                "replica identity default",
                "replica identity full",
                "replica identity nothing",
            ),
            **table("row security", "disable row level security", "enable row level security"),
            **table(
                "row security forced", "no force row level security", "force row level security"
            ),
            **table("access method", "set access method heap", "set access method snapshot_heap"),
            **table("tablespace", "set tablespace pg_default", "set tablespace snapshot_space"),
        },
        exists="table",
    ),
    Thing(
        "typed table",
        "create table {n} (x int)",
        "drop table {n}",
        around="create type {n2} as (x int)",
        altered=table("of type", "not of", "of {n2}"),
    ),
    Thing(
        "child",
        "create table {n} (a int)",
        "drop table {n}",
        around="create table {n2} (a int); create table {n3} (a int)",
        altered={
            **table("inherits", "no inherit {n2}", "inherit {n2}"),
            "column|statistics target": (
                "alter table {n} alter a set statistics -1",
                "alter table {n} alter a set statistics 0",
                "alter table {n} alter a set statistics 77",
            ),
        },
        exists="table",
    ),
    Thing(
        "column of a child",
        "create table {n} ({column|local}) inherits ({n2})",
        "drop table {n}",
        {"column|local": ("", "a int")},
        around="create table {n2} (a int)",
    ),
    Thing(
        "not null of a child",
        "create table {n} ({column|not null}) inherits ({n2})",
        "drop table {n}",
        {"column|not null": ("a int", "a int not null")},
        around="create table {n2} (a int not null)",
        since=18,
    ),
    Thing(
        "parents of a column",
        "create table {n} (a int) {column|parents}",
        "drop table {n}",
        {"column|parents": ("", "inherits ({n2})", "inherits ({n2}, {n3})")},
        around="create table {n2} (a int); create table {n3} (a int)",
    ),
    Thing(
        "partition",
        "create table {n} (a int)",
        "drop table {n}",
        around="create table {n2} (a int) partition by list (a)",
        altered={
            "table|partition bound": (
                "alter table {n2} detach partition {n}",
                "alter table {n2} attach partition {n} for values in (1)",
            )
        },
        exists="table",
    ),
    Thing(
        "bound of a partition",
        "create table {n} partition of {n2} {table|partition bound}",
        "drop table {n}",
        {"table|partition bound": ("for values in (1)", "for values in (1, null)", "default")},
        around="create table {n2} (a int) partition by list (a)",
    ),
    Thing(
        "partitioned table",
        "create table {n} (a int, b int) partition by {table|partition key}",
        "drop table {n}",
        {"table|partition key": ("list (a)", "range (a)", "range (b, a)", "hash ((a + b))")},
        exists="table",
    ),
    Thing(
        "detached partition",
        "create table {n} partition of {n2} for values in (1)",
        "drop table {n}",
        around="create table {n2} (a int) partition by list (a)",
        altered={
            "table|detach pending": tuple(
                f"update pg_inherits set inhdetachpending = {v} where inhrelid = {{ln}}::regclass"
                for v in ("false", "true")
            )
        },
    ),
)

COLUMNS: Final = (
    Thing(
        "column",
        "alter table {n} add a {column|type} {column|generated}",
        "alter table {n} drop a",
        {
            "column|type": ("int", "bigint", "numeric(7,2)", "{n2}"),
            "column|generated": ("", "generated always as (1) stored"),
        },
        around="create table {n} (); create domain {n2} as int",
        altered={
            **column("not null", "drop not null", "set not null"),
            **column("statistics target", "set statistics -1", "set statistics 7"),
            **column(
                "options", "reset (n_distinct)", "set (n_distinct = 3)", "set (n_distinct = 0.5)"
            ),
        },
        exists="column",
    ),
    Thing(
        "text column",
        "alter table {n} add {n2} text {column|collation}",
        "alter table {n} drop {n2}",
        {"column|collation": ("", 'collate "C"', 'collate "POSIX"')},
        around="create table {n} ()",
        altered={
            **column(
                "default", "drop default", "set default ''", "set default now()::text", of="{n2}"
            ),
            **column(
                "storage",
                "set storage extended",
                "set storage external",
                "set storage main",
                of="{n2}",
            ),
            **column("compression", "set compression default", "set compression pglz", of="{n2}"),
        },
        exists="column",
    ),
    Thing(
        "identity column",
        "create table {n} (a int generated by default as identity)",
        "drop table {n}",
        altered={
            **column("identity", "set generated by default", "set generated always"),
            "sequence|start": (
                "alter table {n} alter a set start 1",
                "alter table {n} alter a set start 9",
            ),
        },
    ),
    Thing(
        "no identity",
        "create table {n} (a int not null)",
        "drop table {n}",
        altered=column("identity", "drop identity if exists", "add generated always as identity"),
    ),
    Thing(
        "virtual column",
        "create table {n} (a int, b int {column|default} {column|generated})",
        "drop table {n}",
        {
            "column|default": ("generated always as (a + 1)", "generated always as (a + 2)"),
            "column|generated": ("stored", "virtual"),
        },
        since=18,
    ),
    Thing(
        "not null not yet valid",
        "create table {n} (a int)",
        "drop table {n}",
        altered={
            "column|not null": (
                "alter table {n} drop constraint if exists {n2}",
                "alter table {n} add constraint {n2} not null a not valid",
            )
        },
        since=18,
    ),
    Thing(
        "not null that is not inherited",
        "create table {n} (a int, constraint {n2} not null a {column|not null})",
        "drop table {n}",
        {"column|not null": ("", "no inherit")},
        since=18,
    ),
    Thing(
        "order of columns",
        "create table {n} (a int, b int, c int)",
        "drop table {n}",
        altered={
            "column order|order": (
                f"{EMPTY}; alter table {{n}} add a int, add b int, add c int",
                f"{EMPTY}; alter table {{n}} add b int, add c int, add a int",
                f"{EMPTY}; alter table {{n}} add c int, add b int, add a int",
            )
        },
    ),
    Thing(
        "column of a view",
        "create view {n} as select 1 as a",
        "drop view {n}",
        altered={
            "column|default": (
                "alter view {n} alter a drop default",
                "alter view {n} alter a set default 5",
            )
        },
        exists="view",
    ),
)
