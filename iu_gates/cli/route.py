# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""Routes one by one: list, show, add, set, enable, disable, replay, skip-to."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

import typer

from iu_gates import render
from iu_gates.cli import undo
from iu_gates.cli.call import Call, Yes, common
from iu_gates.errors import UsageError
from iu_gates.model import Span

Name = Annotated[str, typer.Argument(metavar="NAME", help="The route.", show_default=False)]
Tries = Annotated[
    int | None,
    typer.Option(
        "--tries",
        metavar="N",
        min=1,
        max=1000,
        help="An event that failed so often is a dead letter.",
        show_default=False,
    ),
]
Backoff = Annotated[
    int | None,
    typer.Option(
        "--backoff",
        metavar="SECONDS",
        min=0,
        max=3600,
        help="Wait before the second try; doubled each time, up to an hour.",
        show_default=False,
    ),
]
OnDeadLetter = Annotated[
    Literal["hold", "pass"] | None,
    typer.Option(
        "--on-dead-letter",
        metavar="hold|pass",
        help="What later events of its subject do behind a dead letter.",
        show_default=False,
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        "--budget",
        metavar="N",
        min=0,
        max=1_000_000_000,
        help="More failed tries than this within the window trip the route.",
        show_default=False,
    ),
]
Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        metavar="SECONDS",
        min=1,
        max=604800,
        help="Length of the budget's window.",
        show_default=False,
    ),
]


@common
def group(call: Call) -> None:
    """Show the routes, add one, set its policy; replay, skip."""


@common
def list_(call: Call) -> None:
    """List the routes, with what each has before it."""
    settings = call.database_settings()
    from iu_gates.routes import list_routes

    routes = list_routes(settings)
    if call.as_json:
        call.show_json({"routes": routes})
    else:
        call.show(routes, render.routes)


@common
def show(call: Call, name: Name) -> None:
    """Show one route: definition, policy, cursors, counts."""
    settings = call.database_settings()
    from iu_gates.routes import list_routes

    (route,) = list_routes(settings, name)
    call.show(route, render.route)


@common
def add(
    call: Call,
    name: Name,
    event_type: Annotated[
        str,
        typer.Option("--event-type", metavar="TYPE", help="It takes events of this type."),
    ],
    *,
    target_kind: Annotated[
        Literal["workflow", "notify"],
        typer.Option(
            "--target-kind",
            metavar="workflow|notify",
            help="The host's outbox, or a channel of NOTIFY.",
        ),
    ] = "workflow",
    target_ref: Annotated[
        str | None,
        typer.Option(
            "--target-ref", metavar="REF", help="The channel, or the outbox.", show_default=False
        ),
    ] = None,
    filter_subject: Annotated[
        str | None,
        typer.Option(
            "--filter-subject", metavar="SUBJECT", help="Of this unit only.", show_default=False
        ),
    ] = None,
    filter_payload: Annotated[
        str | None,
        typer.Option(
            "--filter-payload",
            metavar="JSON",
            help='Only what has this within its payload, such as \'{"kind": "news"}\'.',
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="EVENT", help='"now", "beginning", or the number of an event.'
        ),
    ] = "now",
    tries: Tries = None,
    backoff: Backoff = None,
    on_dead_letter: OnDeadLetter = None,
    budget: Budget = None,
    window: Window = None,
) -> None:
    """
    Add a route: off, dry, and from now on.

    What is being written now is attempted; what was committed before is not, unless --from says so.
    """
    payload = _json_object(filter_payload)
    wanted = {"subject": filter_subject, "payload": payload}
    first = {"now": None, "beginning": 1}[start] if start in {"now", "beginning"} else _id(start)
    settings = call.database_settings()
    from iu_gates import routes

    new = routes.NewRoute(
        name,
        event_type,
        target_kind,
        target_ref,
        {k: v for k, v in wanted.items() if v is not None} or None,
        _policy(tries, backoff, on_dead_letter, budget, window),
        first,
    )
    call.show_written(settings, routes.add(settings, new), render.route_change)


@common
def set_(
    call: Call,
    name: Name,
    *,
    tries: Tries = None,
    backoff: Backoff = None,
    on_dead_letter: OnDeadLetter = None,
    budget: Budget = None,
    window: Window = None,
) -> None:
    """
    Change the policy of a route.

    --on-dead-letter is part of what was approved: only while the route is not live.
    """
    policy = _policy(tries, backoff, on_dead_letter, budget, window)
    if not policy:
        raise UsageError(
            "nothing to set",
            wanted="--tries, --backoff, --on-dead-letter, --budget or --window",
            means="nothing was changed",
            next_command="iu-gates route set --help",
        )
    settings = call.database_settings()
    from iu_gates import routes

    call.show_written(settings, routes.change(settings, name, policy), render.route_change)


@common
def enable(call: Call, name: Name) -> None:
    """
    Switch a route on, dry.

    It is evaluated, and delivers nothing: live goes by the gates only, which is `advance`.
    """
    settings = call.database_settings()
    from iu_gates import routes

    call.show_written(settings, routes.enable(settings, name), render.route_change)


@common
def disable(
    call: Call,
    name: Name,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Goes into the ledger.")
    ] = "",
    terminate: Annotated[
        bool, typer.Option("--terminate", help="End the batches that are still in hand.")
    ] = False,
) -> None:
    """Switch a route off, then wait: as `disable --route`."""
    undo.switch_off(call, name, reason, terminate=terminate)


@common
def replay(
    call: Call,
    name: Name,
    start: Annotated[
        str,
        typer.Option("--from", metavar="EVENT", help="The first event, or the time of capture."),
    ],
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="EVENT",
            help="The last event, or time; else as far as was delivered.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """
    Send past events of a live route again.

    Under their own keys, in order: what the target has is a no-op, what it lacks is delivered.
    Ends at the first event that fails. The same command goes on after a kill.
    """
    span = _span(start, end)
    settings = call.database_settings()
    from iu_gates import replay as use_case

    if not yes:
        seen = use_case.preview(settings, name, span)
        if not seen.events:
            call.say("nothing to replay: no past event is there", route=name, events=0)
            return
        if not call.as_json:
            render.write(render.replay_preview(seen, render.terminal_width()), sys.stderr)
        words = ["iu-gates", "route", "replay", name, "--from", start]
        again = shlex.join([*words, *(["--to", end] if end else []), "--yes"])
        if not call.confirm(f"hand {seen.events} events to the target again", again):
            call.say("not replayed: nothing was sent", route=name, events=0)
            return
    done = use_case.replay(settings, name, span, notify=partial(call.notify, "replay"))
    call.show_written(settings, done, render.replayed)


@common
def skip_to(
    call: Call,
    name: Name,
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help='The event that is next then, or "now".')
    ],
    yes: Yes = False,
) -> None:
    """
    Give up what a route has before it, by decision.

    Events before EVENT are not delivered; `audit` names them. What commits later is delivered.
    """
    to = None if event == "now" else _id(event)
    settings = call.database_settings()
    from iu_gates import replay as use_case

    if not yes:
        seen = use_case.preview_skip(settings, name, to)
        if not seen.events:
            call.say("nothing to skip: none is before it", route=name, skipped=0)
            return
        if not call.as_json:
            render.write(render.skip_preview(seen, render.terminal_width()), sys.stderr)
        again = shlex.join(["iu-gates", "route", "skip-to", name, event, "--yes"])
        if not call.confirm(f"give up {seen.events} events", again):
            call.say("not skipped: the cursor stays", route=name, skipped=0)
            return
    call.show_written(settings, use_case.skip(settings, name, to), render.skipped)


def _policy(
    tries: int | None,
    backoff: int | None,
    on_dead_letter: str | None,
    budget: int | None,
    window: int | None,
) -> dict[str, int | str]:
    """Return what was given, by the names of the columns."""
    given = {
        "max_tries": tries,
        "retry_seconds": backoff,
        "on_dead_letter": on_dead_letter,
        "trip_failures": budget,
        "trip_seconds": window,
    }
    return {name: value for name, value in given.items() if value is not None}


def _json_object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError(
            f"--filter-payload {text} is no JSON object",
            wanted='an object such as \'{"kind": "news"}\'',
            means="nothing was done",
            next_command="iu-gates route add --help",
        )
    return value


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004  a bigint
        raise UsageError(
            f'"{text}" is no event',
            wanted="the number of an event, or what --help names",
            means="nothing was done",
            next_command="iu-gates route --help",
        )
    return int(text)


def _span(start: str, end: str | None) -> Span:
    first, since = _end(start)
    last, until = _end(end) if end is not None else (None, None)
    return Span(first, last, since, until)


def _end(text: str) -> tuple[int | None, datetime | None]:
    """Return an event's number, or a time."""
    if text.isdigit():
        return _id(text), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f'"{text}" is neither an event nor a time',
            wanted='a number, or a time such as "2026-11-23T02:02Z"; without an offset it is UTC',
            means="nothing was done",
            next_command="iu-gates route replay --help",
        ) from error
    return None, moment if moment.tzinfo else moment.replace(tzinfo=UTC)
