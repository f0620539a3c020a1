"""
An object of one kind whose attributes can each be in several ways, as DDL.

    Thing    how it is made, dropped, and each attribute changed
    Made     a thing under names of its own, some of which need quotes in every way
    State    which way each attribute is in: a number into its values

An upgrade is a change from one state to another. Its exact inverse leads back, and the inverse
with one attribute left out leads to a state in which that one is as the upgrade left it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

State = Mapping[str, int]
ODD: Final = ("", " b", "A", '"', "%", "%%", "%s", "%(x)s", "'", ":x", ".", "é", "\\", "$$", "{}")
"""Ends of names: what quoting, formatting and bind parameters stumble over."""
ROLES: Final = ("snapshot_alice", "snapshot_bob", "snapshot_carol")
MAKE_ROLES: Final = """
do $$ begin
    if to_regrole('snapshot_alice') is null then create role snapshot_alice; end if;
    if to_regrole('snapshot_bob') is null then create role snapshot_bob; end if;
    if to_regrole('snapshot_carol') is null then create role snapshot_carol superuser; end if;
end $$;
"""


@dataclass(frozen=True)
class Thing:
    """
    An object, its attributes and the ways they can be in.

    In all SQL ``{n}`` to ``{n9}`` are names of its own, quoted; ``{ln}`` and ``{ln2}`` the first
    two as literals; ``{db}`` is the database.

    Args:
        name: Tells it from others.
        make: Makes it; ``{kind|attribute}`` is where a value of `made` goes.
        drop: Undoes `make`.
        made: Attributes that are said when it is made: values by "kind|attribute".
        altered: Attributes that can be altered: a statement for each value, that leads to it
            from any other. The first value is what it is when made.
        around: What has to be there first.
        exists: Its kind, if to be there or not is an attribute too.
        since: First major that has it.
        needs: What not every server has: "icu", "builtin", "rangeset".
        also: What its differences can be told by, beside its names.
    """

    name: str
    make: str
    drop: str
    made: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    altered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    around: str = ""
    exists: str = ""
    since: int = 15
    needs: str = ""
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return its name."""
        return self.name

    @property
    def attributes(self) -> tuple[str, ...]:
        """Everything of it that can be left out."""
        return (*self.made, *self.altered, *((f"{self.exists}|exists",) if self.exists else ()))


class Made:
    """
    A thing under names of its own.

    Args:
        thing: Which.
        number: Its tag, which is in all of its names.
        rng: Draws the names and the states.
        database: The database it is in.
    """

    def __init__(self, thing: Thing, number: int, rng: random.Random, database: str) -> None:
        self.thing = thing
        self.tag = f"k{number:04}"
        self._names = {"db": quote(database)}
        for n in ("", *range(2, 10)):
            name = f"{self.tag}_{n}{rng.choice(ODD)}"
            self._names[f"n{n}"] = quote(name)
            self._names[f"ln{n}"] = literal(quote(name))

    @property
    def around(self) -> str:
        """SQL that makes what has to be there."""
        return self.thing.around.format_map(self._names)

    def draw(self, rng: random.Random, *, is_plain: bool = False) -> dict[str, int]:
        """Return any state; a plain one has nothing altered."""
        state = {name: rng.randrange(len(each)) for name, each in self.thing.made.items()}
        for name, each in self.thing.altered.items():
            state[name] = 0 if is_plain else rng.randrange(len(each))
        return state

    def draw_other(self, state: State, rng: random.Random) -> dict[str, int]:
        """Return a state in which every attribute is in another way."""
        values = {**self.thing.made, **self.thing.altered}
        return {n: (state[n] + rng.randrange(1, len(v))) % len(v) for n, v in values.items()}

    def make(self, state: State) -> str:
        """Return SQL that makes it in a state."""
        said = {n: v[state[n]].format_map(self._names) for n, v in self.thing.made.items()}
        altered = (v[state[n]] for n, v in self.thing.altered.items() if state[n])
        return ";".join([self.thing.make.format_map({**self._names, **said}), *self._fill(altered)])

    def drop(self) -> str:
        """Return SQL that drops it."""
        return self.thing.drop.format_map(self._names)

    def change(self, old: State, new: State, rng: random.Random) -> str:
        """Return SQL from one state to another: altered in any order, or dropped and made again."""
        other = [name for name in new if old[name] != new[name]]
        if any(name in self.thing.made for name in other):
            return f"{self.drop()}; {self.make(new)}"
        rng.shuffle(other)
        return ";".join(self._fill(self.thing.altered[n][new[n]] for n in other)) or "select"

    def is_named_in(self, identity: str) -> bool:
        """Tell whether a difference is about this thing."""
        return self.tag in identity or identity in self.thing.also

    def _fill(self, statements: Iterator[str] | tuple[str, ...]) -> list[str]:
        return [each.format_map(self._names) for each in statements]


def quote(name: str) -> str:
    """Return a name as an identifier that is always quoted."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """Return a text as a literal, whatever is in it."""
    return " E'{}'".format(text.replace("\\", "\\\\").replace("'", "''"))


def owned(kind: str, word: str) -> dict[str, tuple[str, ...]]:
    """Return the attribute "owner" of what is altered by ``alter`` and these words."""
    return {
        f"{kind}|owner": (
            f"alter {word} owner to postgres",
            f"alter {word} owner to snapshot_carol",
        )
    }
