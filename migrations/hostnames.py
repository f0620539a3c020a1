"""
What the host calls its things: from settings where they are set, from the catalog where not.

A name that is not set is found by what it is (the other column of the unique key with the
version), or by the names that outbox tables usually give it. Two candidates are a problem to
be settled by a setting; nothing is guessed. Pure but for `fetch`; `env.py` and the gate
"host" both stand on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = re.compile(r"""(?<!:):(?:"(?P<ident>iu_\w+)"|'(?P<literal>iu_\w+)'|(?P<text>iu_\w+))""")
COLUMNS_SQL = (Path(__file__).parent / "host_columns.sql").read_text("utf-8")
CONTRACT = "docs/host-contract.md"
INTEGERS = ("smallint", "integer", "bigint")
PAYLOADS = ("jsonb", "json", "text")
PAIR = 2
EVENT_TYPE = "iu.version_applied"
SHORTEST_KEY = 255
"""A key is a route's name, a type, a version and a unit; a shorter column would lose events."""

UNITS = ("unit", "unit_id", "unit_key", "unit_ref", "unit_uuid", "unit_code", "unit_name")
CANDIDATES: Mapping[str, Sequence[str]] = {
    "unit_column": (*UNITS, "document_id"),
    "key_column": ("idempotency_key", "dedupe_key", "dedup_key", "event_key", "message_key"),
    "payload_column": ("payload", "data", "body", "envelope", "event", "message"),
    "type_column": ("event_type", "type", "topic", "event_name"),
    "subject_column": ("subject", "aggregate_id", "entity_id", "subject_id", *UNITS, "document_id"),
}
OUTBOX_ROLES = ("key_column", "payload_column", "type_column", "subject_column")
DEFAULTS: Mapping[str, Any] = {
    "schema": "public",
    "unit_table": "unit_version",
    "outbox_table": "event_outbox",
    "version_column": "version_seq",
    "content_mode": "structured",
}
CONTENTS: Mapping[str, str] = {
    "structured": "fn_iu_cloud_event(e, p_route, k.idempotency_key)",
    "binary": "e.payload",
}
"""For each content mode of CloudEvents, what the payload is."""


@dataclass(frozen=True)
class Column:
    """
    A column of the host.

    Args:
        name: Its name.
        type: As a cast to it is written, under any search_path.
        not_null: Whether it, or its domain, refuses null.
        filled: Whether an INSERT may leave it out although it is not null.
        base: What its domain is made of; its own type if that is no domain.
        writable: Whether an INSERT may fill it: it is not generated.
    """

    name: str
    type: str
    not_null: bool
    filled: bool
    base: str
    writable: bool = True

    @property
    def must_be_given(self) -> bool:
        """Whether an INSERT that leaves it out fails."""
        return self.not_null and not self.filled

    @property
    def is_text(self) -> bool:
        """Whether it takes any text, as far as that is not too long."""
        return self.base in ("text", "citext") or self.base.startswith("character varying")

    @property
    def length(self) -> int | None:
        """The longest text it takes; None is no limit."""
        found = re.fullmatch(r"character varying\((\d+)\)", self.base)
        return int(found[1]) if found else None

    def holds(self, length: int) -> bool:
        """Return whether it takes every text of this length."""
        return self.is_text and (self.length is None or self.length >= length)


@dataclass(frozen=True)
class Table:
    """
    A table of the host.

    Args:
        exists: Whether it is there.
        columns: By name.
        keys: The name of each full unique index to its columns.
        leftovers: Likewise, those that are INVALID: a concurrent build of them did not end.
        is_partitioned: No index can be built on it concurrently then.
        rules: Those that rewrite an INSERT into it.
    """

    exists: bool = False
    columns: Mapping[str, Column] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    leftovers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_partitioned: bool = False
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Where the host does not meet the contract, and what mends it."""

    name: str
    found: str
    wanted: str
    remedy: str


def fetch(cursor: Any, schema: str, table: str) -> Table:
    """Read one table of the host from the catalog; `cursor` is a psycopg cursor of plain tuples."""
    cursor.execute(COLUMNS_SQL, {"schema": schema, "table": table})
    rows = cursor.fetchall()
    columns = {r[1]: Column(r[1], r[2], r[4], r[5], r[3], r[6]) for r in rows if r[0] == "column"}
    keys = {r[1]: tuple(r[7]) for r in rows if r[0] == "key"}
    leftovers = {r[1]: tuple(r[7]) for r in rows if r[0] == "leftover"}
    kinds = [r[2] for r in rows if r[0] == "table"]
    rules = tuple(r[1] for r in rows if r[0] == "rule")
    return Table(bool(kinds), columns, keys, leftovers, kinds == ["p"], rules)


def find(cursor: Any, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the host's names as catalog and settings give them, and what `resolve` finds wrong."""
    wanted = {**DEFAULTS, **{k: v for k, v in settings.items() if v}}
    unit = fetch(cursor, wanted["schema"], wanted["unit_table"])
    outbox = fetch(cursor, wanted["schema"], wanted["outbox_table"])
    return resolve(unit, outbox, settings)


def resolve(
    unit: Table, outbox: Table, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """
    Choose the host's names, and say where its tables do not meet the contract.

    Returns:
        The names (keys of `variables`) and the problems; with no problem the names are whole.
    """
    names = {**DEFAULTS, **{k: v for k, v in settings.items() if v}}
    missing = [
        Problem(
            f"table {names['schema']}.{names[key]}",
            "there is no such table",
            f"a table with the host contract's columns, under the names of host.schema and"
            f" host.{key} in iu-gates.toml ({CONTRACT})",
            f"export IU_GATES_HOST_SCHEMA=SCHEMA IU_GATES_HOST_{key.upper()}=TABLE",
        )
        for key, table in (("unit_table", unit), ("outbox_table", outbox))
        if not table.exists
    ]
    if missing:
        return names, missing
    problems = [*_resolve_unit(unit, names), *_resolve_outbox(outbox, names)]
    problems += _judge_subject(unit, outbox, names, settings)
    return names, problems + list(_judge_content(names))


def _resolve_unit(unit: Table, names: dict[str, Any]) -> Iterator[Problem]:
    version, place, table = names["version_column"], *_place(names, "unit_table")
    if version not in unit.columns:
        yield _no_column(place, "version_column", version, unit)
        return
    if unit.columns[version].base not in INTEGERS:
        yield Problem(
            f"{place}.{version}",
            f"type {unit.columns[version].type}",
            "smallint, integer or bigint",
            f"alter table {table} alter column {quote_identifier(version)} type bigint",
        )
    pairs = [key for key in unit.keys.values() if version in key and len(key) == PAIR]
    partners = sorted({column for key in pairs for column in key} - {version})
    wanted = names.get("unit_column") or _choose_unit(partners)
    names["unit_column"] = wanted
    if wanted is None and partners:
        found = f"several candidates: {', '.join(partners)}"
        yield Problem(f"{place}: unit", found, "one", _set("unit_column", partners[0]))
    elif wanted not in partners:
        usual = wanted or next((c for c in CANDIDATES["unit_column"] if c in unit.columns), "unit")
        if usual not in unit.columns:
            yield _no_column(place, "unit_column", usual, unit)
            return
        yield Problem(
            f"{place}: unique key",
            f"keys: {'; '.join(', '.join(k) for k in unit.keys.values()) or 'none'}"
            + _tell_leftovers(unit, (usual, version)),
            f"unique ({usual}, {version}), not deferrable",
            _make_key(names["schema"], table, unit, (usual, version)),
        )
    elif not unit.columns[wanted].not_null:
        yield Problem(
            f"{place}.{wanted}",
            "it may be null",
            "not null: a change of no unit cannot be told, and its INSERT would fail",
            f"alter table {table} alter column {quote_identifier(wanted)} set not null",
        )


def _choose_unit(partners: Sequence[str]) -> str | None:
    usual = [c for c in CANDIDATES["unit_column"] if c in partners]
    clear = partners if len(partners) == 1 else usual
    return clear[0] if len(clear) == 1 else None


def _resolve_outbox(outbox: Table, names: dict[str, Any]) -> Iterator[Problem]:
    place, table = _place(names, "outbox_table")
    constants = names.setdefault("outbox_constants", {})
    for role in OUTBOX_ROLES:
        yield from _resolve_role(place, outbox, role, names)
    if key := names["key_column"]:
        yield from _judge_key(place, table, names["schema"], outbox, key)
        names["key_index"] = next((n for n, k in outbox.keys.items() if k == (key,)), "")
    if outbox.rules:
        yield Problem(
            f"{place}: rules",
            f"INSERT is rewritten: {', '.join(outbox.rules)}",
            "a table whose INSERT writes what it is given, once; a trigger may do the rest",
            f"alter table {table} disable rule {quote_identifier(outbox.rules[0])}",
        )
    payload = names["payload_column"]
    if payload and outbox.columns[payload].base not in PAYLOADS:
        found = f"type {outbox.columns[payload].type}"
        yield Problem(f"{place}.{payload}", found, "jsonb, json or text", _set("payload_column"))
    mapped = {names[role] for role in OUTBOX_ROLES} | set(constants)
    for column in outbox.columns.values():
        if column.must_be_given and column.name not in mapped:
            yield Problem(
                f"{place}.{column.name}",
                "not null, without a default",
                "a default or a mapped constant",
                _set_constant(column.name),
            )
    for name in constants:
        if name not in outbox.columns:
            yield _no_column(place, "outbox_constants", name, outbox)
        elif not outbox.columns[name].writable:
            yield _generated(place, "outbox_constants", name)
    # A text that is too long must fail, and a cast to varchar(n) would cut it: so none to that.
    mapped_to = {role: outbox.columns[names[role]] for role in OUTBOX_ROLES if names[role]}
    types = {role: "text" if c.is_text else c.type for role, c in mapped_to.items()}
    names["column_types"] = types | (
        {"payload_column": outbox.columns[payload].base} if payload else {}
    )


def _resolve_role(place: str, outbox: Table, role: str, names: dict[str, Any]) -> Iterator[Problem]:
    """Settle one column of the outbox: as set, else the first usual name that will do."""
    wanted = names.get(role)
    taken = {names.get(r) for r in OUTBOX_ROLES if r != role} | set(names["outbox_constants"])
    usual = [c for c in CANDIDATES[role] if c in outbox.columns and c not in taken]
    needed = role in ("key_column", "payload_column")
    will_do = [c for c in usual if needed or _may_map(outbox.columns[c], role)]
    names[role] = wanted or next(iter(will_do), None)
    if names[role] is None:
        if needed:
            yield _no_column(place, role, CANDIDATES[role][0], outbox)
    elif names[role] not in outbox.columns:
        yield _no_column(place, role, names[role], outbox)
        names[role] = None
    elif not outbox.columns[names[role]].writable:
        yield _generated(place, role, names[role])
    elif not _may_map(outbox.columns[names[role]], role):
        yield _not_text(place, outbox.columns[names[role]], role)


def _judge_content(names: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse a mode that there is not, and one that would leave the event's attributes nowhere."""
    if (mode := names["content_mode"]) not in CONTENTS:
        known = " or ".join(CONTENTS)
        yield Problem("host.content_mode", repr(mode), known, _set("content_mode", "structured"))
    elif mode == "binary":
        for role in ("type_column", "subject_column"):
            if not names[role]:
                yield Problem(
                    f"{_place(names, 'outbox_table')[0]}: {role}",
                    "content_mode is binary, and no column takes the event's attribute",
                    f"a column under host.{role}, or content_mode structured ({CONTRACT})",
                    _set("content_mode", "structured"),
                )


def _may_map(column: Column, role: str) -> bool:
    return column.writable and (role != "type_column" or column.holds(len(EVENT_TYPE)))


def _judge_key(place: str, table: str, schema: str, outbox: Table, key: str) -> Iterator[Problem]:
    column, name = outbox.columns[key], quote_identifier(key)
    if (key,) not in outbox.keys.values():
        yield Problem(
            f"{place}.{key}",
            "no unique index on this column alone, or a deferrable one"
            + _tell_leftovers(outbox, (key,)),
            f"unique ({key}), not deferrable",
            _make_key(schema, table, outbox, (key,)),
        )
    if not column.is_text:
        found = f"type {column.type}"
        yield Problem(f"{place}.{key}", found, "text, as keys are", _set("key_column"))
    elif not column.holds(SHORTEST_KEY):
        yield Problem(
            f"{place}.{key}",
            f"type {column.type}",
            f"text, or room for {SHORTEST_KEY} characters: the key holds the unit's name",
            f"alter table {table} alter column {name} type text",
        )


def _list_leftovers(table: Table, columns: Sequence[str]) -> list[str]:
    return [name for name, key in table.leftovers.items() if set(key) == set(columns)]


def _tell_leftovers(table: Table, columns: Sequence[str]) -> str:
    found = _list_leftovers(table, columns)
    return "".join(f"; index {name} is INVALID: its concurrent build did not end" for name in found)


def _make_key(schema: str, place: str, table: Table, columns: Sequence[str]) -> str:
    """Return the SQL that makes a unique key while the host writes on, leftovers dropped first."""
    key = ", ".join(quote_identifier(c) for c in columns)
    if table.is_partitioned:
        return f"alter table {place} add unique ({key})"
    drops = "".join(
        f"drop index concurrently {quote_identifier(schema)}.{quote_identifier(name)}; "
        for name in _list_leftovers(table, columns)
    )
    return f"{drops}create unique index concurrently on {place} ({key})"


def _judge_subject(
    unit: Table, outbox: Table, names: dict[str, Any], settings: Mapping[str, Any]
) -> list[Problem]:
    """Leave out a column found by its name if it cannot hold a unit; refuse one that is set."""
    column = outbox.columns.get(names.get("subject_column") or "")
    source = unit.columns.get(names.get("unit_column") or "")
    if column is None or source is None or column.is_text or column.base == source.base:
        return []
    if {column.base, source.base} <= set(INTEGERS):
        return []
    if settings.get("subject_column") or column.must_be_given:
        place, _ = _place(names, "outbox_table")
        return [_not_text(place, column, "subject_column")]
    names["subject_column"] = None
    names["column_types"].pop("subject_column", None)
    return []


def _place(names: Mapping[str, Any], table: str) -> tuple[str, str]:
    """Return a table's name for reading, and for pasting into SQL."""
    parts = (names["schema"], names[table])
    return ".".join(parts), ".".join(quote_identifier(p) for p in parts)


def _no_column(place: str, setting: str, column: str, table: Table) -> Problem:
    return Problem(
        f"{place}.{column}",
        f"columns: {', '.join(table.columns)}",
        f'a column "{column}", or a setting that names another ({CONTRACT})',
        _set(setting),
    )


def _set(setting: str, value: str = "COLUMN") -> str:
    """Return the command that sets a name of the host; iu-gates.toml takes it under [host]."""
    if setting == "outbox_constants":
        return _set_constant(value)
    return f"export IU_GATES_HOST_{setting.upper()}={value}"


def _set_constant(column: str) -> str:
    return f"export IU_GATES_HOST_OUTBOX_CONSTANTS='{json.dumps({column: 'VALUE'})}'"


def _generated(place: str, setting: str, column: str) -> Problem:
    return Problem(
        f"{place}.{column}",
        "a generated column",
        f"one that an INSERT may fill ({CONTRACT})",
        _set(setting),
    )


def _not_text(place: str, column: Column, role: str) -> Problem:
    return Problem(
        f"{place}.{column.name}",
        f"type {column.type}",
        f"text, under host.{role}, or a constant under host.outbox_constants",
        _set_constant(column.name) if column.must_be_given else _set(role),
    )


def variables(iu_schema: str, names: Mapping[str, Any]) -> dict[str, str]:
    """Return the SQL files' variables; names not known yet stand under their usual ones."""
    types = names.get("column_types", {})
    extra = {
        names[role]: f"cast(e.{source} as {types.get(role, 'text')})"
        for role, source in (("type_column", "event_type"), ("subject_column", "subject"))
        if names.get(role)
    }
    extra |= {c: _constant(v) for c, v in (names.get("outbox_constants") or {}).items()}
    return {
        "iu_schema": iu_schema,
        "iu_host_schema": names["schema"],
        "iu_unit_table": names["unit_table"],
        "iu_unit_table_qualified": _place(names, "unit_table")[1],
        "iu_unit_column": names.get("unit_column") or "unit",
        "iu_version_column": names["version_column"],
        "iu_outbox_table": names["outbox_table"],
        "iu_key_column": names.get("key_column") or "idempotency_key",
        "iu_key_index": names.get("key_index") or "event_outbox_idempotency_key_key",
        "iu_payload_column": names.get("payload_column") or "payload",
        "iu_payload_type": types.get("payload_column", "jsonb"),
        "iu_content": CONTENTS[names.get("content_mode") or "structured"],
        "iu_extra_columns": "".join(f", {quote_identifier(c)}" for c in extra),
        "iu_extra_values": "".join(f", {v}" for v in extra.values()),
    }


def _constant(value: object) -> str:
    if value is None or isinstance(value, bool | int | float):
        return "null" if value is None else str(value).lower()
    return quote_literal(value if isinstance(value, str) else json.dumps(value, default=str))


def quote_identifier(name: str) -> str:
    """Return the name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return the text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def render(text: str, variables: Mapping[str, str]) -> str:
    """
    Put the installation's names into the text of an SQL file, inside of function bodies too.

    Raises:
        KeyError: If the file names a variable that is not known.
    """

    def replace(match: re.Match[str]) -> str:
        if name := match["ident"]:
            return quote_identifier(variables[name])
        if name := match["literal"]:
            return quote_literal(variables[name])
        return variables[match["text"]]

    return VARIABLE.sub(replace, text)
