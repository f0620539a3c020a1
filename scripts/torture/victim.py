"""
The command line of iu-gates, in a process that is hit at one of its statements.

    victim.py TARGET AT WHEN POSTMASTER MARK ARGUMENTS...

TARGET is who is hit: "client" (this process, SIGKILL), "server" (SIGKILL of the whole server),
"quit" (its immediate stop) or "session" (SIGTERM of the backend that runs the statement).
AT is the number of the statement, or a part of its text, and then it is the first with that.
WHEN is "before" the statement, "during" it, or "after" its answer. What was hit is written into
the file MARK. The product knows nothing of this: psycopg's one door to the server is watched.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from iu_gates.cli.main import main
from iu_gates.embedded import process

LONGEST_DELAY = 0.004
COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


class Trap:
    """Counts the statements of this process, and strikes at one of them."""

    def __init__(self, target: str, at: str, when: str, postmaster: int, mark: Path) -> None:
        self.target = target
        self.at = at
        self.when = when
        self.postmaster = postmaster
        self.mark = mark
        self.count = 0
        self.is_over = False

    def wait(
        self,
        inner: Callable[..., Any],
        conn: psycopg.Connection[Any],
        gen: Generator[Any, Any, Any],
        rest: dict[str, Any],
    ) -> Any:
        """Do what psycopg does with a statement, and strike if it is the one."""
        self.count += 1
        text = describe(gen)
        if self.is_over or not self.is_it(text):
            return inner(conn, gen, **rest)
        self.is_over = True
        pid = conn.info.backend_pid
        if self.when == "before":
            self.strike(pid, text)
        if self.when == "during":
            delay = random.uniform(0, LONGEST_DELAY)  # noqa: S311  no secret
            threading.Timer(delay, self.strike, (pid, text)).start()
        answer = inner(conn, gen, **rest)
        if self.when == "after":
            self.strike(pid, text)
        return answer

    def is_it(self, text: str) -> bool:
        """Tell whether this statement is the one to strike at."""
        return self.count == int(self.at) if self.at.isdigit() else self.at in text

    def strike(self, backend: int, text: str) -> None:
        """Write down what is hit, and hit it."""
        self.mark.write_text(f"{self.target} {self.when} statement {self.count}: {text[:120]}")
        if self.target == "client":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.target == "server":
            process.kill_family(self.postmaster)
        elif self.target == "quit":
            process.send(self.postmaster, signal.SIGQUIT)
        else:
            process.send(backend, signal.SIGTERM)


def describe(gen: Generator[Any, Any, Any]) -> str:
    """Return the statement that a generator of psycopg would send."""
    told = gen.gi_frame.f_locals if gen.gi_frame else {}
    if "gen" in told:
        # Of a connection with a bound for its network, which has psycopg's own within.
        return describe(told["gen"])
    text = told.get("query") or told.get("command") or gen.__name__
    if isinstance(text, bytes):
        text = text.decode()
    elif isinstance(text, sql.Composable):
        text = text.as_string()
    return " ".join(COMMENT.sub("", text).split())


def watch(trap: Trap) -> None:
    """Put the trap between psycopg and the server."""
    inner = psycopg.Connection.wait

    def wait(self: psycopg.Connection[Any], gen: Generator[Any, Any, Any], **rest: Any) -> Any:
        return trap.wait(inner, self, gen, rest)

    psycopg.Connection.wait = wait  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    target, at, when, postmaster, mark, *arguments = sys.argv[1:]
    watch(Trap(target, at, when, int(postmaster), Path(mark)))
    sys.exit(main(arguments))
