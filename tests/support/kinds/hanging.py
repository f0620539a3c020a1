"""
What hangs on tables: constraints, indexes, triggers, rules, policies.
"""

from __future__ import annotations

from typing import Final

from tests.support.kinds.thing import Thing, owned

FIRES: Final = "create function {n8}() returns trigger language plpgsql as 'begin return new; end'"

CONSTRAINTS: Final = (
    Thing(
        "check",
        "alter table {n} add constraint {n2} {constraint|definition} {constraint|no inherit}"
        " {constraint|validated}",
        "alter table {n} drop constraint {n2}",
        {
            "constraint|definition": ("check (a > 0)", "check (a > 1)"),
            "constraint|no inherit": ("", "no inherit"),
            "constraint|validated": ("", "not valid"),
        },
        around="create table {n} (a int)",
        exists="constraint",
    ),
    Thing(
        "foreign key",
        "alter table {n} add constraint {n2} foreign key (a) references {n3}"
        " {constraint|definition} {constraint|validated}",
        "alter table {n} drop constraint {n2}",
        {
            "constraint|definition": (
                "",
                "on delete cascade",
                "on update set null",
                "match full on delete set default (a)",
            ),
            "constraint|validated": ("", "not valid"),
        },
        around="create table {n} (a int); create table {n3} (a int primary key)",
        exists="constraint",
    ),
    Thing(
        "deferrable key",
        "create table {n} (a int constraint {n2} references {n3} {constraint|deferred})",
        "drop table {n}",
        {"constraint|deferred": ("deferrable", "deferrable initially deferred")},
        around="create table {n3} (a int primary key)",
        altered={
            "constraint|trigger states": (
                "alter table {n} enable trigger all",
                "alter table {n} disable trigger all",
            )
        },
    ),
    Thing(
        "key whose target is switched off",
        "create table {n} (a int constraint {n2} references {n3})",
        "drop table {n}",
        around="create table {n3} (a int primary key)",
        altered={
            "constraint|trigger states": (
                "alter table {n} enable trigger all; alter table {n3} enable trigger all",
                "alter table {n3} enable trigger all; alter table {n} disable trigger all",
                "alter table {n} enable trigger all; alter table {n3} disable trigger all",
            )
        },
    ),
    Thing(
        "unique",
        "alter table {n} add constraint {n2} unique {constraint|definition} (a)"
        " {constraint|deferrable}",
        "alter table {n} drop constraint {n2}",
        {
            "constraint|definition": ("", "nulls not distinct"),
            "constraint|deferrable": ("", "deferrable"),
        },
        around="create table {n} (a int)",
        exists="constraint",
    ),
    Thing(
        "exclusion",
        "alter table {n} add constraint {n2} exclude (a with =) {constraint|definition}",
        "alter table {n} drop constraint {n2}",
        {"constraint|definition": ("", "where (a > 0)")},
        around="create table {n} (a int)",
        exists="constraint",
    ),
    Thing(
        "key not enforced",
        "create table {n} (a int constraint {n2} references {n3})",
        "drop table {n}",
        around="create table {n3} (a int primary key)",
        altered={
            "constraint|enforced": (
                "alter table {n} alter constraint {n2} enforced",
                "alter table {n} alter constraint {n2} not enforced",
            )
        },
        since=18,
    ),
    Thing(
        "inherited check",
        "create table {n} (a int {constraint|local}) inherits ({n3})",
        "drop table {n}",
        {"constraint|local": ("", ", constraint {n2} check (a > 0)")},
        around="create table {n3} (a int constraint {n2} check (a > 0))",
    ),
    Thing(
        "parents of a check",
        "create table {n} (a int, constraint {n2} check (a > 0))",
        "drop table {n}",
        around="create table {n3} (a int constraint {n2} check (a > 0))",
        altered={
            "constraint|parents": (
                "alter table {n} no inherit {n3}",
                "alter table {n} inherit {n3}",
            )
        },
    ),
    Thing(
        "check of a domain",
        "alter domain {n} add constraint {n2} {constraint|definition} {constraint|validated}",
        "alter domain {n} drop constraint {n2}",
        {
            "constraint|definition": ("check (value > 0)", "check (value > 1)"),
            "constraint|validated": ("", "not valid"),
        },
        around="create domain {n} as int",
        exists="constraint",
    ),
)

INDEXES: Final = (
    Thing(
        "index",
        "create {index|definition}",
        "drop index {n}",
        {
            "index|definition": (
                "index {n} on {n2} (a)",
                "unique index {n} on {n2} (a)",
                "index {n} on {n2} (a desc nulls last)",
                "index {n} on {n2} (a) where a > 0",
                "index {n} on {n2} (a) include (b)",
                "unique index {n} on {n2} (a) nulls not distinct",
                "index {n} on {n2} using hash (a)",
                "index {n} on {n2} ((a + 1))",
                "index {n} on {n2} (a) with (fillfactor = 70)",
                'index {n} on {n2} (b collate "C" text_pattern_ops)',
            )
        },
        around="create table {n2} (a int, b text)",
        altered={
            "index|tablespace": (
                "alter index {n} set tablespace pg_default",
                "alter index {n} set tablespace snapshot_space",
            ),
            **{
                f"index|{said}": tuple(
                    f"update pg_index set {name} = {v} where indexrelid = {{ln}}::regclass"
                    for v in ("true", "false")
                )
                for said, name in (("valid", "indisvalid"), ("ready", "indisready"))
            },
        },
        exists="index",
    ),
    Thing(
        "unique index",
        "create unique index {n} on {n2} (a)",
        "drop index {n}",
        around="create table {n2} (a int not null)",
        altered={
            "index|clustered": (
                "alter table {n2} set without cluster",
                "alter table {n2} cluster on {n}",
            ),
            "index|replica identity": (
                "alter table {n2} replica identity default",
                "alter table {n2} replica identity using index {n}",
            ),
        },
    ),
    Thing(
        "index on an expression",
        "create index {n} on {n2} ((a + 1))",
        "drop index {n}",
        around="create table {n2} (a int)",
        altered={
            "index|statistics targets": (
                "alter index {n} alter column 1 set statistics -1",
                "alter index {n} alter column 1 set statistics 9",
            )
        },
    ),
    Thing(
        "index that depends on an extension",
        "create index {n} on {n2} (a)",
        "drop index {n}",
        around="create table {n2} (a int)",
        altered={
            "index|depends on extension": (
                "alter index {n} no depends on extension plpgsql",
                "alter index {n} depends on extension plpgsql",
            )
        },
    ),
    Thing(
        "index of a key",
        "alter table {n2} add constraint {n} {index|primary} (a) {index|immediate}",
        "alter table {n2} drop constraint {n}",
        {"index|primary": ("unique", "primary key"), "index|immediate": ("", "deferrable")},
        around="create table {n2} (a int not null)",
    ),
    Thing(
        "index of a partition",
        "create index {n} on {n2} (a) {index|parent}",
        "drop index if exists {n4}; drop index if exists {n}",
        {
            "index|parent": (
                "",
                "; create index {n4} on only {n3} (a); alter index {n4} attach partition {n}",
            )
        },
        around="create table {n3} (a int) partition by list (a);"
        " create table {n2} partition of {n3} for values in (1)",
    ),
    Thing(
        "statistics",
        "create statistics {n} {statistics|definition} from {n2}",
        "drop statistics {n}",
        {
            "statistics|definition": (
                "on a, b",
                "(ndistinct) on a, b",
                "(mcv) on a, b",
                "on a, b, (a + b)",
                "on (a + b)",
            )
        },
        around="create table {n2} (a int, b int)",
        altered={
            **owned("statistics", "statistics {n}"),
            "statistics|target": (
                "alter statistics {n} set statistics -1",
                "alter statistics {n} set statistics 9",
            ),
        },
        exists="statistics",
    ),
)

ON_TABLES: Final = (
    Thing(
        "trigger",
        "create trigger {n} {trigger|definition} execute function {n8}()",
        "drop trigger {n} on {n2}",
        {
            "trigger|definition": (
                "before insert on {n2} for each row",
                "after insert on {n2} for each row",
                "before insert or update of a on {n2} for each row",
                "before insert on {n2} for each row when (new.a > 0)",
                "after insert on {n2} for each statement",
                "after insert on {n2} referencing new table as x for each statement",
            )
        },
        around=f"create table {{n2}} (a int); {FIRES}",
        altered={
            "trigger|enabled": (
                "alter table {n2} enable trigger {n}",
                "alter table {n2} disable trigger {n}",
                "alter table {n2} enable replica trigger {n}",
                "alter table {n2} enable always trigger {n}",
            ),
            "trigger|depends on extension": (
                "alter trigger {n} on {n2} no depends on extension plpgsql",
                "alter trigger {n} on {n2} depends on extension plpgsql",
            ),
        },
        exists="trigger",
    ),
    Thing(
        "constraint trigger",
        "create constraint trigger {n} after insert on {n2} {trigger|definition} for each row"
        " execute function {n8}()",
        "drop trigger {n} on {n2}",
        {"trigger|definition": ("", "deferrable", "deferrable initially deferred")},
        around=f"create table {{n2}} (a int); {FIRES}",
        exists="trigger",
    ),
    Thing(
        "trigger of a partition",
        "create trigger {n} after insert on {trigger|cloned from parent} for each row execute"
        " function {n8}()",
        "drop trigger if exists {n} on {n3}; drop trigger if exists {n} on {n2}",
        {"trigger|cloned from parent": ("{n2}", "{n3}")},
        around="create table {n3} (a int) partition by list (a);"
        f" create table {{n2}} partition of {{n3}} for values in (1); {FIRES}",
    ),
    Thing(
        "rule",
        "create rule {n} as {rule|definition}",
        "drop rule {n} on {n2}",
        {
            "rule|definition": (
                "on insert to {n2} do also select 1",
                "on insert to {n2} do instead nothing",
                "on update to {n2} where new.a > 0 do also select 1",
            )
        },
        around="create table {n2} (a int)",
        altered={
            "rule|enabled": (
                "alter table {n2} enable rule {n}",
                "alter table {n2} disable rule {n}",
                "alter table {n2} enable replica rule {n}",
                "alter table {n2} enable always rule {n}",
            )
        },
        exists="rule",
    ),
    Thing(
        "policy",
        "create policy {n} on {n2} {policy|permissive} {policy|command} using (true)"
        " with check (true)",
        "drop policy {n} on {n2}",
        {
            "policy|permissive": ("", "as restrictive"),
            "policy|command": ("for all", "for update"),
        },
        around="create table {n2} (a int)",
        altered={
            "policy|roles": (
                "alter policy {n} on {n2} to public",
                "alter policy {n} on {n2} to snapshot_alice, snapshot_bob",
            ),
            "policy|using": (
                "alter policy {n} on {n2} using (true)",
                "alter policy {n} on {n2} using (a > 0)",
            ),
            "policy|check": (
                "alter policy {n} on {n2} with check (true)",
                "alter policy {n} on {n2} with check (a > 0)",
            ),
        },
        exists="policy",
    ),
)
