"""
What is in the tables, as a number and a digest each.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from iu_gates.symmetry.snapshot import settled

COLUMNS: Final = Path(__file__).with_name("queries") / "rows" / "columns.sql"
EACH: Final = sql.SQL("coalesce(sum(hashtextextended(row({column})::text, 0)::numeric), 0)")
DIGEST: Final = sql.SQL("""
    select count(*), coalesce(sum(hashtextextended(row({columns})::text, 0)::numeric), 0),
           array[{each}]::text[]
    from only {table}
""")


class RowDigest(NamedTuple):
    """
    The rows of a table, whatever order they are in.

    Attributes:
        rows: How many there are.
        digest: Equal if the rows are; a row that is there twice counts twice.
        columns: Each column's name, and the same for it alone.
    """

    rows: int
    digest: str
    columns: tuple[tuple[str, str], ...]


def row_digests(
    conn: psycopg.Connection[Any], exclude_schemas: Collection[str] = ()
) -> dict[str, RowDigest]:
    """
    Return a digest of the rows of each table, by its name with the schema.

    The order of the columns does not count either, that is the catalog's. A partition and a
    child table count for themselves; populated materialized views count as tables. Foreign
    tables, sequences and large objects are left out. Where row security hides rows from this
    session, psycopg's error says so: a digest of a part would be a lie.
    """
    with settled(conn, exclude_schemas) as cursor:
        tables = cursor.execute(COLUMNS.read_bytes()).fetchall()
        found = {identity: _digest((0, 0, ("0",) * len(c)), c) for identity, _, _, c, _ in tables}
        with conn.pipeline():  # they are many, and each is soon answered
            asked = [
                (identity, columns, _ask(conn, schema, name, columns))
                for identity, schema, name, columns, is_empty in tables
                if not is_empty
            ]
            for identity, columns, answer in asked:
                found[identity] = _digest(answer.fetchall()[0], columns)
        return found


def _ask(
    conn: psycopg.Connection[Any], schema: str, name: str, columns: list[str]
) -> psycopg.Cursor[tuple[Any, ...]]:
    query = _query(schema, name, tuple(columns), conn.info.encoding)
    return conn.cursor(row_factory=tuple_row).execute(query, prepare=False)


@lru_cache(4096)
def _query(schema: str, name: str, columns: tuple[str, ...], encoding: str) -> bytes:
    query = DIGEST.format(
        table=sql.Identifier(schema, name),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        each=sql.SQL(", ").join(EACH.format(column=sql.Identifier(c)) for c in columns),
    )
    return query.as_string().encode(encoding)


def _digest(row: tuple[Any, ...], columns: list[str]) -> RowDigest:
    return RowDigest(row[0], str(row[1]), tuple(zip(columns, row[2], strict=True)))
