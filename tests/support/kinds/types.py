"""
Schemas, types, sequences, views, collations and text search.
"""

from __future__ import annotations

from typing import Final

from tests.support.kinds.thing import Thing, owned

AGAIN: Final = "drop type {n}; create type {n} as enum ('a', 'c')"

TYPES: Final = (
    Thing(
        "schema",
        "create schema {n}",
        "drop schema {n}",
        altered=owned("schema", "schema {n}"),
        exists="schema",
    ),
    Thing(
        "enum",
        "create type {n} as enum {type|labels}",
        "drop type {n}",
        {
            "type|labels": (
                "('a', 'b')",
                "('b', 'a')",
                "('a', 'c', 'b')",
                "('A', 'b')",
                "()",
                "('a', 'b', '')",
            )
        },
        altered=owned("type", "type {n}"),
        exists="type",
    ),
    Thing(
        "added label",
        "create type {n} as enum ('a', 'c')",
        "drop type {n}",
        altered={
            "type|labels": (
                AGAIN,
                f"{AGAIN}; alter type {{n}} add value 'b' before 'c'",
                f"{AGAIN}; alter type {{n}} rename value 'c' to 'd'",
            )
        },
    ),
    Thing(
        "composite",
        "create type {n} as ({column order|order})",
        "drop type {n}",
        {"column order|order": ("a int, b text", "b text, a int")},
        altered={
            "column|type": (
                "alter type {n} alter attribute b type text",
                "alter type {n} alter attribute b type varchar(7)",
            ),
        },
        exists="type",
    ),
    Thing(
        "field of a composite",
        "alter type {n} add attribute {n2} text {column|collation}",
        "alter type {n} drop attribute {n2}",
        {"column|collation": ("", 'collate "C"')},
        around="create type {n} as (a int)",
        exists="column",
    ),
    Thing(
        "range",
        "create type {n} as range ({type|range}, multirange_type_name = {n3})",
        "drop type {n}",
        {
            "type|range": (
                "subtype = int4",
                "subtype = int8",
                "subtype = text",
                'subtype = text, collation = "C"',
                "subtype = text, subtype_opclass = text_pattern_ops",
                "subtype = float8, subtype_diff = float8mi",
            )
        },
        exists="type",
    ),
    Thing(
        "multirange's name",
        "create type {n} as range (subtype = int4 {type|range})",
        "drop type {n}",
        {"type|range": (", multirange_type_name = {n3}", ", multirange_type_name = {n4}")},
    ),
    Thing(
        "base type",
        "create type {n} (input = {n2}, output = {n3} {type|base})",
        "drop type {n} cascade; create type {n};"
        " create function {n2}(cstring) returns {n} language internal immutable strict as 'textin';"
        " create function {n3}({n}) returns cstring language internal immutable strict"
        " as 'textout'",
        {
            "type|base": (
                "",
                ", category = 'S'",
                ", preferred = true, category = 'S'",
                ", delimiter = ';'",
                ", default = 'x'",
                ", collatable = true",
                ", storage = extended",
                ", alignment = double",
            )
        },
        around="set local client_min_messages = error; create type {n};"
        " create function {n2}(cstring) returns {n} language internal immutable strict as 'textin';"
        " create function {n3}({n}) returns cstring language internal immutable strict"
        " as 'textout'",
    ),
    Thing(
        "shell type",
        "create type {n} {type|kind}",
        "drop type {n}",
        {"type|kind": ("", "as enum ()", "as ()")},
        exists="type",
    ),
    Thing(
        "type defined",
        "create type {n} {type|defined}",
        "drop type {n}",
        {"type|defined": ("", "as enum ('a')")},
    ),
    Thing(
        "domain",
        "create domain {n} as {domain|type} {domain|collation}",
        "drop domain {n}",
        {
            "domain|type": ("text", "varchar(7)"),
            "domain|collation": ("", 'collate "C"'),
        },
        altered={
            **owned("domain", "domain {n}"),
            "domain|not null": ("alter domain {n} drop not null", "alter domain {n} set not null"),
            "domain|default": (
                "alter domain {n} drop default",
                "alter domain {n} set default 'a'",
                "alter domain {n} set default now()::text",
            ),
        },
        exists="domain",
    ),
    Thing(
        "sequence",
        "create sequence {n}",
        "drop sequence {n}",
        around="create table {n2} (a int, b int)",
        altered={
            "sequence|type": ("alter sequence {n} as bigint", "alter sequence {n} as int"),
            "sequence|start": ("alter sequence {n} start 1", "alter sequence {n} start 3"),
            "sequence|increment": (
                "alter sequence {n} increment 1",
                "alter sequence {n} increment 5",
            ),
            "sequence|minimum": ("alter sequence {n} minvalue 1", "alter sequence {n} minvalue -5"),
            "sequence|cache": ("alter sequence {n} cache 1", "alter sequence {n} cache 2"),
            "sequence|cycle": ("alter sequence {n} no cycle", "alter sequence {n} cycle"),
            "sequence|owned by": (
                "alter sequence {n} owned by none",
                "alter sequence {n} owned by {n2}.a",
                "alter sequence {n} owned by {n2}.b",
            ),
            "sequence|persistence": (
                "alter sequence {n} set logged",
                "alter sequence {n} set unlogged",
            ),
        },
        exists="sequence",
    ),
    Thing(
        "bound of a sequence",
        "create sequence {n}",
        "drop sequence {n}",
        altered={
            **owned("sequence", "sequence {n}"),
            "sequence|maximum": (
                "alter sequence {n} no maxvalue",
                "alter sequence {n} maxvalue 99",
            ),
        },
    ),
    Thing(
        "view",
        "create view {n} as {view|definition}",
        "drop view {n}",
        {
            "view|definition": (
                "select a from {n2}",
                "select a from {n2} where a > 0",
                "select 1 as a",
            )
        },
        around="create table {n2} (a int)",
        altered={
            **owned("view", "view {n}"),
            "view|options": (
                "alter view {n} reset (security_barrier)",
                "alter view {n} set (security_barrier)",
            ),
        },
        exists="view",
    ),
    Thing(
        "materialized view",
        "create materialized view {n} as select 1 as a, ''::text as b {view|populated}",
        "drop materialized view {n}",
        {"view|populated": ("", "with no data")},
        altered={
            "view|tablespace": (
                "alter materialized view {n} set tablespace pg_default",
                "alter materialized view {n} set tablespace snapshot_space",
            ),
            "view|options": (
                "alter materialized view {n} reset (fillfactor)",
                "alter materialized view {n} set (fillfactor = 70)",
            ),
            "view|toast options": (
                "alter materialized view {n} reset (toast.autovacuum_enabled)",
                "alter materialized view {n} set (toast.autovacuum_enabled = off)",
            ),
            "view|replica identity": (
                "alter table {n} replica identity default",
                "alter table {n} replica identity full",
            ),
            "view|access method": (
                "alter materialized view {n} set access method heap",
                "alter materialized view {n} set access method snapshot_heap",
            ),
            "view|depends on extension": (
                "alter materialized view {n} no depends on extension plpgsql",
                "alter materialized view {n} depends on extension plpgsql",
            ),
        },
        exists="view",
    ),
    Thing(
        "view or materialized view",
        "create {view|materialized} view {n} as select 1 as a",
        "do $do$ begin execute 'drop ' || case (select relkind from pg_class where oid ="
        " {ln}::regclass) when 'v' then '' else 'materialized' end || ' view ' ||{ln}; end $do$",
        {"view|materialized": ("", "materialized")},
    ),
)

TEXTS: Final = (
    Thing(
        "collation of libc",
        "create collation {n} (lc_collate = {collation|collate}, lc_ctype = {collation|ctype})",
        "drop collation {n}",
        {
            "collation|collate": ("'C'", "'POSIX'"),
            "collation|ctype": ("'C'", "'POSIX'"),
        },
        altered=owned("collation", "collation {n}"),
        exists="collation",
    ),
    Thing(
        "collation of icu",
        "create collation {n} (provider = icu, locale = {collation|locale},"
        " deterministic = {collation|deterministic})",
        "drop collation {n}",
        {
            "collation|locale": ("'de'", "'fr'", "'und-u-ks-level2'"),
            "collation|deterministic": ("true", "false"),
        },
        needs="icu",
        exists="collation",
    ),
    Thing(
        "rules of a collation",
        "create collation {n} (provider = icu, locale = 'de' {collation|rules})",
        "drop collation {n}",
        {"collation|rules": ("", ", rules = '&a < g'")},
        needs="icu",
        since=16,
    ),
    Thing(
        "provider of a collation",
        "create collation {n} ({collation|provider})",
        "drop collation {n}",
        {
            "collation|provider": ("locale = 'C'", "provider = builtin, locale = 'C'"),
        },
        since=17,
    ),
    Thing(
        "locale of a collation",
        "create collation {n} (provider = builtin, locale = {collation|locale})",
        "drop collation {n}",
        {"collation|locale": ("'C'", "'C.UTF-8'")},
        since=17,
    ),
    Thing(
        "conversion",
        "create {conversion|default} conversion {n} for {conversion|to}",
        "drop conversion {n}",
        {
            "conversion|default": ("", "default"),
            "conversion|to": (
                "'UTF8' to 'LATIN2' from utf8_to_iso8859",
                "'UTF8' to 'LATIN3' from utf8_to_iso8859",
            ),
        },
        altered=owned("conversion", "conversion {n}"),
        exists="conversion",
    ),
    Thing(
        "conversion from",
        "create conversion {n} for {conversion|from} to 'UTF8' from {conversion|function}",
        "drop conversion {n}",
        {
            "conversion|from": ("'LATIN3'", "'LATIN2'"),
            "conversion|function": ("iso8859_to_utf8", "{n2}"),
        },
        around="create function {n2}(int, int, cstring, internal, int, bool) returns int"
        " language c strict as '$libdir/utf8_and_iso8859', 'iso8859_to_utf8'",
    ),
    Thing(
        "text search configuration",
        "create text search configuration {n} (parser = {text search configuration|parser})",
        "drop text search configuration {n}",
        {"text search configuration|parser": ('"default"', "{n2}")},
        around="create text search parser {n2} (start = prsd_start, gettoken = prsd_nexttoken,"
        " end = prsd_end, lextypes = prsd_lextype)",
        altered={
            **owned("text search configuration", "text search configuration {n}"),
            "text search configuration|mapping": (
                "alter text search configuration {n} drop mapping if exists for word",
                "alter text search configuration {n} add mapping for word with simple",
            ),
        },
        exists="text search configuration",
    ),
    Thing(
        "order of a mapping",
        "create text search configuration {n} (parser = default);"
        " alter text search configuration {n} add mapping for word with simple, english_stem",
        "drop text search configuration {n}",
        altered={
            "text search configuration|mapping": (
                (
                    "alter text search configuration {n} alter mapping for word"
                    " with simple, english_stem"
                ),
                (
                    "alter text search configuration {n} alter mapping for word"
                    " with english_stem, simple"
                ),
            ),
        },
    ),
    Thing(
        "text search dictionary",
        "create text search dictionary {n} (template = {text search dictionary|template}"
        " {text search dictionary|options})",
        "drop text search dictionary {n}",
        {
            "text search dictionary|template": ("simple", "{n2}"),
            "text search dictionary|options": ("", ", accept = false"),
        },
        around="create text search template {n2} (init = dsimple_init, lexize = dsimple_lexize)",
        altered=owned("text search dictionary", "text search dictionary {n}"),
        exists="text search dictionary",
    ),
    Thing(
        "text search template",
        "create text search template {n} (lexize = {text search template|lexize}"
        " {text search template|init})",
        "drop text search template {n}",
        {
            "text search template|lexize": ("dsimple_lexize", "dispell_lexize"),
            "text search template|init": ("", ", init = dsimple_init"),
        },
        exists="text search template",
    ),
    Thing(
        "text search parser",
        "create text search parser {n} (start = {text search parser|start},"
        " gettoken = {text search parser|token}, end = {text search parser|end},"
        " lextypes = {text search parser|token types} {text search parser|headline})",
        "drop text search parser {n}",
        {
            "text search parser|start": ("prsd_start", "{n2}"),
            "text search parser|token": ("prsd_nexttoken", "{n3}"),
            "text search parser|end": ("prsd_end", "{n4}"),
            "text search parser|token types": ("prsd_lextype", "{n5}"),
            "text search parser|headline": ("", ", headline = prsd_headline"),
        },
        around="create function {n2}(internal, int) returns internal language internal"
        " as 'prsd_start'; create function {n3}(internal, internal, internal)"
        " returns internal language internal as 'prsd_nexttoken';"
        " create function {n4}(internal) returns void language internal as 'prsd_end';"
        " create function {n5}(internal) returns internal language internal as 'prsd_lextype'",
        exists="text search parser",
    ),
)
