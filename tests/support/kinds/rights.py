"""
Privileges, default privileges, comments, labels, and what is the database's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.support.kinds.thing import Thing, owned

GRANTED: Final = (
    # what it is, how it is made, what is granted on, which privilege
    ("table", "create table {n} (a int)", "table {n}", "trigger"),
    ("column", "create table {n} (a int)", "table {n}", "update (a)"),
    ("view", "create view {n} as select 1 as a", "table {n}", "select"),
    ("materialized view", "create materialized view {n} as select 1 as a", "table {n}", "select"),
    ("sequence", "create sequence {n}", "sequence {n}", "usage"),
    ("schema", "create schema {n}", "schema {n}", "create"),
    ("function", "create function {n}() returns int return 1", "function {n}()", "execute"),
    ("procedure", "create procedure {n}() begin atomic end", "procedure {n}()", "execute"),
    (
        "aggregate",
        "create aggregate {n}(int) (sfunc = int4pl, stype = int)",
        "function {n}(int)",
        "execute",
    ),
    ("type", "create type {n} as enum ()", "type {n}", "usage"),
    ("row type", "create table {n} (a int)", "type {n}", "usage"),
    ("domain", "create domain {n} as int", "domain {n}", "usage"),
    (
        "language",
        "create trusted language {n} handler plpgsql_call_handler",
        "language {n}",
        "usage",
    ),
    (
        "foreign data wrapper",
        "create foreign data wrapper {n}",
        "foreign data wrapper {n}",
        "usage",
    ),
    (
        "foreign server",
        "create foreign data wrapper {n2}; create server {n} foreign data wrapper {n2}",
        "foreign server {n}",
        "usage",
    ),
    (
        "foreign table",
        (
            "create foreign data wrapper {n2}; create server {n3} foreign data wrapper {n2};"
            " create foreign table {n} (a int) server {n3}"
        ),
        "table {n}",
        "select",
    ),
)
BUILT_IN: Final = (
    ("function pg_sleep(double precision)", "execute"),
    ("table pg_authid", "select"),
    ("schema pg_catalog", "create"),
    ("language sql", "usage"),
    ("function plpgsql_call_handler()", "execute"),
)
DEFAULTS: Final = (
    ("r", "tables", "select"),
    ("S", "sequences", "usage"),
    ("f", "functions", "execute"),
    ("T", "types", "usage"),
)


def list_granted() -> Iterator[Thing]:
    """Yield a right to each kind of object: given, passed on, taken from its owner."""
    for what, make, on, privilege in GRANTED:
        yield Thing(
            f"privilege on a {what}",
            f"grant {privilege} on {on} to snapshot_alice",
            f"revoke {privilege} on {on} from snapshot_alice",
            altered={
                "privilege|granted to snapshot_alice": (
                    f"revoke grant option for {privilege} on {on} from snapshot_alice",
                    f"grant {privilege} on {on} to snapshot_alice with grant option",
                ),
                "privilege|granted to public": (
                    f"revoke {privilege} on {on} from public",
                    f"grant {privilege} on {on} to public",
                ),
            }
            if on.split()[0] not in ("function", "procedure", "type", "domain", "language")
            else {},
            around=make,
            exists="privilege",
        )
        if what == "column":
            continue
        yield Thing(
            f"privilege of the owner of a {what}",
            f"revoke {privilege} on {on} from postgres",
            f"grant {privilege} on {on} to postgres",
            around=make,
            exists="privilege",
        )
    for on, privilege in BUILT_IN:
        yield Thing(
            f"privilege on {on}",
            f"grant {privilege} on {on} to snapshot_alice",
            f"revoke {privilege} on {on} from snapshot_alice",
            also=(on,),
            exists="privilege",
        )


def list_defaults() -> Iterator[Thing]:
    """Yield default privileges, of a role and of a role in a schema."""
    for letter, what, privilege in DEFAULTS:
        alter = "alter default privileges for role snapshot_bob"
        yield Thing(
            f"default privilege on {what} of a schema",
            f"{alter} in schema {{n}} grant {privilege} on {what} to snapshot_alice",
            f"{alter} in schema {{n}} revoke {privilege} on {what} from snapshot_alice",
            altered={
                "privilege|granted to snapshot_alice": (
                    (
                        f"{alter} in schema {{n}} revoke grant option for {privilege} on {what}"
                        " from snapshot_alice"
                    ),
                    (
                        f"{alter} in schema {{n}} grant {privilege} on {what} to snapshot_alice"
                        " with grant option"
                    ),
                )
            },
            around="create schema {n}",
            exists="privilege",
        )
        yield Thing(
            f"default privilege on {what}",
            f"{alter} grant {privilege} on {what} to snapshot_carol",
            f"{alter} revoke {privilege} on {what} from snapshot_carol",
            also=(f"default of snapshot_bob for {letter}",),
            exists="privilege",
        )


def settle(thing: Thing) -> str:
    """Return SQL that makes a thing in its first state."""
    text = thing.make
    for name, values in thing.made.items():
        text = text.replace(f"{{{name}}}", values[0])
    return f"{thing.around}; {text}" if thing.around else text


COMMENTED: Final = {
    "access method": "access method {n}",
    "aggregate": "aggregate {n}(int)",
    "cast": "cast ({n} as int)",
    "check": "constraint {n2} on {n}",
    "check of a domain": "constraint {n2} on domain {n}",
    "collation of libc": "collation {n}",
    "column": "column {n}.a",
    "composite": "type {n}",
    "conversion": "conversion {n}",
    "domain": "domain {n}",
    "enum": "type {n}",
    "event trigger": "event trigger {n}",
    "field of a composite": "column {n}.{n2}",
    "foreign data wrapper": "foreign data wrapper {n}",
    "foreign server": "server {n}",
    "foreign table": "foreign table {n}",
    "function": "function {n}()",
    "index": "index {n}",
    "language": "language {n}",
    "materialized view": "materialized view {n}",
    "operator": "operator {n}.=%= (int, int)",
    "operator class": "operator class {n} using gist",
    "operator family": "operator family {n} using btree",
    "policy": "policy {n} on {n2}",
    "procedure": "procedure {n}(int)",
    "publication": "publication {n}",
    "rule": "rule {n} on {n2}",
    "schema": "schema {n}",
    "sequence": "sequence {n}",
    "statistics": "statistics {n}",
    "subscription": "subscription {n}",
    "table": "table {n}",
    "text search configuration": "text search configuration {n}",
    "text search dictionary": "text search dictionary {n}",
    "text search parser": "text search parser {n}",
    "text search template": "text search template {n}",
    "transform": "transform for {n} language sql",
    "trigger": "trigger {n} on {n2}",
    "view": "view {n}",
}
"""What COMMENT ON says of the things that can have one."""


def list_comments(things: tuple[Thing, ...]) -> Iterator[Thing]:
    """Yield the comment of each kind of object."""
    by_name = {each.name: each for each in things}
    for name, word in COMMENTED.items():
        yield Thing(
            f"comment on a {name}",
            f"comment on {word} is 'x'",
            f"comment on {word} is null",
            altered={
                "comment|text": (
                    f"comment on {word} is 'x'",
                    f"comment on {word} is 'X: é''%s\n'",
                )
            },
            around=settle(by_name[name]),
            exists="comment",
        )


def labelled(name: str, around: str, key: str, catalog: str = "pg_seclabel") -> Thing:
    """Return a security label, written as a provider would: none is at hand."""
    columns = "(objoid, classoid, objsubid, provider, label)"
    if catalog == "pg_shseclabel":
        columns = "(objoid, classoid, provider, label)"
    delete = f"delete from {catalog} where (objoid, classoid) = ({key})"
    sub = ", 0" if catalog == "pg_seclabel" else ""
    return Thing(
        f"label of a {name}",
        f"insert into {catalog} {columns} values ({key}{sub}, 'p', 'x')",
        delete,
        altered={
            "security label|label": tuple(
                f"update {catalog} set label = '{v}' where (objoid, classoid) = ({key})"
                for v in "xy"
            )
        },
        around=around,
        also=("this database for p",),
        exists="security label",
    )


LABELS: Final = (
    labelled("table", "create table {n} (a int)", "{ln}::regclass::oid, 'pg_class'::regclass"),
    labelled("type", "create type {n} as enum ()", "{ln}::regtype::oid, 'pg_type'::regclass"),
    labelled("schema", "create schema {n}", "{ln}::regnamespace::oid, 'pg_namespace'::regclass"),
    labelled(
        "database",
        "select",
        "(select oid from pg_database where datname = current_database()), 'pg_database'::regclass",
        "pg_shseclabel",
    ),
)
DATABASE: Final = (
    Thing(
        "database",
        "select",
        "select",
        altered={
            **owned("database", "database {db}"),
            "database|connection limit": (
                "alter database {db} connection limit -1",
                "alter database {db} connection limit 5",
            ),
            "database|template": (
                "alter database {db} is_template false",
                "alter database {db} is_template true",
            ),
            "database|comment": (
                "comment on database {db} is null",
                "comment on database {db} is 'x'",
            ),
            "privilege|revoked from public": (
                "grant temporary on database {db} to public",
                "revoke temporary on database {db} from public",
            ),
        },
        also=("this database",),
    ),
    Thing(
        "setting of the database",
        "alter database {db} set work_mem = '5MB'",
        "alter database {db} reset all",
        altered={
            "setting|work_mem": (
                "alter database {db} set work_mem = '5MB'",
                "alter database {db} set work_mem = '6MB'",
            ),
            "setting|search_path": (
                "alter database {db} reset search_path",
                "alter database {db} set search_path = a, {n}",
            ),
        },
        also=("all roles",),
        exists="setting",
    ),
    Thing(
        "setting of a role",
        "alter role snapshot_bob in database {db} set work_mem = '5MB'",
        "alter role snapshot_bob in database {db} reset all",
        altered={
            "setting|work_mem": (
                "alter role snapshot_bob in database {db} set work_mem = '5MB'",
                "alter role snapshot_bob in database {db} set work_mem = '6MB'",
            ),
        },
        also=("snapshot_bob",),
        exists="setting",
    ),
)
