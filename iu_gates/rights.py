"""
Roles and rights: what is missing, each with the SQL that gives it.

Two lists, both read from the catalog. ``migrations/rights.sql`` is what needs a DBA: the roles,
the owner, its rights on the host's tables; the bootstrap runs what its login may of it.
`iu_gates.fn_role_grants` is what the groups may do with our objects; our owner gives that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from psycopg import sql

from iu_gates import db, lanes
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import Finding

PAGE: Final = "docs/rights.md"
SHOWN: Final = 3
GIVE: Final = """\
set role iu_gates_owner;
select iu_gates.fn_grant_roles(), iu_gates.fn_record_rights();
reset role;"""
"""Give the groups their rights; recorded, so that a right given is no drift."""


def judge(conn: Conn, settings: Settings, names: Mapping[str, Any]) -> list[Finding]:
    """
    Return one finding for each kind of right that is missing, or one that none is.

    Args:
        conn: As the login itself, not as the owner.
        settings: Name the schema of our objects.
        names: The host's names, as `hostnames.resolve` gives them.
    """
    login = db.fetch_one(conn, db.load("rights_login"))
    missing = _list_missing(conn, settings, names)
    if login["groups"]:
        # An auditor need not be an operator.
        missing = [row for row in missing if row["topic"] != "login"]
    findings = [
        _finding(topic, list(rows)) for topic, rows in groupby(missing, key=itemgetter("topic"))
    ]
    if login["may_read"]:
        findings += _judge_groups(conn, is_due=bool(findings))
    if login["is_operator"] or not login["groups"]:
        findings += _judge_dump(conn, login["login"])
    if login["groups"]:
        found = f'"{login["login"]}" is in {", ".join(login["groups"])}'
        findings.append(Finding("login", passed=True, found=found))
    if login["is_operator"] and not login["may_signal"]:
        # Not needed to switch off, and no small thing to give: so it is said, and is no fault.
        grant = _grant("pg_signal_backend", login["login"])
        found = f"without it, another login's batch is waited for: {grant};"
        findings.append(Finding("right for disable --terminate", passed=True, found=found))
    return findings or [Finding("roles", passed=True, found="all there, with their rights")]


def may_read(conn: Conn) -> bool:
    """Tell whether this login may read the record."""
    return bool(db.fetch_one(conn, db.load("rights_login"))["may_read"])


def find_signal_grant(conn: Conn) -> str | None:
    """Return the SQL that lets this login end another login's batch; None if it may."""
    row = db.fetch_one(conn, db.load("rights_login"))
    return None if row["may_signal"] else _grant("pg_signal_backend", row["login"])


def _grant(role: str, login: str) -> str:
    return f"grant {role} to {sql.Identifier(login).as_string()}"


def _list_missing(conn: Conn, settings: Settings, names: Mapping[str, Any]) -> list[dict[str, Any]]:
    hostnames = lanes.load_module("hostnames")
    text = (lanes.migrations_dir() / "rights.sql").read_text("utf-8")
    rendered = hostnames.render(text, hostnames.variables(settings.schema, names))
    return db.fetch_all(conn, sql.SQL(rendered))


def _finding(topic: str, rows: list[dict[str, Any]]) -> Finding:
    remedy = "\n".join(f"{row['statement']};" for row in rows)
    return Finding(topic, passed=False, found=_shorten(row["found"] for row in rows), remedy=remedy)


def _judge_groups(conn: Conn, *, is_due: bool) -> list[Finding]:
    """Judge what the groups may; `is_due` says that more comes to be given by what else is done."""
    if not db.fetch_value(conn, "select to_regprocedure('iu_gates.fn_role_grants()') is not null"):
        return []
    rows = conn.execute(
        "select role_name || ': ' || statement from iu_gates.fn_role_grants() where not is_done"
    ).fetchall()
    if not (rows or is_due):
        return []
    found = _shorten(r[0] for r in rows) or "to be given when the above is done"
    return [Finding("rights of the groups", passed=False, found=found, remedy=GIVE)]


def _judge_dump(conn: Conn, login: str) -> list[Finding]:
    """Judge whether pg_dump, which runs as the login, could read everything."""
    row = db.fetch_one(conn, db.load("rights_dump"))
    name = sql.Identifier(login).as_string()
    findings = []
    if row["unreadable"]:
        found = f"{row['unreadable']} tables or sequences it may not read, as {row['example']}"
        remedy = f"{_grant('pg_read_all_data', login)};"
        findings.append(Finding("rights for a backup", passed=False, found=found, remedy=remedy))
    if row["secured"]:
        found = f"row security hides rows of {row['secured']}"
        remedy = f"alter role {name} bypassrls;"
        findings.append(Finding("rows for a backup", passed=False, found=found, remedy=remedy))
    return findings


def _shorten(texts: Iterable[str]) -> str:
    every = list(texts)
    more = f"; and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return "; ".join(every[:SHOWN]) + more
