# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The way up: status, plan, advance, prove, rehearse, adopt."""

from __future__ import annotations

from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common, conclude
from iu_gates.config import name_further, require_gate

Route = Annotated[
    str | None,
    typer.Option(
        "--route",
        metavar="ROUTE",
        help="A further route, which has gates of its own; else the first, and all gates.",
        show_default=False,
    ),
]


@common
def status(call: Call) -> None:
    """Show where it stands: what is on, what is next, what blocks."""
    settings = call.database_settings()
    from iu_gates.status import fetch_status

    call.show(fetch_status(settings), render.status)


@common
def plan(
    call: Call,
    route: Route = None,
    sql: Annotated[bool, typer.Option("--sql", help="Show the SQL itself, and only that.")] = False,
) -> None:
    """Show the steps that lie ahead; nothing is changed."""
    settings = call.database_settings()
    from iu_gates.plan import make_plan

    ahead = make_plan(settings, route)
    if sql and not call.as_json:
        render.write_text(render.plan_sql(ahead))
    else:
        call.show(ahead, render.plan)


@common
def advance(
    call: Call,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="GATE",
            help="Go on through this gate, as far as can be gone; else one gate.",
            show_default=False,
        ),
    ] = None,
    route: Route = None,
) -> None:
    """
    Take the next gate: do its part, judge, record the verdict.

    Where it must wait (for events, a worker, another login's approval) or a gate is not
    satisfied, the exit code is 3 and the next command is named. Started again, it goes on.
    """
    require_gate(to, name_further(route))
    settings = call.database_settings()
    from iu_gates.advance import advance as walk

    done = walk(settings, to=to, route=route, notify=call.notify, bar=call.bar)
    call.show(done, render.advance)


@common
def prove(call: Call) -> None:
    """Run the consumer proof, then roll it back; exit 3 on a fault."""
    settings = call.database_settings()
    from iu_gates.proof import prove as run_proof

    report = run_proof(settings)
    call.show_written(settings, report, render.proof)
    conclude(passed=report.passed)


@common
def rehearse(
    call: Call,
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Drop what killed rehearsals left behind, and only that."),
    ] = False,
) -> None:
    """
    Restore the latest backup, and walk the rest on it.

    There and back, in a scratch database that is dropped at the end; production is only read,
    but for one entry of the ledger. Exit 3 on a fault.
    """
    settings = call.database_settings()
    from iu_gates import rehearsal

    if clean:
        found = rehearsal.clean(settings)
        call.show(found, render.leftovers)
        conclude(passed=all(left.dropped for left in found))
        return
    report = rehearsal.rehearse(settings, lambda text: call.notify("rehearsal", text))
    call.show_written(settings, report, render.rehearsal)
    conclude(passed=report.passed)


@common
def adopt(
    call: Call,
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Change nothing; print the SQL that mends what differs."),
    ] = False,
) -> None:
    """
    Take over 008, 009 and 060 that were made by hand.

    If they are what the revisions give. Refused, with every difference named, if they are not;
    nothing of the host is touched.
    """
    settings = call.database_settings()
    from iu_gates import adopt as take_over

    if not sql:
        call.show_written(settings, take_over.adopt(settings), render.adopt)
        return
    report = take_over.compare(settings)
    render.write_text(report.sql)
    conclude(passed=report.passed)
