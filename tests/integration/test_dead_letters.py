"""Dead letters from the command line: list, show, redrive; who may, and in which order."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from iu_gates import audit, dead_letters, ledger, worker
from iu_gates.cli.main import main
from iu_gates.errors import RefusedError, UsageError
from iu_gates.model import LetterFilter
from tests.support.engine import in_background, wait_until
from tests.support.moving import RUN
from tests.support.play import MakeStage, Stage
from tests.support.walk import ROUTE, SITE_KEY, State

CHECK = "alter table public.event_outbox add constraint no_bad check (subject not like 'bad%')"
MEND = "alter table public.event_outbox drop constraint no_bad"
TAKE_KEY = """
insert into public.event_outbox (event_type, subject, payload, idempotency_key)
values ('x', 'x', '{}', 'iu.version_applied.workflow:iu.version_applied:2:taken')
"""


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """Give a live route with three dead letters: two data errors and a key collision."""
    made = make_stage(State.LIVE)
    made.conn.execute("update iu_core.iu_outbound_route set max_tries = 1")
    made.conn.execute(CHECK)
    made.conn.execute(TAKE_KEY)
    made.write("bad 1", 1, 2)
    made.write("bad 2", 1, 2)
    made.write("taken", 1, 2)
    worker.run(made.settings, once=True)
    return made


def run(stage: Stage, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Run ``dead-letter`` with --json and return its exit code and what it said."""
    code = main(["dead-letter", *words, "--json", "--database-url", stage.values["database_url"]])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["taken", "bad 2", "bad 1"]),
        (["--subject", "bad 2"], ["bad 2"]),
        (["--reason", "key collision"], ["taken"]),
        (["--sqlstate", "23514"], ["bad 2", "bad 1"]),
        (["--sqlstate", "23"], ["taken", "bad 2", "bad 1"]),
        (["--route", "another"], []),
        (["--since", "2100-01-01"], []),
        (["--limit", "1"], ["taken"]),
        (["1", "3"], ["taken", "bad 1"]),
    ],
    ids=str,
)
def test_list_goes_by_what_is_asked_for(
    stage: Stage, capsys: pytest.CaptureFixture[str], words: list[str], found: list[str]
) -> None:
    """
    Each filter leaves out what it does not name; the newest come first.
    """
    code, said = run(stage, capsys, "list", *words)
    assert code == 0
    assert [letter["subject"] for letter in said["dead_letters"]] == found


def test_show_has_all_of_one(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """
    SQLSTATE, message, tries, payload and key are there; what is not there is said so.
    """
    code, said = run(stage, capsys, "show", "1")
    assert code == 0
    assert (said["reason"], said["sqlstate"], said["tries"]) == ("data error", "23514", 1)
    assert "no_bad" in said["message"]
    assert said["payload"] == {"unit": "bad 1", "version_seq": 2}
    assert said["idempotency_key"] == f"{ROUTE}:iu.version_applied:2:bad 1"
    code, said = run(stage, capsys, "show", "99")
    assert (code, said["error"]) == (2, "IUG-107")


def test_redrive_delivers_once_under_the_same_key(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    P2: what is put back is delivered by the worker under its own key; a second time is a no-op.

    The ledger has who, how many and which; the audit finds nothing wrong.
    """
    stage.conn.execute(MEND)
    code, said = run(stage, capsys, "redrive", "--reason", "data error", "--yes")
    assert (code, said["matching"], said["redriven"]) == (0, 2, 2)
    assert stage.status().routes[0].counts["parked"] == 2
    assert stage.status().routes[0].counts["dead"] == 1
    code, said = run(stage, capsys, "redrive", "1", "2", "--yes")
    assert (code, said["matching"], said["redriven"]) == (0, 0, 0)

    worker.run(stage.settings, once=True)

    keys = "select idempotency_key from public.event_outbox where subject like 'bad%' order by id"
    assert [k for (k,) in stage.fetch(keys)] == [
        f"{ROUTE}:iu.version_applied:2:bad {n}" for n in (1, 2)
    ]
    (entry,) = ledger.list_entries(stage.settings, kind="redrive")
    assert (entry.subject, entry.actor) == (ROUTE, "postgres")
    assert (entry.facts["count"], entry.facts["filter"]) == (2, {"reason": "data error"})
    counts = stage.status().routes[0].counts
    assert (counts["parked"], counts["dead"], counts["sent"]) == (0, 1, 2)
    (report,) = audit.audit(stage.settings)
    faults = [finding.name for finding in report.findings if not finding.passed]
    assert faults == ["rows of the target without an attempt"], "the foreign row is one"
    code, said = run(stage, capsys, "list", "--all")
    assert [bool(letter["redriven_by"]) for letter in said["dead_letters"]] == [False, True, True]


def test_event_that_fails_again_is_another_dead_letter(stage: Stage) -> None:
    """
    A redrive gives an event all its tries anew; it may be redriven as often as it is given up on.
    """
    stage.conn.execute("update iu_core.iu_outbound_route set max_tries = 2, retry_seconds = 0")
    wanted = LetterFilter(subject="bad 1")
    for number in (1, 2):
        assert dead_letters.redrive(stage.settings, wanted).redriven == 1
        worker.run(stage.settings, once=True)
        every = dead_letters.list_letters(
            stage.settings, LetterFilter(subject="bad 1", redriven_too=True)
        )
        assert [letter.is_open for letter in every] == [True] + [False] * number
        assert every[0].tries == 2
    assert stage.status().routes[0].counts["dead"] == 3


def test_redrive_asks_and_says_what_needs_no_answer(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Without a terminal nothing is put back, and the command that does not ask is named.
    """
    code, said = run(stage, capsys, "redrive", "--subject", "bad 1", "--sqlstate", "23514")
    assert (code, said["error"]) == (2, "IUG-080")
    assert said["next"] == ("iu-gates dead-letter redrive --subject 'bad 1' --sqlstate 23514 --yes")
    for words in ([], ["--all", "1"]):
        assert run(stage, capsys, "redrive", *words)[0] == 2
    assert run(stage, capsys, "redrive", "1", "99", "--yes")[1]["error"] == "IUG-107"
    assert stage.fetch("select * from iu_core.iu_route_redrive") == []


@pytest.mark.parametrize("group", ["iu_gates_worker", "iu_gates_auditor", "iu_gates_approver"])
def test_redrive_is_the_operators(stage: Stage, group: str) -> None:
    """
    Nobody else puts anything back, by the command or by the function; an operator does.
    """
    login = stage.make_login(group)
    with pytest.raises(RefusedError):
        dead_letters.redrive(stage.settings_as(login), LetterFilter(ids=(1,)))
    assert not stage.fetch_value(
        "select has_function_privilege(%s, 'iu_core.fn_iu_route_redrive(bigint[], jsonb)',"
        " 'execute')",
        login,
    )
    operator = stage.make_login("iu_gates_operator")
    done = dead_letters.redrive(stage.settings_as(operator), LetterFilter(ids=(1,)))
    assert done.redriven == 1
    (row,) = stage.fetch("select redriven_by from iu_core.iu_route_redrive")
    assert row == (operator,)
    assert ledger.list_entries(stage.settings, kind="redrive")[0].actor == operator


def test_on_hold_an_earlier_one_comes_along(make_stage: MakeStage) -> None:
    """
    P3: what is behind an open dead letter goes back with it, or is refused, command and all.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(
        "update iu_core.iu_outbound_route set on_dead_letter = 'hold', max_tries = 1"
    )
    stage.conn.execute(
        "insert into iu_gates.approval"
        " (route_name, definition_hash, digest, logins, granted_at, expires_at)"
        " select route_name, definition_hash, 'a', '{alice}', now(), now() + interval '1 h'"
        " from iu_core.iu_outbound_route"
    )
    stage.conn.execute(
        "select iu_core.fn_iu_route_live(%s, null, max(approval_id)) from iu_gates.approval",
        [ROUTE],
    )
    stage.conn.execute(CHECK)
    stage.write("bad 1", 1, 2, 3, 4)
    worker.run(stage.settings, once=True)
    stage.conn.execute(MEND)

    with pytest.raises(RefusedError, match="1 earlier dead letter would be left") as refused:
        dead_letters.preview(stage.settings, LetterFilter(ids=(2, 3)))
    assert refused.value.ident == "IUG-106"
    assert refused.value.next_command == "iu-gates dead-letter redrive 1 2 3"
    assert stage.fetch("select * from iu_core.iu_route_redrive") == []

    assert dead_letters.redrive(stage.settings, LetterFilter(ids=(1,))).redriven == 1
    stage.write("bad 1", 5)
    worker.run(stage.settings, once=True)
    assert dead_letters.redrive(stage.settings, LetterFilter(subject="bad 1")).redriven == 3
    worker.run(stage.settings, once=True)
    query = "select payload -> 'data' -> 'version_seq' from public.event_outbox order by id"
    assert [n for (n,) in stage.fetch(query)] == [2, 3, 4, 5]


def test_no_dead_letter_of_this_number(stage: Stage) -> None:
    """
    A number that nobody has is a usage error, and nothing of the others is put back.
    """
    with pytest.raises(UsageError, match="no dead letter 98, 99"):
        dead_letters.redrive(stage.settings, LetterFilter(ids=(1, 98, 99)))
    assert stage.fetch("select * from iu_core.iu_route_redrive") == []


def test_redrive_waits_for_the_batch_in_hand(stage: Stage) -> None:
    """
    P3: what the batch in hand gives up on is among the letters that are put back.
    """
    stage.write("bad 1", 3)
    with psycopg.connect(stage.database.conninfo) as batch:
        batch.execute(RUN, [ROUTE, 10, SITE_KEY])
        with in_background(dead_letters.redrive, stage.settings, LetterFilter()) as redriven:
            wait_until(
                lambda: stage.fetch_value(
                    "select exists (select from pg_locks where not granted"
                    " and locktype = 'advisory' and classid = 18773003)"
                ),
                "redrive waits for the worker's key",
            )
            batch.commit()
            assert redriven.result(timeout=20).redriven == 4
    assert dead_letters.list_letters(stage.settings, LetterFilter()) == []
