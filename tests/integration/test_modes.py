"""
What a worker does under each setting of the switches (docs/modes.md), and what a canary is.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.databases import Servers
from tests.support.engine import (
    GATE_KEY,
    Engine,
    Event,
    MakeEngine,
    drain,
    in_background,
    open_engine,
    run_batch,
    write,
    write_bulk,
)
from tests.support.walk import ROUTE, State, walk_down, walk_to

SETTINGS = settings(
    max_examples=int(os.environ.get("IU_GATES_TEST_EXAMPLES", "25")),
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],  # how busy the machine is, is no property
)


class Cell(NamedTuple):
    """One setting of the switches."""

    gate: bool
    enabled: bool
    dry_run: bool
    quota: int | None
    live_before: bool

    def __str__(self) -> str:
        return "-".join(
            [
                "gate" if self.gate else "no gate",
                "enabled" if self.enabled else "off",
                "dry" if self.dry_run else "live",
                f"quota {self.quota}",
                "live before" if self.live_before else "never live",
            ]
        )


NEVER_LIVE = Cell(gate=True, enabled=True, dry_run=True, quota=None, live_before=False)
CELLS = [
    Cell(*values)
    for values in itertools.product(
        (True, False), (True, False), (True, False), (None, 0, 1), (True, False)
    )
]


def expect_mode(cell: Cell) -> str:
    """Return the mode that docs/modes.md gives for a setting."""
    if not (cell.gate and cell.enabled):
        return "hold"
    if cell.dry_run:
        return "held" if cell.live_before else "dry"
    return "held" if cell.quota == 0 else "live"


def set_switches(engine: Engine, cell: Cell) -> None:
    """Set the switches as the owner can, with an approval where it is live."""
    engine.conn.execute(
        """
        with granted as (
            insert into iu_gates.approval (
                route_name, definition_hash, digest, logins, granted_at, expires_at)
            select route_name, definition_hash, 'a', '{alice}', now(), now() + interval '1 h'
            from iu_core.iu_outbound_route
            returning *
        )
        update iu_core.iu_outbound_route set
            enabled = %s, dry_run = %s, quota = %s, live_from = case when %s then now() end,
            approval_id = g.approval_id, approval_granted_at = g.granted_at,
            approval_expires_at = g.expires_at
        from granted as g
        """,
        [cell.enabled, cell.dry_run, cell.quota, cell.live_before],
    )
    engine.conn.execute(
        "update iu_core.iu_runtime_gate set gate_value = %s", ["true" if cell.gate else "false"]
    )


def reset(engine: Engine) -> None:
    """Make the route one that was never live, with nothing left to read."""
    set_switches(engine, NEVER_LIVE)
    drain(engine.conn)
    set_switches(engine, NEVER_LIVE)


def count_statuses(engine: Engine, subject: str) -> dict[str, int]:
    """Return how many attempts of each status the events of a subject have."""
    rows = engine.fetch(
        "select a.status, count(*) from iu_core.iu_route_attempt as a"
        " join iu_core.iu_event as e using (event_id) where e.subject = %s group by 1",
        subject,
    )
    return dict(rows)


@pytest.fixture(scope="module")
def shared(servers: Servers, major: int) -> Iterator[Engine]:
    """Give one database for all cells, walked to 100; `reset` lies between them."""
    with open_engine(servers.get(major), State.RELAXED) as engine:
        yield engine


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(shared: Engine, cell: Cell) -> None:
    """
    P6, T29: each setting's mode, and what it records of two events and delivers of them.
    """
    reset(shared)
    set_switches(shared, cell)
    subject = f"unit {len(shared.list_captured())}"
    write(shared.conn, subject, 2, 3)
    mode = expect_mode(cell)
    delivered = len(shared.list_outbox())

    first = run_batch(shared.conn, limit=1).state
    drain(shared.conn, limit=1)

    assert first == mode
    sent = {None: 2, 1: 1, 0: 0}[cell.quota] if mode == "live" else 0
    expected = {
        "hold": {},
        "dry": {"dry_run": 2},
        "held": {"held": 2},
        "live": {"sent": sent, "held": 2 - sent},
    }[mode]
    assert count_statuses(shared, subject) == {k: v for k, v in expected.items() if v}
    assert len(shared.list_outbox()) == delivered + sent


@pytest.mark.parametrize("cell", [c for c in CELLS if c.gate and c.enabled], ids=str)
@pytest.mark.parametrize("route", [None, ROUTE], ids=["all", "route"])
def test_stop_holds_in_each_cell(shared: Engine, cell: Cell, route: str | None) -> None:
    """
    P5: a stop of the gate or of the route holds, whatever the switches say.
    """
    reset(shared)
    set_switches(shared, cell)
    write(shared.conn, f"unit {len(shared.list_captured())}", 2)
    attempts = shared.count_attempts()
    shared.fetch_value("select iu_gates.fn_stop(%s, 'disable', 'a test')", route)

    state = run_batch(shared.conn).state

    shared.conn.execute("update iu_gates.stop set lifted_at = now()")
    assert state == "hold"
    assert shared.count_attempts() == attempts


@pytest.mark.long_on_each_major
def test_canary_delivers_one_event_and_holds_the_rest(canary: Engine) -> None:
    """
    T29: 081 delivers one event of a full batch and holds the others; 082 delivers those in order.
    """
    write(canary.conn, "unit", *range(2, 12))

    assert [b.state for b in drain(canary.conn, limit=4)] == ["live", "held", "held", "held"]

    assert canary.list_outbox() == [Event("unit", 2)]
    assert canary.list_attempted("held") == [Event("unit", n) for n in range(3, 12)]
    assert canary.fetch_value("select quota from iu_core.iu_outbound_route") == 0
    walk_to(canary.database.conninfo, "runtime@082")
    drain(canary.conn, limit=4)
    assert canary.list_outbox() == canary.list_attempted("sent") == canary.list_captured()


def test_duplicate_does_not_spend_the_quota(canary: Engine) -> None:
    """
    T29: a no-op by its key, or a dead letter, is no delivery; the canary still delivers one.
    """
    write(canary.conn, "known", 2)
    write(canary.conn, "foreign", 2)
    write(canary.conn, "unit", 2, 3)
    for subject, change in (("known", "{}"), ("foreign", '{"version_seq": 9}')):
        canary.conn.execute(
            """
            insert into public.event_outbox (event_type, subject, payload, idempotency_key)
            select event_type, subject, jsonb_build_object('data', payload || %s::jsonb),
                   iu_core.fn_iu_idempotency_key(%s, event_type, subject, version_seq)
            from iu_core.iu_event where subject = %s
            """,
            [change, ROUTE, subject],
        )

    (batch, *_) = drain(canary.conn)

    assert (batch.events, batch.sent, batch.duplicates, batch.dead) == (3, 1, 1, 1)
    assert canary.list_attempted("sent") == [Event("unit", 2)]
    assert canary.list_attempted("held") == [Event("unit", 3)]


def test_quota_is_read_with_the_cursor_in_hand(canary: Engine) -> None:
    """
    P2: a worker that came while another one spent the quota does not spend it again.

    It has found the route live with a quota of one and waits for its keys; the quota goes to 0.
    """
    write(canary.conn, "unit", 2, 3)
    holder, worker = canary.make_conn(autocommit=False), canary.make_conn()
    holder.execute("select pg_advisory_xact_lock(%s, 0)", [GATE_KEY])
    with in_background(run_batch, worker) as batch:
        canary.wait_until_waiting(worker)
        with canary.conn.transaction():
            canary.conn.execute("select set_config('iu_gates.switch_by', 'function', true)")
            canary.conn.execute("update iu_core.iu_outbound_route set quota = 0")
        holder.rollback()
        assert batch.result(timeout=20).state == "held"
    assert canary.list_attempted("sent") == []


def test_crashed_canary_spends_nothing(canary: Engine) -> None:
    """
    P2: quota and delivery are one transaction.
    """
    write(canary.conn, "unit", 2)
    worker = canary.make_conn(autocommit=False)
    assert run_batch(worker).sent == 1
    worker.rollback()
    assert canary.fetch_value("select quota from iu_core.iu_outbound_route") == 1
    drain(canary.conn)
    assert canary.list_outbox() == [Event("unit", 2)]


@pytest.mark.long_on_each_major
def test_dry_evidence_is_consumed_and_not_delivered_later(dry: Engine) -> None:
    """
    P6: events attempted dry before live are done; live delivers the rest of the open window.
    """
    write(dry.conn, "unit", *range(2, 8))
    assert run_batch(dry.conn, limit=2).state == "dry"
    walk_to(dry.database.conninfo, "substrate@090", "substrate@100", "runtime@082")

    drain(dry.conn, limit=2)

    assert dry.list_attempted("dry_run") == [Event("unit", 2), Event("unit", 3)]
    assert dry.list_outbox() == [Event("unit", n) for n in range(4, 8)]


@pytest.mark.long_on_each_major
def test_dry_after_live_holds_and_live_delivers_what_was_held(live: Engine) -> None:
    """
    T29: dry after live evaluates each event once; live again delivers what was held, in order.
    """
    write(live.conn, "unit", 2)
    drain(live.conn)
    for first in (3, 5):
        walk_down(live.database.conninfo, "runtime@080")
        write(live.conn, "unit", first, first + 1)
        assert {b.state for b in drain(live.conn, limit=1)} == {"held"}
        assert run_batch(live.conn).state == "idle"
        assert live.list_attempted("held")[-2:] == [Event("unit", first), Event("unit", first + 1)]
    assert live.list_outbox() == [Event("unit", 2)]

    walk_to(live.database.conninfo, "runtime@082")
    drain(live.conn, limit=3)

    assert live.list_outbox() == live.list_captured() == live.list_attempted("sent")
    assert len(live.list_attempted("held")) == 4


def test_taking_back_100_holds(live: Engine) -> None:
    """
    T29: after 100 and 090 are taken back events are held, and delivered once when live again.
    """
    walk_down(live.database.conninfo, "runtime@080", "substrate@060")
    write(live.conn, "unit", 2, 3)
    assert {b.state for b in drain(live.conn)} == {"held"}

    walk_to(live.database.conninfo, "substrate@090", "substrate@100", "runtime@082")
    drain(live.conn)

    assert live.list_outbox() == [Event("unit", 2), Event("unit", 3)]


def test_evaluation_follows_delivery_within_a_window(relaxed: Engine) -> None:
    """
    T29: where delivery has passed evaluation in their window, no event is held that it dealt with.
    """
    relaxed.go_live()
    write(relaxed.conn, "unit", *range(2, 10))
    relaxed.conn.execute(
        """
        insert into public.event_outbox (event_type, subject, payload, idempotency_key)
        select event_type, subject, jsonb_build_object('data', payload),
               iu_core.fn_iu_idempotency_key(%s, event_type, subject, version_seq)
        from iu_core.iu_event
        """,
        [ROUTE],
    )
    assert run_batch(relaxed.conn, limit=2).duplicates == 2
    relaxed.go_dry()
    assert run_batch(relaxed.conn, limit=2).state == "held"
    relaxed.go_live()
    assert run_batch(relaxed.conn, limit=4).duplicates == 4
    relaxed.go_dry()

    drain(relaxed.conn, limit=2)

    assert relaxed.list_attempted("duplicate") == [Event("unit", n) for n in range(2, 8)]
    assert relaxed.list_attempted("held") == [Event("unit", n) for n in (4, 5, 8, 9)]


def test_evaluation_resumes_ahead_of_delivery(relaxed: Engine) -> None:
    """
    T29: where evaluation is further, in the same window or a later one, it goes on from there.
    """
    relaxed.go_live()
    write(relaxed.conn, "unit", *range(2, 10))
    assert run_batch(relaxed.conn, limit=2).sent == 2
    relaxed.go_dry()
    drain(relaxed.conn, limit=2)
    write(relaxed.conn, "unit", 10)
    drain(relaxed.conn)
    relaxed.go_live()
    assert run_batch(relaxed.conn, limit=1).sent == 1
    relaxed.go_dry()

    assert run_batch(relaxed.conn).state == "idle"

    assert relaxed.list_attempted("held") == [Event("unit", n) for n in range(4, 11)]
    relaxed.go_live()
    drain(relaxed.conn, limit=3)
    assert relaxed.list_outbox() == relaxed.list_captured()


def test_live_by_hand_is_live_from_then_on(relaxed: Engine) -> None:
    """
    T29: an UPDATE by hand stamps live_from too, so that dry afterwards holds.
    """
    set_switches(relaxed, NEVER_LIVE._replace(dry_run=False))
    relaxed.conn.execute("update iu_core.iu_outbound_route set dry_run = true")
    write(relaxed.conn, "unit", 2)
    drain(relaxed.conn)
    assert relaxed.list_attempted("held") == [Event("unit", 2)]


class Modes(RuleBasedStateMachine):
    """The route goes between its modes while hosts write; nothing may get lost."""

    engine: Engine
    example = itertools.count()

    @initialize()
    def begin(self) -> None:
        """Start each run with a route that was never live, in an empty window."""
        self.prefix = f"run {next(self.example)}"
        self.host = self.engine.make_conn()
        self.open = False
        self.number = 1
        self.cell = NEVER_LIVE
        reset(self.engine)

    @rule(count=st.integers(1, 4))
    def write(self, count: int) -> None:
        """A version each, in transactions of their own."""
        for _ in range(count):
            self.number += 1
            write(self.engine.conn, self.prefix, self.number)

    @precondition(lambda self: not self.open)
    @rule()
    def begin_late(self) -> None:
        """A transaction that will commit late."""
        self.host.execute("begin")
        self.number += 1
        write(self.host, f"{self.prefix} late", self.number)
        self.open = True

    @precondition(lambda self: self.open)
    @rule()
    def commit_late(self) -> None:
        """It commits."""
        self.host.execute("commit")
        self.open = False

    @rule(gate=st.booleans(), enabled=st.booleans())
    def turn(self, *, gate: bool, enabled: bool) -> None:
        """The gate or the route goes off or on."""
        self.engine.conn.execute(
            "update iu_core.iu_runtime_gate set gate_value = %s", [str(gate).lower()]
        )
        self.engine.conn.execute("update iu_core.iu_outbound_route set enabled = %s", [enabled])
        self.cell = self.cell._replace(gate=gate, enabled=enabled)

    @rule(quota=st.sampled_from([None, 0, 1, 2]))
    def go_live(self, quota: int | None) -> None:
        """081 and 082, which turn the route on."""
        self.engine.go_live(quota)
        self.cell = self.cell._replace(enabled=True, dry_run=False, quota=quota, live_before=True)

    @rule()
    def go_dry(self) -> None:
        """081 is taken back."""
        self.engine.go_dry()
        self.cell = self.cell._replace(dry_run=True)

    @rule(limit=st.integers(1, 4))
    def work(self, limit: int) -> None:
        """One batch; its mode is the table's, and it delivers no more than the quota."""
        batch = run_batch(self.engine.conn, limit)
        assert batch.state in (expect_mode(self.cell), "idle")
        assert batch.sent == 0 or expect_mode(self.cell) == "live"
        if self.cell.quota is not None and expect_mode(self.cell) == "live":
            assert batch.sent <= self.cell.quota
            self.cell = self.cell._replace(quota=self.cell.quota - batch.sent)

    @rule()
    def drain_and_count(self) -> None:
        """At rest, each committed event has been seen by the mode the route is in."""
        mode = expect_mode(self.cell)
        drain(self.engine.conn, limit=3)
        if self.cell.quota and not self.cell.dry_run:
            left = self.engine.fetch_value("select quota from iu_core.iu_outbound_route")
            self.cell = self.cell._replace(quota=left)
        if mode == "hold":
            return
        counts = self.count()
        assert counts["captured"] == counts["dry_run"] + counts["sent"] + counts["waiting"]
        assert counts["unseen"] == 0
        if mode == "live" and self.cell.quota is None:
            assert counts["waiting"] == 0

    def count(self) -> dict[str, int]:
        """Return counts of this run's events; `waiting` are held and not yet sent."""
        rows = self.engine.fetch(
            """
            select count(*), count(*) filter (where 'dry_run' = any (s)),
                   count(*) filter (where 'sent' = any (s)),
                   count(*) filter (where 'held' = any (s) and not 'sent' = any (s)),
                   count(*) filter (where s = '{}'), coalesce(max(cardinality(s)), 0)
            from (select e.event_id, array(select a.status from iu_core.iu_route_attempt as a
                                           where a.route_name = %s and a.event_id = e.event_id
                                             and a.status in ('dry_run', 'held', 'sent')) as s
                  from iu_core.iu_event as e where e.subject like %s || '%%') as e
            """,
            ROUTE,
            self.prefix,
        )
        names = ("captured", "dry_run", "sent", "waiting", "unseen", "most")
        return dict(zip(names, rows[0], strict=True))

    def teardown(self) -> None:
        """Live at last: all that was captured was consumed dry or is delivered, each once."""
        if not hasattr(self, "prefix"):
            return
        try:
            self.host.execute("commit" if self.open else "select 1")
            self.turn(gate=True, enabled=True)
            self.go_live(None)
            drain(self.engine.conn, limit=3)
            counts = self.count()
            assert counts["captured"] == counts["dry_run"] + counts["sent"]
            assert counts["waiting"] == counts["unseen"] == 0
            assert counts["most"] <= 2  # 'held', then 'sent'
            rows = self.engine.fetch(
                "select (payload -> 'data' ->> 'version_seq')::integer from public.event_outbox"
                " where subject = %s order by id",
                self.prefix,
            )
            delivered = [number for (number,) in rows]
            assert delivered == sorted(set(delivered))
            late = f"{self.prefix} late"
            assert counts["sent"] == len(delivered) + self.engine.fetch_value(
                "select count(*) from public.event_outbox where subject = %s", late
            )
        finally:
            self.host.close()


def test_modes_keep_the_count(make_engine: MakeEngine) -> None:
    """
    P1, P2, P3, T29: on any walk between modes captured = dry_run + sent + held and not yet sent.
    """
    engine = make_engine(State.RELAXED)

    class Bound(Modes):
        pass

    Bound.engine = engine
    run_state_machine_as_test(Bound, settings=SETTINGS)


def test_bulk_in_all_modes(relaxed: Engine) -> None:
    """
    T29: the same on 3,000 events in small batches, with the switch thrown between them.
    """
    write_bulk(relaxed.conn, "unit", 2, 3001)
    run_batch(relaxed.conn, limit=500)
    relaxed.go_live(1)
    run_batch(relaxed.conn, limit=500)
    run_batch(relaxed.conn, limit=500)
    relaxed.go_live()
    run_batch(relaxed.conn, limit=300)
    relaxed.go_dry()
    drain(relaxed.conn, limit=700)
    relaxed.go_live()
    drain(relaxed.conn, limit=700)

    assert count_statuses(relaxed, "unit") == {"dry_run": 500, "held": 2499, "sent": 2500}
    assert relaxed.list_attempted("dry_run") + relaxed.list_outbox() == relaxed.list_captured()


def test_unknown_route_raises(live: Engine) -> None:
    """
    A worker of a route that is not there says so.
    """
    with pytest.raises(psycopg.errors.NoDataFound):
        live.conn.execute(
            "select iu_core.fn_iu_route_worker_run('no.such.route', 1, 'the site of the tests')"
        )
