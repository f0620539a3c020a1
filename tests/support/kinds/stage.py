"""
A database full of things, walked up and down.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from iu_gates.symmetry import Difference, Snapshot, snapshot
from tests.support.kinds.thing import MAKE_ROLES, Made, Thing, quote

Conn = psycopg.Connection[Any]
SCHEMA = 'Odd "schema". 100%s :x'
PREPARE = f"""
    {MAKE_ROLES}
    create access method snapshot_heap type table handler heap_tableam_handler;
    create schema {quote(SCHEMA)};
    grant usage on schema {quote(SCHEMA)} to public;
"""
SPACE = "create tablespace snapshot_space location ''"


def prepare(conn: Conn) -> None:
    """Make what things stand on: roles, a tablespace, a table access method, a schema."""
    conn.execute(PREPARE.encode())
    conn.execute(
        "select set_config('search_path', %s, false), set_config('client_min_messages',"
        " 'error', false), set_config('allow_in_place_tablespaces', 'on', false)",
        [f"{quote(SCHEMA)}, public"],
    )
    try:
        conn.execute(SPACE)
    except psycopg.errors.DuplicateObject:
        return


def list_features(conn: Conn) -> set[str]:
    """Return what this server has and another may lack: extensions, ICU."""
    found = {name for (name,) in conn.execute("select name from pg_available_extensions")}
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("create collation any_icu (provider = icu, locale = 'de')")
    except psycopg.errors.FeatureNotSupported:
        return found
    return {*found, "icu"}


def choose(conn: Conn, things: tuple[Thing, ...]) -> list[Thing]:
    """Return the things that this server can have."""
    features = list_features(conn)
    major = conn.info.server_version // 10_000
    return [t for t in things if t.since <= major and (not t.needs or t.needs in features)]


class Left(NamedTuple):
    """A thing, and the attribute of it that an inverse left out."""

    made: Made
    attribute: str

    def is_found_in(self, differences: list[Difference]) -> bool:
        """Tell whether a difference names it."""
        kind, _, name = self.attribute.partition("|")
        return any(
            d.kind == kind
            and self.made.is_named_in(d.identity)
            and (d.attribute == name or kind in ("privilege", "setting"))
            for d in differences
        )

    def __str__(self) -> str:
        """Return what a failure is told by."""
        return f"{self.made.thing}: {self.attribute}"


class Stage:
    """
    Things in a database, in a transaction that is rolled back.

    Args:
        conn: On a prepared database.
        things: Which.
        rng: Draws names and states.
        is_plain: Begin without anything that can be altered later.
    """

    def __init__(
        self, conn: Conn, things: list[Thing], rng: random.Random, *, is_plain: bool = False
    ) -> None:
        self.conn = conn
        self.rng = rng
        name = conn.info.dbname
        self.made = [Made(each, number, rng, name) for number, each in enumerate(things)]
        self.before = {m: m.draw(rng, is_plain=is_plain) for m in self.made}
        self.after = {m: m.draw_other(self.before[m], rng) for m in self.made}

    def build(self, *, bare: bool = False) -> None:
        """Make everything in its first state, or only what it stands on."""
        for each in self.made:
            self.run(each, each.around)
            if not bare:
                self.run(each, each.make(self.before[each]))

    def upgrade(self) -> None:
        """Change every attribute of everything."""
        for each in self.made:
            self.run(each, each.change(self.before[each], self.after[each], self.rng))

    def downgrade(self) -> None:
        """Change everything back, in the opposite order."""
        for each in reversed(self.made):
            self.run(each, each.change(self.after[each], self.before[each], self.rng))

    def downgrade_without(self, left: Iterable[Left]) -> None:
        """Change these things back, and of each all but the attribute that is left out."""
        for made, attribute in left:
            state = {**self.before[made], attribute: self.after[made][attribute]}
            self.run(made, made.change(self.after[made], state, self.rng))

    def make_all(self) -> None:
        """Make everything, in its first state."""
        for each in self.made:
            self.run(each, each.make(self.before[each]))

    def drop_all(self) -> None:
        """Drop everything, in the opposite order."""
        for each in reversed(self.made):
            self.run(each, each.drop())

    def look(self) -> Snapshot:
        """Return the catalog."""
        return snapshot(self.conn)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Undo what is done within."""
        with self.conn.transaction(force_rollback=True):
            yield

    def run(self, made: Made, statements: str) -> None:
        """Run SQL of a thing; an error says whose it is."""
        try:
            if statements:
                self.conn.execute(statements.encode())
        except psycopg.Error as error:
            error.add_note(f"{made.thing}: {statements}")
            raise
