# ruff: noqa: FBT003  values of the model are written by position
"""The error form of the house, as text and as JSON."""

from __future__ import annotations

import json

from iu_gates import render
from iu_gates.errors import GateError, IuGatesError, NotDrainedError, UnreachableError
from iu_gates.model import Finding, verdict

STALE = Finding("newest backup", False, "31 h old", "60 min or less", "iu-gates backup create")
PROBLEM = GateError(
    'gate "backup" is not satisfied: the newest backup is 31 h old, the limit is 60 min',
    found="backups/app-2026-11-21T1902Z.dump (412 MiB, sha256 9f2c41…, read back whole)",
    wanted="a backup finished after 2026-11-23T02:02Z",
    means="a failed step could not be undone past that point",
    next_command="iu-gates backup create && iu-gates advance",
    more="docs/gates/backup.md",
)


def test_error_has_the_form_of_the_style_guide() -> None:
    """
    Id and clause, then found, wanted, means, next and more, aligned.
    """
    assert str(render.error(PROBLEM, 10_000)) == (
        'IUG-020 gate "backup" is not satisfied: the newest backup is 31 h old,'
        " the limit is 60 min\n"
        "  found   backups/app-2026-11-21T1902Z.dump (412 MiB, sha256 9f2c41…,"
        " read back whole)\n"
        "  wanted  a backup finished after 2026-11-23T02:02Z\n"
        "  means   a failed step could not be undone past that point\n"
        "  next    iu-gates backup create && iu-gates advance\n"
        "  more    docs/gates/backup.md\n"
    )


def test_error_is_wrapped_on_a_terminal() -> None:
    """
    At 80 columns what goes on stands below where it began.
    """
    lines = str(render.error(PROBLEM)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:4] == [
        'IUG-020 gate "backup" is not satisfied: the newest backup is 31 h old, the limit',
        "  is 60 min",
        "  found   backups/app-2026-11-21T1902Z.dump (412 MiB, sha256 9f2c41…, read back",
        "          whole)",
    ]


def test_error_that_was_recorded_shows_the_head() -> None:
    """
    A refusal is an entry of the ledger, and that is its head now: to be kept.
    """
    facts = {"ledger_seq": 41, "ledger_hash": "9f2c41ab" * 8}
    page = str(render.error(GateError("x", next_command="y", facts=facts)))
    assert page == f"IUG-020 x\n  ledger  41:{'9f2c41ab' * 4}\n  next    y\n"


def test_command_is_never_wrapped() -> None:
    """
    A command is there to be pasted, however long it is.
    """
    command = "iu-gates approve --digest " + "ab" * 32
    page = str(render.error(GateError("x", next_command=command)))
    assert f"  next    {command}\n" in page


def test_absent_fields_are_left_out() -> None:
    """
    An error without remedy is one line.
    """
    assert str(render.error(IuGatesError("no"))) == "IUG-001 no\n"


def test_gates_refusal_says_what_was_done_and_seen() -> None:
    """
    Before the error come the gate, what was done, and each limit with what mends it.
    """
    facts = {"verdict": verdict("backup", [STALE], {}).as_dict(), "did": ["looked in backups"]}
    page = str(render.error(GateError("backup is stale", facts=facts)))
    assert page.splitlines() == [
        "✗ backup",
        "  did       looked in backups",
        "  ✗ newest backup  31 h old",
        "      wanted       60 min or less",
        "      next         iu-gates backup create",
        "",
        "IUG-020 backup is stale",
    ]


def test_batches_in_hand_are_named() -> None:
    """
    Off but not drained: who still holds what.
    """
    problem = NotDrainedError("off, but not drained", facts={"in_hand": ["pid 7", "gid x"]})
    assert "  found   pid 7\n          gid x\n" in str(render.error(problem))


def test_no_password_is_shown() -> None:
    """
    Neither text nor JSON carries a password, whatever the error brought along.
    """
    text = "postgresql://bob:hunter2@db/app and password='hunter2' password=hunter2"
    problem = UnreachableError(text, found=text, next_command=text, facts={"a": [{"b": text}]})
    assert "hunter2" not in str(render.error(problem))
    assert "hunter2" not in render.error_to_json(problem)
    assert "postgresql://***@db/app" in str(render.error(problem))


def test_json_has_the_same_fields() -> None:
    """
    JSON names what the text shows, and the exit code.
    """
    data = json.loads(render.error_to_json(PROBLEM))
    assert data["error"] == "IUG-020"
    assert data["exit_code"] == 3
    assert data["next"] == "iu-gates backup create && iu-gates advance"


def test_control_characters_are_replaced() -> None:
    """
    No text from a database can colour the terminal or turn a line around.
    """
    page = str(render.error(IuGatesError("a\x1b[31mb\u202ec\rd")))
    assert page == "IUG-001 a�[31mb�c d\n"
