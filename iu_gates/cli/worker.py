# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""The worker: run, once, install."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common
from iu_gates.ending import Ending
from iu_gates.errors import UsageError
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
Connections = Annotated[
    int,
    typer.Option(
        "--connections", metavar="N", min=1, help="Work so many routes at a time; two need two."
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        metavar="PORT",
        min=1,
        max=65535,
        help="Show metrics to Prometheus on this port of 127.0.0.1.",
        show_default=False,
    ),
]
MetricsFile = Annotated[
    Path | None,
    typer.Option(
        "--metrics-file",
        metavar="FILE",
        help="Write metrics into this file (.prom) every 15 s, for node_exporter.",
        show_default=False,
    ),
]


@common
def group(call: Call) -> None:
    """Deliver events: `run` for a supervisor, `once` for cron."""


@common
def run(  # noqa: PLR0917  typer's options
    call: Call,
    limit: Limit = _LIMIT,
    max_seconds: MaxSeconds = None,
    connections: Connections = 1,
    metrics_port: MetricsPort = None,
    metrics_file: MetricsFile = None,
) -> None:
    """
    Work until told to stop by SIGTERM or Ctrl-C.

    The batch in hand is finished. With --json each batch is one object on its own line.
    """
    _work(
        call,
        once=False,
        limit=limit,
        max_seconds=max_seconds,
        connections=connections,
        metrics_port=metrics_port,
        metrics_file=metrics_file,
    )


@common
def once(call: Call, limit: Limit = _LIMIT, max_seconds: MaxSeconds = None) -> None:
    """
    Work until there is nothing more to do, then end.

    A route that fails does not hinder the others; the exit code is its error's.
    """
    batches = _work(call, once=True, limit=limit, max_seconds=max_seconds)
    if call.as_json:
        call.show_json({"batches": batches, "events": sum(b.events for b in batches)})
    elif not any(batch.events for batch in batches):
        call.say("nothing to do")


@common
def install(  # noqa: PLR0917  typer's options
    call: Call,
    systemd: Annotated[bool, typer.Option("--systemd", help="A unit of systemd.")] = False,
    cron: Annotated[bool, typer.Option("--cron", help="A line of /etc/cron.d.")] = False,
    pg_cron: Annotated[
        bool, typer.Option("--pg-cron", help="A statement for pg_cron, on the server's machine.")
    ] = False,
    dot: Annotated[bool, typer.Option("--dot", help="A node of a DOT file.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write it where it belongs, instead of showing it.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="With --write: there.", show_default=False),
    ] = None,
) -> None:
    """
    Show or write what runs the worker: a unit, a crontab line.

    One for each way that the setting `invocation` knows.
    Neither the site key nor a password is in it: it names the settings file.
    """
    from iu_gates.worker.install import make_unit, write_unit

    given = {"systemd": systemd, "cron": cron, "pg_cron": pg_cron, "dot": dot}
    chosen = [kind for kind, is_given in given.items() if is_given]
    settings = call.settings()
    if not chosen and settings.invocation in given:
        chosen = [settings.invocation]
    if len(chosen) != 1 or (to is not None and not write):
        raise UsageError(
            "one of --systemd, --cron, --pg-cron and --dot; --to goes with --write",
            ident="IUG-010",
            means="nothing was written",
            next_command="iu-gates worker install --systemd",
        )
    unit = make_unit(chosen[0], settings, call.config_file, Path.cwd())
    if write:
        path = write_unit(unit, to)
        call.say(f"written to {path}; next: {unit.next_command}", path=str(path), unit=unit.text)
    elif call.as_json:
        call.show_json(unit)
    else:
        render.write_text(unit.text)


def _work(
    call: Call,
    *,
    once: bool,
    limit: int,
    max_seconds: float | None,
    connections: int = 1,
    metrics_port: int | None = None,
    metrics_file: Path | None = None,
) -> list[Batch]:
    settings = call.database_settings()
    from iu_gates import worker

    with ExitStack() as stack:
        meter = None
        if metrics_port is not None or metrics_file is not None:
            from iu_gates.worker import metrics

            meter = metrics.Meter(settings)
            stack.enter_context(metrics.served(meter, metrics_port, metrics_file))

        def on_batch(batch: Batch) -> None:
            if meter is not None:
                meter.observe(batch)
            if not call.as_json:
                render.write(render.batch(batch, render.terminal_width()))
            elif not once:
                render.write_text(render.to_json(batch, indent=None))

        stop = stack.enter_context(_stop_on_signals())
        return worker.run(
            settings,
            once=once,
            limit=limit,
            connections=connections,
            max_seconds=max_seconds,
            on_batch=on_batch,
            on_notice=_notice,
            stop=stop,
        )


def _notice(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  told at once


@contextmanager
def _stop_on_signals() -> Iterator[Ending]:
    """Give an ending that SIGTERM or SIGINT sets; the second SIGINT interrupts."""
    stop = Ending()
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
