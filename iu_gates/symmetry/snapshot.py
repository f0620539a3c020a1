"""
The whole catalog of a database as a value: no OIDs, no attnums, no search_path.

Each file in ``queries/`` lists one kind of object: its identity (the name, with its schema) and
its attributes as JSON. Two catalogs that mean the same compare equal, on the same major version
of PostgreSQL always, and on different ones as far as PostgreSQL writes definitions alike (15
writes view definitions, and 18 some constraints' names, in another way).

Left out, because they are the cluster's: roles, tablespaces, parameters. Left out, because
another object says it: what an extension brought (its version does), array and row types (their
type or table does), NOT NULL constraints of 18 (the column does).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from iu_gates.errors import IuGatesError
from iu_gates.symmetry.difference import Difference, compare

QUERIES: Final = Path(__file__).with_name("queries")
KINDS: Final = (
    "database",
    "setting",
    "schema",
    "extension",
    "language",
    "access method",
    "type",
    "domain",
    "collation",
    "conversion",
    "function",
    "aggregate",
    "operator",
    "operator family",
    "operator class",
    "cast",
    "transform",
    "sequence",
    "table",
    "foreign data wrapper",
    "foreign server",
    "user mapping",
    "foreign table",
    "view",
    "column",
    "column order",
    "constraint",
    "index",
    "statistics",
    "trigger",
    "rule",
    "policy",
    "event trigger",
    "text search parser",
    "text search template",
    "text search dictionary",
    "text search configuration",
    "publication",
    "subscription",
    "large object",
    "privilege",
    "comment",
    "security label",
)
"""What is looked at, in the order of a readable report: one file in ``queries/`` each."""

PROLOGUE: Final = ("kept", "member", "place", "relation")
"""What the queries start from, each on what stands before it."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    A catalog as it was.

    Attributes:
        objects: The attributes (JSON values) of each object, by (kind, identity).
    """

    objects: Mapping[Key, Mapping[str, Any]]

    def diff(self, other: Snapshot) -> list[Difference]:
        """Return what is different in `other`, by kind and name; nothing if they are equal."""
        keys = sorted(
            self.objects.keys() | other.objects.keys(), key=lambda x: (KINDS.index(x[0]), x[1])
        )
        return [
            difference
            for key in keys
            for difference in compare(*key, self.objects.get(key), other.objects.get(key))
        ]


def snapshot(conn: psycopg.Connection[Any], *, exclude_schemas: Collection[str] = ()) -> Snapshot:
    """
    Return the catalog of the database, as this session sees it now.

    In a transaction it sees what that has done so far, and leaves the transaction and its
    settings as they were.

    Args:
        conn: Any rights will do, but some options (of user mappings) show to their owner alone.
        exclude_schemas: Schemas left out, with all that is in them.
    """
    found: dict[Key, Mapping[str, Any]] = {}
    with settled(conn, exclude_schemas) as cursor:
        for kind, identity, attributes in cursor.execute(_query_all()):
            if (kind, identity) in found:
                raise IuGatesError(f'two objects of kind "{kind}" are called "{identity}"')
            found[kind, identity] = attributes
    return Snapshot(found)


@contextmanager
def settled(
    conn: psycopg.Connection[Any], exclude_schemas: Collection[str] = ()
) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """
    Give a cursor in a transaction of its own with all settings that matter set; undo both after.

    The transaction reads one state of the database and cannot write. Within a transaction of the
    caller it is a savepoint, which can promise neither.
    """
    is_alone = conn.info.transaction_status == TransactionStatus.IDLE
    # A COMMIT ends the settings too, and after a ROLLBACK psycopg forgets what it has prepared.
    transaction = conn.transaction(force_rollback=not is_alone)
    with transaction, conn.cursor(row_factory=tuple_row) as cursor:
        if is_alone:
            cursor.execute("set transaction isolation level repeatable read, read only")
        cursor.execute(_text("settings"))
        left_out = json.dumps(sorted(exclude_schemas))
        cursor.execute("select set_config('iu_gates.left_out', %s, true)", [left_out])
        yield cursor


@cache
def _query_all() -> bytes:
    """Return one query for all kinds: what they start from is read once, not for each of them."""
    first = [b"%b as (%b)" % (name.encode(), _text(f"prologue/{name}")) for name in PROLOGUE]
    each = [
        b"select '%b' as kind, listed.identity, listed.attributes from (%b) listed"
        % (kind.encode(), _text(kind.replace(" ", "_")))
        for kind in KINDS
    ]
    return b"with %b %b" % (b", ".join(first), b" union all ".join(each))


@cache
def _text(name: str) -> bytes:
    return QUERIES.joinpath(f"{name}.sql").read_bytes()
