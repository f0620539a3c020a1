# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The history as a file, and its removal: export, verify, prune, purge."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from iu_gates import config, render
from iu_gates.cli.call import Call, Yes, common
from iu_gates.errors import UsageError

OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="DURATION",
        help="Captured longer ago than this, such as 90d; else history_keep says it.",
        show_default=False,
    ),
]
Before = Annotated[
    int | None,
    typer.Option(
        "--before",
        metavar="EVENT",
        min=1,
        help="Events below this number only.",
        show_default=False,
    ),
]
NewExport = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FILE|DIR",
        help="Where the export of what goes is put; else history_dir.",
        show_default=False,
    ),
]
Exported = Annotated[
    str | None,
    typer.Option(
        "--exported",
        metavar="DIGEST",
        help="An export that holds it already; none is made then.",
        show_default=False,
    ),
]
ExportFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="Where the export is now; else where it was written.",
        show_default=False,
    ),
]
Batch = Annotated[
    int, typer.Option("--batch", metavar="N", min=1, max=100_000, help="Events a transaction.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count what could go, and remove nothing.")]


@common
def group(call: Call) -> None:
    """Export, check, prune or purge the history."""


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
def prune(
    call: Call,
    *,
    older_than: OlderThan = None,
    before: Before = None,
    target: NewExport = None,
    exported: Exported = None,
    file: ExportFile = None,
    batch: Batch = 1000,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """
    Export old events that are done with, and remove them.

    While the route goes on: what every route has delivered is exported, read back whole and
    removed in short transactions, with its attempts. What waits, or is a dead letter, stays.
    Killed, the same command goes on.
    """
    age = _duration(older_than)
    _require_one_export(target, exported, file)
    settings = call.database_settings()
    from iu_gates import retention

    if dry_run or not yes:
        found = retention.preview(settings, older_than=age, before=before)
        if dry_run:
            call.show(found, render.prune_preview)
            return
        if not call.as_json:
            render.write(render.prune_preview(found, render.terminal_width()), sys.stderr)
        options = {
            "--older-than": older_than,
            "--before": before,
            "--export": target,
            "--exported": exported,
            "--file": file,
            "--batch": None if batch == retention.BATCH else batch,
        }
        what = "export and remove it" if exported is None else "remove it"
        if not call.confirm(what, _again(options)):
            call.say("not pruned: nothing was removed", removed={})
            return
    done = retention.prune(
        settings,
        older_than=age,
        before=before,
        target=target,
        exported=exported,
        file=file,
        batch=batch,
        notify=partial(call.notify, "prune"),
    )
    call.show_written(settings, done, render.prune)


def _require_one_export(target: Path | None, exported: str | None, file: Path | None) -> None:
    """Refuse options of which one would be silently left aside."""
    if exported is None and file is not None:
        raise UsageError(
            "--file says where an export is, and none is named",
            wanted="--exported DIGEST with it; a new export goes where --export says",
            means="nothing was removed",
            next_command="iu-gates ledger show --kind export --json",
        )
    if exported is not None and target is not None:
        raise UsageError(
            "--exported names an export, and --export asks for a new one",
            wanted="one of them",
            means="nothing was removed",
            next_command="iu-gates history prune --help",
        )


def _again(options: Mapping[str, object]) -> str:
    given = [w for name, value in options.items() if value is not None for w in (name, str(value))]
    return shlex.join(["iu-gates", "history", "prune", *given, "--yes"])


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        return config.parse_duration(text)
    except ValueError as error:
        raise UsageError(
            f"--older-than cannot be {text!r}",
            wanted='a duration such as "90 d"',
            next_command="iu-gates history prune --dry-run --older-than 90d",
        ) from error


@common
def purge(
    call: Call,
    digest: Annotated[
        str,
        typer.Option(
            "--export", metavar="DIGEST", help="Of the export that holds what is removed."
        ),
    ],
    file: ExportFile = None,
    yes: Yes = False,
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
