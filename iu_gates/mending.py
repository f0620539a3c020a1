"""
The SQL that puts an object back as it was recorded. Pure: it looks at texts, not at a database.

The database keeps the SQL that makes each object (`migrations/control/018_catalog.sql`), so what
is missing is made by that text and what was added goes by its removal. What was changed needs more
thought, by its kind. Statements are in an order in which they can be run: what only has another
name is named back; away with what was added, the youngest first, unless it holds rows; then
tables, columns, functions, and what stands on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from iu_gates.model import Drift
from iu_gates.renaming import find_renames

MAKE_ORDER: Final = (
    "schema",
    "type",
    "table",
    "column",
    "function",
    "procedure",
    "view",
    "default",
    "identity",
    "sequence",
    "not null",
    "constraint",
    "index",
    "trigger",
    "disabled trigger",
    "state",
    "owner",
    "lacking",
    "privilege",
    "default privilege",
    "comment",
)
"""Kinds of objects and of their parts; any other comes last."""

CHECKED: Final = re.compile(
    r"alter table (?P<table>.+?) add constraint (?P<name>.+?) (?:CHECK|FOREIGN KEY) ", re.DOTALL
)
HEADER: Final = (
    "-- Read it before you run it (psql -f), as the owner of these objects.\n"
    "-- A lock that cannot be had at once is given up: then run that statement again.\n"
    "set lock_timeout = '100ms';\n"
    "set check_function_bodies = off;\n"
)


def render(found: Iterable[Drift]) -> str:
    """Return the SQL that mends all of it, ready for ``psql -f``; empty if there is nothing."""
    found = tuple(found)
    renames = find_renames(found)
    settled = frozenset[str]().union(*(r.settled for r in renames))
    blocks = [
        f"-- {r.wanted}: stands as {r.found}, alike in all else\n{r.statement};\n" for r in renames
    ]
    blocks += [
        f"-- {d.object}: {d.change}{_remark(d)}\n" + "".join(f"{s};\n" for s in list_statements(d))
        for d in sort(found)
        if d.object not in settled and list_statements(d)
    ]
    return "\n".join([HEADER, *blocks]) if blocks else ""


def sort(found: Iterable[Drift]) -> list[Drift]:
    """Return drift in an order in which it can be mended."""
    return sorted(found, key=lambda d: (d.change != "added", *_place(d)))


def list_statements(drift: Drift) -> tuple[str, ...]:
    """Return the statements that put one object back; none if another's do it too."""
    if drift.holds:
        return (f"-- not dropped: it holds {drift.holds}; rename or move it by hand",)
    if drift.change == "added":
        return () if drift.is_part or not drift.removal else (drift.removal,)
    if drift.wanted is None:
        return ("-- its definition is not kept; restore it from the newest backup",)
    if drift.change == "missing":
        return (*_make(drift.wanted), *_close(drift))
    return _change(drift, drift.wanted, drift.found or "", drift.removal or "")


def kind(name: str) -> str:
    """Return the kind of an object, or of the part that its name ends with."""
    part = name.rpartition(": ")[2]
    return next((k for k in sorted(MAKE_ORDER, key=len, reverse=True) if part.startswith(k)), "")


def _place(drift: Drift) -> tuple[int, bool, str]:
    found = kind(drift.object)
    place = MAKE_ORDER.index(found) if found else len(MAKE_ORDER)
    is_reference = "FOREIGN KEY" in (drift.wanted or drift.found or "")
    if drift.change == "added":
        return -place, not is_reference, drift.object
    return place, is_reference, drift.object


def _make(definition: str) -> tuple[str, ...]:
    """Return the statements that make what is missing, without a long lock where there is a way."""
    if match := CHECKED.match(definition):
        if definition.endswith(" NOT VALID"):
            return (definition,)
        validate = f"alter table {match['table']} validate constraint {match['name']}"
        return (f"{definition} not valid", validate)
    if definition.startswith(("CREATE INDEX ", "CREATE UNIQUE INDEX ")):
        return (definition.replace(" INDEX ", " INDEX CONCURRENTLY ", 1),)
    if definition.startswith("alter table ") and " as identity; select " in definition:
        return tuple(definition.split("; ", 1))
    return (definition,)


def _change(  # noqa: PLR0911  one answer a kind
    drift: Drift, wanted: str, found: str, removal: str
) -> tuple[str, ...]:
    """Return the statements that put back what is there, but is another."""
    remake = (removal, *_make(wanted))
    match kind(drift.object):
        case "constraint" if found == f"{wanted} NOT VALID":
            return (removal.replace(" drop constraint ", " validate constraint ", 1),)
        case "index":
            return (removal.replace("drop index ", "drop index concurrently ", 1), *_make(wanted))
        case "column" if " generated always as " not in wanted + found:
            return (_retype(wanted, removal),)
        case "identity":
            return (
                wanted.split(" as identity", 1)[0].replace(" add generated ", " set generated "),
            )
        case "table":
            logged = "unlogged" if wanted.startswith("create unlogged") else "logged"
            return (f"alter {drift.object} set {logged}",)
        case "function" if _head(wanted) != _head(found):
            return (*remake, *_close(drift))
        case "constraint" | "column" | "privilege" | "default privilege" | "view" | "type":
            return remake
        case _:
            return (wanted,)


def _close(drift: Drift) -> tuple[str, ...]:
    """Return what takes from PUBLIC the right that it has on every new function."""
    if kind(drift.object) != "function" or ": " in drift.object:
        return ()
    return (f"revoke execute on {drift.object} from public",)


def _retype(wanted: str, removal: str) -> str:
    before = removal.replace(" drop column ", " add column ", 1)
    after = removal.replace(" drop column ", " alter column ", 1)
    return f"{after} type{wanted.removeprefix(before)}"


def _head(definition: str) -> str:
    """Return what `create or replace` cannot change: names, arguments and result."""
    return definition.partition("\n LANGUAGE ")[0]


def _remark(drift: Drift) -> str:
    if drift.change == "missing" and kind(drift.object) in ("table", "column"):
        return "; what it held does not come back by this: see docs/runbooks/drift.md"
    return ""
