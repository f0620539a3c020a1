"""Disable is a barrier (P5), on the level of SQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support.engine import (
    GATE_KEY,
    Engine,
    in_background,
    run_batch,
    wait_until,
    write,
    write_bulk,
)
from tests.support.walk import ROUTE, SITE_KEY

STOP = "select iu_gates.fn_stop(%s, 'disable', 'a test')"
SWITCHES = {
    "gate": "update iu_core.iu_runtime_gate set gate_value = 'false'",
    "gate row": "delete from iu_core.iu_runtime_gate",
    "enabled": "update iu_core.iu_outbound_route set enabled = false",
    "dry_run": "update iu_core.iu_outbound_route set dry_run = true",
    "quota": "update iu_core.iu_outbound_route set quota = 0",
    "target": "update iu_core.iu_outbound_route set dry_run = true, approval_id = null,"
    " target_ref = 'elsewhere'",
}


def take_barrier(session: psycopg.Connection, route_no: int | None, wait_ms: int) -> bool:
    """Take the barrier in this session's transaction."""
    query = "select iu_gates.fn_take_barrier(%s, %s)"
    row = session.execute(query, [route_no, wait_ms]).fetchone()
    assert row is not None
    return bool(row[0])


def list_in_hand(
    engine: Engine, route_no: int | None = None
) -> list[tuple[int | None, str | None]]:
    """Return pid and gid of the batches in hand."""
    rows = engine.fetch("select pid, gid from iu_gates.fn_batches_in_hand(%s)", route_no)
    return [(row[0], row[1]) for row in rows]


@pytest.mark.every_major
@pytest.mark.parametrize("route", [None, "iu.version_applied.workflow"], ids=["gate", "route"])
def test_nothing_is_delivered_after_the_barrier(live: Engine, route: str | None) -> None:
    """
    P5: four workers, a writer: after a stop and the granted barrier there is no attempt.
    """
    done = threading.Event()

    def work(session: psycopg.Connection) -> None:
        while not done.is_set():
            run_batch(session, limit=3)

    def play(session: psycopg.Connection) -> None:
        number = 2
        while not done.is_set():
            write(session, "unit", number)
            number += 1

    route_no = None
    if route is not None:
        route_no = live.fetch_value("select route_no from iu_core.iu_outbound_route")
    with ThreadPoolExecutor(max_workers=5) as pool:
        try:
            ends = [pool.submit(work, live.make_conn()) for _ in range(4)]
            ends.append(pool.submit(play, live.make_conn()))
            wait_until(lambda: live.count_attempts() > 50, "the workers are at work")
            live.fetch_value(STOP, route)
            barrier = live.make_conn(autocommit=False)
            assert take_barrier(barrier, route_no, 10000)
            drained = live.count_attempts()
            written = len(live.list_captured())
            wait_until(lambda: len(live.list_captured()) > written + 20, "more is written")
            assert live.count_attempts() == drained
            barrier.commit()
            written = len(live.list_captured())
            wait_until(lambda: len(live.list_captured()) > written + 20, "more is written")
            assert live.count_attempts() == drained
        finally:
            done.set()
    for end in ends:
        end.result()
    assert run_batch(live.conn).state == "hold"


def test_worker_that_waited_at_the_barrier_reads_the_switch_after_it(live: Engine) -> None:
    """
    P5, T24: a worker that found the route on, and then waited for its key, holds.
    """
    write(live.conn, "unit", 2)
    holder, worker = live.make_conn(autocommit=False), live.make_conn()
    holder.execute("select pg_advisory_xact_lock(%s, 0)", [GATE_KEY])
    with in_background(run_batch, worker) as batch:
        live.wait_until_waiting(worker)
        live.fetch_value(STOP, None)
        holder.rollback()
    assert batch.result().state == "hold"
    assert live.count_attempts() == 0


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("switch", SWITCHES)
def test_switch_by_hand_waits_for_the_batch_in_hand(live: Engine, switch: str) -> None:
    """
    P5, T25: whoever types an UPDATE of a switch gets the barrier with it.
    """
    write_bulk(live.conn, "unit", 2, 11)
    worker, hand = live.make_conn(autocommit=False), live.make_conn()
    assert run_batch(worker, limit=5).sent == 5
    with in_background(hand.execute, SWITCHES[switch]) as typed:
        live.wait_until_waiting(hand)
        assert not typed.done()
        worker.commit()
    typed.result()
    assert run_batch(live.conn).state in ("hold", "held")
    assert len(live.list_outbox()) == 5


def test_stop_waits_for_nobody(live: Engine) -> None:
    """
    P5, T26: neither a hanging batch, nor a migration's locks, nor the ledger's key delays a stop.
    """
    write(live.conn, "unit", 2)
    migration = live.make_conn(autocommit=False)
    migration.execute("lock table public.event_outbox, iu_gates.alembic_version")
    worker = live.make_conn()
    with in_background(run_batch, worker) as batch:
        live.wait_until_waiting(worker)
        migration.execute(
            "lock table iu_core.iu_outbound_route, iu_core.iu_runtime_gate in share mode"
        )
        migration.execute("select pg_advisory_xact_lock(18773004, 0)")
        session = live.make_conn()
        session.execute("set statement_timeout = '5s'")

        session.execute(STOP, [None])

        assert not batch.done()
        migration.rollback()
    assert run_batch(live.conn).state == "hold"


@pytest.mark.long_on_each_major
def test_barrier_names_who_holds_a_batch(live: Engine) -> None:
    """
    P5: after its bound the barrier says no, and who has a batch in hand is named, by pid or gid.
    """
    route_no = live.fetch_value("select route_no from iu_core.iu_outbound_route")
    write_bulk(live.conn, "unit", 2, 11)
    assert list_in_hand(live) == []
    worker = live.make_conn(autocommit=False)
    run_batch(worker, limit=5)
    barrier = live.make_conn(autocommit=False)
    for number in (None, route_no):
        assert not take_barrier(barrier, number, 50)
        barrier.rollback()
        assert list_in_hand(live, number) == [(worker.info.backend_pid, None)]
    assert list_in_hand(live, route_no + 1) == []

    worker.execute("prepare transaction 'a batch'")

    assert not take_barrier(barrier, None, 50)
    barrier.rollback()
    assert list_in_hand(live) == [(None, "a batch")]
    live.conn.execute("commit prepared 'a batch'")
    assert take_barrier(barrier, None, 50)
    assert list_in_hand(live) == []


def test_barrier_of_a_route_lets_others_pass(live: Engine) -> None:
    """
    P5: the barrier of another route holds no batch of this one.
    """
    route_no = live.fetch_value("select route_no from iu_core.iu_outbound_route")
    write(live.conn, "unit", 2)
    barrier = live.make_conn(autocommit=False)
    assert take_barrier(barrier, route_no + 1, 50)
    live.fetch_value(STOP, "another route")

    assert run_batch(live.conn).sent == 1


def test_barrier_does_not_starve(live: Engine) -> None:
    """
    P5, T24: workers that come after the barrier was asked for queue behind it.
    """
    write_bulk(live.conn, "unit", 2, 11)
    first, second, third = live.make_conn(autocommit=False), live.make_conn(), live.make_conn()
    run_batch(first, limit=1)
    barrier = live.make_conn(autocommit=False)
    with in_background(take_barrier, barrier, None, 20000) as granted:
        live.wait_until_waiting(barrier)
        with in_background(run_batch, second) as two, in_background(run_batch, third) as three:
            live.wait_until_waiting(second)
            live.wait_until_waiting(third)
            assert not granted.done()
            first.commit()
            assert granted.result()
            assert len(live.list_outbox()) == 1
            barrier.rollback()
    assert {two.result().state, three.result().state} <= {"live", "standby"}


def test_delivery_does_not_wait_for_the_host_for_ever(live: Engine) -> None:
    """
    P5, T16: a batch that waits for a host's key has a lock timeout, or disable would wait too.
    """
    live.conn.execute(
        """
        create function public.fn_tell() returns trigger language plpgsql as $$
        begin
            raise notice 'lock_timeout %', current_setting('lock_timeout');
            return null;
        end $$;
        create trigger tell after insert on public.event_outbox
        for each row execute function public.fn_tell();
        """
    )
    told: list[str | None] = []
    worker = live.make_conn(autocommit=False)
    worker.add_notice_handler(lambda diagnostic: told.append(diagnostic.message_primary))
    write(live.conn, "unit", 2)

    assert run_batch(worker).sent == 1

    assert told == ["lock_timeout 5s"]
    assert worker.execute("show lock_timeout").fetchone() == ("0",)


@pytest.mark.long_on_each_major
def test_stop_is_lifted_by_a_walk_that_saw_it_only(live: Engine) -> None:
    """
    P5, T27: turning the gate on lifts the stops that the walk saw, and raises for a later one.
    """
    walk = live.make_conn()
    live.fetch_value(STOP, None)
    walk.execute(
        "select set_config('iu_gates.stops_seen', iu_gates.fn_stops_in_force()::text, false)"
    )
    live.fetch_value(STOP, None)
    with pytest.raises(psycopg.Error) as raised:
        walk.execute("select iu_core.fn_iu_gate_set('true')")
    assert raised.value.sqlstate == "IUG38"
    assert run_batch(live.conn).state == "hold"

    walk.execute(
        "select set_config('iu_gates.stops_seen', iu_gates.fn_stops_in_force()::text, false)"
    )
    walk.execute("select iu_core.fn_iu_gate_set('true')")

    assert run_batch(live.conn).state == "idle"


@pytest.mark.long_on_each_major
@pytest.mark.parametrize(
    "call",
    [
        "fn_iu_route_worker_run(%(route)s, 10, %(key)s)",
        "fn_iu_routes_sift(array[%(route)s], %(key)s)",
        "fn_iu_route_skip(%(route)s, 1)",
        "fn_iu_route_replay(%(route)s, 0, 9, null, null, 10, %(key)s)",
    ],
    ids=["batch", "sift", "skip", "replay"],
)
def test_who_waits_for_the_key_of_all_batches_holds_no_table(live: Engine, call: str) -> None:
    """
    P5: the key comes before every table, or a step that has it and alters one is a deadlock.
    """
    write(live.conn, "unit", 2)
    step, worker = live.make_conn(autocommit=False), live.make_conn()
    step.execute("select iu_gates.fn_hold_batches()")
    parameters = {"route": ROUTE, "key": SITE_KEY}
    with in_background(worker.execute, f"select iu_core.{call}", parameters) as ran:
        wait_until(
            lambda: (
                live.fetch_value(
                    "select count(*) from pg_locks where pid = %s and not granted",
                    worker.info.backend_pid,
                )
                == 1
            ),
            "it waits for the key",
        )
        held = live.fetch(
            "select c.relname from pg_locks as l join pg_class as c on c.oid = l.relation"
            " join pg_namespace as s on s.oid = c.relnamespace"
            " where l.pid = %s and s.nspname in ('iu_core', 'iu_gates')",
            worker.info.backend_pid,
        )
        step.execute("set local lock_timeout = '100ms'")
        step.execute("lock table iu_core.iu_outbound_route, iu_core.iu_route_cursor")
        step.rollback()
        ran.result()
    assert held == []
