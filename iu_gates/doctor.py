"""`doctor`: what has to be right around the gates, each with the command that mends it."""

from __future__ import annotations

from iu_gates import backup, config, db, gates, lanes, site
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import IuGatesError
from iu_gates.model import DoctorReport, Finding

ROLES = ("iu_gates_approver", "iu_gates_operator", "iu_gates_worker", "iu_gates_auditor")


def doctor(settings: Settings) -> DoctorReport:
    """Return every check; none of them writes."""
    with db.connect(settings, "doctor") as conn:
        host = gates.host.judge(gates.host.collect(conn, settings), settings)
        checks = [*host.findings, _judge_tools(conn, settings), _judge_key(settings)]
        if db.is_installed(conn):
            checks += [
                _judge_home(conn, settings),
                _judge_roles(conn),
                _judge_chain(conn),
                *_judge_drift(conn),
            ]
            checks.append(_judge_revisions(conn))
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
        "iu-gates advance, which makes it the first time",
    )


def _judge_home(conn: Conn, settings: Settings) -> Finding:
    reason = site.find_mismatch(conn, settings)
    return Finding(
        "this installation",
        reason is None,
        reason or "it is",
        "the database that was installed",
        "docs/runbooks/copies.md",
    )


def _judge_roles(conn: Conn) -> Finding:
    missing = [r for r in ROLES if db.fetch_value(conn, "select to_regrole(%s)", r) is None]
    remedy = "; ".join(f"create role {r} nologin" for r in missing) + "; then iu-gates advance"
    return Finding(
        "roles",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "all there",
        ", ".join(ROLES),
        remedy,
    )


def _judge_chain(conn: Conn) -> Finding:
    problems = conn.execute(
        "select seq, problem from iu_gates.fn_ledger_verify() limit 3"
    ).fetchall()
    found = "; ".join(f"entry {s}: {p}" for s, p in problems) or "the chain holds"
    return Finding("ledger", not problems, found, "an unbroken chain", "iu-gates ledger verify")


def _judge_drift(conn: Conn) -> list[Finding]:
    rows = conn.execute("select object, change from iu_gates.fn_drift()").fetchall()
    return [
        Finding(
            f"drift of {o}",
            passed=False,
            found=c,
            wanted="as the last step left it",
            remedy="docs/gates/substrate.md",
        )
        for o, c in rows
    ]


def _judge_revisions(conn: Conn) -> Finding:
    try:
        applied = lanes.list_applied(conn)
    except IuGatesError as error:
        return Finding(
            "revisions", passed=False, found=error.summary, remedy=error.next_command or ""
        )
    return Finding("revisions", passed=True, found=", ".join(applied) or "none")
