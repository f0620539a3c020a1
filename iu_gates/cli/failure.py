"""Any exception as one that users can read, with the exit code that tells its kind."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final

import typer

from iu_gates import render
from iu_gates.errors import SAME, IuGatesError, UsageError

INTERRUPTED: Final = 130
_UNWRAPPED: Final = 10_000

PARSER_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]
"""What typer raises for a line that it cannot read; it exports only this descendant."""


def report(error: BaseException, line: Sequence[str], *, as_json: bool) -> int:
    """
    Show an error, on stderr or as JSON on stdout, and return the exit code.

    Args:
        error: Whatever was raised.
        line: The words that were typed; they stand where an error names `SAME`.
        as_json: Show JSON.
    """
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED
    problem = explain(error)
    same = shlex.join(["iu-gates", *line])
    # What has no next command is a bug, and the same call can tell more of it.
    problem.next_command = (problem.next_command or f"IU_GATES_DEBUG=1 {SAME}").replace(SAME, same)
    if os.environ.get("IU_GATES_DEBUG") == "1":
        traceback.print_exception(error)
    if as_json:
        render.write_text(render.error_to_json(problem))
    else:
        # A log is searched by line, so only a terminal gets its lines wrapped.
        width = render.terminal_width() if sys.stderr.isatty() else _UNWRAPPED
        render.write(render.error(problem, width), sys.stderr)
    return problem.exit_code


def explain(error: BaseException) -> IuGatesError:
    """Return the error itself, or what it means to the user."""
    if isinstance(error, IuGatesError):
        return error
    if isinstance(error, PARSER_ERROR):
        return _usage(error)
    psycopg = sys.modules.get("psycopg")  # not loaded, so not raised by it
    if psycopg is not None and isinstance(error, psycopg.Error):
        from iu_gates import db  # noqa: PLC0415  it loads psycopg

        return db.translate(error)
    return _bug(error)


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether a line that may not even be readable asks for JSON."""
    line = list(arguments)
    return "--json" in (line[: line.index("--")] if "--" in line else line)


def _usage(error: Any) -> UsageError:
    context = getattr(error, "ctx", None)
    message = str(error.format_message()).rstrip(".")
    commands = getattr(context.command, "commands", None) if context else None
    return UsageError(
        message[:1].lower() + message[1:],
        wanted=f"one of {', '.join(commands)}" if commands and "ommand" in message else None,
        means="nothing was done",
        next_command=f"{context.command_path if context else 'iu-gates'} --help",
    )


def _bug(error: BaseException) -> IuGatesError:
    where = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(where[-1].filename)}:{where[-1].lineno}" if where else ""  # noqa: PTH119
    text = " ".join(str(error).split())
    return IuGatesError(
        f"{type(error).__name__}{place}{f': {text}' if text else ''}; a bug, please report"
    )
