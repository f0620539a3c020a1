# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The way back: disable, rollback."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, Yes, common
from iu_gates.config import Settings


@common
def disable(
    call: Call,
    route: Annotated[
        str | None,
        typer.Option(
            "--route", metavar="ROUTE", help="This route only; else all.", show_default=False
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Goes into the ledger.")
    ] = "",
    terminate: Annotated[
        bool, typer.Option("--terminate", help="End the batches that are still in hand.")
    ] = False,
) -> None:
    """
    Switch off at once, then wait until no batch is in hand.

    After "off and drained" nothing is delivered. If batches are still in hand after the bound,
    it is off all the same, they are named, and the exit code is 7. The way back on is `advance`.
    A ledger that is not the one of --expect-head is said after it, and hinders nothing.
    """
    switch_off(call, route, reason, terminate=terminate)


@common
def rollback(
    call: Call,
    to: Annotated[
        str,
        typer.Option("--to", metavar="TARGET", help='A revision such as "009", or "base".'),
    ],
    yes: Yes = False,
) -> None:
    """
    Undo the steps after a target; no history is removed.

    Events, attempts, dead letters and ledger entries stay. Shows what would be undone and what
    stays, and asks. Whatever would lose history is refused before the first step.
    """
    settings = call.database_settings()
    from iu_gates.rollback import rollback as walk_back

    if not yes and not _agreed(call, settings, to):
        return
    result = walk_back(settings, to, notify=partial(call.notify, "rollback"), bar=call.bar)
    call.show_written(settings, result, render.rollback)


def switch_off(call: Call, route: str | None, reason: str, *, terminate: bool) -> None:
    """Disable one route, or everything, and show it."""
    settings = call.database_settings(check_head=False)
    from iu_gates.disable import disable as use_case

    try:
        result = use_case(
            settings,
            route=route,
            reason=reason,
            terminate=terminate,
            notify=partial(call.notify, "disable"),
        )
        call.show_written(settings, result, render.disable)
    finally:
        call.warn_of_head(settings, "it was stopped all the same")


def _agreed(call: Call, settings: Settings, target: str) -> bool:
    """Show the preview and ask; what would be refused is refused here, unasked."""
    from iu_gates import refusals
    from iu_gates.preview import refusal
    from iu_gates.rollback import preview as foresee

    preview = foresee(settings, target)
    with refusals.recorded(settings, "rollback", target=target):
        if preview.refusals:
            raise refusal(preview)
    if not preview.undone and not preview.dried:
        call.say(f'nothing to undo: at "{target}" already', target=target, undone=[])
        return False
    if not call.as_json:
        render.write(render.rollback_preview(preview, render.terminal_width()), sys.stderr)
    if call.confirm(f"roll back to {target}", f"iu-gates rollback --to {target} --yes"):
        return True
    call.say("not rolled back: nothing was done", target=target, undone=[])
    return False
