"""
Foreign data, replication, extensions, large objects.
"""

from __future__ import annotations

from typing import Final

from tests.support.kinds.thing import Thing, owned

WRAPPER: Final = "create foreign data wrapper {n9}; create server {n8} foreign data wrapper {n9}"


def options(kind: str, alter: str) -> dict[str, tuple[str, ...]]:
    """Return the attribute "options" of what has (a 'x')."""
    return {
        f"{kind}|options": (f"{alter} options (set a 'x')", f"{alter} options (set a 'y')"),
    }


def subscription(attribute: str, name: str, *values: str) -> dict[str, tuple[str, ...]]:
    """Return an attribute of a subscription, which SET changes."""
    return {
        f"subscription|{attribute}": tuple(
            f"alter subscription {{n}} set ({name} = {v})" for v in values
        )
    }


FOREIGN: Final = (
    Thing(
        "foreign data wrapper",
        "create foreign data wrapper {n} options (a 'x')",
        "drop foreign data wrapper {n}",
        altered={
            **owned("foreign data wrapper", "foreign data wrapper {n}"),
            **options("foreign data wrapper", "alter foreign data wrapper {n}"),
        },
        exists="foreign data wrapper",
    ),
    Thing(
        "handler of a wrapper",
        "create foreign data wrapper {n}",
        "drop foreign data wrapper {n}",
        around="create function {n2}() returns fdw_handler language internal as 'int4in'",
        altered={
            "foreign data wrapper|handler": (
                "alter foreign data wrapper {n} no handler",
                "alter foreign data wrapper {n} handler {n2}",
            ),
            "foreign data wrapper|validator": (
                "alter foreign data wrapper {n} no validator",
                "alter foreign data wrapper {n} validator postgresql_fdw_validator",
            ),
        },
    ),
    Thing(
        "foreign server",
        "create server {n} {foreign server|type} version '1' foreign data wrapper"
        " {foreign server|wrapper} options (a 'x')",
        "drop server {n}",
        {
            "foreign server|type": ("", "type 't'"),
            "foreign server|wrapper": ("{n2}", "{n3}"),
        },
        around="create foreign data wrapper {n2}; create foreign data wrapper {n3}",
        altered={
            **owned("foreign server", "server {n}"),
            **options("foreign server", "alter server {n}"),
            "foreign server|version": (
                "alter server {n} version '1'",
                "alter server {n} version '2'",
            ),
        },
        exists="foreign server",
    ),
    Thing(
        "user mapping",
        "create user mapping for snapshot_alice server {n8} options (a 'x')",
        "drop user mapping for snapshot_alice server {n8}",
        around=WRAPPER,
        altered=options("user mapping", "alter user mapping for snapshot_alice server {n8}"),
        exists="user mapping",
    ),
    Thing(
        "foreign table",
        "create foreign table {n} (b int options (a 'x')) server {foreign table|server}"
        " options (a 'x')",
        "drop foreign table {n}",
        {"foreign table|server": ("{n8}", "{n7}")},
        around=f"{WRAPPER}; create server {{n7}} foreign data wrapper {{n9}};"
        " create table {n2} (b int)",
        altered={
            **owned("foreign table", "foreign table {n}"),
            **options("foreign table", "alter foreign table {n}"),
            "column|foreign options": (
                "alter foreign table {n} alter b options (set a 'x')",
                "alter foreign table {n} alter b options (set a 'y')",
            ),
            "foreign table|inherits": (
                "alter foreign table {n} no inherit {n2}",
                "alter foreign table {n} inherit {n2}",
            ),
        },
        exists="foreign table",
    ),
    Thing(
        "foreign partition",
        "create foreign table {n} (b int) server {n8}",
        "drop foreign table {n}",
        around=f"{WRAPPER}; create table {{n2}} (b int) partition by list (b)",
        altered={
            "foreign table|partition bound": (
                "alter table {n2} detach partition {n}",
                "alter table {n2} attach partition {n} for values in (1)",
            )
        },
    ),
    Thing(
        "detached foreign partition",
        "create foreign table {n} partition of {n2} for values in (1) server {n8}",
        "drop foreign table {n}",
        around=f"{WRAPPER}; create table {{n2}} (b int) partition by list (b)",
        altered={
            "foreign table|detach pending": tuple(
                f"update pg_inherits set inhdetachpending = {v} where inhrelid = {{ln}}::regclass"
                for v in ("false", "true")
            )
        },
    ),
)

REPLICATION: Final = (
    Thing(
        "publication",
        "create publication {n} for table {publication|tables} {publication|schemas}",
        "drop publication {n}",
        {
            "publication|tables": ("{n2}", "{n3}", "{n2}, {n3}"),
            "publication|schemas": ("", ", tables in schema {n4}"),
        },
        around="create table {n2} (a int, b int); create table {n3} (a int); create schema {n4}",
        altered={
            **owned("publication", "publication {n}"),
            "publication|via root": (
                "alter publication {n} set (publish_via_partition_root = false)",
                "alter publication {n} set (publish_via_partition_root = true)",
            ),
        },
        exists="publication",
    ),
    *(
        Thing(
            f"publication of {word}",
            "create publication {n}",
            "drop publication {n}",
            altered={
                f"publication|{word}": (
                    "alter publication {n} set (publish = 'insert, update, delete, truncate')",
                    "alter publication {n} set (publish = '{others}')".replace(
                        "{others}",
                        ", ".join(
                            w for w in ("insert", "update", "delete", "truncate") if w != word
                        ),
                    ),
                )
            },
        )
        for word in ("insert", "update", "delete", "truncate")
    ),
    Thing(
        "columns of a publication",
        "create publication {n} for table {n2} {publication|tables}",
        "drop publication {n}",
        {"publication|tables": ("", "(a)", "(a, b)", "where (a > 0)", "(b) where (a > 1)")},
        around="create table {n2} (a int, b int)",
    ),
    Thing(
        "publication of all tables",
        "create publication {n} {publication|all tables}",
        "drop publication {n}",
        {"publication|all tables": ("", "for all tables")},
    ),
    Thing(
        "generated columns of a publication",
        "create publication {n}",
        "drop publication {n}",
        altered={
            "publication|generated columns": (
                "alter publication {n} set (publish_generated_columns = none)",
                "alter publication {n} set (publish_generated_columns = stored)",
            )
        },
        since=18,
    ),
    Thing(
        "subscription",
        "create subscription {n} connection 'dbname=x' publication one"
        " with (connect = false, slot_name = none, streaming = off)",
        "alter subscription {n} set (slot_name = none); drop subscription {n}",
        altered={
            **owned("subscription", "subscription {n}"),
            "subscription|connection": (
                "alter subscription {n} connection 'dbname=x'",
                "alter subscription {n} connection 'dbname=y'",
            ),
            "subscription|publications": (
                "alter subscription {n} set publication one with (refresh = false)",
                "alter subscription {n} set publication one, two with (refresh = false)",
            ),
            **subscription("binary", "binary", "off", "on"),
            **subscription("streaming", "streaming", "off", "on"),
            **subscription("disable on error", "disable_on_error", "off", "on"),
            **subscription("synchronous commit", "synchronous_commit", "off", "local"),
            **subscription("slot", "slot_name", "none", "'x'"),
        },
        exists="subscription",
    ),
    Thing(
        "subscription that is on",
        "create subscription {n} connection 'dbname=x' publication one"
        " with (connect = false, slot_name = 'x', streaming = off)",
        "alter subscription {n} disable; alter subscription {n} set (slot_name = none);"
        " drop subscription {n}",
        altered={
            "subscription|enabled": (
                "alter subscription {n} disable",
                "alter subscription {n} enable",
            ),
            "subscription|skipped": (
                "alter subscription {n} skip (lsn = none)",
                "alter subscription {n} skip (lsn = '0/1234')",
            ),
        },
    ),
    Thing(
        "two-phase subscription",
        "create subscription {n} connection 'dbname=x' publication one"
        " with (connect = false, slot_name = none, streaming = off,"
        " two_phase = {subscription|two phase})",
        "drop subscription {n}",
        {"subscription|two phase": ("off", "on")},
    ),
    Thing(
        "origin of a subscription",
        "create subscription {n} connection 'dbname=x' publication one"
        " with (connect = false, slot_name = none)",
        "drop subscription {n}",
        altered={
            **subscription("origin", "origin", "any", "none"),
            **subscription("password required", "password_required", "true", "false"),
            **subscription("run as owner", "run_as_owner", "false", "true"),
        },
        since=16,
    ),
    Thing(
        "failover of a subscription",
        "create subscription {n} connection 'dbname=x' publication one"
        " with (connect = false, slot_name = none, failover = {subscription|failover})",
        "drop subscription {n}",
        {"subscription|failover": ("false", "true")},
        since=17,
    ),
)

REST: Final = (
    Thing(
        "extension",
        "create extension tcn {extension|schema}",
        "drop extension tcn",
        {"extension|schema": ("schema public", "schema {n}")},
        around="create schema {n}",
        needs="tcn",
        also=("tcn",),
        exists="extension",
    ),
    *(
        Thing(
            f"{attribute} of an extension",
            "select",
            "select",
            altered={
                f"extension|{attribute}": tuple(
                    f"update pg_extension set {column} = {v} where extname = 'plpgsql'"
                    for v in values
                )
            },
            around="create schema {n}",
            also=("plpgsql",),
        )
        for attribute, column, values in (
            ("owner", "extowner", ("10", "'snapshot_carol'::regrole")),
            ("version", "extversion", ("'1.0'", "'1.1'")),
            ("schema", "extnamespace", ("'pg_catalog'::regnamespace", "{ln}::regnamespace")),
        )
    ),
    Thing(
        "member of an extension",
        "select",
        "select",
        altered={
            "extension|members": (
                "alter extension plpgsql drop function {n}()",
                "alter extension plpgsql add function {n}()",
            )
        },
        around="create function {n}() returns int language sql as 'select 1'",
        also=("plpgsql",),
    ),
    Thing(
        "large object",
        "select lo_from_bytea(4711, 'x'); alter large object 4711 owner to snapshot_alice",
        "select lo_unlink(4711)",
        altered={
            "large object|privileges": (
                "revoke select on large object 4711 from snapshot_bob",
                "grant select on large object 4711 to snapshot_bob",
            ),
            "large object|comments": (
                "comment on large object 4711 is null",
                "comment on large object 4711 is 'x'",
            ),
        },
        also=("of snapshot_alice",),
        exists="large object",
    ),
    Thing(
        "more large objects",
        "select lo_from_bytea(4712, 'x'); alter large object 4712 owner to snapshot_bob",
        "select lo_unlink(4712)",
        altered={
            "large object|number": (
                "select lo_unlink(4713)",
                "select lo_from_bytea(4713, 'x'); alter large object 4713 owner to snapshot_bob",
            )
        },
        also=("of snapshot_bob",),
    ),
)
