# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The demo: from nothing to live and back, on the embedded server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common, conclude
from iu_gates.errors import UsageError

_ZEROS: Final = ("repeated", "skipped", "reordered", "after_disable")


Repo = Annotated[
    Path | None,
    typer.Option(
        "--repo",
        metavar="PATH",
        help="Replay this git repository's history; else that of the checkout.",
        show_default=False,
    ),
]
HistoryFile = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="FILE",
        help="Replay this history (.jsonl or .jsonl.gz).",
        show_default=False,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over with a new server.")]
Keep = Annotated[
    str | None,
    typer.Option(
        "--keep",
        metavar="live",
        help="Stop at live and leave the server up, to look at it with psql.",
        show_default=False,
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", metavar="PATH", help="Where the server is kept.", show_default=False
    ),
]


@common
def demo(
    call: Call,
    *,
    repo: Repo = None,
    history: HistoryFile = None,
    fresh: Fresh = False,
    keep: Keep = None,
    state_dir: StateDir = None,
) -> None:
    """
    Play the whole way, up and back, on a server in the box.

    Every gate up to live is performed. A real history is replayed into the host's tables; the
    table at the end says what was proven, with counts. Exit 3 if an event was skipped, repeated
    or reordered.
    """
    _require_sense(call, repo, history, keep)
    from rich.console import Console

    from iu_gates.demo import DemoOptions, run_demo

    options = DemoOptions(repo=repo, history=history, fresh=fresh, keep=keep, state_dir=state_dir)
    result = run_demo(options, Console(stderr=True, quiet=call.as_json, highlight=False))
    call.show(result, render.demo_table)
    conclude(passed=is_proven(result, whole=keep is None))


def is_proven(result: Mapping[str, Any], *, whole: bool) -> bool:
    """Return whether nothing was lost, repeated or reordered; `whole` if the way ended at base."""
    accounted = result["captured"] == result["dry_run"] + result["delivered"]
    return not any(result[name] for name in _ZEROS) and (accounted or not whole)


def _require_sense(call: Call, repo: Path | None, history: Path | None, keep: str | None) -> None:
    call.refuse_head()
    if call.database_url is not None:
        raise UsageError(
            "the demo runs on a server of its own, never on --database-url",
            means="nothing was done",
            next_command="iu-gates demo",
        )
    if repo is not None and history is not None:
        raise UsageError(
            "--repo and --history exclude one another", next_command="iu-gates demo --help"
        )
    if keep not in (None, "live"):
        raise UsageError(
            f'--keep cannot be "{keep}"', wanted="live", next_command="iu-gates demo --keep live"
        )
