"""
A scratch database: made, marked, dropped; and those that a killed rehearsal left.

The mark is a comment on the database with the number of the session that made it, which stays
connected as long as the rehearsal lives. So a database is a leftover if it has our name and our
mark and that session is gone. Nothing without the mark is ever dropped, and a leftover only as
long as nobody is in it. The name is random and `public` may not connect: nobody else comes in.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors as pg
from psycopg import sql

from iu_gates import db
from iu_gates.db import Conn
from iu_gates.dropping import drop_database, name_holders
from iu_gates.errors import GateError, IuGatesError
from iu_gates.model import Leftover
from iu_gates.rehearsal.place import ELSEWHERE, PAGE, Place, cannot

PREFIX: Final = "iu_gates_rehearsal_"
MARK: Final = "iu-gates rehearsal, session {}"
"""As `queries/rehearsal_leftovers.sql` reads it."""


@contextmanager
def open_patient(url: str) -> Iterator[Conn]:
    """Give a connection that may wait as long as a restore takes."""
    with closing(db.open_connection(url, "rehearse")) as conn:
        conn.execute("set idle_session_timeout = 0")
        conn.execute("set statement_timeout = 0")
        yield conn


@contextmanager
def open_scratch(place: Place, source: Mapping[str, Any]) -> Iterator[str]:
    """
    Give the URL of a new, empty scratch database; it is dropped at the end, whatever happens.

    Args:
        place: The server.
        source: A row of ``queries/rehearsal_source.sql``: encoding and locale.
    """
    name = PREFIX + secrets.token_hex(6)
    with open_patient(place.url) as keeper:
        _create(keeper, name, source)
        try:
            _mark(keeper, name)
            yield place.url_of(name)
        finally:
            _drop_ours(place, name)


def clean(place: Place) -> list[Leftover]:
    """Drop what killed rehearsals left on a server, and say what was not dropped, and why."""
    with closing(db.open_connection(place.url, "rehearse")) as conn:
        rows = db.fetch_all(conn, db.load("rehearsal_leftovers"))
        return [_drop_leftover(conn, row) for row in rows]


def _create(conn: Conn, name: str, source: Mapping[str, Any]) -> None:
    """Make the database with the encoding and the locale of its source."""
    options = [
        ("encoding", source["encoding"]),
        ("locale_provider", {"i": "icu", "b": "builtin"}.get(source["provider"], "libc")),
        ("lc_collate", source["lc_collate"]),
        ("lc_ctype", source["lc_ctype"]),
    ]
    if source["provider"] in ("i", "b"):
        word = "icu_locale" if source["provider"] == "i" else "builtin_locale"
        options.append((word, source["locale"]))
    if source["icu_rules"]:
        options.append(("icu_rules", source["icu_rules"]))
    statement = sql.SQL("create database {} template template0 {}").format(
        sql.Identifier(name),
        sql.SQL(" ").join(sql.SQL("{} {}").format(sql.SQL(k), sql.Literal(v)) for k, v in options),
    )
    try:
        conn.execute(statement)
    except psycopg.Error as error:
        raise cannot(
            "the scratch database could not be made",
            found=" ".join(str(error).split()),
            wanted="a database with the encoding and locale of the one that is rehearsed",
            next_command=ELSEWHERE,
        ) from error


def _mark(conn: Conn, name: str) -> None:
    mark = sql.Literal(MARK.format(conn.info.backend_pid))
    database = sql.Identifier(name)
    conn.execute(sql.SQL("comment on database {} is {}").format(database, mark))
    conn.execute(sql.SQL("revoke all on database {} from public").format(database))


def _drop_ours(place: Place, name: str) -> None:
    """Drop the database that this process made, and say who is in it where that cannot be."""
    holders = ""
    try:
        with open_patient(place.url) as conn:
            try:
                drop_database(conn, name)
            except pg.ObjectInUse:
                holders = name_holders(conn, name)
                raise
    except (psycopg.Error, IuGatesError) as error:
        raise GateError(
            f'the scratch database "{name}" could not be dropped',
            ident="IUG-086",
            found=holders or " ".join(str(error).split()),
            wanted="nobody in it",
            means=f"it is in the way of nothing but room, on {place.name}; what was seen of the"
            " rehearsal is in the ledger if it came to its end",
            next_command="iu-gates rehearse --clean",
            more=PAGE,
        ) from error


def _drop_leftover(conn: Conn, row: Mapping[str, Any]) -> Leftover:
    name = row["name"]
    if not row["is_marked"]:
        return Leftover(name, dropped=False, reason="it lacks our mark: not ours to drop")
    if row["is_used"]:
        return Leftover(name, dropped=False, reason="its rehearsal is still going on")
    try:
        conn.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
    except pg.ObjectInUse:
        who = name_holders(conn, name) or "somebody, gone by now"
        return Leftover(name, dropped=False, reason=f"in it is {who}")
    except pg.InsufficientPrivilege:
        return Leftover(name, dropped=False, reason="another login's")
    except pg.InvalidCatalogName:
        return Leftover(name, dropped=True, reason="by somebody else, just now")
    return Leftover(name, dropped=True)
