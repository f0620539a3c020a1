"""
One row for the host's version table, for the proof: a unit of its own where that can be.

The unit's value is new and every other column that must be filled is taken from a row that is
there, so that foreign keys hold; what is unique by itself is new as well. Where a new unit
cannot be made up (it refers to another table, is checked, generated or of a type unknown here),
it is that row's, with a version far ahead, so that no writer of the host waits for it. The row
is the first of the unique key, found without reading the table. An empty table is filled with
the plainest value of each type.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg import sql

from iu_gates import db
from iu_gates.db import Conn

FAR_AHEAD: Final = 1_000_000
NEAR: Final = 1_000
NAME_LENGTH: Final = 21
INTEGERS: Final = ("smallint", "integer", "bigint")
PLAIN: Final[Mapping[str, LiteralString]] = {
    "text": "''",
    "character varying": "''",
    "jsonb": "'{}'",
    "json": "'{}'",
    "uuid": "gen_random_uuid()",
    "boolean": "false",
    "bytea": r"'\x'",
    "timestamp with time zone": "now()",
    "timestamp without time zone": "localtimestamp",
    "date": "current_date",
}


def build_insert(conn: Conn, names: Mapping[str, str]) -> sql.Composed:
    """
    Return the INSERT of one applied change, to be run in a transaction that is rolled back.

    Args:
        conn: Reads the catalog only.
        names: The host's names, as `hostnames.variables` gives them.
    """
    unit, version = names["iu_unit_column"], names["iu_version_column"]
    host = Host(sql.Identifier(names["iu_host_schema"], names["iu_unit_table"]), unit, version)
    place = {"schema": names["iu_host_schema"], "table": names["iu_unit_table"]}
    rows = db.fetch_all(conn, db.load("host_row"), {**place, "unit": unit, "version": version})
    columns = {row["name"]: row for row in rows}
    is_new = _can_be_new(columns[unit])
    values = {
        name: host.make_value(column)
        for name, column in columns.items()
        if _is_given(column, columns[unit]) and name not in (unit, version)
    }
    values[version] = sql.Literal(2) if is_new else host.far_ahead(columns[version]["type"])
    if columns[unit]["writable"]:
        values[unit] = host.make_new(columns[unit]) if is_new else host.take_first(columns[unit])
    return sql.SQL("insert into {} ({}) overriding user value values ({})").format(
        host.table,
        sql.SQL(", ").join(sql.Identifier(name) for name in values),
        sql.SQL(", ").join(values.values()),
    )


@dataclass(frozen=True)
class Host:
    """The version table, as a source of values."""

    table: sql.Identifier
    unit: str
    version: str

    def make_value(self, column: Mapping[str, Any]) -> sql.Composable:
        """Return a value for a column that is neither the unit nor the version."""
        is_new = column["is_unique"] and _can_be_new(column)
        return self.make_new(column) if is_new else self.take_first(column)

    def make_new(self, column: Mapping[str, Any]) -> sql.Composable:
        """Return a value that no row has."""
        if column["type"] == "uuid":
            return sql.SQL("gen_random_uuid()")
        if column["type"] in INTEGERS:
            return self._fill("(select least(min({c}), 0) - 1 from {t})", column["name"])
        return sql.Literal(f"iu-gates-{uuid.uuid4().hex[: NAME_LENGTH - 9]}")

    def take_first(self, column: Mapping[str, Any]) -> sql.Composed:
        """Return the first row's value, or the plainest one of the type."""
        plain: LiteralString = PLAIN.get(column["type"].partition("(")[0], "0")
        first = self._fill("(select {c} from {t} order by {u}, {v} limit 1)", column["name"])
        return sql.SQL("coalesce({}, {})").format(first, sql.SQL(plain))

    def far_ahead(self, kind: str) -> sql.Composed:
        """Return a version of the first row's unit that its writers will not reach."""
        ahead = NEAR if kind == "smallint" else FAR_AHEAD
        query: LiteralString = (
            "(select coalesce(max({v}), 1) + {c} from {t}"
            " where {u} = (select {u} from {t} order by {u}, {v} limit 1))"
        )
        return self._fill(query, ahead)

    def _fill(self, query: LiteralString, value: str | int) -> sql.Composed:
        return sql.SQL(query).format(
            t=self.table,
            u=sql.Identifier(self.unit),
            v=sql.Identifier(self.version),
            c=sql.Identifier(value) if isinstance(value, str) else sql.Literal(value),
        )


def _is_given(column: Mapping[str, Any], unit: Mapping[str, Any]) -> bool:
    """Tell whether the row needs it; of a generated unit it is not known what it is made from."""
    needed = column["not_null"] or not unit["writable"]
    return bool(column["writable"] and needed and not column["filled"])


def _can_be_new(column: Mapping[str, Any]) -> bool:
    if column["refers"] or column["checked"] or not column["writable"]:
        return False
    if column["type"] in ("uuid", *INTEGERS):
        return True
    found = re.fullmatch(
        r"(?:.*\.)?(?:text|citext|character varying(?:\((\d+)\))?)", column["type"]
    )
    return found is not None and int(found[1] or NAME_LENGTH) >= NAME_LENGTH
