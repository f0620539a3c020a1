# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""Checks that change nothing: audit, doctor, drift."""

from __future__ import annotations

from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common, conclude
from iu_gates.model import AuditReport


@common
def audit(
    call: Call,
    route: Annotated[
        str | None,
        typer.Option(
            "--route", metavar="ROUTE", help="This route only; else all.", show_default=False
        ),
    ] = None,
) -> None:
    """Count anew, from host to target; exit 3 on a difference."""
    settings = call.database_settings()
    from iu_gates.audit import audit as count

    reports = count(settings, route)
    passed = all(report.passed for report in reports)
    if call.as_json:
        call.show_json({"passed": passed, "reports": reports})
    else:
        call.show(reports, _page)
    conclude(passed=passed)


@common
def doctor(call: Call) -> None:
    """Check server, rights, tools, host contract and site key."""
    settings = call.database_settings()
    from iu_gates.doctor import doctor as examine

    report = examine(settings)
    passed = all(check.passed for check in report.checks)
    if call.as_json:
        call.show_json({"passed": passed, "checks": report.checks})
    else:
        call.show(report, render.doctor)
    conclude(passed=passed)


@common
def drift(
    call: Call,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL that mends it, and nothing else.")
    ] = False,
) -> None:
    """Compare our objects with the record; exit 3 on drift."""
    settings = call.database_settings()
    from iu_gates.drift import report as compare

    report = compare(settings)
    if call.as_json:
        call.show_json({"passed": report.passed, "found": report.found, "sql": report.sql})
    elif sql:
        render.write_text(report.sql)
    else:
        call.show(report, render.drift)
    conclude(passed=report.passed)


def _page(reports: list[AuditReport], width: int) -> render.Page:
    return render.audits(reports, width)
