"""A progress bar on a terminal; nothing anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from iu_gates.render.output import wants_colour

Progress = Callable[[int, int | None], None]


@contextmanager
def bar(label: str) -> Iterator[Progress | None]:
    """
    Give a function to call with the bytes done and, if known, their total.

    It draws on stderr and leaves nothing behind. None where there is no terminal.
    """
    if not wants_colour(sys.stderr):
        yield None
        return
    # Here and not above: a pipe never pays for rich.
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("  {task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True) as drawn:
        task = drawn.add_task(label, total=None)
        yield lambda done, total: drawn.update(task, completed=done, total=total)


@contextmanager
def counter(label: str, *, wanted: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Give a function to call with how many are done, how many there are, and the newest."""
    if not wanted or not wants_colour(sys.stderr):
        yield lambda _done, _all, _name: None
        return
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("  {task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[newest]}"),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True) as drawn:
        task = drawn.add_task(label, total=None, newest="")

        def tick(done: int, every: int, name: str) -> None:
            drawn.update(task, completed=done, total=every, newest=name)

        yield tick
