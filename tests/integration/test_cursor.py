"""The cursor by snapshots: nothing is skipped (P1), order holds (P3), nobody stalls (P4, P12)."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest

from tests.support.engine import (
    GATE_KEY,
    ROUTE_KEY,
    Engine,
    Event,
    MakeEngine,
    drain,
    in_background,
    run_batch,
    wait_until,
    write,
    write_bulk,
)
from tests.support.walk import State

ECHO = """
create function public.fn_answer() returns trigger language plpgsql as $$
begin
    -- Answers version 2 of a unit with version 3, in the transaction that delivers.
    if (new.payload -> 'data' ->> 'version_seq')::integer = 2 then
        insert into public.unit_version (unit, version_seq) values (new.subject, 3);
    end if;
    return null;
end
$$;
create trigger answer after insert on public.event_outbox
for each row execute function public.fn_answer();
"""


def hold_route(session: psycopg.Connection) -> None:
    """Hold the route's key: a batch waits for it with its own xid, and before its snapshot."""
    session.execute(
        "select pg_advisory_xact_lock(%s, route_no) from iu_core.iu_outbound_route", [ROUTE_KEY]
    )


def assert_all_delivered(engine: Engine) -> None:
    """Every captured event was attempted once and is in the outbox once, both in one order."""
    outbox = engine.list_outbox()
    assert sorted(outbox) == sorted(engine.list_captured())
    assert engine.list_attempted("sent") == outbox
    assert engine.count_attempts() == len(outbox)


@pytest.mark.every_major
def test_late_committer_is_attempted(live: Engine) -> None:
    """
    P1: what commits after the cursor has passed its event_id and its created_at is delivered.
    """
    other = live.make_conn(autocommit=False)
    write(other, "late", 2)
    write(live.conn, "early", 2)
    drain(live.conn)
    assert live.list_outbox() == [Event("early", 2)]

    other.commit()
    drain(live.conn)

    assert live.list_outbox() == [Event("early", 2), Event("late", 2)]
    assert_all_delivered(live)


@pytest.mark.long_on_each_major
def test_running_transaction_above_xmax_is_attempted(live: Engine) -> None:
    """
    T9, P1: a running xid can lie above the snapshot's xmax, and below the worker's own.
    """
    other = live.make_conn(autocommit=False)
    above_xmax = False
    while not above_xmax:  # autovacuum may complete a transaction in between: then once more
        write(live.conn, f"before {live.count_attempts()}", 2)
        write(other, f"running {live.count_attempts()}", 2)
        running = other.execute("select pg_current_xact_id()::text").fetchone()
        assert running is not None
        drain(live.conn)
        above_xmax = live.fetch_value(
            "select %s::xid8 >= pg_snapshot_xmax(old_snapshot) and %s::xid8 < old_xid"
            " from iu_core.iu_route_cursor order by cursor_no desc limit 1",
            running[0],
            running[0],
        )
        other.commit()

    drain(live.conn)

    assert_all_delivered(live)


@pytest.mark.every_major
def test_prepared_transaction_is_attempted_once_it_commits(live: Engine) -> None:
    """
    P1: a prepared transaction is late for as long as it is prepared, and is not lost.
    """
    live.conn.execute("begin")
    write(live.conn, "prepared", 2, 3)
    live.conn.execute("prepare transaction 'late'")
    write(live.conn, "plain", 2)
    drain(live.conn)
    assert live.list_outbox() == [Event("plain", 2)]

    live.conn.execute("commit prepared 'late'")
    drain(live.conn)

    assert live.list_outbox() == [Event("plain", 2), Event("prepared", 2), Event("prepared", 3)]


def test_rolled_back_work_is_not_attempted(live: Engine) -> None:
    """
    P1: rollbacks, whole or to a savepoint, leave gaps that hold nothing up.
    """
    other = live.make_conn(autocommit=False)
    kept = write(other, "unit", 2)
    other.execute("savepoint here")
    write(other, "unit", 3)
    other.execute("rollback to here")
    kept += write(other, "unit", 3)
    write(live.conn, "between", 2)
    drain(live.conn)
    other.commit()
    write(other, "gone", 2)
    drain(live.conn)
    other.rollback()

    drain(live.conn)

    assert [e for e in live.list_outbox() if e.subject == "unit"] == kept
    assert_all_delivered(live)


def test_clocks_do_not_matter(live: Engine) -> None:
    """
    P1: created_at of any clock, years back or ahead, moves nothing and skips nothing.
    """
    for number, clock in enumerate(("2031-01-01", "1999-01-01", "infinity", "-infinity"), 2):
        query = (
            "insert into public.unit_version (unit, version_seq, created_at) values (%s, %s, %s)"
        )
        live.conn.execute(query, ["unit", number, clock])
        drain(live.conn)

    assert live.list_outbox() == [Event("unit", number) for number in range(2, 6)]


def test_bulk_is_delivered_in_order_over_many_batches(live: Engine) -> None:
    """
    P1, T13: one statement's rows keep their event_id order, within a batch and over batches.
    """
    live.conn.execute(
        "insert into public.unit_version (unit, version_seq)"
        " select u, v from generate_series(1, 50) as u, generate_series(2, 61) as v"
        " order by md5(u::text || v::text)"
    )

    batches = drain(live.conn, limit=500)

    assert [batch.events for batch in batches] == [500] * 6 + [0]
    assert live.list_outbox() == live.list_captured()
    assert live.list_attempted("sent") == live.list_captured()


@pytest.mark.long_on_each_major
def test_event_of_the_workers_own_transaction_is_attempted(live: Engine) -> None:
    """
    P1, T9: an event that a host trigger on the outbox wrote in the worker's transaction comes too.
    """
    live.conn.execute(ECHO)
    write(live.conn, "unit", 2)

    drain(live.conn)

    assert live.list_outbox() == [Event("unit", 2), Event("unit", 3)]
    assert_all_delivered(live)


@pytest.mark.every_major
def test_own_xid_below_xmax(live: Engine) -> None:
    """
    T9, P1: the same where others commit between the worker's xid and its snapshot.
    """
    live.conn.execute(ECHO)
    write(live.conn, "unit", 2)
    holder, worker = live.make_conn(autocommit=False), live.make_conn()
    hold_route(holder)
    with in_background(run_batch, worker) as batch:
        live.wait_until_waiting(worker)
        write(live.conn, "meanwhile", 4, 5)
        holder.rollback()
    assert batch.result().events == 3
    own_below_xmax = live.fetch_value(
        "select old_xid < pg_snapshot_xmax(old_snapshot)"
        " from iu_core.iu_route_cursor order by cursor_no desc limit 1"
    )
    assert own_below_xmax

    drain(live.conn)

    assert Event("unit", 3) in live.list_outbox()
    assert_all_delivered(live)


@pytest.mark.parametrize("before", ["a batch", "a row", "an xid"])
def test_transaction_that_has_written_is_refused(live: Engine, before: str) -> None:
    """
    P1, T9: with an xid from before the sequence was read, a younger transaction's event is lost.

    Found by `test_interleavings.py` as a skip: two batches in one transaction, between them an
    event of a younger transaction that commits later.
    """
    write(live.conn, "unit", 2)
    worker = live.make_conn(autocommit=False)
    if before == "a batch":
        assert run_batch(worker).events == 1
    elif before == "a row":
        write(worker, "own", 2)
    else:
        worker.execute("select pg_current_xact_id()")
    with pytest.raises(psycopg.Error, match="transaction of its own") as raised:
        run_batch(worker)
    assert raised.value.sqlstate == "IUG10"


def test_older_worker_opens_the_younger_window(live: Engine) -> None:
    """
    P1, T9: a worker whose xid is older than the last window's skips and repeats nothing.
    """
    older, younger = live.make_conn(), live.make_conn(autocommit=False)
    holder = live.make_conn(autocommit=False)
    running = live.make_conn(autocommit=False)
    write(running, "running", 2)
    write(live.conn, "first", 2)
    # The older waits at the route's key, with its xid; the younger's is let pass before it.
    hold_route(holder)
    with in_background(run_batch, older) as first:
        live.wait_until_waiting(older)
        with in_background(run_batch, younger) as second:
            live.wait_until_waiting(younger)
            holder.rollback()
        states = {second.result().state}
        younger.commit()
    states.add(first.result().state)
    assert states <= {"live", "standby"}
    write(live.conn, "second", 2)
    running.commit()
    drain(live.conn)
    write(live.conn, "third", 2)
    drain(live.conn)

    assert_all_delivered(live)
    assert len(live.list_outbox()) == 4


def test_transaction_in_another_database_stalls_nothing(live: Engine) -> None:
    """
    P4: a transaction open in another database of the cluster holds no event back.
    """
    with psycopg.connect(live.database.server.conninfo()) as elsewhere:
        elsewhere.execute("select pg_current_xact_id()")
        write(live.conn, "unit", 2, 3)
        drain(live.conn)
        assert live.list_outbox() == [Event("unit", 2), Event("unit", 3)]
        elsewhere.rollback()

    assert drain(live.conn) == []


def test_order_of_a_subject_is_the_order_of_commits(live: Engine) -> None:
    """
    P3: version 3 of an older transaction, written after 2 was committed, is delivered after it.
    """
    older = live.make_conn(autocommit=False)
    older.execute("select pg_current_xact_id()")
    write(live.conn, "one window", 2)
    write(older, "one window", 3)
    write(live.conn, "two windows", 2)
    drain(live.conn, limit=1)
    write(older, "two windows", 3)
    older.commit()

    drain(live.conn, limit=1)

    assert_all_delivered(live)
    for subject in ("one window", "two windows"):
        assert [e for e in live.list_outbox() if e.subject == subject] == [
            Event(subject, 2),
            Event(subject, 3),
        ]


def test_late_committers_are_merged_in_order(live: Engine) -> None:
    """
    P3: events of several late transactions come in event_id order, whatever the batch's size.
    """
    with ExitStack() as stack:
        sessions = [stack.enter_context(live.make_conn(autocommit=False)) for _ in range(3)]
        for number in range(2, 8):
            for name, session in enumerate(sessions):
                write(session, f"unit {name}", number)
        write(live.conn, "early", 2)
        drain(live.conn)
        for session in reversed(sessions):
            session.commit()
    write(live.conn, "fresh", 2, 3, 4)

    drain(live.conn, limit=4)  # the fifth batch ends the late and begins the fresh

    assert live.list_outbox() == [
        Event("early", 2),
        *(e for e in live.list_captured() if e.subject != "early"),
    ]
    assert_all_delivered(live)


def test_savepoints_make_no_large_snapshot(live: Engine) -> None:
    """
    P12, T10: 20,000 subtransactions between xmax and the own xid are two numbers in the cursor.
    """
    other = live.make_conn(autocommit=False)
    other.execute(
        """
        do $$ begin for n in 2..20001 loop
            begin insert into public.unit_version (unit, version_seq) values ('many', n);
            exception when unique_violation then null; end;
        end loop; end $$
        """
    )
    write(live.conn, "early", 2)
    drain(live.conn)
    size = "select max(pg_column_size(c.*)) from iu_core.iu_route_cursor as c"
    assert live.fetch_value(size) < 500
    assert live.count_buffers(live.conn, POLL) < 200

    other.commit()
    drain(live.conn, limit=5000)

    assert live.list_outbox() == [Event("early", 2), *live.list_captured()[:20000]]
    assert live.fetch_value(size) < 500


def test_idle_poll_spends_nothing(live: Engine) -> None:
    """
    T15: a poll that finds nothing takes no xid, also while a writer is at work.

    Of the keys it takes the shared one of all batches, until it ends.
    """
    write(live.conn, "unit", 2)
    drain(live.conn)
    other = live.make_conn(autocommit=False)
    write(other, "not yet", 2)
    worker = live.make_conn(autocommit=False)
    for _ in range(3):
        assert run_batch(worker).state == "idle"
    spent = worker.execute(
        "select pg_current_xact_id_if_assigned(),"
        " array_agg((classid::bigint, objid::bigint, mode)::text) from pg_locks"
        " where pid = pg_backend_pid() and locktype = 'advisory'"
    ).fetchone()
    assert spent == (None, [f"({GATE_KEY},0,ShareLock)"])
    worker.rollback()


POLL = (
    "select * from iu_core.fn_iu_route_worker_run("
    "'iu.version_applied.workflow', 50, 'the site of the tests')"
)


@pytest.mark.long_on_each_major
def test_batch_costs_the_same_deep_in_one_transactions_history(dry: Engine) -> None:
    """
    P12, T11: a late transaction loaded all history; its last batch touches no more than its first.
    """
    other = dry.make_conn(autocommit=False)
    write_bulk(other, "history", 2, 20001)
    write(dry.conn, "early", 2)
    drain(dry.conn)
    other.commit()
    dry.conn.execute("analyze iu_core.iu_event")
    drain_to = run_batch(dry.conn, limit=50)  # opens the window
    assert drain_to.events == 50
    first = max(dry.count_buffers(dry.conn, POLL) for _ in range(8))
    assert run_batch(dry.conn, limit=18000).events == 18000

    last = max(dry.count_buffers(dry.conn, POLL) for _ in range(8))

    assert last < first * 1.5
    assert last < 2000


def test_batch_stops_at_its_limit_without_statistics(live: Engine) -> None:
    """
    P12: events that no ANALYZE has seen yet; a batch reads its own, not the rest of the window.

    With statistics of a small table the planner would rather sort all that is left.
    """
    read = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'iu_event_pkey'"
    worker = live.make_conn()
    for number in range(3):
        write_bulk(live.conn, f"early {number}", 2, 201)
        drain(worker)
    write_bulk(live.conn, "window", 2, 20001)

    def count_read() -> int:
        worker.execute("select pg_stat_force_next_flush()")
        worker.execute("select 1")
        ((count,),) = live.fetch(read)
        return int(count)

    before = count_read()
    for _ in range(8):
        assert run_batch(worker, limit=50).events == 50
    assert count_read() - before < 8 * 50 * 10


@pytest.mark.parametrize("state", [State.DRY, State.LIVE])
def test_batch_costs_the_same_with_more_history(make_engine: MakeEngine, state: State) -> None:
    """
    P12: a batch behind 20,000 attempts touches what it did behind 500, with old plans and new.
    """
    engine = make_engine(state)
    for number in range(2, 12):
        write(engine.conn, "small", number)
        run_batch(engine.conn)
    write_bulk(engine.conn, "history", 2, 21001)
    engine.conn.execute("analyze iu_core.iu_event")
    assert run_batch(engine.conn, limit=500).events == 500
    first = max(engine.count_buffers(engine.conn, POLL) for _ in range(5))
    assert run_batch(engine.conn, limit=20000).events == 20000

    last = max(engine.count_buffers(engine.conn, POLL) for _ in range(3))
    assert last < first * 1.5
    other = engine.make_conn()
    run_batch(other, limit=50)  # reads the catalog
    assert engine.count_buffers(other, POLL) < first * 1.5


@pytest.mark.long_on_each_major
def test_long_transaction_delays_its_own_events_only(live: Engine) -> None:
    """
    P4, T8: 50,000 uncommitted events delay nobody else's, and are stepped over once.
    """
    other = live.make_conn(autocommit=False)
    write_bulk(other, "long", 2, 50001)
    write(live.conn, "first", 2)
    drain(live.conn)
    assert live.list_outbox() == [Event("first", 2)]
    assert live.count_buffers(live.conn, POLL) < 200  # an idle poll
    write(live.conn, "second", 2)
    assert live.count_buffers(live.conn, POLL) < 1000  # a batch of one
    assert live.list_outbox() == [Event("first", 2), Event("second", 2)]

    other.commit()
    drain(live.conn, limit=10000)

    assert len(live.list_outbox()) == 50002
    assert_all_delivered(live)


def test_writer_that_goes_on_writing_is_stepped_over(live: Engine) -> None:
    """
    P4: while a transaction writes on and commits nothing, an idle poll reads little of it.
    """
    other = live.make_conn(autocommit=False)
    costs = []
    for block in range(10):
        write_bulk(other, "long", 2 + 700 * block, 701 + 700 * block)
        drain(live.conn)
        costs.append(live.count_buffers(live.conn, POLL))
    other.rollback()

    assert max(costs) < 100, costs


def test_search_for_late_committers_steps_over_the_running(live: Engine) -> None:
    """
    P4, T9: in the gap from xmax to the own xid the running are fences; all that commit are found.
    """
    live.conn.execute("select 1")
    sessions = [live.make_conn(autocommit=False) for _ in range(7)]
    write(live.conn, "before", 2)
    for name, session in enumerate(sessions):
        write(session, f"unit {name}", 2)
    drain(live.conn)

    for name in (0, 2, 6):
        sessions[name].commit()
    sessions[4].rollback()
    drain(live.conn)
    assert live.list_outbox() == [Event("before", 2)] + [Event(f"unit {n}", 2) for n in (0, 2, 6)]
    for name in (5, 3, 1):
        sessions[name].commit()
        drain(live.conn)

    assert live.list_outbox()[4:] == [Event(f"unit {n}", 2) for n in (5, 3, 1)]
    assert_all_delivered(live)


def test_running_transactions_in_the_gap_are_not_read(live: Engine) -> None:
    """
    P4, T9: two transactions run on in the gap, with 5,000 events each; a poll reads none of them.
    """
    first, second = live.make_conn(autocommit=False), live.make_conn(autocommit=False)
    in_gap = False
    while not in_gap:  # autovacuum may complete a transaction in between: then once more
        first.rollback()
        second.rollback()
        write(live.conn, f"before {live.count_attempts()}", 2)
        write_bulk(first, "first", 2, 5001)
        write_bulk(second, "second", 2, 5001)
        drain(live.conn)
        live.conn.execute("select pg_current_xact_id()")
        in_gap = live.fetch_value(
            "select count(*) = 2 from pg_snapshot_xip(pg_current_snapshot()) as x,"
            " (select * from iu_core.iu_route_cursor order by cursor_no desc limit 1) as c"
            " where x >= pg_snapshot_xmax(c.old_snapshot) and x < c.old_xid"
        )

    assert run_batch(live.conn).state == "idle"
    assert live.count_buffers(live.conn, POLL) < 80


def test_commit_between_probe_and_window(live: Engine) -> None:
    """
    P1: what commits while a worker waits for its keys is in its window or in the next.
    """
    running = live.make_conn(autocommit=False)
    write(running, "running", 2)
    write(live.conn, "first", 2)
    holder, worker = live.make_conn(autocommit=False), live.make_conn()
    hold_route(holder)
    with in_background(run_batch, worker):
        live.wait_until_waiting(worker)
        running.commit()
        write(live.conn, "second", 2)
        holder.rollback()
    drain(live.conn)

    assert_all_delivered(live)
    assert len(live.list_outbox()) == 3


def test_event_drawn_while_a_worker_waits_is_attempted(live: Engine) -> None:
    """
    P1, T9: an event drawn after the worker's xid, by a transaction that runs on, comes later.
    """
    write(live.conn, "first", 2)
    holder, worker = live.make_conn(autocommit=False), live.make_conn()
    younger = live.make_conn(autocommit=False)
    hold_route(holder)
    with in_background(run_batch, worker):
        live.wait_until_waiting(worker)
        write(younger, "younger", 2)
        holder.rollback()
    younger.commit()

    drain(live.conn)

    assert live.list_outbox() == [Event("first", 2), Event("younger", 2)]


def test_late_committer_belongs_to_the_window_that_shows_it(live: Engine) -> None:
    """
    P2: who has committed by now, but after the window's snapshot, is late for the next window.
    """
    other = live.make_conn(autocommit=False)
    write(other, "late", 2)
    write(live.conn, "early", 2)
    drain(live.conn)
    query = (
        "select cardinality(iu_core.fn_iu_late_xids(c, %s::pg_snapshot, null))"
        " from iu_core.iu_route_cursor as c order by cursor_no desc limit 1"
    )
    before = live.fetch_value("select pg_current_snapshot()::text")
    other.commit()
    after = live.fetch_value("select pg_current_snapshot()::text")

    assert live.fetch_value(query, before) is None
    assert live.fetch_value(query, after) == 1


def test_events_of_other_types_are_passed(live: Engine) -> None:
    """
    P1: a route's window passes over events that are not of its type, and takes the rest.
    """
    live.conn.execute(
        "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
        " select system_identifier, 'something.else', 'noise', n, '{}'"
        " from pg_control_system(), generate_series(1, 30) as n"
    )
    write(live.conn, "unit", 2)

    drain(live.conn, limit=10)

    assert live.list_outbox() == [Event("unit", 2)]
    assert run_batch(live.conn).state == "idle"


@pytest.mark.parametrize("limit", [0, -1, None])
def test_batch_of_nothing_is_refused(live: Engine, limit: int) -> None:
    """
    A batch that could take no event, or all, would never end a window: it raises.
    """
    write(live.conn, "unit", 2)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="limit"):
        run_batch(live.conn, limit)
    drain(live.conn)
    assert live.list_outbox() == [Event("unit", 2)]


def test_windows_go_on_while_the_worker_is_off(live: Engine) -> None:
    """
    P1: what was committed while the gate was closed is attempted once it opens.
    """
    live.conn.execute("select iu_core.fn_iu_gate_set('false')")
    write(live.conn, "unit", 2, 3)
    assert run_batch(live.conn).state == "hold"
    live.conn.execute("select iu_core.fn_iu_gate_set('true')")
    wait_until(lambda: run_batch(live.conn).state == "idle", "the worker comes to rest")
    assert_all_delivered(live)


def test_each_move_drops_the_one_of_200_moves_ago(live: Engine) -> None:
    """
    P12: a busy route's cursor stays as small as it is, without a heartbeat that clears it at once.
    """
    write(live.conn, "unit", *range(2, 262))
    drain(live.conn, 1)
    kept = live.fetch_value("select count(*) from iu_core.iu_route_cursor where not is_start")
    assert kept == 200
    assert_all_delivered(live)


def test_cursor_rows_and_what_was_carried_over_do_not_pile_up(live: Engine) -> None:
    """
    P12, T21: the heartbeat leaves the newest 200, the beginnings, and what is not worked through.
    """
    live.conn.execute(
        "insert into iu_core.iu_route_cursor (route_name, kind, cluster_id, old_stamp,"
        " old_snapshot, old_xid, old_seq, is_start) select c.route_name, c.kind, c.cluster_id,"
        " c.old_stamp, c.old_snapshot, c.old_xid, c.old_seq, n = 1"
        " from iu_core.iu_route_cursor as c, generate_series(1, 300) as n"
    )
    newest = live.fetch_value("select max(cursor_no) from iu_core.iu_route_cursor")
    live.conn.execute(
        "insert into iu_core.iu_route_carry_over (route_name, window_stamp, event_id)"
        " select route_name, n, n from iu_core.iu_outbound_route, generate_series(0, 9) as n"
    )
    live.conn.execute(
        "update iu_core.iu_route_cursor set is_carry_over = true, new_stamp = 5, new_xid = '9',"
        " new_snapshot = '9:9:', new_seq = 0, new_high = 0, last_event_id = 5 where cursor_no = %s",
        [newest],
    )

    live.conn.execute("select iu_core.fn_iu_worker_beat('w', 'manual', 'h', 1, '0', 's')")

    count = "select count(*), max(cursor_no) from iu_core.iu_route_cursor"
    assert live.fetch(count) == [(201, newest)]
    left = "select array_agg(event_id order by event_id) from iu_core.iu_route_carry_over"
    assert live.fetch_value(left) == [6, 7, 8, 9]
