"""
The way out: pages and JSON onto a stream, in colour on a terminal that wants it.

A reader that has gone away (``| head``) ends no command halfway: what is being done is done to
its end, and the exit code says how it went.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from iu_gates.render.page import NOT_YET, WIDTH, Page

if TYPE_CHECKING:
    from rich.text import Text

_LOOKS: Final = {
    "": "",
    "good": "green",
    "bad": "bold red",
    "warn": "yellow",
    "dim": "dim",
    "head": "bold",
    "command": "bold cyan",
}
_ASCII: Final = str.maketrans(
    {"✓": "+", "✗": "x", "•": "*", NOT_YET: "-", "→": ">", "…": "~", "·": "|", "�": "?"}
)


def write(page: Page, stream: TextIO | None = None) -> None:
    """Show a page, on stdout if nothing else is said."""
    stream = stream or sys.stdout
    if wants_colour(stream):
        write_text(_coloured(page), stream)
    else:
        write_text(str(page), stream)


def write_text(text: str, stream: TextIO | None = None) -> None:
    """Write text and flush; a stream that cannot hold a mark gets its ASCII form."""
    stream = stream or sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are; whoever reads a hash wants no other encoding."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _silence(sys.stdout)


def wants_colour(stream: TextIO) -> bool:
    """Return whether a stream is a terminal whose user has not said no to colour."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def terminal_width() -> int:
    """Return how wide a page may be: 80 columns, or fewer on a narrower terminal."""
    return min(shutil.get_terminal_size((WIDTH, 24)).columns or WIDTH, WIDTH)


def _coloured(page: Page) -> str:
    # Here and not above: a pipe, a cron job and --json never pay for rich.
    from io import StringIO  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    out = StringIO()
    console = Console(file=out, force_terminal=True, highlight=False, width=page.width)
    for line in page.lines:
        console.print(_as_text(line), soft_wrap=True)
    return out.getvalue()


def _as_text(line: tuple[tuple[str, str], ...]) -> Text:
    from rich.text import Text  # noqa: PLC0415

    return Text.assemble(*((text, _LOOKS[style]) for text, style in line))


def _silence(stream: TextIO) -> None:
    """Send what is still to come to nowhere, what lies in the buffer included."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
