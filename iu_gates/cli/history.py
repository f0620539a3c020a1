# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The history as a file, and its removal: export, verify, purge."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common


@common
def group(call: Call) -> None:
    """Export the history, check an export, purge what one holds."""


@common
def export(
    call: Call,
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE|DIR", help="A new file, or a directory to put one into."),
    ],
) -> None:
    """
    Write the history into a file, and read it back whole.

    Events, attempts, dead letters and cursors of one snapshot, as JSON Lines under zstd; the
    manifest lies beside it. Never writes over a file.
    """
    settings = call.database_settings()
    from iu_gates.export import write

    made = write(settings, target, partial(call.notify, "export"))
    call.show_written(settings, made, render.export)


@common
def verify(
    call: Call, file: Annotated[Path, typer.Argument(metavar="FILE", help="The export.")]
) -> None:
    """Read an export back whole; exit 4 if it is none."""
    call.refuse_head()
    from iu_gates.export import verify as check

    call.show(check(file), render.export)


@common
def purge(
    call: Call,
    digest: Annotated[
        str,
        typer.Option(
            "--export", metavar="DIGEST", help="Of the export that holds what is removed."
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Where the export is now; else where it was written.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """
    Remove the history that an export holds, for good.

    With everything off, at 009. The first call asks for approval; other logins approve; the next
    call verifies the export again, takes a backup and removes. Rows that came after the export
    are never lost: it is refused.
    """
    settings = call.database_settings()
    from iu_gates import purge as use_case

    notify = partial(call.notify, "purge")
    if not yes:
        found = use_case.preview(settings, digest, file, notify)
        if not call.as_json:
            render.write(render.purge_preview(found, render.terminal_width()), sys.stderr)
        if not call.confirm(
            "remove it for good", f"iu-gates history purge --export {digest} --yes"
        ):
            call.say("not purged: nothing was removed", removed={})
            return
    call.show_written(settings, use_case.purge(settings, digest, file, notify), render.purge)
