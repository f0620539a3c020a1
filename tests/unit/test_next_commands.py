"""What a user is told to type next can be typed."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from iu_gates.cli.main import main
from tests.support.commands import ROOT, find_fault, list_commands, list_hints

MODULES = [
    path
    for folder in ("iu_gates", "migrations")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if any(list_commands(path))
]
HINTS = [path for path in sorted((ROOT / "migrations").rglob("*.sql")) if any(list_hints(path))]
ERRORS = {
    "BackupError",
    "GateError",
    "LockHeldError",
    "NotDrainedError",
    "RefusedError",
    "UnreachableError",
    "UsageError",
}


def name_of(path: Path) -> str:
    """Return a file's name as that of a test's case."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_next_command_can_be_pasted(path: Path) -> None:
    """
    Every next command and remedy is one that our parser takes, SQL, or a program on a short list.
    """
    faults = [(line, text, find_fault(text)) for line, text in list_commands(path)]

    assert [fault for fault in faults if fault[2]] == []


@pytest.mark.parametrize("path", HINTS, ids=name_of)
def test_hint_can_be_pasted(path: Path) -> None:
    """
    A hint of our SQL that begins with our name is a whole command line of ours.
    """
    assert [(hint, fault) for hint in list_hints(path) if (fault := find_fault(hint))] == []


@pytest.mark.parametrize(
    "text",
    [
        "wait for it",
        "iu-gates advance, which goes on",
        "iu-gates status; then the same",
        "iu-gates rollback --too 009",
        "iu-gates history",
        "alter table the host's",
        "docs/errors.md",
        "psql -l, to see what is there",
    ],
)
def test_sentence_is_told_from_a_command(text: str) -> None:
    """
    What only begins like a command is found out.
    """
    assert find_fault(text)


@pytest.mark.parametrize("path", sorted((ROOT / "iu_gates").rglob("*.py")), ids=name_of)
def test_every_error_names_what_comes_next(path: Path) -> None:
    """
    No error is raised without a next command; a bug alone has none of its own.
    """
    calls = (
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS
    )
    # `**fields` of a helper hold it.
    named = {None, "next_command"}
    lacking = [c.lineno for c in calls if not named & {k.arg for k in c.keywords}]

    assert lacking == []


def test_same_again_is_the_line_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Where the same command comes next, its own words are shown, quoted for the shell.
    """
    monkeypatch.setenv("IU_GATES_BACKUP_MAX_AGE", "never")

    main(["disable", "--reason", "it's late", "--json"])

    said = json.loads(capsys.readouterr().out)
    assert said["next"] == """iu-gates disable --reason 'it'"'"'s late' --json"""
