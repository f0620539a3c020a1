"""Trip: a live route whose failures exceed its budget goes dry by itself (T28, T31)."""

from __future__ import annotations

import pytest

from iu_gates import ledger, worker
from tests.support.engine import Engine, drain, run_batch, set_hook, write
from tests.support.play import MakeStage, Stage
from tests.support.walk import ROUTE, State

REFUSE = "if new.subject like 'bad%' then raise exception 'no %', new.subject; end if;"
CHECK = "alter table public.event_outbox add constraint no_bad check (subject not like 'bad%')"
PAST = """
insert into iu_core.iu_route_attempt
    (route_name, event_id, status, idempotency_key, sqlstate, message, attempted_at)
select %s, 0, 'failed', 'x', '23514', 'past', clock_timestamp() - make_interval(secs => %s)
from generate_series(1, %s)
"""
SWITCHES = "select enabled, dry_run, definition_hash from iu_core.iu_outbound_route"


@pytest.fixture
def tripping(live: Engine) -> Engine:
    """Give a live route that refuses subjects "bad…", with a budget of 3 in 60 s."""
    set_hook(live, REFUSE)
    live.set_policy(trip_failures=3, trip_seconds=60, retry_seconds=3600)
    live.conn.execute("set session_replication_role = replica")
    live.conn.execute(
        "update iu_core.iu_outbound_route set live_since = live_since - interval '1 day',"
        " approval_granted_at = approval_granted_at - interval '1 day'"
    )
    live.conn.execute("reset session_replication_role")
    return live


def list_stops(engine: Engine) -> list[tuple[str, str]]:
    """Return kind and reason of the stops in force."""
    query = "select kind, reason from iu_gates.stop where lifted_at is null order by epoch"
    return [(kind, reason) for kind, reason in engine.fetch(query)]


def test_the_one_failure_too_many_trips(tripping: Engine) -> None:
    """
    Three failures are the budget; the fourth takes the route to dry-run, in its own transaction.
    """
    before = tripping.fetch(SWITCHES)
    for number in range(3):
        write(tripping.conn, f"bad {number}", 2)
        assert run_batch(tripping.conn).state == "live"
    write(tripping.conn, "bad 3", 2)
    write(tripping.conn, "good", 2)
    session = tripping.make_conn(autocommit=False)
    assert run_batch(session).state == "trip"
    assert list_stops(tripping) == [], "not before it commits"
    session.commit()

    ((kind, reason),) = list_stops(tripping)
    assert (kind, reason) == (
        "trip",
        "more than 3 failed tries in 60 s, the last: P0001 no bad 3",
    )
    assert tripping.fetch(SWITCHES) == [(True, True, before[0][2])]
    assert [event.subject for event in tripping.list_outbox()] == ["good"]
    assert len(tripping.list_parked()) == 4
    assert run_batch(tripping.conn).state == "hold"


@pytest.mark.parametrize(("age", "state"), [(50, "trip"), (70, "live")], ids=["in", "out of"])
def test_window_slides(tripping: Engine, age: int, state: str) -> None:
    """
    Failures count while they are younger than the window, and not after.
    """
    tripping.conn.execute(PAST, [ROUTE, age, 3])
    write(tripping.conn, "bad", 2)
    assert run_batch(tripping.conn).state == state


def test_budget_begins_anew_with_each_going_live(relaxed: Engine) -> None:
    """
    Failures of the time before the route went live again are not counted twice.
    """
    set_hook(relaxed, REFUSE)
    relaxed.set_policy(trip_failures=3)
    relaxed.conn.execute(PAST, [ROUTE, 1, 3])
    relaxed.go_live()
    write(relaxed.conn, "bad", 2)
    assert run_batch(relaxed.conn).state == "live"


def test_what_was_never_tried_is_no_failure(relaxed: Engine) -> None:
    """
    Events held behind a dead letter, or parked behind another, spend nothing of the budget.
    """
    relaxed.set_policy(on_dead_letter="hold", max_tries=1, trip_failures=1)
    relaxed.go_live()
    set_hook(relaxed, REFUSE)
    write(relaxed.conn, "bad", *range(2, 12))
    assert run_batch(relaxed.conn).state == "live"
    assert len(relaxed.list_dead()) == 10
    assert list_stops(relaxed) == []


def test_retries_spend_the_budget_too(tripping: Engine) -> None:
    """
    One event that fails again and again trips like many that fail once.
    """
    write(tripping.conn, "bad", 2)
    states = []
    for _ in range(4):
        states.append(run_batch(tripping.conn).state)
        tripping.make_due()
    assert states == ["live", "live", "live", "trip"]


def test_next_call_writes_it_into_the_ledger(tripping: Engine) -> None:
    """
    P8: the entry is no part of the batch; whoever comes next writes it, once, and voids the gates.
    """
    for number in range(4):
        write(tripping.conn, f"bad {number}", 2)
    tripping.conn.execute("begin")
    tripping.conn.execute("lock table iu_gates.ledger in exclusive mode")
    other = tripping.make_conn()
    assert run_batch(other).state == "trip", "no lock of the ledger is waited for"
    assert run_batch(other).state == "hold", "nor here"
    tripping.conn.execute("rollback")
    query = "select kind from iu_gates.ledger where facts::text like '%trip%'"
    assert tripping.fetch(query) == []

    for _ in range(2):
        assert run_batch(other).state == "hold"

    assert [kind for (kind,) in tripping.fetch(query)] == ["stop", "void"]
    for gate in ("canary", "live"):
        reason = tripping.fetch_value("select iu_gates.fn_not_in_force(%s)", gate)
        assert f'trip of "{ROUTE}"' in reason
    assert tripping.fetch_value("select iu_gates.fn_not_in_force('approval')") is None


def test_disable_and_trip_go_together(tripping: Engine) -> None:
    """
    P5: a route that is stopped anyway trips no more; both stops are lifted one by one.
    """
    tripping.fetch_value("select iu_gates.fn_stop(%s, 'disable', 'a test')", ROUTE)
    for number in range(5):
        write(tripping.conn, f"bad {number}", 2)
    assert [batch.state for batch in drain(tripping.conn)] == []
    tripping.conn.execute("update iu_gates.stop set lifted_at = now()")
    assert run_batch(tripping.conn).state == "trip"
    assert [kind for kind, _ in list_stops(tripping)] == ["trip"]


def work(stage: Stage) -> None:
    """Run the worker until nothing is left to do."""
    worker.run(stage.settings, once=True)


def test_way_back_is_through_the_gates(make_stage: MakeStage) -> None:
    """
    `status` shows the trip; `advance` goes down to the canary and up again; nothing is lost.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute("update iu_core.iu_outbound_route set trip_failures = 2, retry_seconds = 0")
    stage.conn.execute(CHECK)
    stage.write("bad", 1, 2)
    stage.write("good", 1, 2)
    work(stage)

    seen = stage.status()
    (stop,) = seen.stops
    assert (stop.kind, stop.route) == ("trip", ROUTE)
    assert seen.routes[0].mode == "hold"
    assert seen.routes[0].counts["parked"] == 1
    assert not {g.gate for g in seen.gates if g.in_force} & {"canary", "live"}
    assert seen.next_command == "iu-gates advance"
    assert [e.facts["kind"] for e in ledger.list_entries(stage.settings, kind="stop")][-1] == "trip"

    stage.conn.execute("alter table public.event_outbox drop constraint no_bad")
    stage.conn.execute("update iu_core.iu_outbound_route set trip_failures = 100")
    with stage.host(), stage.worker():
        stage.walk("live")
    work(stage)
    seen = stage.status()
    assert (seen.routes[0].mode, seen.stops, seen.next_gate) == ("live", (), None)
    assert seen.routes[0].counts["parked"] == seen.routes[0].counts["waiting"] == 0
    query = "select count(*) from public.event_outbox where subject in ('bad', 'good')"
    assert stage.fetch_value(query) == 2
