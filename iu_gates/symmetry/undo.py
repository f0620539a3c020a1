"""
The SQL that undoes one difference, from what the catalog said before.

Each maker takes a difference and returns statements, or none where what was there before cannot
be told from names and attributes. Identities are quoted already, as the catalog prints them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from iu_gates.symmetry import told
from iu_gates.symmetry.difference import EXISTS, Difference
from iu_gates.symmetry.names import literal, quote, split

DROPS: Final[Mapping[str, str]] = {
    "access method": "access method {}",
    "aggregate": "routine {}",
    "cast": "cast ({})",
    "collation": "collation {}",
    "conversion": "conversion {}",
    "domain": "domain {}",
    "event trigger": "event trigger {}",
    "extension": "extension {}",
    "foreign data wrapper": "foreign data wrapper {}",
    "foreign server": "server {}",
    "foreign table": "foreign table {}",
    "function": "routine {}",
    "language": "language {}",
    "operator": "operator {}",
    "operator class": "operator class {}",
    "operator family": "operator family {}",
    "publication": "publication {}",
    "schema": "schema {}",
    "sequence": "sequence {}",
    "statistics": "statistics {}",
    "subscription": "subscription {}",
    "text search configuration": "text search configuration {}",
    "text search dictionary": "text search dictionary {}",
    "text search parser": "text search parser {}",
    "text search template": "text search template {}",
    "transform": "transform {}",
    "type": "type {}",
    "user mapping": "user mapping {}",
}
OWNED: Final[Mapping[str, str]] = {
    **{kind: DROPS[kind] for kind in DROPS if kind not in ("cast", "transform", "user mapping")},
    "table": "table {}",
    "view": "table {}",
}
INDEXED: Final = re.compile(r" ON (?:ONLY )?(.+?) USING ")
"""In the definition of an index, what it is on."""
STATES: Final[Mapping[str, str]] = {
    "O": "enable",
    "D": "disable",
    "R": "enable replica",
    "A": "enable always",
}


def statements(difference: Difference) -> list[str]:
    """Return the SQL that leads back to what was before; nothing if it cannot be told."""
    is_there = difference.attribute == EXISTS
    if is_there and difference.after and difference.kind in DROPS:
        return [f"drop {DROPS[difference.kind].format(difference.identity)}"]
    if difference.attribute == "owner" and difference.kind in OWNED:
        what = OWNED[difference.kind].format(difference.identity)
        return [f"alter {what} owner to {quote(difference.before)}"]
    if difference.kind in _ANY:
        return list(_ANY[difference.kind](difference))
    if not is_there:
        maker = _CHANGED.get(difference.kind)
    else:
        maker = _NEW.get(difference.kind) if difference.after else _GONE.get(difference.kind)
    return list(maker(difference)) if maker else []


def _whole(difference: Difference) -> Mapping[str, Any]:
    return difference.whole or {}


# ---------------------------------------------------------------- parts of tables


def _new_on_table(difference: Difference) -> Iterator[str]:
    table, name = split(difference.identity)
    yield f"drop {difference.kind} {name} on {table}"


def _new_constraint(difference: Difference) -> Iterator[str]:
    on, name = split(difference.identity)
    yield f"alter {_table_or_domain(difference)} {on} drop constraint {name}"


def _gone_constraint(difference: Difference) -> Iterator[str]:
    on, name = split(difference.identity)
    yield (
        f"alter {_table_or_domain(difference)} {on} add constraint {name}"
        f" {_whole(difference)['definition']}"
    )


def _table_or_domain(difference: Difference) -> str:
    return "domain" if _whole(difference).get("on domain") else "table"


def _gone_column(difference: Difference) -> Iterator[str]:
    table, name = split(difference.identity)
    made = _whole(difference)
    what, add = ("type", "attribute") if made.get("of type") else ("table", "column")
    said = [f"alter {what} {table} add {add} {name} {made['type']}"]
    if made["collation"]:
        said.append(f"collate {made['collation']}")
    if made["generated"]:
        kind = "stored" if made["generated"] == "s" else "virtual"
        said.append(f"generated always as ({made['default']}) {kind}")
    elif made["identity"]:
        how = "always" if made["identity"] == "a" else "by default"
        said.append(f"generated {how} as identity")
    elif made["default"]:
        said.append(f"default {made['default']}")
    if made["not null"] != "no":
        said.append("not null")
    yield " ".join(said)


def _changed_column(difference: Difference) -> Iterator[str]:
    table, column = split(difference.identity)
    alter = f"alter table {table} alter column {column}"
    before = difference.before
    whole = _whole(difference)
    said = f"{before} collate {whole['collation']}" if whole.get("collation") else str(before)
    if whole.get("of type"):
        if difference.attribute == "type":
            yield f"alter type {table} alter attribute {column} type {said}"
        return
    if (difference.attribute == "default" and whole.get("generated")) or (
        difference.attribute == "not null" and before not in ("no", "yes")
    ):
        return
    made = {
        "type": f"{alter} type {said} using {column}::{before}",
        "default": f"{alter} set default {before}" if before else f"{alter} drop default",
        "not null": f"{alter} {'drop' if before == 'no' else 'set'} not null",
        "statistics target": f"{alter} set statistics {-1 if before is None else before}",
        "storage": f"{alter} set storage {_STORAGE.get(str(before), 'default')}",
        "compression": f"{alter} set compression {_COMPRESSION.get(str(before), 'default')}",
    }
    if difference.attribute in made:
        yield made[difference.attribute]
    if difference.attribute == "identity":
        kind = f"generated {'always' if before == 'a' else 'by default'}"
        if before and difference.after:
            yield f"{alter} set {kind}"
        else:
            yield f"{alter} add {kind} as identity" if before else f"{alter} drop identity"


_STORAGE: Final[Mapping[str, str]] = {
    "p": "plain", "e": "external", "m": "main", "x": "extended",
}  # fmt: skip
_COMPRESSION: Final[Mapping[str, str]] = {"p": "pglz", "l": "lz4"}


def _changed_constraint(difference: Difference) -> Iterator[str]:
    if difference.attribute == "definition" and difference.before:
        on, name = split(difference.identity)
        alter = f"alter {_table_or_domain(difference)} {on}"
        yield f"{alter} drop constraint {name}"
        yield f"{alter} add constraint {name} {difference.before}"


def _changed_table(difference: Difference) -> Iterator[str]:
    alter = f"alter table {difference.identity}"
    before = difference.before
    if difference.attribute == "options":
        yield from _options(alter, before, difference.after)
    made = {
        "row security": f"{alter} {'enable' if before else 'disable'} row level security",
        "row security forced": f"{alter} {'' if before else 'no '}force row level security",
        "persistence": f"{alter} set {'unlogged' if before == 'u' else 'logged'}",
        "access method": f"{alter} set access method {before}",
    }
    if difference.attribute in made:
        yield made[difference.attribute]
    if difference.attribute == "replica identity" and before in ("d", "f", "n"):
        how = {"d": "default", "f": "full", "n": "nothing"}[before]
        yield f"{alter} replica identity {how}"


def _options(alter: str, before: list[str] | None, after: list[str] | None) -> Iterator[str]:
    old, new = (dict(o.split("=", 1) for o in each or ()) for each in (before, after))
    if gone := [name for name in new if name not in old]:
        yield f"{alter} reset ({', '.join(gone)})"
    if back := [f"{n} = {literal(v)}" for n, v in old.items() if new.get(n) != v]:
        yield f"{alter} set ({', '.join(back)})"


def _gone_definition(difference: Difference) -> Iterator[str]:
    yield str(_whole(difference)["definition"]).rstrip(";")
    yield from _state(difference, _whole(difference).get("enabled", "O"))


def _state(difference: Difference, state: str) -> Iterator[str]:
    table, name = split(difference.identity)
    if state != "O" or difference.attribute != EXISTS:
        yield f"alter table {table} {STATES[state]} {difference.kind} {name}"


def _changed_on_table(difference: Difference) -> Iterator[str]:
    if difference.attribute == "enabled":
        yield from _state(difference, str(difference.before))
    elif difference.attribute == "definition":
        table, name = split(difference.identity)
        yield f"drop {difference.kind} {name} on {table}"
        yield str(difference.before).rstrip(";")
        if (state := _whole(difference).get("enabled", "O")) != "O":
            yield from _state(difference, state)


def _gone_index(difference: Difference) -> Iterator[str]:
    yield from _index(difference, str(_whole(difference)["definition"]))


def _changed_index(difference: Difference) -> Iterator[str]:
    if difference.attribute == "definition":
        yield f"drop index {difference.identity}"
        yield from _index(difference, str(difference.before))


def _index(difference: Difference, definition: str) -> Iterator[str]:
    yield definition.replace(" ON ONLY ", " ON ", 1)
    name = split(difference.identity)[1]
    if (on := INDEXED.search(definition)) and _whole(difference).get("clustered"):
        yield f"alter table {on[1]} cluster on {name}"
    if on and _whole(difference).get("replica identity"):
        yield f"alter table {on[1]} replica identity using index {name}"


def _gone_policy(difference: Difference) -> Iterator[str]:
    table, name = split(difference.identity)
    made = _whole(difference)
    commands = {"r": "select", "a": "insert", "w": "update", "d": "delete"}
    said = [f"create policy {name} on {table}"]
    if not made["permissive"]:
        said.append("as restrictive")
    said.append(f"for {commands.get(made['command'], 'all')}")
    said.append(f"to {', '.join(quote(r) for r in made['roles'])}")
    said += [f"using ({made['using']})"] if made["using"] else []
    said += [f"with check ({made['check']})"] if made["check"] else []
    yield " ".join(said)


def _changed_policy(difference: Difference) -> Iterator[str]:
    table, name = split(difference.identity)
    alter = f"alter policy {name} on {table}"
    if difference.attribute == "roles":
        yield f"{alter} to {', '.join(quote(r) for r in difference.before)}"
    elif difference.attribute in ("using", "check") and difference.before:
        word = "using" if difference.attribute == "using" else "with check"
        yield f"{alter} {word} ({difference.before})"


# ---------------------------------------------------------------- others


def _new_view(difference: Difference) -> Iterator[str]:
    yield f"drop {_view(_whole(difference))} {difference.identity}"


def _gone_view(difference: Difference) -> Iterator[str]:
    made = _whole(difference)
    text = str(made["definition"]).strip().rstrip(";")
    data = "" if made.get("populated", True) else " with no data"
    yield f"create {_view(made)} {difference.identity}{_with(made)} as {text}{data}"


def _view(made: Mapping[str, Any]) -> str:
    return "materialized view" if made.get("materialized") else "view"


def _with(made: Mapping[str, Any]) -> str:
    return f" with ({', '.join(made['options'])})" if made.get("options") else ""


def _changed_view(difference: Difference) -> Iterator[str]:
    made = _whole(difference)
    if difference.attribute == "definition" and not made.get("materialized"):
        text = str(difference.before).strip().rstrip(";")
        yield f"create or replace view {difference.identity}{_with(made)} as {text}"
    elif difference.attribute == "options":
        alter = f"alter {_view(made)} {difference.identity}"
        yield from _options(alter, difference.before, difference.after)


def _gone_type(difference: Difference) -> Iterator[str]:
    labels = _whole(difference).get("labels")
    if labels:
        said = ", ".join(literal(label) for label in labels)
        yield f"create type {difference.identity} as enum ({said})"


def _gone_schema(difference: Difference) -> Iterator[str]:
    yield f"create schema {difference.identity}"


def _gone_extension(difference: Difference) -> Iterator[str]:
    yield f"create extension {difference.identity} schema {_whole(difference)['schema']}"


def _gone_sequence(difference: Difference) -> Iterator[str]:
    made = _whole(difference)
    yield (
        f"create sequence {difference.identity} as {made['type']} increment {made['increment']}"
        f" minvalue {made['minimum']} maxvalue {made['maximum']} start {made['start']}"
        f" cache {made['cache']} {'cycle' if made['cycle'] else 'no cycle'}"
        f" owned by {made['owned by'] or 'none'}"
    )


def _changed_sequence(difference: Difference) -> Iterator[str]:
    words = {"type": "as", "increment": "increment", "minimum": "minvalue", "maximum": "maxvalue",
             "start": "start", "cache": "cache", "owned by": "owned by"}  # fmt: skip
    alter = f"alter sequence {difference.identity}"
    if difference.attribute in words:
        yield f"{alter} {words[difference.attribute]} {difference.before or 'none'}"
    elif difference.attribute == "cycle":
        yield f"{alter} {'cycle' if difference.before else 'no cycle'}"


Maker = Callable[[Difference], Iterator[str]]
_ANY: Final[Mapping[str, Maker]] = {"comment": told.comment, "privilege": told.privilege}
_NEW: Final[Mapping[str, Maker]] = {
    "constraint": _new_constraint,
    "trigger": _new_on_table,
    "policy": _new_on_table,
    "rule": _new_on_table,
    "view": _new_view,
}
_GONE: Final[Mapping[str, Maker]] = {
    "column": _gone_column,
    "constraint": _gone_constraint,
    "extension": _gone_extension,
    "index": _gone_index,
    "policy": _gone_policy,
    "rule": _gone_definition,
    "schema": _gone_schema,
    "sequence": _gone_sequence,
    "trigger": _gone_definition,
    "type": _gone_type,
    "view": _gone_view,
}
_CHANGED: Final[Mapping[str, Maker]] = {
    "column": _changed_column,
    "constraint": _changed_constraint,
    "index": _changed_index,
    "policy": _changed_policy,
    "rule": _changed_on_table,
    "sequence": _changed_sequence,
    "table": _changed_table,
    "trigger": _changed_on_table,
    "view": _changed_view,
}
