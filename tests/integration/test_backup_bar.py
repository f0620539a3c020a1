"""The bar that shows a backup's bytes on a terminal, whichever command takes it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import make_environment
from tests.support.databases import Servers
from tests.support.play import Stage, stages
from tests.support.walk import State

COMMANDS = [
    ("backup", "create"),
    ("advance",),
    ("rollback", "--to", "009", "--yes"),
]


@pytest.fixture
def stage(servers: Servers, major: int, tmp_path: Path) -> Iterator[Stage]:
    """Give a database whose next gate, and whose way back, needs a backup."""
    with stages(servers, major, tmp_path) as make:
        yield make(State.DRY)


def run_on_terminal(stage: Stage, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command whose stderr is a terminal; return its exit code and what it wrote there."""
    names = ("database_url", "backup_dir", "site_key_file", "bin_dir", "invocation")
    told = {f"IU_GATES_{name.upper()}": str(stage.values[name]) for name in names}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "iu_gates", *arguments],
        cwd=folder,
        env=make_environment(folder, TERM="xterm", **told),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 65536):
                seen += part
        except OSError:  # how Linux says that the other end was closed
            pass
        code = process.wait()
    os.close(ours)
    return code, seen.decode(errors="replace")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_bytes_and_estimate_are_shown_while_a_backup_is_taken(
    stage: Stage, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """
    The bar stands under pg_dump's name, with bytes of an estimate.
    """
    code, seen = run_on_terminal(stage, tmp_path, *command)

    assert code == 0, seen
    assert "pg_dump" in seen
    assert "KiB" in seen or "MiB" in seen


@pytest.mark.parametrize(
    "command",
    [COMMANDS[0], *(pytest.param(c, marks=pytest.mark.long) for c in COMMANDS[1:])],
    ids=" ".join,
)
def test_json_is_silent(stage: Stage, tmp_path: Path, command: tuple[str, ...]) -> None:
    """
    With --json nothing is written but the one object on stdout, on a terminal neither.
    """
    assert run_on_terminal(stage, tmp_path, *command, "--json") == (0, "")
