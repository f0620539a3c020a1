# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""Dead letters: list, show, redrive."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, Yes, common
from iu_gates.errors import UsageError
from iu_gates.model import LetterFilter

Ids = Annotated[
    list[int] | None,
    typer.Argument(metavar="ID", min=1, help="Of dead letters.", show_default=False),
]
Route = Annotated[
    str | None, typer.Option("--route", metavar="ROUTE", help="Of this route.", show_default=False)
]
Subject = Annotated[
    str | None,
    typer.Option("--subject", metavar="SUBJECT", help="Of this unit.", show_default=False),
]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="REASON",
        help='"data error", "target full", "key collision" or "held behind".',
        show_default=False,
    ),
]
SqlState = Annotated[
    str | None,
    typer.Option(
        "--sqlstate", metavar="STATE", help="Of the last try, or its class.", show_default=False
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help='Given up on from then on, such as "2026-11-23T02:02" (UTC).',
        show_default=False,
    ),
]


@common
def group(call: Call) -> None:
    """Show the events that were given up on, and put them back."""


@common
def list_(
    call: Call,
    ids: Ids = None,
    *,
    route: Route = None,
    subject: Subject = None,
    reason: Reason = None,
    sqlstate: SqlState = None,
    since: Since = None,
    every: Annotated[
        bool, typer.Option("--all/--open", help="Those that were redriven too.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="The newest N; 0 is all.")
    ] = 50,
) -> None:
    """List dead letters, the newest first."""
    wanted = _filter(
        ids, since, every=every, route=route, subject=subject, reason=reason, sqlstate=sqlstate
    )
    settings = call.database_settings()
    from iu_gates.dead_letters import list_letters

    letters = list_letters(settings, wanted, limit=limit or None)
    if call.as_json:
        call.show_json({"dead_letters": letters})
    else:
        call.show(letters, render.dead_letters)


@common
def show(
    call: Call,
    number: Annotated[int, typer.Argument(metavar="ID", min=1, help="Of a dead letter.")],
) -> None:
    """Show one dead letter with its payload."""
    settings = call.database_settings()
    from iu_gates.dead_letters import fetch_letter

    call.show(fetch_letter(settings, number), render.dead_letter)


@common
def redrive(
    call: Call,
    ids: Ids = None,
    *,
    route: Route = None,
    subject: Subject = None,
    reason: Reason = None,
    sqlstate: SqlState = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    yes: Yes = False,
) -> None:
    """
    Put open dead letters back, under their own keys.

    The worker tries them again.
    What was redriven already stays as it is. On a route that holds its subjects an event goes back
    only together with each open dead letter of its subject before it.
    """
    wanted = _filter(
        ids, since, every=False, route=route, subject=subject, reason=reason, sqlstate=sqlstate
    )
    if every == bool(wanted.asked()):
        raise UsageError(
            "which dead letters?" if not every else "--all goes with no other choice",
            wanted="numbers, --route, --subject, --reason, --sqlstate or --since; or --all",
            means="nothing was put back",
            next_command="iu-gates dead-letter list",
        )
    settings = call.database_settings()
    from iu_gates import dead_letters

    if not yes:
        letters = dead_letters.preview(settings, wanted)
        if not letters:
            call.say("nothing to redrive: none of these is open", matching=0, redriven=0)
            return
        if not call.as_json:
            render.write(render.dead_letters(letters, render.terminal_width()), sys.stderr)
        again = shlex.join(["iu-gates", "dead-letter", "redrive", *_words(wanted), "--yes"])
        if not call.confirm(f"put {len(letters)} back", again):
            call.say("not redriven: nothing was put back", matching=len(letters), redriven=0)
            return
    call.show_written(settings, dead_letters.redrive(settings, wanted), render.redriven)


def _filter(
    ids: list[int] | None, since: str | None, *, every: bool, **wanted: str | None
) -> LetterFilter:
    return LetterFilter(ids=tuple(ids or ()), since=_moment(since), redriven_too=every, **wanted)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f'--since "{text}" is no time',
            wanted='a time such as "2026-11-23T02:02"; without an offset it is UTC',
            next_command="iu-gates dead-letter list --help",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _words(wanted: LetterFilter) -> list[str]:
    """Return what was asked for as words of the command line."""
    asked = wanted.asked()
    words = [str(number) for number in asked.pop("ids", [])]
    return [*words, *(word for name, value in asked.items() for word in (f"--{name}", value))] or [
        "--all"
    ]
