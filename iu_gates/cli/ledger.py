# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The ledger: show, verify."""

from __future__ import annotations

from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common, conclude


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
) -> None:
    """Show entries, the newest last."""
    settings = call.database_settings()
    from iu_gates.ledger import list_entries

    entries = list_entries(settings, limit=limit or None, kind=kind)
    if call.as_json:
        call.show_json({"entries": entries})
    else:
        call.show(entries, render.ledger)


@common
def verify(call: Call) -> None:
    """Check the chain of hashes; exit 3 if it is broken."""
    settings = call.database_settings()
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
