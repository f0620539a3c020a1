# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The ledger: show, verify, export."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common, conclude
from iu_gates.errors import UsageError


@common
def group(call: Call) -> None:
    """Read the append-only, hash-chained record."""


@common
def show(
    call: Call,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="The newest N entries; 0 is all.")
    ] = 20,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", metavar="KIND", help='Only this kind, such as "verdict".', show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="SEQ|TIME",
            help='Only from this entry or time on, such as "41" or "2026-11-23T02:02" (UTC).',
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show entries, the newest last."""
    seq, at = _parse_since(since)
    settings = call.database_settings()
    from iu_gates.ledger import list_entries

    entries = list_entries(settings, limit=limit or None, kind=kind, since_seq=seq, since_at=at)
    if call.as_json:
        call.show_json({"entries": entries})
    else:
        call.show(entries, render.ledger)


@common
def verify(call: Call) -> None:
    """
    Check the chain of hashes; exit 3 if it is broken.

    With --expect-head, exit 4 if it was cut or written anew since.
    """
    settings = call.database_settings(check_head=False)
    call.require_head(settings, chain=False)
    from iu_gates.ledger import fetch_head
    from iu_gates.ledger import verify as check

    problems = check(settings)
    seq, head = fetch_head(settings)
    if call.as_json:
        found = [{"seq": number, "problem": problem} for number, problem in problems]
        call.show_json({"passed": not found, "seq": seq, "hash": head, "problems": found})
    else:
        call.show(problems, lambda p, width: render.ledger_verified(p, seq, head, width))
    conclude(passed=not problems)


@common
def export(
    call: Call,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help='A new file; "-" is stdout.', show_default=False)
    ] = Path("-"),
) -> None:
    """
    Write the chain as JSON Lines, to be checked without us.

    docs/ledger.md has the form, and a program that checks it. Exit 3 if the chain is broken; it
    is written all the same.
    """
    to_stdout = file == Path("-")
    if to_stdout and call.as_json:
        raise UsageError(
            "--json and the ledger cannot both go to stdout",
            means="nothing was done",
            next_command="iu-gates ledger export --json ledger.jsonl",
        )
    settings = call.database_settings()
    from iu_gates import ledger_export

    if to_stdout:
        made = ledger_export.stream(settings, render.write_bytes)
        render.write(render.ledger_exported(made, render.terminal_width()), sys.stderr)
    else:
        made = ledger_export.write(settings, file)
        call.show(made, render.ledger_exported)
    conclude(passed=made.passed)


def _parse_since(text: str | None) -> tuple[int | None, datetime | None]:
    """Return the entry or the time from which to show; a time without a zone is UTC."""
    if text is None:
        return None, None
    if text.isdecimal():
        return int(text), None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f'"{text}" is neither the number of an entry nor a time',
            wanted='such as "41" or "2026-11-23T02:02"',
            next_command="iu-gates ledger show --help",
        ) from error
    return None, at if at.tzinfo else at.replace(tzinfo=UTC)
