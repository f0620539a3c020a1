"""
What is missing and stands under another name: told by the catalog, which is the same but for that.

Pure, as `mending`. A table that was renamed is missing, and another, which holds its rows, too
much: to make the one and drop the other would lose them. Where exactly one object has the catalog
of exactly one that is missing, all parts included, it is taken for that, and named back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from iu_gates.model import Drift

_NAME: Final = r'(?:"(?:[^"]|"")+"|[^".():\s]+)'
_WHOLE: Final = re.compile(
    rf"(?P<kind>table|function) (?P<home>{_NAME}\.)(?P<name>{_NAME})(?P<arguments>\(.*\))?"
)
_COLUMN: Final = re.compile(rf"table (?P<home>{_NAME}\.{_NAME}): column (?P<name>{_NAME})")


@dataclass(frozen=True, slots=True)
class Rename:
    """
    An object that stands under another name.

    Attributes:
        found: Its name as it is now.
        wanted: Its name as it was left.
        statement: What names it back.
        settled: Names of all drift that goes with that.
    """

    found: str
    wanted: str
    statement: str
    settled: frozenset[str]


def find_renames(found: Sequence[Drift]) -> tuple[Rename, ...]:
    """Return what was renamed; where more than one could be meant, none of these."""
    pairs = [r for d in found if d.change == "added" for r in _find_origins(d, found)]
    now, before = Counter(r.found for r in pairs), Counter(r.wanted for r in pairs)
    return tuple(r for r in pairs if now[r.found] == before[r.wanted] == 1)


def _find_origins(added: Drift, found: Sequence[Drift]) -> Iterator[Rename]:
    for missing in found:
        if missing.change != "missing" or added.is_part or missing.is_part:
            continue
        for form in (_WHOLE, _COLUMN):
            now, before = form.fullmatch(added.object), form.fullmatch(missing.object)
            if now and before and (rename := _match(now, before, found)):
                yield rename


def _match(now: re.Match[str], before: re.Match[str], found: Sequence[Drift]) -> Rename | None:
    """Return the renaming, if both are alike in all but their names."""
    here, there = now.groupdict(), before.groupdict()
    if {**here, "name": ""} != {**there, "name": ""}:
        return None
    home = here["home"] if "kind" in here else ""
    spelt = re.compile(rf"(?<![\w$\"]){re.escape(home + here['name'])}(?![\w$\"])")

    def respell(text: str) -> str:
        return spelt.sub(lambda _: home + there["name"], text)

    settled = _settle(found, respell)
    parts = {
        d.object for d in found if f"{d.object}: ".startswith((f"{now[0]}: ", f"{before[0]}: "))
    }
    if not parts <= settled:
        return None
    return Rename(now[0], before[0], _write(here, there["name"]), settled)


def _settle(found: Sequence[Drift], respell: Callable[[str], str]) -> frozenset[str]:
    """Return all that is as it was left but for the name: what speaks of it is drift as well."""
    wanted = {d.object: d.wanted for d in found if d.change != "added" and d.wanted is not None}
    stands = {d.object: d.found for d in found if d.change != "missing" and d.found is not None}
    same = {o for o, text in stands.items() if wanted.get(respell(o)) == respell(text)}
    return frozenset(same | {respell(o) for o in same})


def _write(now: dict[str, str], name: str) -> str:
    if "kind" not in now:
        return f"alter table {now['home']} rename column {now['name']} to {name}"
    place = f"{now['home']}{now['name']}{now['arguments'] or ''}"
    return f"alter {now['kind']} {place} rename to {name}"
