"""
Dead letters: which there are, one with its payload, and back to their route.

A redrive parks the events anew, under their own keys, due now; the worker does the rest. Both
tables are append-only, so what was redriven already stays as it is, and the same command a
second time does nothing. On a route that holds its subjects the order is kept: the database
refuses to put an event back while an earlier dead letter of its subject stays
(``fn_iu_route_redrive``), and this module says so before anybody is asked.
"""

from __future__ import annotations

import shlex
from typing import Final

from psycopg.types.json import Jsonb

from iu_gates import db
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import RefusedError, UsageError
from iu_gates.model import DeadLetter, LetterFilter, RedriveResult

MOST_IDS: Final = 20
KEY_PATIENCE: Final = "10s"


def list_letters(
    settings: Settings, wanted: LetterFilter, *, limit: int | None = None
) -> list[DeadLetter]:
    """Return dead letters, the newest first, without their payloads."""
    with db.connect(settings, "dead-letter list") as conn:
        db.require_installed(conn)
        return _fetch(conn, settings, wanted, limit=limit)


def fetch_letter(settings: Settings, dead_letter_id: int) -> DeadLetter:
    """
    Return one dead letter with its payload.

    Raises:
        UsageError: There is none of this number.
    """
    wanted = LetterFilter(ids=(dead_letter_id,), redriven_too=True)
    with db.connect(settings, "dead-letter show") as conn:
        db.require_installed(conn)
        found = _fetch(conn, settings, wanted, payload=True)
    if not found:
        raise _unknown([dead_letter_id])
    return found[0]


def preview(settings: Settings, wanted: LetterFilter) -> list[DeadLetter]:
    """
    Return what `redrive` would put back now, the newest first.

    Raises:
        UsageError: A number is asked for that no dead letter has.
        RefusedError: A route that holds has an earlier one that is not asked for, or this login
            is no operator.
    """
    with db.connect(settings, "dead-letter redrive", as_owner=True) as conn:
        db.require_installed(conn)
        return _require_whole(conn, settings, wanted)


def redrive(settings: Settings, wanted: LetterFilter) -> RedriveResult:
    """
    Put the open dead letters that are asked for back; the ledger says who, how many, which.

    No batch of their routes is in hand meanwhile: one would make a letter of what waits behind
    those that are put back here, after they were listed.

    Raises:
        UsageError, RefusedError: As `preview`; nothing was put back.
    """
    with db.connect(settings, "dead-letter redrive", as_owner=True) as conn:
        db.require_installed(conn)
        with conn.transaction():
            conn.execute("select set_config('lock_timeout', %s, true)", (KEY_PATIENCE,))
            conn.execute(db.load("redrive_keys", settings.schema), {"route": wanted.route})
            letters = _require_whole(conn, settings, wanted)
            ids = [letter.dead_letter_id for letter in letters]
            params = {"ids": ids, "asked": Jsonb(wanted.asked())}
            done = db.fetch_one(conn, db.load("dead_letters_redrive", settings.schema), params)
    return RedriveResult(wanted.asked(), len(ids), int(done["redriven"]))


def _fetch(
    conn: Conn,
    settings: Settings,
    wanted: LetterFilter,
    *,
    limit: int | None = None,
    payload: bool = False,
) -> list[DeadLetter]:
    params = {
        "ids": list(wanted.ids) or None,
        "route": wanted.route,
        "subject": wanted.subject,
        "reason": wanted.reason,
        "sqlstate": wanted.sqlstate,
        "since": wanted.since,
        "redriven_too": wanted.redriven_too,
        "payload": payload,
        "limit": limit,
    }
    rows = db.fetch_all(conn, db.load("dead_letters", settings.schema), params)
    return [DeadLetter(**row) for row in rows]


def _require_whole(conn: Conn, settings: Settings, wanted: LetterFilter) -> list[DeadLetter]:
    """Return the open ones that are asked for, sure that no earlier one is left behind."""
    if wanted.ids:
        known = _fetch(conn, settings, LetterFilter(ids=wanted.ids, redriven_too=True))
        if missing := set(wanted.ids) - {letter.dead_letter_id for letter in known}:
            raise _unknown(sorted(missing))
    letters = _fetch(conn, settings, wanted)
    ids = [letter.dead_letter_id for letter in letters]
    query = db.load("dead_letters_lacking", settings.schema)
    if lacking := db.fetch_all(conn, query, {"ids": ids}):
        raise _out_of_order(letters, [r["dead_letter_id"] for r in lacking], lacking[0]["subject"])
    return letters


def _out_of_order(letters: list[DeadLetter], lacking: list[int], subject: str) -> RefusedError:
    ids = sorted([*lacking, *(letter.dead_letter_id for letter in letters)])
    routes = sorted({letter.route for letter in letters})
    whole = f" --route {shlex.quote(routes[0])}" if len(routes) == 1 else " --all"
    plural = "" if len(lacking) == 1 else "s"
    return RefusedError(
        f"{len(lacking)} earlier dead letter{plural} would be left behind",
        ident="IUG-106",
        found=f'dead letter {lacking[0]} of subject "{subject}"',
        wanted="each open dead letter of a subject before those that are put back",
        means="the route holds its subjects in order; nothing was put back",
        next_command="iu-gates dead-letter redrive"
        + (f" {' '.join(map(str, ids))}" if len(ids) <= MOST_IDS else whole),
        more="docs/runbooks/dead-letters.md",
        facts={"lacking": lacking},
    )


def _unknown(ids: list[int]) -> UsageError:
    return UsageError(
        f"no dead letter {', '.join(map(str, ids[:MOST_IDS]))}",
        ident="IUG-107",
        next_command="iu-gates dead-letter list --all",
    )
