"""Poison: what fails fails alone, is tried again by policy, and holds its subject (T18, P3)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

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

HOUR = 3600
REFUSE = "if new.subject like 'bad%' then raise exception 'no %', new.subject; end if;"
MEND = "null;"
DUE = "select extract(epoch from due_at - clock_timestamp()) from iu_core.iu_route_parked"


def write_thousand(engine: Engine, bad: set[int]) -> None:
    """Write 1,000 events, each of a subject of its own, in one statement."""
    engine.conn.execute(
        "insert into public.unit_version (unit, version_seq)"
        " select case when n = any (%s) then 'bad ' else 'good ' end || n, 2"
        " from generate_series(0, 999) as n order by n",
        [list(bad)],
    )


@pytest.mark.parametrize(
    "bad",
    [{0}, {999}, {17, 500, 501}, set(range(1000))],
    ids=["the first", "the last", "three", "all"],
)
def test_bad_ones_of_a_thousand_stand_alone(live: Engine, bad: set[int]) -> None:
    """
    T18: one batch delivers all but the bad ones; mended, each of those is delivered once.
    """
    set_hook(live, REFUSE)
    live.set_policy(retry_seconds=HOUR, trip_failures=1000)
    write_thousand(live, bad)

    assert run_batch(live.conn, limit=1001) == Batch(
        "live", 1000, sent=1000 - len(bad), duplicates=0, dead=0, parked=len(bad)
    )

    refused = [Event(f"bad {n}", 2) for n in sorted(bad)]
    assert live.list_parked() == [(event, 1, True) for event in refused]
    assert live.list_attempted("failed") == refused
    assert live.list_outbox() == [Event(f"good {n}", 2) for n in range(1000) if n not in bad]
    assert run_batch(live.conn).state == "idle", "nothing is due"
    set_hook(live, MEND)
    live.make_due()
    assert sum(batch.sent for batch in drain(live.conn)) == len(bad)
    assert live.list_outbox()[1000 - len(bad) :] == refused
    assert live.list_parked() == []
    assert live.count_attempts() == 1000 + len(bad)


def test_policy_of_the_route_says_how_often_and_when(live: Engine) -> None:
    """
    The wait is doubled each time, up to a quarter more by chance; then it is a dead letter.
    """
    set_hook(live, REFUSE)
    live.set_policy(max_tries=4, retry_seconds=10)
    write(live.conn, "bad", 2)
    for number in range(3):
        assert run_batch(live.conn).parked == 1
        assert live.list_parked() == [(Event("bad", 2), number + 1, True)]
        wait = 10 * 2**number
        assert wait - 5 < live.fetch_value(DUE) < wait * 1.25
        assert run_batch(live.conn).state == "idle"
        live.make_due()

    assert run_batch(live.conn) == Batch("live", 1, sent=0, duplicates=0, dead=1)

    query = (
        "select tries, reason, sqlstate, message, payload, idempotency_key"
        " from iu_core.iu_route_dead_letter"
    )
    ((tries, reason, state, message, payload, key),) = live.fetch(query)
    assert (tries, reason, state, message) == (4, "data error", "P0001", "no bad")
    assert payload == {"unit": "bad", "version_seq": 2}
    assert key == "iu.version_applied.workflow:iu.version_applied:2:bad"
    assert live.list_parked() == []
    assert live.list_attempted("failed") == [Event("bad", 2)] * 4


def test_wait_is_an_hour_at_most(live: Engine) -> None:
    """
    However often an event has failed, it is tried again within an hour and a quarter.
    """
    set_hook(live, REFUSE)
    live.set_policy(max_tries=1000)
    write(live.conn, "bad", 2)
    run_batch(live.conn)
    live.conn.execute("update iu_core.iu_route_parked set tries = 900")
    live.make_due()
    run_batch(live.conn)
    assert HOUR - 5 < live.fetch_value(DUE) < HOUR * 1.25


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_later_events_wait_behind_a_parked_one(live: Engine, limit: int) -> None:
    """
    P3: what comes later of the subject, in the same window or another, is delivered after it.
    """
    bad = "if new.idempotency_key like '%:3:a' then raise 'no'; end if;"
    set_hook(live, bad)
    for number in (2, 3, 4):
        write(live.conn, "a", number)
        write(live.conn, "b", number)
    drain(live.conn, limit)
    write(live.conn, "a", 5)
    drain(live.conn, limit)

    assert live.list_parked() == [
        (Event("a", 3), 1, True),
        (Event("a", 4), 0, False),
        (Event("a", 5), 0, False),
    ]
    live.make_due()
    drain(live.conn, limit)
    assert [tries for _, tries, _ in live.list_parked()] == [2, 0, 0]
    set_hook(live, MEND)
    live.make_due()
    assert sum(b.sent for b in drain(live.conn, limit)) == 3
    assert live.list_outbox()[-3:] == [Event("a", n) for n in (3, 4, 5)]
    assert [e for e in live.list_outbox() if e.subject == "b"] == [Event("b", n) for n in (2, 3, 4)]
    assert live.list_parked() == []


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("policy", ["pass", "hold"])
def test_given_up_lets_the_others_pass_or_holds_them(
    relaxed: Engine, policy: str, limit: int
) -> None:
    """
    P3: behind an event that is given up on, its subject passes or is held, by the route's policy.
    """
    relaxed.set_policy(on_dead_letter=policy, max_tries=2)
    relaxed.go_live()
    set_hook(relaxed, "if new.idempotency_key like '%:3:a' then raise 'no'; end if;")
    write(relaxed.conn, "a", 2, 3, 4, 5)
    drain(relaxed.conn, limit)
    relaxed.make_due()

    drain(relaxed.conn, limit)

    behind = [Event("a", 4), Event("a", 5)]
    passed = behind if policy == "pass" else []
    held = [(event, "held behind", None) for event in behind if policy == "hold"]
    assert relaxed.list_outbox() == [Event("a", 2), *passed]
    assert relaxed.list_dead() == [(Event("a", 3), "data error", "P0001"), *held]
    assert relaxed.list_parked() == []


@pytest.mark.parametrize("state", ["53100", "53400"])
def test_full_target_fails_by_policy(live: Engine, state: str) -> None:
    """
    A target that is full stops nothing else; what it does not take is given up on as such.
    """
    live.set_policy(max_tries=1)
    set_hook(live, f"if new.subject = 'bad' then raise sqlstate '{state}'; end if;")
    write(live.conn, "bad", 2)
    write(live.conn, "good", 2)
    assert drain(live.conn)[0].sent == 1
    assert live.list_dead() == [(Event("bad", 2), "target full", state)]


def test_server_that_is_full_is_no_events_fault(live: Engine) -> None:
    """
    T18: class 53 that nobody raised ends the batch: nothing is parked, tried or given up on.
    """
    live.set_policy(max_tries=1)
    set_hook(
        live, "perform count(*) from (select n from generate_series(1, 9999) as n order by -n);"
    )
    write(live.conn, "a", 2, 3)
    worker = live.make_conn()
    worker.execute("set work_mem = '64kB'")
    worker.execute("set temp_file_limit = '0'")
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
        run_batch(worker)
    assert live.count_attempts() == len(live.list_parked()) == len(live.list_dead()) == 0
    worker.execute("reset temp_file_limit")
    assert run_batch(worker).sent == 2


def test_deadlock_with_the_host_is_tried_again(live: Engine) -> None:
    """
    T18: a batch that loses a deadlock has parked nothing, and goes through the next time.
    """
    set_hook(live, "if new.subject = 'a' then perform pg_advisory_xact_lock(42); end if;")
    write(live.conn, "a", 2)
    write(live.conn, "b", 2)
    host, worker = live.make_conn(autocommit=False), live.make_conn()
    worker.execute("set deadlock_timeout = '2s'")
    host.execute("set deadlock_timeout = '1min'")
    host.execute(
        "insert into public.event_outbox (event_type, subject, payload, idempotency_key)"
        " values ('x', 'x', '{}', 'iu.version_applied.workflow:iu.version_applied:2:b')"
    )
    with in_background(run_batch, worker) as batch:
        live.wait_until_waiting(worker)
        with (
            in_background(host.execute, "select pg_advisory_xact_lock(42)"),
            pytest.raises(psycopg.errors.DeadlockDetected),
        ):
            batch.result(timeout=20)
    assert live.count_attempts() == len(live.list_parked()) == 0
    host.rollback()
    assert run_batch(live.conn).sent == 2


def test_lock_that_cannot_be_had_is_tried_again(live: Engine) -> None:
    """
    T18: 55P03 from the target is no event's fault: nothing is parked, nothing is lost.
    """
    live.conn.execute("create table public.ward (); grant all on public.ward to public")
    set_hook(live, "lock table public.ward in share mode nowait;")
    write(live.conn, "a", 2)
    holder = live.make_conn(autocommit=False)
    holder.execute("lock table public.ward in exclusive mode")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        run_batch(live.conn)
    assert live.count_attempts() == len(live.list_parked()) == 0
    holder.rollback()
    assert run_batch(live.conn).sent == 1


def test_killed_batch_has_parked_nothing(live: Engine) -> None:
    """
    P8: a batch that dies before its commit leaves neither a try nor a parked event.
    """
    set_hook(live, REFUSE)
    write(live.conn, "bad", 2)
    write(live.conn, "good", 2)
    worker = live.make_conn(autocommit=False)
    assert run_batch(worker).parked == 1
    live.fetch_value("select pg_terminate_backend(%s, 10000)", worker.info.backend_pid)
    assert live.count_attempts() == len(live.list_parked()) == len(live.list_outbox()) == 0
    assert run_batch(live.conn) == Batch("live", 2, sent=1, duplicates=0, dead=0, parked=1)


def test_retry_stands_by_too(live: Engine) -> None:
    """
    P2: of two workers one retries; the other one finds nothing left.
    """
    set_hook(live, REFUSE)
    write(live.conn, "bad", 2)
    drain(live.conn)
    set_hook(live, MEND)
    live.make_due()
    first, second = live.make_conn(autocommit=False), live.make_conn()
    assert run_batch(first).sent == 1
    assert run_batch(second).state == "standby"
    first.commit()
    assert run_batch(second).state == "idle"
    assert live.list_outbox() == [Event("bad", 2)]


def test_parked_events_wait_while_the_route_is_dry(live: Engine) -> None:
    """
    T29: nothing is retried in dry-run, and nothing is lost: live again, it is delivered in order.
    """
    set_hook(live, REFUSE)
    write(live.conn, "bad", 2)
    drain(live.conn)
    live.go_dry()
    set_hook(live, MEND)
    live.make_due()
    write(live.conn, "bad", 3)
    assert [b.state for b in drain(live.conn)] == ["held"]
    assert live.list_outbox() == []
    live.go_live()
    drain(live.conn)
    assert live.list_outbox() == [Event("bad", 2), Event("bad", 3)]


def test_poisoned_event_does_not_spend_the_canary(canary: Engine) -> None:
    """
    T29: the canary's one delivery is the first event that can be delivered.
    """
    set_hook(canary, REFUSE)
    write(canary.conn, "bad", 2, 3)
    write(canary.conn, "good", 2, 3)
    (batch, *_) = drain(canary.conn)
    assert (batch.sent, batch.parked) == (1, 2)
    assert canary.list_outbox() == [Event("good", 2)]
    assert canary.fetch_value("select quota from iu_core.iu_outbound_route") == 0
    set_hook(canary, MEND)
    canary.make_due()
    drain(canary.conn)
    assert canary.list_outbox() == [Event("good", 2)], "a spent quota retries nothing"


def test_quota_is_kept_with_many_workers(relaxed: Engine) -> None:
    """
    Six workers at once deliver what the quota says, and not one event more.
    """
    relaxed.go_live(quota=7)
    write_bulk(relaxed.conn, "unit", 2, 101)
    workers = [relaxed.make_conn() for _ in range(6)]

    def work(conn: psycopg.Connection) -> int:
        sent = 0
        for _ in range(40):
            sent += run_batch(conn, limit=3).sent
        return sent

    with ThreadPoolExecutor(len(workers)) as pool:
        assert sum(pool.map(work, workers)) == 7
    assert relaxed.list_outbox() == [Event("unit", n) for n in range(2, 9)]
    assert relaxed.fetch_value("select quota from iu_core.iu_outbound_route") == 0


def test_idle_poll_with_parked_events_costs_nothing(live: Engine) -> None:
    """
    T15: a poll that finds nothing due takes no transaction id.
    """
    set_hook(live, REFUSE)
    live.set_policy(retry_seconds=HOUR)
    write(live.conn, "bad", 2, 3)
    drain(live.conn)
    live.conn.execute("begin")
    assert run_batch(live.conn).state == "idle"
    assert live.fetch_value("select pg_current_xact_id_if_assigned()") is None
    live.conn.execute("rollback")


def test_redriven_event_does_not_draw_others_past_a_parked_one(live: Engine) -> None:
    """
    P3: an event behind one whose retry is not due stays there when an earlier one is redriven.
    """
    set_hook(live, "if new.idempotency_key ~ ':[23]:a$' then raise 'no'; end if;")
    live.set_policy(max_tries=1, retry_seconds=HOUR)
    write(live.conn, "a", 2)
    drain(live.conn)
    live.set_policy(max_tries=5)
    write(live.conn, "a", 3, 4)
    drain(live.conn)
    set_hook(live, MEND)
    letters = "array(select dead_letter_id from iu_core.iu_route_dead_letter)"
    live.fetch_value(f"select iu_core.fn_iu_route_redrive({letters}, '{{}}')")
    drain(live.conn)
    assert live.list_outbox() == [Event("a", 2)]
    live.make_due()
    drain(live.conn)
    assert live.list_outbox() == [Event("a", n) for n in (2, 3, 4)]


def test_what_the_host_defers_to_commit_fails_its_event_alone(live: Engine) -> None:
    """
    T18: a deferred constraint of the host is asked within the batch, so one event fails alone.
    """
    live.conn.execute(
        """
        create function public.fn_deferred() returns trigger language plpgsql as $$
        begin
            if new.subject like 'bad%' then raise exception 'no %', new.subject; end if;
            return null;
        end $$;
        create constraint trigger late after insert on public.event_outbox
        deferrable initially deferred for each row execute function public.fn_deferred();
        """
    )
    live.set_policy(retry_seconds=HOUR, trip_failures=1000)
    write_thousand(live, {17})
    batch = run_batch(live.conn, limit=1001)
    assert (batch.sent, batch.parked) == (999, 1)
    assert live.list_parked() == [(Event("bad 17", 2), 1, True)]
