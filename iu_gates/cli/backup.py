# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""Backups: create, verify, list."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common


@common
def group(call: Call) -> None:
    """Take and check the backups that DDL steps stand on."""


@common
def create(call: Call) -> None:
    """Take a backup with pg_dump, and read it back whole."""
    settings = call.database_settings()
    from iu_gates.backups import create_backup
    from iu_gates.render.progress import bar

    with nullcontext() if call.as_json else bar("pg_dump") as progress:
        made = create_backup(settings, progress=progress)
    call.show(made, render.backup)


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
