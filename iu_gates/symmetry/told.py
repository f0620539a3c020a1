"""
The SQL that undoes a difference in what is told of an object: its comment, and who may use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from iu_gates.symmetry.difference import EXISTS, Difference
from iu_gates.symmetry.names import literal, quote, split

DEFAULTS: Final = re.compile(
    r"default of (?P<role>.+) for (?P<what>[rSfTnL])(?: in (?P<schema>.+))?"
)
DEFAULT_KINDS: Final[Mapping[str, str]] = {
    "r": "tables",
    "S": "sequences",
    "f": "functions",
    "T": "types",
    "n": "schemas",
    "L": "large objects",
}
COMMENTED: Final[Mapping[str, str]] = {
    "composite type column": "column",
    "composite type": "type",
    "domain constraint": "constraint",
    "foreign table column": "column",
    "foreign-data wrapper": "foreign data wrapper",
    "materialized view column": "column",
    "table column": "column",
    "table constraint": "constraint",
    "view column": "column",
    "statistics object": "statistics",
}
"""How `pg_identify_object` calls what COMMENT ON calls otherwise."""
WORDS: Final = (
    *COMMENTED,
    *("access method", "aggregate", "cast", "collation", "conversion", "domain", "event trigger"),
    *("extension", "foreign table", "function", "index", "language", "materialized view"),
    *("operator class", "operator family", "operator", "policy", "procedure", "publication"),
    *("rule", "schema", "sequence", "server", "subscription", "table"),
    *("text search configuration", "text search dictionary", "text search parser"),
    *("text search template", "transform", "trigger", "type", "view"),
)
"""The longer before the shorter: a name begins after the first that fits."""


def comment(difference: Difference) -> Iterator[str]:
    """Yield what sets a comment, or takes it away."""
    before = (
        (difference.whole or {}).get("text")
        if difference.attribute == EXISTS
        else difference.before
    )
    said = "null" if difference.attribute == EXISTS and difference.after else literal(str(before))
    word = next((w for w in WORDS if difference.identity.startswith(f"{w} ")), "")
    if word:
        name = difference.identity[len(word) + 1 :]
        if word == "aggregate":
            name = name.removesuffix("()") + "(*)" * name.endswith("()")
        if word == "domain constraint":
            name = name.replace(" on ", " on domain ", 1)
        yield f"comment on {COMMENTED.get(word, word)} {name} is {said}"


def privilege(difference: Difference) -> Iterator[str]:
    """Yield what grants and revokes."""
    on = _granted_on(difference.identity)
    if on is None:
        return
    if difference.attribute == EXISTS:
        whole = difference.whole or {}
        none: list[str] = []
        pairs = [(n, none, v) if difference.after else (n, v, none) for n, v in whole.items()]
    else:
        pairs = [(difference.attribute, difference.before or [], difference.after or [])]
    for name, before, after in pairs:
        verb, _, role = name.partition(" from " if name.startswith("revoked") else " to ")
        gone, new = [p for p in after if p not in before], [p for p in before if p not in after]
        give, take = (new, gone) if verb == "granted" else (gone, new)
        yield from (on.format(f"revoke {_privileges(p)}", "from", quote(role)) for p in take)
        yield from (
            on.format(f"grant {_privileges(p)}", "to", quote(role)) + _option(p) for p in give
        )


def _granted_on(identity: str) -> str | None:
    """Return a frame for GRANT and REVOKE: what is done, "to" or "from", and whom."""
    if found := DEFAULTS.fullmatch(identity):
        where = f" in schema {found['schema']}" if found["schema"] else ""
        what = DEFAULT_KINDS[found["what"]]
        frame = f"alter default privileges for role {found['role']}{where}".replace("{", "{{")
        return f"{frame.replace('}', '}}')} {{0}} on {what} {{1}} {{2}}"
    word, _, name = identity.partition(" ")
    if identity == "this database":
        return None
    if word == "foreign":
        what = identity
    elif word == "column":
        table, column = split(name)
        return f"{{0}} ({_braces(column)}) on table {_braces(table)} {{1}} {{2}}"
    else:
        what = f"{'routine' if word == 'function' else word} {name}"
    return f"{{0}} on {_braces(what)} {{1}} {{2}}"


def _braces(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _privileges(entry: str) -> str:
    return entry.partition(" by ")[0].removesuffix(" with grant option").lower()


def _option(entry: str) -> str:
    return " with grant option" if " with grant option by " in entry else ""
