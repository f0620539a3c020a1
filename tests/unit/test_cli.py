"""The command line itself: what it reads, what it refuses, how an error leaves it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

import iu_gates
from iu_gates.cli.main import COMMANDS, GROUPS, main
from iu_gates.config import Settings
from iu_gates.errors import LockHeldError
from iu_gates.model import Status

URL = "postgresql://bob:hunter2@localhost:1/app"
SEEN = Status("app", "18.1", installed=False, next_command="iu-gates advance")
Stub = Callable[..., None]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give every test an empty folder, and nothing that names a database."""
    for name in list(os.environ):
        if name.startswith(("PG", "IU_GATES_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Return a maker of stand-ins for the modules of use cases."""

    def make(module: str, **functions: object) -> None:
        stand_in = ModuleType(f"iu_gates.{module}")
        vars(stand_in).update(functions)
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
        monkeypatch.setattr(iu_gates, module, stand_in, raising=False)

    return make


@pytest.fixture
def seen(stub: Stub) -> list[Settings]:
    """Return the settings with which `status` was called, call by call."""
    calls: list[Settings] = []

    def fetch_status(settings: Settings) -> Status:
        calls.append(settings)
        return SEEN

    stub("status", fetch_status=fetch_status)
    return calls


def run_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "iu_gates", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(iu_gates.__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


LEAVES = [(name,) for name, _ in COMMANDS] + [
    (group, leaf) for group, _, commands in GROUPS for leaf, _ in commands
]
FREE = [
    ("demo",), ("backup", "verify"), ("backup", "list"), ("history", "verify"),
    ("worker", "install"),
]  # fmt: skip
"""These need no database that is named: files only, or a server of their own."""
NEEDED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("rollback",): ("--to", "009"),
    ("backup", "register"): (
        *("--id", "a", "--tool", "other"),
        *("--taken-at", "2026-11-23T02:00:00Z"),
    ),
    ("history", "export"): ("h.zst",),
    ("history", "purge"): ("--export", "0" * 64),
    ("route", "show"): ("r",),
    ("route", "add"): ("r", "--event-type", "t"),
    ("route", "set"): ("r", "--tries", "1"),
    ("route", "enable"): ("r",),
    ("route", "disable"): ("r",),
    ("route", "replay"): ("r", "--from", "1"),
    ("route", "skip-to"): ("r", "now"),
    ("dead-letter", "show"): ("1",),
    ("dead-letter", "redrive"): ("1",),
}
"""What a line needs beyond the command itself, to be read at all."""


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_unknown_flag_runs_nothing(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A misspelt option ends with exit code 2 before any settings are read.
    """
    monkeypatch.setattr("iu_gates.config.load", lambda *_: pytest.fail("it went on"))
    assert main([*path, "--databse-url", URL]) == 2
    assert capsys.readouterr().err.startswith("IUG-010 no such option: --databse-url")


@pytest.mark.parametrize(
    "line",
    [["nothing"], ["status", "now"], ["backup", "crate"], ["ledger", "show", "--limit", "x"]],
    ids=" ".join,
)
def test_what_cannot_be_read_is_a_usage_error(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Unknown commands, extra words and bad values: exit code 2, and where help is.
    """
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "  means   nothing was done\n" in error
    assert "--help\n" in error


def test_missing_subcommand_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A group without its command says which there are.
    """
    assert main(["backup"]) == 2
    assert "  wanted  one of create, verify, list, prune, register\n" in capsys.readouterr().err


@pytest.mark.parametrize("path", [p for p in LEAVES if p not in FREE], ids=" ".join)
def test_no_database_is_a_usage_error(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    With nothing that names a database: exit code 2 and the choices, no embedded server.
    """
    assert main([*path, *NEEDED.get(path, ())]) == 2
    error = capsys.readouterr().err
    assert error.startswith("IUG-012 no database given\n")
    assert "--database-url URL, IU_GATES_DATABASE_URL" in error


@pytest.mark.parametrize(
    "line",
    [
        ["--json", "--database-url", URL, "status"],
        ["status", "--json", "--database-url", URL],
        ["--json", "status", f"--database-url={URL}"],
        [
            "--database-url",
            "postgresql://localhost/other",
            "status",
            "--database-url",
            URL,
            "--json",
        ],
    ],
)
def test_common_options_stand_before_or_after(
    line: list[str], seen: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Both places are the same; what stands after the command wins.
    """
    assert main(line) == 0
    assert seen[0].database_url == URL
    assert json.loads(capsys.readouterr().out)["database"] == "app"


def test_common_options_stand_between_group_and_command(
    stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    `ledger --json show` is read as well.
    """
    stub("ledger", list_entries=lambda _settings, **_: [])
    assert main(["ledger", "--json", "--database-url", URL, "show"]) == 0
    assert json.loads(capsys.readouterr().out) == {"entries": []}


def test_config_file_is_read(seen: list[Settings], tmp_path: Path) -> None:
    """
    `--config` names the settings file, from either place.
    """
    (tmp_path / "mine.toml").write_text(f'database_url = "{URL}"\n', encoding="utf-8")
    assert main(["--config", "mine.toml", "status"]) == 0
    assert seen[0].database_url == URL


def test_page_goes_to_stdout(seen: list[Settings], capsys: pytest.CaptureFixture[str]) -> None:
    """
    Without --json there is a page, and nothing on stderr.
    """
    assert main(["status", "--database-url", URL]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("app on PostgreSQL 18.1: ")
    assert error == ""


def test_error_as_json(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With --json an error is one object on stdout, with the exit code of its class.
    """

    def fetch_status(_settings: Settings) -> Status:
        raise LockHeldError("held by pid 7", facts={"pid": 7})

    stub("status", fetch_status=fetch_status)
    assert main(["status", "--database-url", URL, "--json"]) == 6
    out, error = capsys.readouterr()
    data: dict[str, Any] = json.loads(out)
    assert (data["error"], data["exit_code"], data["facts"]) == ("IUG-060", 6, {"pid": 7})
    assert error == ""


def test_usage_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Even a line that cannot be read gives JSON if it asks for it.
    """
    assert main(["status", "--foo", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["summary"] == "no such option: --foo"


def test_database_error_is_translated(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What psycopg raises leaves as an error of ours.
    """

    def fetch_status(_settings: Settings) -> Status:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    stub("status", fetch_status=fetch_status)
    assert main(["status", "--database-url", URL]) == 5
    assert capsys.readouterr().err.startswith("IUG-05")


def test_bug_is_one_line(
    stub: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What nobody foresaw: exit code 1, one clause without secrets, a traceback only if asked for.
    """

    def fetch_status(_settings: Settings) -> Status:
        raise ZeroDivisionError(URL)

    stub("status", fetch_status=fetch_status)
    assert main(["status", "--database-url", URL]) == 1
    error = capsys.readouterr().err
    assert error.startswith("IUG-001 ZeroDivisionError at test_cli.py:")
    assert "a bug, please report" in error
    assert "hunter2" not in error
    assert error.splitlines()[1:] == [
        "  next    IU_GATES_DEBUG=1 iu-gates status --database-url postgresql://***@localhost:1/app"
    ]

    monkeypatch.setenv("IU_GATES_DEBUG", "1")
    assert main(["status", "--database-url", URL]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_is_130(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Ctrl-C is no error, and says nothing.
    """

    def fetch_status(_settings: Settings) -> Status:
        raise KeyboardInterrupt

    stub("status", fetch_status=fetch_status)
    assert main(["status", "--database-url", URL]) == 130
    assert capsys.readouterr().out == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """
    `--version` shows it and ends.
    """
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"iu-gates {iu_gates.__version__}\n"


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The bare command shows what there is.
    """
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "Usage: iu-gates" in out
    assert "advance" in out


def test_help_is_short_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """
    In the list of commands no sentence is cut off.
    """
    for line in ([], ["backup", "-h"], ["worker", "-h"], ["ledger", "-h"]):
        assert main(line) == 0
        assert "..." not in capsys.readouterr().out.replace("[ARGS]...", "")


def test_entry_point_gives_the_exit_code() -> None:
    """
    As a process: the exit code of the class, the error on stderr, stdout empty.
    """
    done = run_process("status")
    assert done.returncode == 2
    assert done.stderr.startswith("IUG-012 ")
    assert done.stdout == ""


def test_help_loads_no_heavy_library() -> None:
    """
    Start-up stays small: neither psycopg, Alembic, SQLAlchemy nor rich for a page of help.
    """
    code = (
        "import sys; from iu_gates.cli.main import main; main(['--help']);"
        "heavy = {'psycopg', 'alembic', 'sqlalchemy', 'rich'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_reader_gone_is_silent() -> None:
    """
    `iu-gates … | head` leaves no traceback behind.
    """
    command = f'"{sys.executable}" -m iu_gates status --json | true; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 2
