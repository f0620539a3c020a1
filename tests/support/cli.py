"""
The command as a user has it: a process and a folder of its own.

The environment tells it nothing but what the test says.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tests.support.walk import ROOT

SECONDS: Final = 120.0
"""No command and no wait of these tests takes as long, on a busy machine neither."""

PYTHONPATH: Final = str(ROOT)


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    line: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict), self
        return found

    @property
    def next_command(self) -> str:
        """What comes next, as the page, the error or the JSON says it; empty if nothing does."""
        if self.out.startswith("{"):
            return str(self.json.get("next") or self.json.get("next_command") or "")
        fields = [line.split(maxsplit=1) for line in (self.out + self.err).splitlines()]
        return next((f[1] for f in reversed(fields) if f[:1] == ["next"] and f[1:]), "")

    def expect(self, code: int) -> Answer:
        """Return itself; fail, with all that was said, if it ended with another code."""
        assert self.code == code, f"{self.line} ended with {self.code}:\n{self.out}\n{self.err}"
        return self


def run_command(folder: Path, *arguments: str | Path, **variables: str) -> Answer:
    """Run ``iu-gates`` in `folder` to its end; `variables` are all that it is told."""
    process = start_command(folder, *arguments, stdout=subprocess.PIPE, **variables)
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        end(process)
    return Answer(tuple(map(str, arguments)), process.returncode, out, err)


def start_command(
    folder: Path, *arguments: str | Path, stdout: int | IO[str], **variables: str
) -> subprocess.Popen[str]:
    """Start ``iu-gates`` in `folder`, in a process group of its own; `end` ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", "iu_gates", *map(str, arguments)],
        cwd=folder,
        env=make_environment(folder, **variables),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stdout,
        text=True,
        start_new_session=True,
    )


def make_environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return an environment that names no database, no settings, and no home but `folder`."""
    strange = ("PG", "IU_GATES_", "XDG_", "COV_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
    ours = {"HOME": str(folder), "PYTHONPATH": PYTHONPATH, "COLUMNS": "80"}
    return inherited | ours | variables


def end(process: subprocess.Popen[str]) -> None:
    """End a process that still runs, and those that it started, by SIGKILL; close its pipes."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def poll(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    """Return once `condition` holds; fail after `seconds`, saying what did not come."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for: {what}"
        pause.wait(0.02)
