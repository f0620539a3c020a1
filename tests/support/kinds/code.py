"""
Functions and what is made of them: aggregates, operators, casts, languages, event triggers.
"""

from __future__ import annotations

from typing import Final

from tests.support.kinds.thing import Thing, owned


def function(attribute: str, *values: str) -> dict[str, tuple[str, ...]]:
    """Return an attribute of function ``{n}()``: what follows ALTER FUNCTION."""
    return {f"function|{attribute}": tuple(f"alter function {{n}}() {v}" for v in values)}


FUNCTIONS: Final = (
    Thing(
        "function",
        "create function {n}() returns setof int language sql"
        " support generate_series_int4_support as {function|body}",
        "drop function {n}()",
        {"function|body": ("'select 1'", "'select 1 '", "'select 2'")},
        altered={
            **owned("function", "function {n}()"),
            **function("volatility", "volatile", "stable", "immutable"),
            **function("strict", "called on null input", "strict"),
            **function("security definer", "security invoker", "security definer"),
            **function("leakproof", "not leakproof", "leakproof"),
            **function("parallel", "parallel unsafe", "parallel restricted", "parallel safe"),
            **function("cost", "cost 100", "cost 7"),
            **function("rows", "rows 1000", "rows 8"),
            **function(
                "settings", "reset all", "set work_mem = '5MB'", "set search_path = {n2}, pg_temp"
            ),
            **function(
                "support",
                "support generate_series_int4_support",
                "support generate_series_int8_support",
            ),
            **function(
                "depends on extension",
                "no depends on extension plpgsql",
                "depends on extension plpgsql",
            ),
        },
        exists="function",
    ),
    Thing(
        "language and result of a function",
        "create function {n}() {function|result} {function|transforms} {function|language}"
        " as 'begin return; end'",
        "drop function {n}()",
        {
            "function|result": (
                "returns setof int",
                "returns setof bigint",
                "returns table (x int)",
                "returns setof {n2}",
            ),
            "function|transforms": ("", "transform for type {n3}"),
            "function|language": ("language plpgsql", "language {n4}"),
        },
        around="create language {n4} handler plpgsql_call_handler;"
        " create type {n2} as (x int); create type {n3} as (x int);"
        " create transform for {n3} language plpgsql (from sql with function"
        " prsd_lextype(internal)); create transform for {n3} language {n4}"
        " (from sql with function prsd_lextype(internal))",
    ),
    Thing(
        "arguments of a function",
        "create function {n}({function|arguments}) {function|kind} as 'select 1'",
        "drop routine {n}(int)",
        {
            "function|arguments": ("a int", "b int", "int", "a int default 1"),
            "function|kind": ("returns int language sql", "returns int language sql window"),
        },
    ),
    Thing(
        "procedure",
        "create procedure {n}(inout a int) language sql as {function|body}",
        "drop procedure {n}(int)",
        {"function|body": ("'select 1'", "'select 2'")},
        altered={
            "function|security definer": (
                "alter procedure {n}(int) security invoker",
                "alter procedure {n}(int) security definer",
            ),
            "function|owner": (
                "alter procedure {n}(int) owner to postgres",
                "alter procedure {n}(int) owner to snapshot_carol",
            ),
        },
        exists="function",
    ),
    Thing(
        "library of a function",
        "create function {n}() returns language_handler language c as {function|library},"
        " 'plpgsql_call_handler'",
        "drop function {n}()",
        {"function|library": ("'$libdir/plpgsql'", "'plpgsql'")},
    ),
    Thing(
        "body in SQL",
        "create function {n}() returns int return {function|sql body}",
        "drop function {n}()",
        {"function|sql body": ("1", "2")},
    ),
    Thing(
        "event trigger",
        "create event trigger {n} on {event trigger|event} {event trigger|tags}"
        " execute function {event trigger|function}()",
        "drop event trigger {n}",
        {
            "event trigger|event": ("sql_drop", "ddl_command_end"),
            "event trigger|tags": (
                "when tag in ('DROP LANGUAGE')",
                "when tag in ('DROP LANGUAGE', 'DROP SERVER')",
            ),
            "event trigger|function": ("{n2}", "{n3}"),
        },
        around="create function {n2}() returns event_trigger language plpgsql as 'begin end';"
        " create function {n3}() returns event_trigger language plpgsql as 'begin end'",
        altered={
            **owned("event trigger", "event trigger {n}"),
            "event trigger|enabled": (
                "alter event trigger {n} enable",
                "alter event trigger {n} disable",
                "alter event trigger {n} enable replica",
                "alter event trigger {n} enable always",
            ),
        },
        exists="event trigger",
    ),
    Thing(
        "language",
        "create {language|trusted} language {n} handler {language|handler} {language|inline}"
        " {language|validator}",
        "drop language {n}",
        {
            "language|trusted": ("", "trusted"),
            "language|handler": ("plpgsql_call_handler", "{n2}"),
            "language|inline": ("", "inline plpgsql_inline_handler"),
            "language|validator": ("", "validator plpgsql_validator"),
        },
        around="create function {n2}() returns language_handler language internal as 'int4in'",
        altered=owned("language", "language {n}"),
        exists="language",
    ),
    Thing(
        "access method",
        "create access method {n} type {access method|type}",
        "drop access method {n}",
        {
            "access method|type": ("table handler heap_tableam_handler", "index handler bthandler"),
        },
        exists="access method",
    ),
    Thing(
        "handler of an access method",
        "create access method {n} type index handler {access method|handler}",
        "drop access method {n}",
        {"access method|handler": ("bthandler", "hashhandler")},
    ),
    Thing(
        "transform",
        "create transform for {n} language sql ({transform|from sql} {transform|to sql})",
        "drop transform for {n} language sql",
        {
            "transform|from sql": (
                "from sql with function prsd_lextype(internal)",
                "from sql with function {n3}(internal)",
            ),
            "transform|to sql": ("", ", to sql with function {n4}(internal)"),
        },
        around="create type {n} as (x int); create function {n3}(internal) returns internal"
        " language internal immutable as 'prsd_lextype'; create function {n4}(internal)"
        " returns {n} language internal immutable as 'record_recv'",
        exists="transform",
    ),
)

AGGREGATES: Final = (
    Thing(
        "aggregate",
        "create aggregate {n}({aggregate|arguments}) (sfunc = {aggregate|transition}, stype = int"
        " {aggregate|initial} {aggregate|parallel} {aggregate|state size} {aggregate|final}"
        " {aggregate|combine})",
        "drop aggregate {n}(int)",
        {
            "aggregate|arguments": ("int", "a int"),
            "aggregate|transition": ("int4pl", "int4mul"),
            "aggregate|initial": ("", ", initcond = '0'"),
            "aggregate|parallel": ("", ", parallel = safe"),
            "aggregate|state size": ("", ", sspace = 9"),
            "aggregate|final": ("", ", finalfunc = int4up"),
            "aggregate|combine": ("", ", combinefunc = int4pl"),
        },
        altered=owned("aggregate", "aggregate {n}(int)"),
        exists="aggregate",
    ),
    Thing(
        "final function",
        "create aggregate {n}(int) (sfunc = int4pl, stype = int, finalfunc = {aggregate|result}"
        " {aggregate|final modify} {aggregate|final extra})",
        "drop aggregate {n}(int)",
        {
            "aggregate|result": ("{n2}", "{n3}"),
            "aggregate|final modify": ("", ", finalfunc_modify = read_write"),
            "aggregate|final extra": ("", ", finalfunc_extra"),
        },
        around="create function {n2}(int) returns text return ''; create function {n2}(int, int)"
        " returns text return ''; create function {n3}(int) returns int return 1;"
        " create function {n3}(int, int) returns int return 1",
    ),
    Thing(
        "state of an aggregate",
        "create aggregate {n}(int) (sfunc = {n2}, stype = {aggregate|state type})",
        "drop aggregate {n}(int)",
        {"aggregate|state type": ("int", "bigint")},
        around="create function {n2}(int, int) returns int return 1;"
        " create function {n2}(bigint, int) returns bigint return 1",
    ),
    Thing(
        "moving aggregate",
        "create aggregate {n}(int) (sfunc = int4_avg_accum, stype = _int8, finalfunc = int8_avg,"
        " initcond = '{{0,0}}' {aggregate|moving})",
        "drop aggregate {n}(int)",
        {
            "aggregate|moving": (
                "",
                (
                    ", msfunc = int4_avg_accum, minvfunc = int4_avg_accum_inv, mstype = _int8,"
                    " mfinalfunc = int8_avg, minitcond = '{{0,0}}'"
                ),
                (
                    ", msfunc = int4_avg_accum, minvfunc = int4_avg_accum_inv, mstype = _int8,"
                    " mfinalfunc = int8_avg, minitcond = '{{0,1}}'"
                ),
                (
                    ", msfunc = int4_avg_accum, minvfunc = int4_avg_accum_inv, mstype = _int8,"
                    " mfinalfunc = int8_avg, minitcond = '{{0,0}}', msspace = 9"
                ),
            )
        },
    ),
    Thing(
        "order of an aggregate",
        "create aggregate {n}(int) (sfunc = int4smaller, stype = int {aggregate|sort operator})",
        "drop aggregate {n}(int)",
        {"aggregate|sort operator": ("", ", sortop = <", ", sortop = >")},
    ),
    Thing(
        "serial functions",
        "create aggregate {n}(numeric) (sfunc = numeric_avg_accum, finalfunc = numeric_avg,"
        " stype = internal, combinefunc = numeric_avg_combine"
        " {aggregate|serial})",
        "drop aggregate {n}(numeric)",
        {
            "aggregate|serial": (
                "",
                ", serialfunc = numeric_avg_serialize, deserialfunc = numeric_avg_deserialize",
            ),
        },
    ),
    Thing(
        "deserial function",
        "create aggregate {n}(numeric) (sfunc = numeric_avg_accum, finalfunc = numeric_avg,"
        " stype = internal, combinefunc = numeric_avg_combine, serialfunc = numeric_avg_serialize,"
        " deserialfunc = {aggregate|deserial})",
        "drop aggregate {n}(numeric)",
        {"aggregate|deserial": ("numeric_avg_deserialize", "{n2}")},
        around="create function {n2}(bytea, internal) returns internal language internal strict"
        " parallel safe as 'numeric_avg_deserialize'",
    ),
    Thing(
        "ordered set or hypothetical",
        'create aggregate {n}(variadic "any" order by variadic "any") ({aggregate|kind}'
        " sfunc = ordered_set_transition_multi, stype = internal, finalfunc = rank_final,"
        " finalfunc_extra)",
        'drop aggregate {n}(variadic "any" order by variadic "any")',
        {"aggregate|kind": ("", "hypothetical,")},
        exists="aggregate",
    ),
)

OPERATORS: Final = (
    Thing(
        "operator",
        "create operator {n}.=%= (leftarg = int, rightarg = int, function = {operator|function}"
        " {operator|merges} {operator|hashes} {operator|commutator} {operator|negator})",
        "drop operator {n}.=%= (int, int)",
        {
            "operator|function": ("int4eq", "int4ne"),
            "operator|merges": ("", ", merges"),
            "operator|hashes": ("", ", hashes"),
            "operator|commutator": ("", ", commutator = operator({n}.=%=)"),
            "operator|negator": ("", ", negator = operator({n}.<%>)"),
        },
        around="create schema {n}; create operator {n}.<%> (leftarg = int, rightarg = int,"
        " function = int4ne)",
        altered={
            **owned("operator", "operator {n}.=%= (int, int)"),
            "operator|restrict": (
                "alter operator {n}.=%= (int, int) set (restrict = none)",
                "alter operator {n}.=%= (int, int) set (restrict = eqsel)",
            ),
            "operator|join": (
                "alter operator {n}.=%= (int, int) set (join = none)",
                "alter operator {n}.=%= (int, int) set (join = neqjoinsel)",
            ),
        },
        exists="operator",
    ),
    Thing(
        "result of an operator",
        "create operator {n}.!!! (rightarg = int, function = {operator|result})",
        "drop operator {n}.!!! (none, int)",
        {"operator|result": ("{n2}", "{n3}")},
        around="create schema {n}; create function {n2}(int) returns int return 1;"
        " create function {n3}(int) returns text return ''",
        exists="operator",
    ),
    Thing(
        "operator family",
        "create operator family {n} using btree",
        "drop operator family {n} using btree",
        altered={
            **owned("operator family", "operator family {n} using btree"),
            "operator family|operators": (
                "alter operator family {n} using btree drop operator 1 (int4, int8)",
                "alter operator family {n} using btree add operator 1 < (int4, int8)",
            ),
            "operator family|functions": (
                "alter operator family {n} using btree drop function 1 (int4, int8)",
                (
                    "alter operator family {n} using btree"
                    " add function 1 (int4, int8) btint48cmp(int4, int8)"
                ),
            ),
        },
        exists="operator family",
    ),
    Thing(
        "operator class",
        "create operator class {n} {operator class|default} for type {operator class|type}"
        " using gist family {operator class|family} as storage {operator class|storage}",
        "drop operator class {n} using gist",
        {
            "operator class|default": ("", "default"),
            "operator class|type": ("{n2}", "{n3}"),
            "operator class|family": ("{n4}", "{n5}"),
            "operator class|storage": ("int", "text"),
        },
        around="create type {n2} as enum (); create type {n3} as enum ();"
        " create operator family {n4} using gist; create operator family {n5} using gist",
        altered=owned("operator class", "operator class {n} using gist"),
        exists="operator class",
    ),
    Thing(
        "operators of a class",
        "create operator class {n} for type int4 using hash as function 1 hashint4(int4)"
        " {operator family|operators}",
        "drop operator family {n} using hash",
        {"operator family|operators": ("", ", operator 1 =")},
    ),
    Thing(
        "cast",
        "create cast ({n} as int) {cast|function} {cast|context}",
        "drop cast ({n} as int)",
        {
            "cast|function": ("with function {n2}({n})", "with function {n3}({n})"),
            "cast|context": ("", "as assignment", "as implicit"),
        },
        around="create type {n} as (x int); create function {n2}({n}) returns int return 1;"
        " create function {n3}({n}) returns int return 1",
        exists="cast",
    ),
    Thing(
        "method of a cast",
        "create cast ({n} as text) {cast|method}",
        "drop cast ({n} as text)",
        {"cast|method": ("with inout", "with function {n2}({n})")},
        around="create type {n} as (x int); create function {n2}({n}) returns text return ''",
    ),
)
