"""`doctor`: what has to be right around the gates, each with the command that mends it."""

from __future__ import annotations

from iu_gates import backup, config, db, drift, gates, growth, lanes, mending, rights, site
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import IuGatesError
from iu_gates.model import DoctorReport, Drift, Finding

LONGEST_REMEDY = 200


def doctor(settings: Settings) -> DoctorReport:
    """Return every check; none of them writes."""
    with db.connect(settings, "doctor") as conn:
        facts = gates.host.collect(conn, settings)
        host = gates.host.judge(facts, settings)
        checks = [*host.findings, _judge_tools(conn, settings), _judge_key(settings)]
        checks += rights.judge(conn, settings, facts.names)
        if db.is_installed(conn) and rights.may_read(conn):
            checks += [
                _judge_home(conn, settings),
                _judge_chain(conn),
                *_judge_drift(conn),
            ]
            checks.append(_judge_revisions(conn))
            checks += _judge_history(conn, settings)
    return DoctorReport(tuple(checks))


def _judge_tools(conn: Conn, settings: Settings) -> Finding:
    major = conn.info.server_version // 10_000
    try:
        tools = backup.find_tools(major, settings.bin_dir)
    except IuGatesError as error:
        return Finding(
            "pg_dump",
            passed=False,
            found=error.summary,
            wanted=error.wanted or "",
            remedy=error.next_command or "",
        )
    return Finding(
        "pg_dump", passed=True, found=f"version {tools.version}", wanted=f"{major} or newer"
    )


def _judge_key(settings: Settings) -> Finding:
    there = config.read_site_key(settings) is not None
    found = str(settings.site_key_file) if there else f"none in {settings.site_key_file}"
    return Finding(
        "site key",
        there,
        found,
        "a key outside the database",
        "iu-gates advance",
    )


def _judge_home(conn: Conn, settings: Settings) -> Finding:
    mismatch = site.find_mismatch(conn, settings)
    return Finding(
        "this installation",
        mismatch is None,
        mismatch.reason if mismatch else "it is",
        "the database that was installed",
        mismatch.next_command if mismatch else "",
    )


def _judge_chain(conn: Conn) -> Finding:
    problems = conn.execute(
        "select seq, problem from iu_gates.fn_ledger_verify() limit 3"
    ).fetchall()
    found = "; ".join(f"entry {s}: {p}" for s, p in problems) or "the chain holds"
    return Finding("ledger", not problems, found, "an unbroken chain", "iu-gates ledger verify")


def _judge_drift(conn: Conn) -> list[Finding]:
    return [
        Finding(
            f"drift of {d.object}",
            passed=False,
            found=d.change,
            wanted="as it was left",
            remedy=_name_mending(d, drift.name_remedy(conn)),
        )
        for d in drift.with_rows(conn, drift.list_drift(conn))
        if not d.is_part
    ]


def _name_mending(found: Drift, command: str) -> str:
    """Return the statement that mends it, or the command that prints what is longer."""
    if command != drift.MEND or found.holds or mending.kind(found.object) == "table":
        return command
    statements = mending.list_statements(found)
    is_short = len(statements) == 1 and len(statements[0]) <= LONGEST_REMEDY
    return statements[0] if is_short else command


def _judge_revisions(conn: Conn) -> Finding:
    try:
        applied = lanes.list_applied(conn)
    except IuGatesError as error:
        return Finding(
            "revisions", passed=False, found=error.summary, remedy=error.next_command or ""
        )
    return Finding("revisions", passed=True, found=", ".join(applied) or "none")


def _judge_history(conn: Conn, settings: Settings) -> list[Finding]:
    query = "select to_regclass(format('%%I.iu_route_parked', %s::text)) is not null"
    if not db.fetch_value(conn, query, settings.schema):
        return []
    return [growth.judge(growth.fetch_size(conn, settings), settings)]
