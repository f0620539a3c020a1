# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""What moved, and what capture did not see: rebase, backfill."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, Yes, common


@common
def rebase(
    call: Call,
    moved: Annotated[
        bool,
        typer.Option("--moved", help="The original is off for good, and delivers no more."),
    ] = False,
    as_new_site: Annotated[
        bool,
        typer.Option(
            "--as-new-site",
            help="Make this copy a site of its own, with a new key: it begins at now, stopped.",
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """
    Take a restored, cloned, upgraded or moved database into use.

    What was not worked through is carried over and delivered first, nothing twice. Needs the
    site key of the original, and --moved; or --as-new-site, which leaves the past out.
    """
    settings = call.database_settings()
    from iu_gates import rebase as use_case

    seen = use_case.preview(settings, moved=moved, as_new_site=as_new_site)
    if not seen.needed:
        call.say("nothing to do: this is the installation itself", carried={}, new_site=False)
        return
    if not yes:
        if not call.as_json:
            render.write(render.rebase_preview(seen, render.terminal_width()), sys.stderr)
        option = "--as-new-site" if as_new_site else "--moved"
        if not call.confirm("take this copy into use", f"iu-gates rebase {option} --yes"):
            call.say("not re-based: nothing was done", carried={}, new_site=False)
            return
    done = use_case.rebase(
        settings, moved=moved, as_new_site=as_new_site, notify=partial(call.notify, "rebase")
    )
    if done is None:
        call.say("nothing to do: this is the installation itself", carried={}, new_site=False)
        return
    call.show_written(settings, done, render.rebase)


@common
def backfill(
    call: Call,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be captured; write nothing.")
    ] = False,
    late: Annotated[
        bool,
        typer.Option(
            "--late",
            help="Also rows whose unit has a later event already: they are delivered after it.",
        ),
    ] = False,
    before_capture: Annotated[
        bool,
        typer.Option(
            "--before-capture",
            help="Also what the host wrote before capture began for the first time.",
        ),
    ] = False,
) -> None:
    """
    Capture once what the trigger could not see.

    A gap, a replica's rows, a disabled trigger.
    In the order of (unit, version), in batches that lock nothing of the host's; a second run
    finds only what the first left.
    """
    settings = call.database_settings()
    from iu_gates import backfill as use_case

    done = use_case.backfill(
        settings,
        dry_run=dry_run,
        late=late,
        before_capture=before_capture,
        notify=partial(call.notify, "backfill"),
    )
    call.show_written(settings, done, render.backfill)
