"""Past events again, and events given up: replay and skip-to of a route."""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates import audit, disable, ledger, replay, routes, worker
from iu_gates.cli.main import main
from iu_gates.errors import IuGatesError, RefusedError
from iu_gates.model import AuditReport, Span
from tests.support.cli import end, poll, start_command
from tests.support.play import INSERT, ROUTE, MakeStage, Stage
from tests.support.walk import SITE_KEY, State

OUTBOX = "select subject || ' ' || (payload -> 'data' ->> 'version_seq') from public.event_outbox"
ALL = Span(first=1)


@pytest.fixture
def stage(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Give a live stage: five events consumed in dry-run, five delivered; one unit."""
    monkeypatch.setenv("IU_GATES_SITE_KEY", SITE_KEY)
    made = make_stage(State.LIVE)
    made.conn.execute("select iu_core.fn_iu_route_dry(%s)", (ROUTE,))
    made.conn.execute("update iu_core.iu_outbound_route set live_from = null")
    made.write("unit", *range(1, 7))
    worker.run(made.settings, once=True)
    assert made.count("dry_run") == 5
    go_live(made)
    made.write("unit", *range(7, 12))
    worker.run(made.settings, once=True)
    assert made.count("sent") == 5
    return made


def go_live(stage: Stage) -> None:
    """Approve the route as it is defined, and take it live."""
    stage.conn.execute(
        "insert into iu_gates.approval"
        " (route_name, definition_hash, digest, logins, granted_at, expires_at)"
        " select route_name, definition_hash, 'a', '{alice}', now(), now() + interval '1 h'"
        " from iu_core.iu_outbound_route"
    )
    stage.conn.execute(
        "select iu_core.fn_iu_route_live(%s, null, max(approval_id)) from iu_gates.approval",
        (ROUTE,),
    )


def run(stage: Stage, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Run ``route`` with --json and return its exit code and what it said."""
    code = main(["route", *words, "--json", "--database-url", stage.values["database_url"]])
    return code, json.loads(capsys.readouterr().out)


def list_outbox(stage: Stage) -> list[str]:
    """Return the events in the host's outbox, in its order."""
    return [text for (text,) in stage.fetch(f"{OUTBOX} order by id")]


def count(stage: Stage) -> AuditReport:
    """Return the audit of our route, which has no fault."""
    (report,) = audit.audit(stage.settings, ROUTE)
    assert report.passed, report.findings
    return report


def replay_all(stage: Stage, **arguments: Any) -> tuple[int, int, int]:
    """Replay from the first event on; return events, delivered, duplicates."""
    done = replay.replay(stage.settings, ROUTE, ALL, **arguments)
    return done.events, done.delivered, done.duplicates


def test_replay_delivers_what_the_target_lacks(stage: Stage) -> None:
    """
    P2, P3: in order, in batches, under the same keys; a second time is a no-op by the keys.

    The attempts are replays, and the audit neither calls them repeats nor out of order.
    """
    unit = [f"unit {n}" for n in range(2, 12)]
    assert list_outbox(stage) == unit[5:]
    stage.conn.execute(
        "delete from public.event_outbox where payload -> 'data' ->> 'version_seq' = '8'"
    )

    assert replay_all(stage, limit=3) == (10, 6, 4)

    assert list_outbox(stage) == [unit[5], *unit[7:], *unit[:5], unit[6]]
    keys = stage.fetch("select count(distinct idempotency_key) from public.event_outbox")
    assert keys == [(10,)]
    assert (stage.count("replayed"), stage.count("duplicate"), stage.count("sent")) == (6, 4, 5)
    assert stage.fetch_value("select count(*) from iu_core.iu_route_attempt where delivered") == 11
    report = count(stage)
    assert (report.counts["delivered"], report.counts["dry_run"]) == (10, 0)
    assert replay_all(stage) == (10, 0, 10)
    assert count(stage).counts == {**report.counts}
    states = [
        (e.subject, e.facts["state"], e.facts["events"])
        for e in ledger.list_entries(stage.settings, kind="replay")
    ]
    assert states == [(ROUTE, "begun", 10), (ROUTE, "done", 10)] * 2


def test_replay_sends_what_is_past_and_asked_for(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    By event or by time, both ends included; not what the cursor has before it, is parked or dead.

    P3: nor what would go before a parked one of its subject, or a dead one on a route that holds.
    """
    assert (
        run(stage, capsys, "replay", ROUTE, "--from", "3", "--to", "4", "--yes")[1]["events"] == 2
    )
    assert list_outbox(stage)[-2:] == ["unit 4", "unit 5"]
    at = stage.fetch_value("select captured_at from iu_core.iu_event where version_seq = 10")
    code, said = run(stage, capsys, "replay", ROUTE, "--from", at.isoformat(), "--yes")
    assert (code, said["events"], said["duplicates"], said["delivered"]) == (0, 2, 2, 0)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert run(stage, capsys, "replay", ROUTE, "--from", later, "--yes")[1]["events"] == 0
    until = at - timedelta(microseconds=1)
    assert replay.preview(stage.settings, ROUTE, Span(1, None, None, until)).events == 8

    stage.write("unit", 12)
    stage.conn.execute(
        "insert into iu_core.iu_route_parked (route_name, event_id, subject)"
        " values (%s, 9, 'unit')",
        (ROUTE,),
    )
    seen = replay.preview(stage.settings, ROUTE, ALL)
    assert (seen.events, seen.first, seen.last) == (8, 1, 8)
    stage.conn.execute("delete from iu_core.iu_route_parked")
    stage.conn.execute(
        "insert into iu_core.iu_route_dead_letter"
        " (route_name, event_id, idempotency_key, reason, subject, version_seq, payload)"
        " values (%s, 4, 'k', 'data error', 'unit', 5, '{}')",
        (ROUTE,),
    )
    assert replay.preview(stage.settings, ROUTE, ALL).events == 9
    stage.conn.execute("select iu_core.fn_iu_route_dry(%s)", (ROUTE,))
    routes.change(stage.settings, ROUTE, {"on_dead_letter": "hold"})
    go_live(stage)
    seen = replay.preview(stage.settings, ROUTE, ALL)
    assert (seen.events, seen.first, seen.last) == (3, 1, 3)


def test_replay_is_killed_and_said_again(stage: Stage, tmp_path: Path) -> None:
    """
    P8: SIGKILL in the middle leaves whole batches; the same command delivers the rest, none twice.
    """
    stage.conn.execute(
        "insert into public.unit_version (unit, version_seq)"
        " select 'bulk', n from generate_series(1, 4001) as n"
    )
    worker.run(stage.settings, once=True)
    stage.conn.execute("delete from public.event_outbox where subject = 'bulk'")
    # The third batch waits here, so that the kill falls between two batches.
    blocker = psycopg.connect(stage.database.conninfo)
    blocker.execute(
        "insert into public.event_outbox (event_type, subject, payload, idempotency_key)"
        " values ('x', 'x', '{}', %s)",
        (f"{ROUTE}:iu.version_applied:2500:bulk",),
    )
    line = ["route", "replay", ROUTE, "--from", "1", "--yes", "--json"]
    settings = stage.values
    process = start_command(
        tmp_path,
        *line,
        stdout=subprocess.PIPE,
        IU_GATES_DATABASE_URL=settings["database_url"],
        IU_GATES_SITE_KEY=SITE_KEY,
    )
    try:
        poll(lambda: stage.count("replayed") > 1000 or process.poll() is not None, "two batches")
        assert process.poll() is None, process.stdout and process.stdout.read()
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        end(process)
        blocker.rollback()
        blocker.close()
    poll(
        lambda: stage.fetch_value(
            "select count(*) = 0 from pg_stat_activity where application_name like %s",
            "iu-gates route replay%",
        ),
        "the server to notice",
    )
    before = stage.fetch_value("select count(*) from public.event_outbox")
    assert 1000 <= before < 4000
    replay_all(stage)
    rows = stage.fetch("select count(*), count(distinct idempotency_key) from public.event_outbox")
    assert rows == [(4010, 4010)]
    bulk = "select (payload -> 'data' ->> 'version_seq')::int from public.event_outbox"
    numbers = [n for (n,) in stage.fetch(f"{bulk} where subject = 'bulk' order by id")]
    assert numbers == list(range(2, 4002))
    count(stage)


def test_replay_ends_at_the_first_that_fails(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    P3: those before it are delivered, none after it; the command that goes on is named.
    """
    check = "check ((payload -> 'data' ->> 'version_seq') <> '6') not valid"
    stage.conn.execute(f"alter table public.event_outbox add constraint no_six {check}")
    code, said = run(stage, capsys, "replay", ROUTE, "--from", "1", "--yes")
    assert (code, said["error"], said["facts"]["event_id"]) == (4, "IUG-122", 5)
    assert said["next"] == f"iu-gates route replay {ROUTE} --from 5 --to 10"
    assert "no_six" in said["summary"]
    assert list_outbox(stage)[5:] == [f"unit {n}" for n in range(2, 6)]
    (failed,) = stage.fetch(
        "select event_id, sqlstate from iu_core.iu_route_attempt where status = 'failed'"
    )
    assert failed == (5, "23514")
    assert stage.status().routes[0].counts["parked"] == 0
    count(stage)
    stage.conn.execute("alter table public.event_outbox drop constraint no_six")
    assert run(stage, capsys, "replay", ROUTE, "--from", "5", "--to", "10", "--yes")[0] == 0
    assert list_outbox(stage)[5:] == [f"unit {n}" for n in range(2, 7)]


def test_replay_of_a_route_that_is_not_live(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    P5, P6: dry, in the canary, stopped or held, nothing is sent again; nor in a copy.
    """
    words = ["replay", ROUTE, "--from", "1", "--yes"]
    outbox = list_outbox(stage)
    stage.conn.execute("update iu_core.iu_outbound_route set quota = 1")
    assert run(stage, capsys, *words)[1]["found"] == "canary"
    stage.conn.execute("update iu_core.iu_outbound_route set quota = null")
    disable.disable(stage.settings, route=ROUTE, reason="for now")
    code, said = run(stage, capsys, *words)
    assert (code, said["error"], said["next"]) == (4, "IUG-121", "iu-gates advance")
    assert said["found"] == "off: stopped by disable: for now"
    query = "select iu_core.fn_iu_route_replay(%s, 0, 99, null, null, 10, 'the site of the tests')"
    with pytest.raises(psycopg.Error, match="is not live") as refused:
        stage.conn.execute(query, (ROUTE,))
    assert refused.value.sqlstate == "IUG40"
    stage.conn.execute("update iu_gates.installation set database_oid = 1")
    with pytest.raises(RefusedError) as copy:
        replay.preview(stage.settings, ROUTE, ALL)
    assert copy.value.ident == "IUG-041"
    assert list_outbox(stage) == outbox
    assert stage.count("replayed", "duplicate") == 0


def test_a_stop_ends_a_replay_between_two_batches(stage: Stage) -> None:
    """
    P5: `disable` waits for the batch in hand and the next one is refused; nothing is sent after.
    """
    said: list[str] = []

    def stop(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            disable.disable(stage.settings, route=ROUTE)

    with pytest.raises(RefusedError, match="is not live"):
        replay.replay(stage.settings, ROUTE, ALL, limit=2, notify=stop)
    assert said == ["2 of 10 events", "4 of 10 events"]
    assert list_outbox(stage)[5:] == [f"unit {n}" for n in range(2, 6)]


def test_replay_and_skip_ask(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Without a terminal nothing is done, and the line that does not ask is named.
    """
    code, said = run(stage, capsys, "replay", ROUTE, "--from", "1", "--to", "3")
    assert (code, said["error"]) == (2, "IUG-080")
    assert said["next"] == f"iu-gates route replay {ROUTE} --from 1 --to 3 --yes"
    hold(stage)
    code, said = run(stage, capsys, "skip-to", ROUTE, "now")
    assert (code, said["error"]) == (2, "IUG-080")
    assert said["next"] == f"iu-gates route skip-to {ROUTE} now --yes"
    assert stage.count("replayed", "skipped") == 0


def hold(stage: Stage) -> None:
    """Take the route dry, and write four versions that are held."""
    stage.conn.execute("select iu_core.fn_iu_route_dry(%s)", (ROUTE,))
    stage.write("held", *range(1, 6))
    worker.run(stage.settings, once=True)
    assert stage.count("held") == 4


def test_skip_gives_up_what_is_held(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Up to an event, which is next: those before it are counted and named, the rest is delivered.

    What was being written at the time is delivered too, and a replay sends what was given up.
    """
    hold(stage)
    assert routes.list_routes(stage.settings, ROUTE)[0].held == 4
    with psycopg.connect(stage.database.conninfo) as early:
        early.execute(INSERT, ("late", 1))
        early.execute(INSERT, ("late", 2))
        stage.write("younger", 1)
        code, said = run(stage, capsys, "skip-to", ROUTE, "13", "--yes")
        assert (code, said["skipped"], said["first"], said["last"]) == (0, 2, 11, 12)
        assert said["kept"] == 2
        early.commit()
    report = count(stage)
    assert (report.counts["skipped_by_decision"], report.counts["held"]) == (2, 2)
    assert report.named["skipped_by_decision"] == ("held version 2", "held version 3")
    assert main(["audit", "--database-url", stage.values["database_url"]]) == 0
    assert "skipped by decision: held version 2, held version 3" in capsys.readouterr().out
    (entry,) = ledger.list_entries(stage.settings, kind="skip")
    assert (entry.subject, entry.facts["count"], entry.actor) == (ROUTE, 2, "postgres")

    go_live(stage)
    worker.run(stage.settings, once=True)
    assert list_outbox(stage)[5:] == ["held 4", "held 5", "late 2"]
    assert count(stage).counts["skipped_by_decision"] == 2
    assert replay.replay(stage.settings, ROUTE, Span(first=11)).delivered == 2
    report = count(stage)
    assert (report.counts["skipped_by_decision"], report.named["skipped_by_decision"]) == (0, ())


def test_skip_to_now_and_never_back(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """
    All that is committed; again is nothing to do; an event behind the cursor is refused.
    """
    hold(stage)
    assert run(stage, capsys, "skip-to", ROUTE, "11", "--yes")[1]["skipped"] == 0
    code, said = run(stage, capsys, "skip-to", ROUTE, "5", "--yes")
    assert (code, said["error"]) == (4, "IUG-123")
    assert said["next"] == f"iu-gates route replay {ROUTE} --from 5"
    assert run(stage, capsys, "skip-to", ROUTE, "now", "--yes")[1]["skipped"] == 4
    assert run(stage, capsys, "skip-to", ROUTE, "now", "--yes")[1]["skipped"] == 0
    assert run(stage, capsys, "skip-to", ROUTE, "14", "--yes")[1]["error"] == "IUG-123"
    assert count(stage).counts["skipped_by_decision"] == 4
    stage.write("held", 6)
    worker.run(stage.settings, once=True)
    assert stage.count("held") == 5
    go_live(stage)
    worker.run(stage.settings, once=True)
    assert list_outbox(stage)[5:] == ["held 6"]
    count(stage)


def test_skip_in_the_middle_of_windows(stage: Stage) -> None:
    """
    P1: with an open window, and with one that an earlier skip left, none but the skipped are lost.
    """
    hold(stage)
    go_live(stage)
    worker.run(stage.settings, once=True, limit=1, max_seconds=0)
    query = "select * from iu_core.fn_iu_route_worker_run(%s, 1, 'the site of the tests')"
    stage.conn.execute(query, (ROUTE,))
    sent = stage.count("sent")
    assert routes.list_routes(stage.settings, ROUTE)[0].behind == 9 - sent
    stage.write("held", 6, 7)
    assert replay.skip(stage.settings, ROUTE, 13).skipped == 12 - 10 - (sent - 5)
    assert replay.skip(stage.settings, ROUTE, 14).skipped == 1
    worker.run(stage.settings, once=True)
    assert list_outbox(stage)[-3:] == ["held 5", "held 6", "held 7"]
    report = count(stage)
    assert report.counts["skipped_by_decision"] + report.counts["delivered"] == 11


@pytest.mark.parametrize("group", ["iu_gates_worker", "iu_gates_auditor", "iu_gates_approver"])
def test_both_are_the_operators(stage: Stage, group: str) -> None:
    """
    Nobody else sends anything again or gives anything up.
    """
    settings = stage.make_settings_of(group)
    for call in (
        lambda: replay.replay(settings, ROUTE, ALL),
        lambda: replay.skip(settings, ROUTE, None),
    ):
        with pytest.raises(IuGatesError) as refused:
            call()
        assert refused.value.exit_code == 4
    operator = stage.make_settings_of("iu_gates_operator")
    assert replay.replay(operator, ROUTE, ALL).delivered == 5
