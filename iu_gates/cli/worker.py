# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The worker: run, once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Final

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common
from iu_gates.model import Batch

_LIMIT: Final = 1000
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Events in a batch.")]
MaxSeconds = Annotated[
    float | None,
    typer.Option(
        "--max-seconds",
        metavar="S",
        min=0,
        help="End after this time, between two batches.",
        show_default=False,
    ),
]


@common
def group(call: Call) -> None:
    """Deliver events: `run` for a supervisor, `once` for cron."""


@common
def run(call: Call, limit: Limit = _LIMIT, max_seconds: MaxSeconds = None) -> None:
    """
    Work until told to stop by SIGTERM or Ctrl-C.

    The batch in hand is finished. With --json each batch is one object on its own line.
    """
    _work(call, once=False, limit=limit, max_seconds=max_seconds)


@common
def once(call: Call, limit: Limit = _LIMIT, max_seconds: MaxSeconds = None) -> None:
    """Work until there is nothing more to do, then end."""
    batches = _work(call, once=True, limit=limit, max_seconds=max_seconds)
    if call.as_json:
        call.show_json({"batches": batches, "events": sum(b.events for b in batches)})
    elif not any(batch.events for batch in batches):
        call.say("nothing to do")


def _work(call: Call, *, once: bool, limit: int, max_seconds: float | None) -> list[Batch]:
    settings = call.database_settings()
    from iu_gates import worker

    def on_batch(batch: Batch) -> None:
        if not call.as_json:
            render.write(render.batch(batch, render.terminal_width()))
        elif not once:
            render.write_text(render.to_json(batch, indent=None))

    with _stop_on_signals() as stop:
        return worker.run(
            settings, once=once, limit=limit, max_seconds=max_seconds, on_batch=on_batch, stop=stop
        )


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM or SIGINT sets; the second SIGINT interrupts."""
    stop = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {int(number): signal.getsignal(number) for number in signals}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[number])
        print("stopping after this batch", file=sys.stderr)  # noqa: T201  told at once

    for number in signals:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number in signals:
            signal.signal(number, before[number])
