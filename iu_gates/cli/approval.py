# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The vote on what waits for approval: approve, reject."""

from __future__ import annotations

import sys
from typing import Annotated, Final, Literal

import typer

from iu_gates import render
from iu_gates.cli.call import Call, Yes, common
from iu_gates.errors import RefusedError
from iu_gates.model import PendingApproval

_LEAST_DIGITS: Final = 8
_PAST: Final = {"approve": "approved", "reject": "rejected"}
Choice = Literal["approve", "reject"]
Digest = Annotated[
    str | None,
    typer.Option(
        "--digest",
        metavar="DIGEST",
        help=f"What is voted on, at least its first {_LEAST_DIGITS} digits; refused if it is"
        " not what waits.",
        show_default=False,
    ),
]
Route = Annotated[
    str | None,
    typer.Option(
        "--route",
        metavar="ROUTE",
        help="What waits about this route; else the newest of all.",
        show_default=False,
    ),
]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Goes into the ledger.")]


@common
def approve(
    call: Call, digest: Digest = None, route: Route = None, note: Note = "", yes: Yes = False
) -> None:
    """
    Approve what waits, as the login of this connection.

    Shows the contents that the digest is bound to, and asks.
    """
    _vote(call, "approve", digest, route, note, yes=yes)


@common
def reject(
    call: Call, digest: Digest = None, route: Route = None, note: Note = "", yes: Yes = False
) -> None:
    """Reject what waits, as the login of this connection."""
    _vote(call, "reject", digest, route, note, yes=yes)


def _vote(
    call: Call, choice: Choice, digest: str | None, route: str | None, note: str, *, yes: bool
) -> None:
    settings = call.database_settings()
    from iu_gates import approvals, refusals

    request = approvals.fetch_pending(settings, digest, route)
    if digest is not None:
        with refusals.recorded(settings, choice, digest=digest):
            _require_match(request, digest, choice)
    if request is None:
        call.say("nothing waits for approval: nothing to do", choice=None, digest=None)
        return
    if not call.as_json:
        page = render.pending(request, render.terminal_width())
        render.write(page, sys.stdout if yes else sys.stderr)
    again = f"iu-gates {choice} --digest {request.digest} --yes"
    if not yes and not call.confirm(f"{choice} {request.digest[:12]}", again):
        call.say("not voted: nothing was done", choice=None, digest=request.digest)
        return
    approvals.vote(settings, request.digest, choice, note)
    call.say(
        f"{_PAST[choice]}: {request.digest}",
        written=settings,
        choice=choice,
        subject=request.subject,
        digest=request.digest,
        note=note,
    )


def _require_match(request: PendingApproval | None, digest: str, choice: Choice) -> None:
    waiting = request.digest if request else ""
    wanted = digest.lower()
    if len(wanted) >= _LEAST_DIGITS and waiting.startswith(wanted):
        return
    raise RefusedError(
        "the digest is not that of what waits for approval",
        ident="IUG-081",
        found=f"{waiting} waits" if waiting else "no request with this digest waits",
        wanted=digest,
        means="what you have read is not what would be approved; nothing was recorded",
        next_command=f"iu-gates {choice}",
        facts={"waiting": waiting or None, "given": digest},
    )
