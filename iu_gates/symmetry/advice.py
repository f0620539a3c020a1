"""
What a difference usually means, and the line that `downgrade()` lacks, where one can be derived.

Derived is what the names and the former definition say alone; where an object has to be made
again and only its attributes are known, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from iu_gates.symmetry.difference import EXISTS, Difference

DROPPED_WITH: Final = ("column order",)
MEANING: Final[Mapping[str, str]] = {
    "type": "an ENUM or composite that Alembic made with a table is not dropped with it",
    "sequence": "a sequence that no column owns is not dropped with a table",
    "function": "what op.execute made has to be dropped by op.execute",
    "index": "an index that upgrade() dropped or made is not mentioned in downgrade()",
    "constraint": "a constraint without a name of its own gets one that downgrade() must know",
    "column": "the former type, default or NOT NULL has to be given back by name",
    "comment": "a comment stays, or goes, with the object unless it is set again",
    "privilege": "a table that is made again has lost its grants",
    "schema": "a schema is made by hand, and has to be dropped by hand",
    "extension": "an extension is made by hand, and has to be dropped by hand",
    "column order": "a column that is dropped and added again comes last",
    "setting": "ALTER DATABASE or ALTER ROLE … SET outlives the revision",
}
PLAIN_DROPS: Final[Mapping[str, str]] = {
    "type": "type",
    "domain": "domain",
    "collation": "collation",
    "sequence": "sequence",
    "function": "routine",
    "aggregate": "aggregate",
    "operator": "operator",
    "extension": "extension",
    "schema": "schema",
    "statistics": "statistics",
    "event trigger": "event trigger",
    "publication": "publication",
    "foreign server": "server",
    "foreign data wrapper": "foreign data wrapper",
    "foreign table": "foreign table",
    "language": "language",
    "text search configuration": "text search configuration",
    "text search dictionary": "text search dictionary",
}


def meaning(difference: Difference) -> str:
    """Return what such a difference usually means; "" if nothing general can be said."""
    return MEANING.get(difference.kind, "")


def line(difference: Difference) -> str:
    """Return the line for ``downgrade()``; "" where none can be derived."""
    is_new = difference.attribute == EXISTS and difference.after
    if is_new and difference.kind in PLAIN_DROPS:
        return _execute(f"drop {PLAIN_DROPS[difference.kind]} {difference.identity}")
    maker = _NEW.get(difference.kind) if is_new else _CHANGED.get(difference.kind)
    return maker(difference) if maker else ""


def _execute(statement: str) -> str:
    return f"op.execute({statement!r})"


def _parts(identity: str) -> list[str]:
    """Split a qualified name, whose parts may be quoted, into plain names."""
    found = re.findall(r'"((?:[^"]|"")+)"|([^.]+)', identity)
    return [quoted.replace('""', '"') or plain for quoted, plain in found]


def _schema(schema: str) -> str:
    return "" if schema == "public" else f", schema={schema!r}"


def _new_table(difference: Difference) -> str:
    schema, table = _parts(difference.identity)
    return f"op.drop_table({table!r}{_schema(schema)})"


def _new_column(difference: Difference) -> str:
    schema, table, column = _parts(difference.identity)
    return f"op.drop_column({table!r}, {column!r}{_schema(schema)})"


def _new_index(difference: Difference) -> str:
    schema, index = _parts(difference.identity)
    return f"op.drop_index({index!r}{_schema(schema)})"


def _new_constraint(difference: Difference) -> str:
    parts = _parts(difference.identity)
    if len(parts) != 3:  # noqa: PLR2004  schema, table, constraint; of a domain there is one less
        return ""
    schema, table, constraint = parts
    return f"op.drop_constraint({constraint!r}, {table!r}{_schema(schema)})"


def _new_on_table(kind: str) -> Callable[[Difference], str]:
    def make(difference: Difference) -> str:
        table, _, name = difference.identity.rpartition(".")
        return _execute(f"drop {kind} {name} on {table}")

    return make


def _new_view(difference: Difference) -> str:
    return _execute(f"drop view {difference.identity}")


def _changed_column(difference: Difference) -> str:
    parts = _parts(difference.identity)
    if len(parts) != 3:  # noqa: PLR2004  schema, table, column
        return ""
    table, _, column = difference.identity.rpartition(".")
    alter = f"alter table {table} alter column {column}"
    before = difference.before
    made = {
        "type": f"{alter} type {before}",
        "default": f"{alter} set default {before}" if before else f"{alter} drop default",
        "not null": f"{alter} {'drop' if before == 'no' else 'set'} not null",
        "statistics target": f"{alter} set statistics {-1 if before is None else before}",
    }
    return _execute(made[difference.attribute]) if difference.attribute in made else ""


def _changed_constraint(difference: Difference) -> str:
    if difference.attribute != "definition" or not difference.before:
        return ""
    table, _, name = difference.identity.rpartition(".")
    return "\n".join(
        [
            _execute(f"alter table {table} drop constraint {name}"),
            _execute(f"alter table {table} add constraint {name} {difference.before}"),
        ]
    )


def _changed_owner(difference: Difference) -> str:
    if difference.attribute != "owner":
        return ""
    return _execute(f"alter {difference.kind} {difference.identity} owner to {difference.before}")


_NEW: Final[Mapping[str, Callable[[Difference], str]]] = {
    "table": _new_table,
    "column": _new_column,
    "index": _new_index,
    "constraint": _new_constraint,
    "trigger": _new_on_table("trigger"),
    "policy": _new_on_table("policy"),
    "rule": _new_on_table("rule"),
    "view": _new_view,
}
_CHANGED: Final[Mapping[str, Callable[[Difference], str]]] = {
    "column": _changed_column,
    "constraint": _changed_constraint,
    "table": _changed_owner,
    "schema": _changed_owner,
    "sequence": _changed_owner,
    "view": _changed_owner,
    "type": _changed_owner,
}
