"""
Drift: what of ours is not as it was left, and the SQL that mends it.

The database compares (`iu_gates.fn_drift`): the catalog now with what the last lane step and the
last bootstrap recorded. Whoever may edit that function may let it say "nothing", so the functions
it stands on are compared from here too, with the text of this version. That shows an edit by hand;
an owner or superuser who edits the record as well is not found, and nothing here claims it (P10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import psycopg

from iu_gates import db, lanes, mending
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import RefusedError
from iu_gates.model import Drift, DriftReport

WATCHED: Final = ("018_catalog.sql", "070_catalog.sql")
FUNCTION: Final = re.compile(
    r"create or replace function (iu_gates\.(\w+)\(.*?as \$\$(.*?)\$\$;)", re.DOTALL
)
TRIGGER: Final = re.compile(r": trigger (?!.*: state$)")
DAMAGED: Final = "IUG46"
ADOPT: Final = "iu-gates adopt"
MEND: Final = "iu-gates drift --sql"
MOST: Final = 1000
"""Rows of a table that is too much are not counted further."""


def report(settings: Settings) -> DriftReport:
    """Return what has drifted, and the SQL that mends it."""
    with db.connect(settings, "drift") as conn:
        db.require_installed(conn)
        found = with_rows(conn, list_drift(conn))
        return DriftReport(found, mending.render(found), name_remedy(conn))


def list_names(conn: Conn) -> tuple[str, ...]:
    """Return "object: changed|missing|added" for what is not as it was left."""
    return tuple(f"{d.object}: {d.change}" for d in list_drift(conn) if not d.is_part)


def list_drift(conn: Conn) -> tuple[Drift, ...]:
    """Return all that is not as it was left, with what was kept of it, in the order of names."""
    compared = _compare(conn)
    lies = list(_find_lies(conn))
    if compared is None and not lies:
        lies = [Drift("function iu_gates.fn_drift()", "missing")]
    found = {d.object: d for d in compared or ()}
    for lie in lies:
        found.setdefault(lie.object, lie)
    return tuple(_with_state(conn, found[name]) for name in sorted(found))


def with_rows(conn: Conn, found: Iterable[Drift]) -> tuple[Drift, ...]:
    """Return drift with the rows that tables and columns hold which were not there."""
    return tuple(replace(d, holds=_count_rows(conn, d)) if _may_hold(d) else d for d in found)


def _may_hold(found: Drift) -> bool:
    is_whole = found.change == "added" and not found.is_part
    return is_whole and mending.kind(found.object) in {"table", "column"}


def _count_rows(conn: Conn, found: Drift) -> str:
    """Return in words how many rows there are; what cannot be read counts as some."""
    place, _, column = found.object.removeprefix("table ").partition(": column ")
    where = f"where {column} is not null" if column else ""
    # The names are as the catalog printed them.
    query = f"select count(*) from (select from {place} {where} limit {MOST + 1}) as r"  # noqa: S608
    try:
        with conn.transaction():
            conn.execute("set local lock_timeout = '100ms'")
            conn.execute("set local statement_timeout = '2s'")
            conn.execute("set local row_security = off")
            ((count,),) = conn.execute(query.encode()).fetchall()
    except (psycopg.errors.InsufficientPrivilege, psycopg.OperationalError):
        return "rows, for all that can be seen now"
    if count > MOST:
        return f"more than {MOST} rows"
    return f"{count} {'row' if count == 1 else 'rows'}" if count else ""


def name_remedy(conn: Conn) -> str:
    """Return the command that comes next where something drifted."""
    stamp = _fetch_false_stamp(conn)
    return stamp["remedy"] if stamp else MEND if lanes.list_applied(conn) else ADOPT


def require_recorded(conn: Conn) -> None:
    """
    Raise if `alembic_version` says other revisions than the last step or `adopt` left.

    Raises:
        RefusedError: It was stamped by hand; what it names never ran, or still stands.
    """
    if db.is_installed(conn) and (stamp := _fetch_false_stamp(conn)):
        raise RefusedError(
            "alembic_version is not as the last step left it",
            ident="IUG-046",
            found=stamp["object"],
            wanted="the revisions that ran",
            means="nothing was changed; iu-gates drift --sql prints the SQL that mends it too",
            next_command=stamp["remedy"],
            more="docs/runbooks/drift.md",
        )


def _fetch_false_stamp(conn: Conn) -> dict[str, Any]:
    """Return how `alembic_version` differs from the ledger; empty if not, or nobody can say."""
    try:
        with conn.transaction():
            return db.fetch_one(conn, db.load("false_stamp"))
    except psycopg.errors.UndefinedFunction:
        return {}


def _compare(conn: Conn) -> list[Drift] | None:
    """Ask the database, None if it cannot answer; a record that is not as it was is drift too."""
    try:
        # A savepoint where the caller is in a transaction: it goes on after an error.
        with conn.transaction():
            rows = db.fetch_all(conn, db.load("drift"))
    except psycopg.errors.UndefinedFunction:
        return None
    except psycopg.Error as error:
        if error.sqlstate != DAMAGED:
            raise
        return [Drift("table iu_gates.catalog_text", "changed", found=str(error))]
    return [Drift(**row) for row in rows]


def _find_lies(conn: Conn) -> Iterator[Drift]:
    """Return functions of the comparison whose text is neither this version's nor the recorded."""
    row = db.fetch_one(conn, db.load("drift_names"))
    if not row:
        return
    texts = dict(_read_watched(row["iu_schema"], row["host_schema"]))
    there = db.fetch_all(conn, db.load("drift_functions"), {"names": list(texts)})
    kept = _fetch_kept(conn)
    seen = {r["name"]: r for r in there}
    for name, (body, statement) in texts.items():
        if name not in seen:
            # What an older version did not have is not missing.
            gone = (k for k in kept if k.startswith(f"function iu_gates.{name}(") and ": " not in k)
            yield from (Drift(k, "missing", wanted=statement) for k in gone)
            continue
        row = seen[name]
        if row["body"] != body and kept.get(row["object"]) != row["sha256"]:
            text = db.fetch_one(conn, db.load("drift_text"), {"sha256": kept.get(row["object"])})
            wanted = text.get("content", statement)
            yield Drift(row["object"], "changed", wanted=wanted, found=row["definition"])


def _read_watched(schema: str, host_schema: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Return the functions that the comparison stands on: name, then body and statement."""
    names = {"iu_schema": schema, "iu_host_schema": host_schema}
    render = lanes.load_module("hostnames").render
    for file in WATCHED:
        text = (lanes.migrations_dir() / "control" / file).read_text("utf-8")
        for statement, name, body in FUNCTION.findall(render(text, names)):
            path = f'set search_path = "{schema.replace(chr(34), chr(34) * 2)}", pg_temp'
            yield name, (body, f"{path};\ncreate or replace function {statement.rstrip(';')}")


def _fetch_kept(conn: Conn) -> dict[str, Any]:
    """Return the recorded hashes of the control schema, without asking any function of ours."""
    content = db.fetch_one(conn, db.load("drift_kept")).get("content")
    return json.loads(content) if content else {}


def _with_state(conn: Conn, found: Drift) -> Drift:
    """Let a trigger that is made anew fire as it did: `create or replace` resets that."""
    if found.change != "changed" or not TRIGGER.search(found.object) or found.wanted is None:
        return found
    row = db.fetch_one(conn, db.load("drift_state"), {"object": f"{found.object}: state"})
    return replace(found, wanted=f"{found.wanted};\n{row['content']}") if row else found
