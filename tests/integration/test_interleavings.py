"""
The cursor under random interleavings of transactions and workers, against a model.

Hosts begin, write, set savepoints, prepare, commit and roll back; two workers run batches, hold
their transaction open, crash, or are stopped between taking their xid and opening their window
(at the gate's key) while the hosts go on. In the end all transactions are over and a worker runs
until it is idle. The number that repeats a run is in the header ("hypothesis seed").

IU_GATES_TEST_EXAMPLES sets how many runs: 25 in the suite, thousands for torture.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

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

from tests.support.engine import (
    GATE_KEY,
    Batch,
    Engine,
    Event,
    drain,
    run_batch,
    wait_until,
    write,
    write_bulk,
)

SETTINGS = settings(
    max_examples=int(os.environ.get("IU_GATES_TEST_EXAMPLES", "25")),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],  # how busy the machine is, is no property
)
HOSTS, WORKERS, UNITS = 4, 2, 3
ECHO = """
create function public.fn_echo() returns trigger language plpgsql as $$
begin
    -- The host answers every third version, in the transaction that delivers it (T9).
    if new.subject not like '%+' and (new.payload -> 'data' ->> 'version_seq')::integer % 3 = 0 then
        insert into public.unit_version (unit, version_seq)
        values (new.subject || '+', (new.payload -> 'data' ->> 'version_seq')::integer);
    end if;
    return null;
end
$$;
create trigger echo after insert on public.event_outbox
for each row execute function public.fn_echo();
"""


@dataclass
class Written:
    """A version with the model's time of its write and of its commit."""

    event: Event
    transaction: int
    written: int
    committed: int = -1


@dataclass
class Transaction:
    """An open transaction of a host: what it has written, and how much at each savepoint."""

    number: int
    versions: list[Written] = field(default_factory=list)
    savepoints: list[int] = field(default_factory=list)


class Interleavings(RuleBasedStateMachine):
    """Hosts and workers, one step at a time."""

    engine: Engine
    hosts: tuple[psycopg.Connection, ...]
    workers: tuple[psycopg.Connection, ...]
    holder: psycopg.Connection
    pool: ThreadPoolExecutor
    example = itertools.count()

    @initialize()
    def begin_run(self) -> None:
        """Start with units of this run's own; the cursor goes on from the run before."""
        self.prefix = f"run {next(self.example)}"
        self.clock = itertools.count()
        self.numbers = [1] * UNITS
        self.open: dict[int, Transaction] = {}
        self.prepared: list[tuple[str, Transaction]] = []
        self.committed: list[Written] = []
        self.in_transaction: set[int] = set()
        self.waiting: dict[int, Future[Batch]] = {}
        self.is_held = False

    # ------------------------------------------------------------ hosts

    def draw(self, unit: int, count: int, transaction: int) -> list[Written]:
        """Take the next version numbers of a unit; the write itself follows."""
        first = self.numbers[unit] + 1
        self.numbers[unit] += count
        return [
            Written(Event(f"{self.prefix} {unit}", number), transaction, next(self.clock))
            for number in range(first, first + count)
        ]

    def commit(self, versions: list[Written]) -> None:
        """Remember that the versions are committed, all at one time."""
        now = next(self.clock)
        for version in versions:
            version.committed = now
        self.committed += versions

    @rule(host=st.integers(0, HOSTS - 1), has_xid=st.booleans())
    def begin(self, host: int, *, has_xid: bool) -> None:
        """A transaction begins, with its xid early or late."""
        if host not in self.open:
            self.hosts[host].execute("begin")
            if has_xid:
                self.hosts[host].execute("select pg_current_xact_id()")
            self.open[host] = Transaction(next(self.clock))

    @rule(host=st.integers(0, HOSTS - 1), unit=st.integers(0, UNITS - 1), count=st.integers(1, 6))
    def write(self, host: int, unit: int, count: int) -> None:
        """Versions, in the open transaction or in one of their own."""
        transaction = self.open.get(host)
        versions = self.draw(unit, count, transaction.number if transaction else next(self.clock))
        subject, first = versions[0].event
        if count == 1:
            write(self.hosts[host], subject, first)
        else:
            write_bulk(self.hosts[host], subject, first, versions[-1].event.version_seq)
        if transaction:
            transaction.versions += versions
        else:
            self.commit(versions)

    @rule(host=st.integers(0, HOSTS - 1))
    def set_savepoint(self, host: int) -> None:
        """A savepoint; what follows has an xid of its own."""
        if transaction := self.open.get(host):
            self.hosts[host].execute(f"savepoint s{len(transaction.savepoints)}")
            transaction.savepoints.append(len(transaction.versions))

    @rule(host=st.integers(0, HOSTS - 1))
    def roll_back_to(self, host: int) -> None:
        """Back to the last savepoint."""
        transaction = self.open.get(host)
        if transaction and transaction.savepoints:
            kept = transaction.savepoints.pop()
            self.hosts[host].execute(f"rollback to s{len(transaction.savepoints)}")
            del transaction.versions[kept:]

    @rule(host=st.integers(0, HOSTS - 1), ending=st.sampled_from(["commit", "rollback", "prepare"]))
    def end(self, host: int, ending: str) -> None:
        """The transaction ends."""
        transaction = self.open.pop(host, None)
        if transaction is None:
            return
        if ending == "prepare":
            gid = f"{self.prefix} {transaction.number}"
            self.hosts[host].execute(f"prepare transaction '{gid}'")
            self.prepared.append((gid, transaction))
            return
        self.hosts[host].execute(ending)
        if ending == "commit":
            self.commit(transaction.versions)

    @precondition(lambda self: self.prepared)
    @rule(which=st.integers(0, 9), ending=st.sampled_from(["commit", "rollback"]))
    def end_prepared(self, which: int, ending: str) -> None:
        """A prepared transaction ends, in any session."""
        gid, transaction = self.prepared.pop(which % len(self.prepared))
        self.engine.conn.execute(f"{ending} prepared '{gid}'")
        if ending == "commit":
            self.commit(transaction.versions)

    # ------------------------------------------------------------ workers

    @precondition(lambda self: not self.is_held)
    @rule(worker=st.integers(0, WORKERS - 1), limit=st.integers(1, 7))
    def run(self, worker: int, limit: int) -> None:
        """One batch, in a transaction of its own or in one that has written nothing yet."""
        xid = self.workers[worker].execute("select pg_current_xact_id_if_assigned()").fetchone()
        if xid != (None,):
            return
        batch = run_batch(self.workers[worker], limit)
        assert batch.sent == batch.events or batch.state in ("standby", "idle")

    @precondition(lambda self: not self.is_held)
    @rule(worker=st.integers(0, WORKERS - 1), limit=st.integers(1, 7))
    def run_and_keep_open(self, worker: int, limit: int) -> None:
        """One batch whose transaction stays open."""
        if worker not in self.in_transaction:
            self.workers[worker].execute("begin")
            self.in_transaction.add(worker)
            run_batch(self.workers[worker], limit)

    @rule(worker=st.integers(0, WORKERS - 1), ending=st.sampled_from(["commit", "rollback"]))
    def end_worker(self, worker: int, ending: str) -> None:
        """It is committed, or the worker crashes."""
        if worker in self.in_transaction:
            self.workers[worker].execute(ending)
            self.in_transaction.discard(worker)

    @precondition(lambda self: not self.in_transaction)
    @rule(worker=st.integers(0, WORKERS - 1), limit=st.integers(1, 7))
    def stop_at_the_key(self, worker: int, limit: int) -> None:
        """A batch begins and waits, with its xid and without its window."""
        if not self.is_held:
            self.holder.execute("select pg_advisory_lock(%s, 0)", [GATE_KEY])
            self.is_held = True
        if worker in self.waiting:
            return
        session = self.workers[worker]
        batch = self.pool.submit(run_batch, session, limit)
        pid = session.info.backend_pid
        wait_until(lambda: batch.done() or self.engine.is_waiting(pid), "a batch waits or is done")
        self.waiting[worker] = batch

    @precondition(lambda self: self.is_held)
    @rule()
    def let_go(self) -> None:
        """All that wait go on."""
        self.holder.execute("select pg_advisory_unlock_all()")
        self.is_held = False
        for batch in self.waiting.values():
            batch.result()
        self.waiting = {}

    # ------------------------------------------------------------ in the end

    def teardown(self) -> None:
        """End everything, let a worker run until it is idle, and compare with the model."""
        if not hasattr(self, "prefix"):
            return
        self.let_go()
        for worker in list(self.in_transaction):
            self.end_worker(worker, "commit")
        for host in list(self.open):
            self.end(host, "commit")
        while self.prepared:
            self.end_prepared(0, "commit")
        drain(self.workers[0], limit=4)
        self.compare()

    def compare(self) -> None:
        """Each event once, in the outbox as in the attempts, and no subject out of order."""
        pattern = f"{self.prefix} %"
        captured = self.fetch(
            "select subject, version_seq from iu_core.iu_event where subject like %s", pattern
        )
        assert {e for e in captured if not e.subject.endswith("+")} == {
            version.event for version in self.committed
        }
        outbox = self.fetch(
            "select subject, (payload -> 'data' ->> 'version_seq')::bigint"
            " from public.event_outbox where subject like %s order by id",
            pattern,
        )
        attempted = self.fetch(
            "select e.subject, e.version_seq from iu_core.iu_route_attempt as a"
            " join iu_core.iu_event as e using (event_id)"
            " where e.subject like %s order by a.attempt_id",
            pattern,
        )
        skipped = set(captured) - set(outbox)
        assert not skipped, f"skipped: {sorted(skipped)}"
        assert len(outbox) == len(captured), "repeated"
        assert attempted == outbox
        self.compare_order({event: place for place, event in enumerate(outbox)})

    def compare_order(self, place: dict[Event, int]) -> None:
        """Written after another was committed, or later in its transaction: delivered after it."""
        for one, other in itertools.permutations(self.committed, 2):
            if one.event.subject == other.event.subject and (
                one.committed < other.written
                or (one.transaction == other.transaction and one.written < other.written)
            ):
                assert place[one.event] < place[other.event], f"{other} overtook {one}"

    def fetch(self, query: str, pattern: str) -> list[Event]:
        """Return events of this run."""
        return [Event(*row) for row in self.engine.fetch(query, pattern)]


@pytest.mark.every_major
def test_no_skip_no_repeat_no_reordering(live: Engine) -> None:
    """
    P1, P2, P3, T9: over random interleavings each event is delivered once, each subject in order.
    """
    live.conn.execute(ECHO)

    class Bound(Interleavings):
        engine = live
        hosts = tuple(live.make_conn() for _ in range(HOSTS))
        workers = tuple(live.make_conn() for _ in range(WORKERS))
        holder = live.make_conn()

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        Bound.pool = pool
        run_state_machine_as_test(Bound, settings=SETTINGS)
