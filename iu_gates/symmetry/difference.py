"""
One thing in which two catalogs differ, readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any, Final

EXISTS: Final = "exists"
ORDER: Final = "order"
Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One attribute of one object, before and after.

    Attributes:
        kind: One of `KINDS`.
        identity: The object's name with its schema.
        attribute: Its attribute; "exists" if one of the catalogs has no such object,
            and then `before` and `after` are True and False or the other way round.
        before: A JSON value.
        after: A JSON value.
        whole: All attributes of the object, as they were before; of a new one, as they are.
    """

    kind: str
    identity: str
    attribute: str
    before: Any
    after: Any
    whole: Attributes | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """Return one line, or a diff where one of the values has several."""
        what = f"{self.kind} {self.identity}"
        if self.attribute == EXISTS:
            return f"{what}: {'is gone' if self.before else 'is new'}"
        before, after = _lines(self.before), _lines(self.after)
        if len(before) > 1 or len(after) > 1:
            changes = list(unified_diff(before, after, lineterm=""))[2:]
            return "\n".join([f"{what}: {self.attribute}", *(f"    {line}" for line in changes)])
        return f"{what}: {self.attribute} {_shown(self.before)} → {_shown(self.after)}"


def compare(
    kind: str, identity: str, before: Attributes | None, after: Attributes | None
) -> Iterator[Difference]:
    """Yield the differences between an object's two states; None where there is no such object."""
    if before is None or after is None:
        if kind != "column order":  # the table or each column says it already
            is_new = after is not None
            yield Difference(kind, identity, EXISTS, not is_new, is_new, before or after)
        return
    if kind == "column order":
        before, after = _common(before, after), _common(after, before)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Difference(kind, identity, name, before.get(name), after.get(name), before)


def _common(columns: Attributes, others: Attributes) -> Attributes:
    """Return the order of those columns that both have; the others are differences themselves."""
    return {ORDER: [name for name in columns[ORDER] if name in others[ORDER]]}


def _lines(value: object) -> list[str]:
    return value.splitlines() if isinstance(value, str) else []


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
