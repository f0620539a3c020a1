"""The audit counts by another way than the worker's, and names what is wrong."""

from __future__ import annotations

import psycopg
import pytest

from iu_gates import audit, worker
from iu_gates.model import AuditReport
from tests.support.play import INSERT, ROUTE, MakeStage, Stage
from tests.support.walk import State

OUT_OF_ORDER = "events attempted before an earlier one of their unit"


def count(stage: Stage) -> AuditReport:
    """Return the audit of our route."""
    (report,) = audit.audit(stage.settings, ROUTE)
    return report


def faults(stage: Stage) -> dict[str, str]:
    """Return the findings that did not pass."""
    return {f.name: f.found for f in count(stage).findings if not f.passed}


@pytest.fixture
def live(make_stage: MakeStage) -> Stage:
    """Give a stage at 082, with three versions delivered."""
    stage = make_stage(State.LIVE)
    stage.write("unit", *range(1, 5))
    stage.write("a:b", 1, 2)
    worker.run(stage.settings, once=True)
    return stage


def test_sound_database(live: Stage) -> None:
    """
    P1, P2: host = captured = delivered = in the target; a unit with colons is no stranger.
    """
    report = count(live)
    assert report.passed
    counts = report.counts
    assert [counts[n] for n in ("host", "captured", "delivered", "in_target")] == [4, 4, 4, 4]
    live.write("unit", 5)
    assert count(live).passed
    assert count(live).counts["waiting"] == 1


def test_missed_is_named(live: Stage) -> None:
    """
    T1: a row that was written while the trigger was off has no event.
    """
    live.conn.execute("alter table public.unit_version disable trigger iu_unit_version_capture")
    live.write("unit", 5)
    assert faults(live) == {"host rows without an event": "1: unit version 5"}


def test_row_of_a_replica_is_captured_all_the_same(live: Stage) -> None:
    """
    T1: the trigger fires ALWAYS, so `session_replication_role` hides nothing from it.

    Where it is made an ordinary one, the audit finds what is missed.
    """
    live.conn.execute("set session_replication_role = replica")
    live.write("unit", 5)
    assert count(live).passed
    live.conn.execute("alter table public.unit_version enable trigger iu_unit_version_capture")
    live.write("unit", 6)
    live.conn.execute("reset session_replication_role")
    assert faults(live) == {"host rows without an event": "1: unit version 6"}


def test_rows_from_before_capture_are_no_fault(make_stage: MakeStage) -> None:
    """
    T7: what the host wrote before 060 has no event, and is counted as such.
    """
    stage = make_stage()
    stage.write("old", 1, 2, 3)
    stage.walk("substrate")
    stage.write("old", 4)
    report = count(stage)
    assert report.passed
    assert (report.counts["baseline"], report.counts["captured"]) == (2, 1)


def test_skipped_is_named(live: Stage) -> None:
    """
    P1: an event that every cursor passed and that has no attempt is a skip.
    """
    live.conn.execute("alter table iu_core.iu_route_attempt disable trigger all")
    live.conn.execute(
        "delete from iu_core.iu_route_attempt where event_id ="
        " (select event_id from iu_core.iu_event where subject = 'unit' and version_seq = 3)"
    )
    live.conn.execute("delete from public.event_outbox where subject = 'unit' and id = 2")
    live.write("later", 2)
    worker.run(live.settings, once=True)
    worker.run(live.settings, once=True)
    seen = faults(live)
    assert seen["events passed over without an attempt"] == "1: unit version 3"


def test_unexplained_is_named(live: Stage) -> None:
    """
    A row of the target under our key that no attempt stands behind.
    """
    key = f"{ROUTE}:iu.version_applied:9:nobody"
    live.conn.execute(
        "insert into public.event_outbox (event_type, subject, payload, idempotency_key)"
        " values ('x', 'x', '{}', %s), ('x', 'x', '{}', 'the host''s own')",
        (key,),
    )
    assert faults(live) == {"rows of the target without an attempt": f"1: {key}"}


def test_reordered_is_named(live: Stage) -> None:
    """
    P3: two events of a unit that were attempted in the other order.
    """
    live.conn.execute("alter table iu_core.iu_route_attempt disable trigger all")
    live.conn.execute(
        "update iu_core.iu_route_attempt as a set event_id = -e.event_id from iu_core.iu_event as e"
        " where e.event_id = a.event_id and e.subject = 'unit' and e.version_seq in (2, 3)"
    )
    live.conn.execute(
        "update iu_core.iu_route_attempt as a set event_id = e.event_id from iu_core.iu_event as e"
        " where a.event_id < 0 and e.subject = 'unit' and e.version_seq in (2, 3)"
        " and e.event_id <> -a.event_id"
    )
    assert faults(live)[OUT_OF_ORDER].startswith("1: ")


def test_transactions_at_one_time_may_come_either_way(live: Stage) -> None:
    """
    P3: of two that were open together, on one unit, the one that commits first is delivered first.
    """
    with psycopg.connect(live.database.conninfo) as early:
        early.execute(INSERT, ("unit", 11))
        live.write("unit", 12)
        worker.run(live.settings, once=True)
        early.commit()
    worker.run(live.settings, once=True)
    report = count(live)
    assert report.passed, report.findings
    assert report.counts["ahead"] == 1


def faults_where_the_first_came_last(stage: Stage, unit: str) -> dict[str, str]:
    """Attempt what was written of a unit, put version 2 behind the others, and audit that."""
    worker.run(stage.settings, once=True, limit=1)
    tamper(
        stage,
        "update iu_core.iu_route_attempt as a set attempt_id = default from iu_core.iu_event as e"
        f" where e.event_id = a.event_id and e.subject = '{unit}' and e.version_seq = 2",
    )
    return faults(stage)


def test_later_transaction_out_of_order_is_named(live: Stage) -> None:
    """
    P3: what began after an earlier one had committed comes after it; the times of commits tell.
    """
    live.write("later", 2)
    live.write("later", 3)
    assert faults_where_the_first_came_last(live, "later") == {OUT_OF_ORDER: "1: later version 3"}


def test_one_transaction_out_of_order_is_named(live: Stage) -> None:
    """
    P3: what one transaction wrote in order comes in order, however many batches it takes.
    """
    with live.conn.transaction():
        live.write("whole", 2, 3)
    assert faults_where_the_first_came_last(live, "whole") == {OUT_OF_ORDER: "1: whole version 3"}


def test_orphan_is_named(live: Stage) -> None:
    """
    T19: there is no foreign key from attempt to event; the audit looks instead.
    """
    live.conn.execute("alter table iu_core.iu_event disable trigger all")
    live.conn.execute("delete from iu_core.iu_event where subject = 'a:b'")
    assert "1" in faults(live)["attempts without an event"]


def test_held_event_that_was_passed_is_a_skip(live: Stage) -> None:
    """
    P1: to have been evaluated is no excuse for an event that the delivery cursor has passed.
    """
    tamper(live, "delete from iu_core.iu_route_attempt where event_id = 2")
    tamper(
        live,
        "insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)"
        " select route_name, 2, 'held', 'k' from iu_core.iu_outbound_route",
    )
    assert faults(live) == {
        "events passed over without an attempt": "1: unit version 3",
        "rows of the target without an attempt": f"1: {ROUTE}:iu.version_applied:3:unit",
    }


def test_repeated_is_named(live: Stage) -> None:
    """
    P2: two attempts with effect of one event.
    """
    tamper(
        live,
        "insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)"
        " select route_name, event_id, 'dry_run', idempotency_key"
        " from iu_core.iu_route_attempt where event_id < 3",
    )
    assert faults(live) == {
        "events with effect more than once": "2: unit version 2, unit version 3"
    }


def test_parked_and_redriven_are_no_fault(live: Stage) -> None:
    """
    What is parked waits; what was given up on and put back has no place in the order any more.
    """
    live.write("unit", 5, 6)
    worker.run(live.settings, once=True)
    event = "(select event_id from iu_core.iu_event where subject = 'unit' and version_seq = 5)"
    attempt = f"iu_core.iu_route_attempt where event_id = {event}"
    tamper(live, f"delete from {attempt}")
    assert "events passed over without an attempt" in faults(live)
    live.conn.execute(
        "insert into iu_core.iu_route_parked (route_name, event_id, subject)"
        f" select route_name, {event}, 'unit' from iu_core.iu_outbound_route"
    )
    report = count(live)
    assert report.counts["parked"] == 1
    assert [f.name for f in report.findings if not f.passed] == [
        "rows of the target without an attempt"
    ]
    live.conn.execute(
        "insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)"
        f" select '{ROUTE}', {event}, 'sent', '{ROUTE}:iu.version_applied:5:unit'"
    )
    live.conn.execute("delete from iu_core.iu_route_parked")
    assert count(live).counts["ahead"] == 1
    assert faults(live) == {OUT_OF_ORDER: "1: unit version 6"}
    live.conn.execute(
        "with d as (insert into iu_core.iu_route_dead_letter (route_name, event_id,"
        " idempotency_key, reason, subject, version_seq, payload) select route_name, event_id,"
        f" 'k', 'data error', 'unit', 5, '{{}}' from {attempt} returning dead_letter_id)"
        " insert into iu_core.iu_route_redrive (dead_letter_id) select dead_letter_id from d"
    )
    assert count(live).passed


def tamper(stage: Stage, statement: str) -> None:
    """Change attempts behind the triggers' back."""
    stage.conn.execute("alter table iu_core.iu_route_attempt disable trigger all")
    stage.conn.execute(statement)
    stage.conn.execute("alter table iu_core.iu_route_attempt enable trigger all")


def test_unknown_route_has_no_report(live: Stage) -> None:
    """
    An audit of a route that there is not reports nothing.
    """
    assert audit.audit(live.settings, "nowhere") == []


def test_rows_of_the_host_are_of_one_event_type(live: Stage) -> None:
    """
    A route of another type has no applied change to miss.
    """
    live.conn.execute(
        "insert into iu_core.iu_outbound_route (route_name, event_type, target_kind, target_ref)"
        " values ('other', 'host.other', 'notify', 'somewhere')"
    )
    (report,) = audit.audit(live.settings, "other")
    assert report.passed
    assert report.counts["host"] == 0
