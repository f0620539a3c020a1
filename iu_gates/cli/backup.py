# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""Backups: create, verify, list, prune; register one of the site's own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common
from iu_gates.config import SITE_BACKUP_TOOLS
from iu_gates.errors import UsageError

_TOOLS: Final = ", ".join(SITE_BACKUP_TOOLS)


@common
def group(call: Call) -> None:
    """Take and check the backups that DDL steps stand on."""


@common
def create(call: Call) -> None:
    """Take a backup with pg_dump, and read it back whole."""
    settings = call.database_settings()
    from iu_gates.backups import create_backup

    made = create_backup(settings, bar=call.bar)
    call.show_written(settings, made, render.backup)


@common
def verify(
    call: Call,
    archive: Annotated[
        Path | None,
        typer.Argument(metavar="ARCHIVE", help="Else the newest.", show_default=False),
    ] = None,
) -> None:
    """Read a backup back whole; exit 3 if it is none."""
    from iu_gates.backups import verify_backup

    checked = verify_backup(call.settings(), archive)
    if checked.defect is not None:
        raise checked.defect
    call.show(checked, render.backup)


@common
def list_(call: Call) -> None:
    """List the backups, the newest first, the broken included."""
    from iu_gates.backups import list_backups

    found = list_backups(call.settings())
    if call.as_json:
        call.show_json({"backups": found})
    else:
        call.show(found, render.backups)


@common
def prune(
    call: Call,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")
    ] = False,
) -> None:
    """
    Remove old backups of this database.

    As backup_keep and backup_keep_for say: with neither set, none goes. The newest good one
    stays, and each on which a verdict or an approval in the ledger stands; what is broken is
    listed and left alone.
    """
    settings = call.database_settings()
    from iu_gates.backups import prune as remove

    call.show_written(settings, remove(settings, dry_run=dry_run), render.pruned)


@common
def register(
    call: Call,
    *,
    ident: Annotated[
        str, typer.Option("--id", metavar="ID", help="Under which your tool knows it.")
    ],
    taken_at: Annotated[
        str,
        typer.Option(
            "--taken-at",
            metavar="TIME",
            help="The moment it can be restored to, such as 2026-11-23T02:00:00Z.",
        ),
    ],
    tool: Annotated[str, typer.Option("--tool", metavar="TOOL", help=f"One of {_TOOLS}.")],
    restore_tested_at: Annotated[
        str | None,
        typer.Option(
            "--restore-tested-at",
            metavar="TIME",
            help="When a restore was last tried out, and worked.",
            show_default=False,
        ),
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Goes into the ledger.")] = "",
) -> None:
    """
    Attest a backup of the site's own.

    For backup_kind = "own-objects". What you say goes into the ledger with your login. We
    cannot look into your tool: the gate believes it, within site_backup_max_age and
    site_restore_test_max_age.
    """
    moment = _moment("--taken-at", taken_at)
    tested = _moment("--restore-tested-at", restore_tested_at) if restore_tested_at else None
    if tool not in SITE_BACKUP_TOOLS:
        raise _bad("--tool", tool, f"one of {', '.join(SITE_BACKUP_TOOLS)}")
    if not ident.strip():
        raise _bad("--id", ident, "the name of a backup")
    settings = call.database_settings()
    from iu_gates.backups import register as attest

    made = attest(
        settings, ident=ident, tool=tool, taken_at=moment, restore_tested_at=tested, note=note
    )
    call.show_written(settings, made, render.site_backup)


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad(option, text, "2026-11-23T02:00:00Z") from error
    if moment.tzinfo is None:
        raise _bad(option, text, f"{text}Z, or another offset: it is not said where it is so late")
    return moment


def _bad(option: str, given: str, wanted: str) -> UsageError:
    return UsageError(
        f"{option} cannot be {given!r}",
        ident="IUG-091",
        wanted=wanted,
        means="nothing was registered",
        next_command="iu-gates backup register --help",
    )
