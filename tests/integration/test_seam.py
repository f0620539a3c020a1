"""The seam: exactly once, in order, one bad event alone (P2, P3; T13, T16, T17, T18, T23)."""

from __future__ import annotations

from datetime import UTC

import psycopg
import pytest

from tests.support.engine import (
    Batch,
    Engine,
    Event,
    drain,
    in_background,
    run_batch,
    set_hook,
    write,
    write_bulk,
)

CHECK = "alter table public.event_outbox add constraint outbox_chk check (subject not like 'bad%')"
COPY = """
insert into public.event_outbox (event_type, subject, payload, idempotency_key)
select e.event_type, e.subject, jsonb_build_object('data', e.payload || %s::jsonb),
       iu_core.fn_iu_idempotency_key(
           'iu.version_applied.workflow', e.event_type, e.subject, e.version_seq)
from iu_core.iu_event as e where e.subject = %s
"""
FAULTS = {
    "08006": "connection failure",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "42P01": "no such table",
    "55P03": "lock timeout",
    "57014": "cancelled",
    "0A000": "not built",
    "XX000": "internal",
}


@pytest.mark.long_on_each_major
def test_seam_raises_before_090(dry: Engine) -> None:
    """
    Before 090 the seam raises, named for what is missing, whoever calls it.
    """
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="delivery is not built"):
        dry.conn.execute(
            "select * from iu_core.fn_iu_route_deliver('iu.version_applied.workflow', '{1}')"
        )


@pytest.mark.every_major
def test_outbox_row_is_a_cloud_event(live: Engine) -> None:
    """
    A delivered row holds the event as CloudEvents 1.0, under its key, with the host's columns.
    """
    live.conn.execute("set timezone to 'Asia/Kathmandu'")
    write(live.conn, "a:unit", 2)
    drain(live.conn)
    ((kind, subject, key, payload, captured_at),) = live.fetch(
        "select o.event_type, o.subject, o.idempotency_key, o.payload, e.captured_at"
        " from public.event_outbox as o cross join iu_core.iu_event as e"
    )
    assert (kind, subject) == ("iu.version_applied", "a:unit")
    assert key == "iu.version_applied.workflow:iu.version_applied:2:a:unit"
    assert payload == {
        "specversion": "1.0",
        "id": key,
        "source": "/iu-gates/routes/iu.version_applied.workflow",
        "type": "iu.version_applied",
        "subject": "a:unit",
        "time": f"{captured_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "datacontenttype": "application/json",
        "data": {"unit": "a:unit", "version_seq": 2},
    }


@pytest.mark.long_on_each_major
def test_known_key_with_the_same_content_is_a_duplicate(live: Engine) -> None:
    """
    P2, T16: an event that the target has already is not delivered again; the rest goes through.
    """
    write(live.conn, "a", 2)
    write(live.conn, "known", 2)
    write(live.conn, "b", 2)
    live.conn.execute(COPY, ["{}", "known"])

    (batch,) = drain(live.conn)

    assert batch == Batch("live", 3, sent=2, duplicates=1, dead=0)
    assert live.list_outbox()[1:] == [Event("a", 2), Event("b", 2)]
    assert live.list_attempted("sent", "duplicate") == live.list_captured()
    assert live.list_attempted("duplicate") == [Event("known", 2)]


@pytest.mark.long_on_each_major
def test_known_key_with_other_content_is_a_collision(live: Engine) -> None:
    """
    T17: a foreign row under our key is a dead letter "key collision"; the rest goes through.
    """
    write(live.conn, "a", 2)
    write(live.conn, "foreign", 2)
    write(live.conn, "b", 2)
    live.conn.execute(COPY, ['{"version_seq": 7}', "foreign"])

    (batch,) = drain(live.conn)

    assert batch == Batch("live", 3, sent=2, duplicates=0, dead=1)
    assert live.list_dead() == [(Event("foreign", 2), "key collision", "23505")]
    assert live.list_attempted("failed") == [Event("foreign", 2)]
    assert live.list_outbox()[1:] == [Event("a", 2), Event("b", 2)]


def test_key_of_an_open_transaction_is_waited_for(live: Engine) -> None:
    """
    T16: a host's open transaction with our key decides: a duplicate, or delivered.
    """
    for number, ending in ((2, "commit"), (3, "rollback")):
        write(live.conn, f"unit {number}", number)
        host, worker = live.make_conn(autocommit=False), live.make_conn()
        host.execute(COPY, ["{}", f"unit {number}"])
        with in_background(run_batch, worker) as batch:
            live.wait_until_waiting(worker)
            host.execute(ending)
        assert batch.result().duplicates == (ending == "commit")
        assert batch.result().sent == (ending == "rollback")
    drain(live.conn)
    assert len(live.list_outbox()) == 2


@pytest.mark.every_major
def test_bad_event_fails_alone(live: Engine) -> None:
    """
    T18: an event that the target refuses is a dead letter; all others are delivered, in order.
    """
    live.conn.execute(CHECK)
    live.set_policy(max_tries=1)
    for number in range(100):
        write(live.conn, f"bad {number}" if number in (17, 18, 99) else f"good {number}", 2)

    (batch,) = drain(live.conn)

    assert batch == Batch("live", 100, sent=97, duplicates=0, dead=3)
    assert [dead for dead, *_ in live.list_dead()] == [Event(f"bad {n}", 2) for n in (17, 18, 99)]
    assert {(reason, state) for _, reason, state in live.list_dead()} == {("data error", "23514")}
    good = [e for e in live.list_captured() if e.subject.startswith("good")]
    assert live.list_outbox() == live.list_attempted("sent") == good
    assert live.fetch_value("select count(*) from iu_core.iu_route_attempt") == 100


@pytest.mark.parametrize("state", ["22003", "23502", "P0001", "P0004", "54000", "HT001"])
def test_data_errors_are_the_events_fault(live: Engine, state: str) -> None:
    """
    T18: class 22, class 23 and what a target raises make dead letters, its own codes too.
    """
    live.set_policy(max_tries=1)
    set_hook(live, f"if new.subject = 'bad' then raise sqlstate '{state}'; end if;")
    for subject in ("a", "bad", "b"):
        write(live.conn, subject, 2)

    drain(live.conn)

    assert live.list_dead() == [(Event("bad", 2), "data error", state)]
    assert live.list_outbox() == [Event("a", 2), Event("b", 2)]


@pytest.mark.parametrize("state", FAULTS, ids=[f"{k} {v}" for k, v in FAULTS.items()])
def test_other_errors_are_nobodys_fault(live: Engine, state: str) -> None:
    """
    T18: errors that are no event's fault end the batch; nothing stays, and it is tried again.
    """
    set_hook(live, f"if new.subject = 'b' then raise sqlstate '{state}'; end if;")
    for subject in ("a", "b", "c"):
        write(live.conn, subject, 2)

    with pytest.raises(psycopg.Error) as raised:
        run_batch(live.conn)
    assert raised.value.sqlstate == state
    assert live.list_outbox() == []
    assert live.count_attempts() == len(live.list_dead()) == 0

    set_hook(live, "null;")
    drain(live.conn)
    assert live.list_outbox() == live.list_captured()


def test_violation_of_another_key_is_a_data_error(live: Engine) -> None:
    """
    T16: a unique_violation of another constraint than the key's is no duplicate.
    """
    live.conn.execute("create unique index one_per_subject on public.event_outbox (subject)")
    live.set_policy(max_tries=1)
    write(live.conn, "unit", 2, 3)
    write(live.conn, "other", 2)

    drain(live.conn)

    assert live.list_dead() == [(Event("unit", 3), "data error", "23505")]
    assert live.list_outbox() == [Event("unit", 2), Event("other", 2)]


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_dead_letter_lets_its_subject_pass(live: Engine, limit: int) -> None:
    """
    P3: with the policy "pass" later events of the subject are delivered.
    """
    live.set_policy(max_tries=1)
    set_hook(
        live, "if new.subject = 'a' and new.idempotency_key like '%:3:a' then raise 'no'; end if;"
    )
    for number in (2, 3, 4):
        write(live.conn, "a", number)
        write(live.conn, "b", number)

    drain(live.conn, limit)

    assert [dead for dead, *_ in live.list_dead()] == [Event("a", 3)]
    assert live.list_outbox() == [e for e in live.list_captured() if e != Event("a", 3)]


@pytest.mark.every_major
@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("fault", ["data error", "key collision"])
def test_dead_letter_holds_its_subject(relaxed: Engine, limit: int, fault: str) -> None:
    """
    P3: with the policy "hold" no later event of the subject overtakes the dead letter.
    """
    relaxed.set_policy(on_dead_letter="hold", max_tries=1)
    relaxed.go_live()
    for number in (2, 3, 4):
        write(relaxed.conn, "a", number)
        write(relaxed.conn, "b", number)
    if fault == "data error":
        set_hook(relaxed, "if new.idempotency_key like '%:3:a' then raise 'no'; end if;")
    else:
        relaxed.conn.execute(COPY + " and e.version_seq = 3", ['{"version_seq": 7}', "a"])
    before = len(relaxed.list_outbox())

    batches = drain(relaxed.conn, limit)

    assert [(dead, reason) for dead, reason, _ in relaxed.list_dead()] == [
        (Event("a", 3), fault),
        (Event("a", 4), "held behind"),
    ]
    assert sum(batch.dead for batch in batches) == 2
    assert relaxed.list_outbox()[before:] == [
        Event("a", 2),
        *(Event("b", number) for number in (2, 3, 4)),
    ]
    assert relaxed.count_attempts() == 6


def test_policy_and_faults_keep_what_was_counted(live: Engine) -> None:
    """
    P1, P2: whatever a batch met, each event ended as one of sent, duplicate or dead letter.
    """
    live.conn.execute(CHECK)
    live.set_policy(max_tries=1)
    write_bulk(live.conn, "good", 2, 51)
    write_bulk(live.conn, "bad", 2, 6)
    write_bulk(live.conn, "known", 2, 4)
    live.conn.execute(COPY, ["{}", "known"])
    batches = drain(live.conn, limit=7)
    assert sum(b.sent for b in batches) == 50
    assert sum(b.duplicates for b in batches) == 3
    assert sum(b.dead for b in batches) == 5
    assert sum(b.events for b in batches) == 58 == live.count_attempts()


def test_notify_carries_the_id_alone(relaxed: Engine) -> None:
    """
    T23: a route of kind notify sends the event's id, in order, however large the payload is.
    """
    relaxed.conn.execute(
        "update iu_core.iu_outbound_route set target_kind = 'notify', target_ref = 'bell'"
    )
    relaxed.go_live()
    listener = relaxed.make_conn()
    listener.execute("listen bell")
    write(relaxed.conn, "u" * 2000, 2, 3)

    drain(relaxed.conn)

    expected = [
        str(n) for (n,) in relaxed.fetch("select event_id from iu_core.iu_event order by 1")
    ]
    assert [n.payload for n in listener.notifies(timeout=5, stop_after=2)] == expected


@pytest.mark.parametrize("kind", ["webhook", "nats"])
def test_target_that_is_not_built_says_so(relaxed: Engine, kind: str) -> None:
    """
    A route whose target is not built delivers nothing and loses nothing.
    """
    relaxed.conn.execute(
        "update iu_core.iu_outbound_route set target_kind = %s, target_ref = 'x'", [kind]
    )
    relaxed.go_live()
    write(relaxed.conn, "unit", 2)
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="are not built"):
        run_batch(relaxed.conn)
    assert relaxed.count_attempts() == 0
