"""
What a difference usually means, and the line that `downgrade()` lacks, where one can be derived.

Derived is what names and the former definition say alone; where an object has to be made again
and only its attributes are known, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from iu_gates.symmetry import names, undo
from iu_gates.symmetry.difference import EXISTS, Difference

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
    "large object": "a large object is not dropped with the row that names it",
}
BIND: Final = re.compile(r"(?<![:\w\\]):(?=\w)")
"""What `sqlalchemy.text` takes for a parameter."""
HOSTS: Final = frozenset({"table", "foreign table", "view", "type", "domain", "column"})
ON: Final = frozenset({"column", "constraint", "trigger", "rule", "policy"})
TOLD: Final = frozenset({"comment", "privilege", "security label"})


def meaning(difference: Difference) -> str:
    """Return what such a difference usually means; "" if nothing general can be said."""
    return MEANING.get(difference.kind, "")


def line(difference: Difference) -> str:
    """Return the line for ``downgrade()``, or several; "" where none can be derived."""
    if _is_inherited(difference):
        return ""
    if difference.attribute == EXISTS and difference.after and difference.kind in _OPERATIONS:
        return _OPERATIONS[difference.kind](difference)
    return "\n".join(_execute(statement) for statement in undo.statements(difference))


def _is_inherited(difference: Difference) -> bool:
    """Tell whether it comes, changes and goes with the same of a parent, and not by itself."""
    said = difference.whole or {}
    if difference.attribute not in (EXISTS, "type", "definition"):
        return False
    if difference.kind in ("column", "constraint"):
        return bool(said.get("parents")) and not said.get("local")
    return bool(said.get("cloned from parent") or said.get("parent"))


def drop_parts(differences: Iterable[Difference]) -> list[Difference]:
    """
    Leave out what comes and goes with something that is itself new or gone.

    A table that was left behind is one finding and one line, not one for each of its columns.
    """
    every = list(differences)
    return [d for d, is_part in zip(every, _find_parts(every), strict=True) if not is_part]


def _find_parts(every: list[Difference]) -> Iterator[bool]:
    whole = [d for d in every if d.attribute == EXISTS]
    hosts = {(d.identity, d.after) for d in whole if d.kind in HOSTS}
    keys = {(d.identity, d.after) for d in whole if d.kind == "constraint"}
    said_by = {(d.kind, d.identity) for d in every if d.attribute == "definition"}
    counted = {(d.identity, bool(d.after)) for d in every if d.attribute == "identity"}
    named = [(d.identity, d.after) for d in whole if d.kind not in TOLD]
    for each in every:
        said = each.whole or {}
        on, name = names.split(each.identity) if each.kind in {*ON, "index"} else ("", "")
        if each.attribute != EXISTS:
            yield each.kind == "index" and _is_key(each, said_by)
        elif each.kind in TOLD:
            yield any(a == each.after and _is_of(each.identity, i) for i, a in named)
        elif each.kind in ON:
            yield (on, each.after) in hosts or (each.kind == "column" and ("view", on) in said_by)
        elif each.kind == "index" and (found := undo.INDEXED.search(said.get("definition", ""))):
            keyed = f"{found[1]}.{name}"
            yield (found[1], each.after) in hosts or (keyed, each.after) in keys
        elif each.kind == "sequence" and said.get("owned by"):
            column = said["owned by"]
            owners = {(names.split(column)[0], each.after), (column, each.after)}
            yield bool(owners & hosts) or (column, bool(each.after)) in counted
        else:
            yield False


def _is_key(index: Difference, said_by: set[tuple[str, str]]) -> bool:
    """Tell whether a changed index is that of a constraint that has changed."""
    found = undo.INDEXED.search((index.whole or {}).get("definition", ""))
    name = names.split(index.identity)[1]
    return found is not None and ("constraint", f"{found[1]}.{name}") in said_by


def _is_of(told: str, identity: str) -> bool:
    """Tell whether a comment, a privilege or a label is of an object or a part of it."""
    return told.endswith(f" {identity}") or f" {identity}." in told or f" {identity} " in told


def _execute(statement: str) -> str:
    return f"op.execute({BIND.sub(lambda _: chr(92) + ':', statement)!r})"


def _schema(schema: str) -> str:
    return "" if schema == "public" else f", schema={names.plain(schema)!r}"


def _new_table(difference: Difference) -> str:
    schema, table = names.parts(difference.identity)
    return f"op.drop_table({names.plain(table)!r}{_schema(schema)})"


def _new_column(difference: Difference) -> str:
    schema, table, column = names.parts(difference.identity)
    if (difference.whole or {}).get("of type"):
        return _execute(f"alter type {schema}.{table} drop attribute {column}")
    if "." in schema:  # Alembic's operation takes it for two names
        return _execute(f"alter table {schema}.{table} drop column {column}")
    return f"op.drop_column({names.plain(table)!r}, {names.plain(column)!r}{_schema(schema)})"


def _new_index(difference: Difference) -> str:
    schema, index = names.parts(difference.identity)
    return f"op.drop_index(op.f({names.plain(index)!r}){_schema(schema)})"


def _new_constraint(difference: Difference) -> str:
    if (difference.whole or {}).get("on domain"):
        return "\n".join(map(_execute, undo.statements(difference)))
    schema, table, constraint = map(names.plain, names.parts(difference.identity))
    return f"op.drop_constraint(op.f({constraint!r}), {table!r}{_schema(schema)})"


_OPERATIONS: Final[Mapping[str, Callable[[Difference], str]]] = {
    "table": _new_table,
    "column": _new_column,
    "index": _new_index,
    "constraint": _new_constraint,
}
