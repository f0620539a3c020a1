"""
What of a database is compared: all but the version table of Alembic, and what is left out by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from iu_gates.symmetry.project import Home
from iu_gates.symmetry.rows import row_digests
from iu_gates.symmetry.snapshot import Snapshot, snapshot
from iu_gates.symmetry.verdict import Picture


class Sessions:
    """
    The newest session in each of a few databases, kept for the next look; threads may share it.

    What PostgreSQL has planned and read for the first look it need not for the second.
    """

    def __init__(self) -> None:
        self._idle: dict[str, psycopg.Connection[Any]] = {}

    @contextmanager
    def use(self, conninfo: str) -> Iterator[psycopg.Connection[Any]]:
        """Give a session that answers, and keep it if nothing fails."""
        conn = self._idle.pop(conninfo, None)
        if conn is None or not _answers(conn):
            conn = psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)
        try:
            yield conn
        except BaseException:
            conn.close()
            raise
        self._idle[conninfo] = conn

    def pids(self, conninfo: str) -> list[int]:
        """Return the process of the session in a database, if there is one."""
        conn = self._idle.get(conninfo)
        return [conn.info.backend_pid] if conn and not conn.closed else []

    def close(self, conninfo: str) -> None:
        """End the session in a database, if there is one."""
        if conn := self._idle.pop(conninfo, None):
            conn.close()

    def close_all(self) -> None:
        """End all of them."""
        for conninfo in list(self._idle):
            self.close(conninfo)


def _answers(conn: psycopg.Connection[Any]) -> bool:
    """Tell whether a session was not ended, by a revision or to make a copy."""
    try:
        conn.execute("select 1", prepare=False)
    except psycopg.OperationalError:
        conn.close()
        return False
    return True


@dataclass(frozen=True, slots=True)
class View:
    """
    How the databases of one run are looked at.

    Attributes:
        left_out: Schemas.
        version_table: With its schema, quoted as in SQL.
        with_rows: Look at the rows too.
        sessions: In which they are looked at.
    """

    left_out: tuple[str, ...]
    version_table: str
    with_rows: bool
    sessions: Sessions = field(compare=False)

    def look(self, conninfo: str) -> Picture:
        """Return the picture of a database as it is now."""
        with self.sessions.use(conninfo) as conn:
            catalog = snapshot(conn, exclude_schemas=self.left_out)
            rows = row_digests(conn, self.left_out) if self.with_rows else {}
        return _without_table(Picture(catalog, rows), self.version_table)


def find_view(conninfo: str, home: Home, exclude: tuple[str, ...], *, with_rows: bool) -> View:
    """
    Return how to look at the databases of a project.

    The schema of its version table is left out too, if ``env.py`` names one, and no model of the
    project has a table there.
    """
    query = """
        select n.nspname, format('%%I.%%I', n.nspname, c.relname)
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where c.oid = to_regclass(%s)
    """
    with psycopg.connect(conninfo, autocommit=True) as conn:
        row = conn.execute(query, (name_table(home).as_string(conn),)).fetchone()
    schema, table = row or (home.schema or "public", f"{home.schema or 'public'}.{home.table}")
    if home.schema not in (None, "public") and not home.has_models:
        exclude = (*exclude, schema)
    return View(exclude, table, with_rows, Sessions())


def list_recorded(conn: psycopg.Connection[Any], home: Home) -> frozenset[str]:
    """Return the revisions that the version table names; nothing where there is no such table."""
    query = sql.SQL("select version_num from {}").format(name_table(home))
    try:
        return frozenset(name for (name,) in conn.execute(query, prepare=False))
    except psycopg.errors.UndefinedTable:
        return frozenset()


def name_table(home: Home) -> sql.Identifier:
    """Return the name of the version table as ``env.py`` gives it."""
    return sql.Identifier(*filter(None, (home.schema, home.table)))


def _without_table(picture: Picture, table: str) -> Picture:
    """Leave the version table out, with its columns, constraints, indexes and privileges."""
    kept = {
        (kind, name): attributes
        for (kind, name), attributes in picture.catalog.objects.items()
        if not _is_of(table, kind, name, attributes)
    }
    rows = {name: digest for name, digest in picture.rows.items() if name != table}
    return Picture(Snapshot(kept), rows)


def _is_of(table: str, kind: str, name: str, attributes: Mapping[str, Any]) -> bool:
    if kind == "index":
        return f" ON {table} " in attributes["definition"]
    own = name.split(" ", 1)[-1] if kind in ("comment", "privilege") else name
    return own == table or own.startswith(f"{table}.")
