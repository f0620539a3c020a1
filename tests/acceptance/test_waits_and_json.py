"""What every command says at every stage: JSON that parses, and a status that fits."""

from __future__ import annotations

import json

import pytest

from iu_gates.model import GATES
from tests.acceptance.newcomer import Newcomer
from tests.acceptance.site import Site
from tests.support.cli import Answer

READING = (
    ("status",),
    ("plan",),
    ("audit",),
    ("doctor",),
    ("backup", "list"),
    ("ledger", "show"),
    ("ledger", "verify"),
)
FIELDS = {"error", "summary", "found", "wanted", "means", "next", "more", "exit_code", "facts"}
NEVER_WAITED_FOR = {"backup", "substrate", "seam", "check_relaxed", "canary", "live"}


@pytest.mark.long
def test_json_and_status_at_every_stage(site: Site) -> None:
    """
    Every answer with --json is one object; the status names the next gate in 80 columns.
    """
    _assert_status(site)
    calls: list[Answer] = []

    def look(answer: Answer) -> None:
        calls.append(answer)
        _assert_advance_json(answer)
        if answer.code == 0:
            _assert_status(site)

    newcomer = Newcomer(site, look, settled=True)
    newcomer.advance("--json")
    waited = {a.json["facts"]["verdict"]["gate"] for a in calls if a.code}
    assert not waited & NEVER_WAITED_FOR
    _assert_reading(site)
    for line in (("worker", "once"), ("backup", "create"), ("backup", "verify"), ("prove",)):
        login = site.worker if line[0] == "worker" else ""
        assert site.run(*line, "--json", login=login).expect(0).json
    other = site.run("approve", "--json", "--digest", "0" * 64, login=site.approver).expect(4)
    assert other.json["error"] == "IUG-081"
    assert site.run("disable", "--json").expect(0).json["drained"] is True
    _assert_status(site)
    assert site.run("rollback", "--to", "060", "--json", "--yes").expect(0).json["undone"]
    _assert_status(site)
    refused = site.run("rollback", "--to", "base", "--json", "--yes").expect(4).json
    assert set(refused) >= FIELDS


@pytest.mark.long
def test_json_before_anything_is_installed(site: Site) -> None:
    """
    Where nothing is installed, what reads the database says so in JSON too, and names `advance`.
    """
    assert site.run("status", "--json").expect(0).json["next_command"] == "iu-gates advance"
    assert site.run("plan", "--json").json
    for line in (("audit",), ("ledger", "show"), ("ledger", "verify"), ("disable",), ("prove",)):
        answer = site.run(*line, "--json").expect(3)
        assert answer.json["error"] == "IUG-033"
        assert answer.json["next"] == "iu-gates advance"


def _assert_advance_json(answer: Answer) -> None:
    """One gate passed, or one that is named with its findings; nothing else on stdout or stderr."""
    assert answer.err == ""
    said = answer.json
    if answer.code == 0:
        assert len(said["reports"]) == (1 if said["reports"] else 0)
        assert said["next_gate"] in {*GATES, None}
    else:
        assert set(said) >= FIELDS
        verdict = said["facts"]["verdict"]
        assert verdict["gate"] in GATES
        assert not verdict["passed"]
        assert said["next"]


def _assert_status(site: Site) -> None:
    """The page fits into 80 columns, and its last line is what comes next."""
    lines = site.run("status").expect(0).out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert lines[-1].split(maxsplit=1) in (["next", "iu-gates advance"], ["next", "nothing to do"])


def _assert_reading(site: Site) -> None:
    """What only reads answers in JSON, each with one object; `doctor` and `audit` find no fault."""
    for line in READING:
        answer = site.run(*line, "--json").expect(0)
        assert json.loads(answer.out), line
        assert answer.json.get("passed", True) is True, answer
