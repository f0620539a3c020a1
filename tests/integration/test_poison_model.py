"""
Poison against a model: random failures, policies, redrives, workers and stops (P1, P2, P3).

Subjects do not touch one another, and what a drain does to one depends on no batch's size: so a
few lines of Python say what has to become of each event. Its seed is printed (hypothesis).
"""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.databases import Servers
from tests.support.engine import Engine, Event, drain, open_engine, set_hook, write
from tests.support.walk import ROUTE, State

SETTINGS = settings(
    max_examples=int(os.environ.get("IU_GATES_TEST_EXAMPLES", "6")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
NUMBERS = itertools.count()
UNITS = st.sampled_from("abc")
STEPS = st.one_of(
    st.tuples(st.just("write"), UNITS, st.integers(1, 4)),
    st.tuples(st.just("write"), UNITS, st.integers(1, 4)),
    st.tuples(st.just("break"), UNITS, st.integers(0, 3)),
    st.tuples(st.just("mend"), UNITS, st.just(0)),
    st.tuples(st.just("drain"), st.sampled_from("123"), st.integers(1, 5)),
    st.tuples(st.just("drain"), st.sampled_from("123"), st.integers(1, 5)),
    st.tuples(st.just("due"), UNITS, st.just(0)),
    st.tuples(st.just("redrive"), UNITS, st.integers(0, 3)),
    st.tuples(st.just("stop"), UNITS, st.just(0)),
    st.tuples(st.just("tries"), UNITS, st.integers(1, 3)),
)
DEAD = """
select d.version_seq, d.reason, d.tries, v.dead_letter_id is null
from iu_core.iu_route_dead_letter as d
left join iu_core.iu_route_redrive as v using (dead_letter_id)
where d.subject = %s order by d.event_id, d.dead_letter_id
"""
OPEN = """
select d.dead_letter_id, d.version_seq from iu_core.iu_route_dead_letter as d
where d.subject = %s
  and d.dead_letter_id <> all (select v.dead_letter_id from iu_core.iu_route_redrive as v)
order by d.event_id
"""


@dataclass
class Subject:
    """What has to be of one subject's events, by their versions."""

    new: list[int] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    sent: list[int] = field(default_factory=list)
    parked: dict[int, int] = field(default_factory=dict)
    due: set[int] = field(default_factory=set)
    dead: list[list[int | str | bool]] = field(default_factory=list)
    failures: Counter[int] = field(default_factory=Counter)

    def open(self) -> list[int]:
        """Return the versions of the open dead letters."""
        return [int(letter[0]) for letter in self.dead if letter[3]]

    def drain(self, *, holds: bool, max_tries: int) -> None:
        """Work until nothing is due and nothing is new."""
        while self.parked and min(self.parked) in self.due:
            version = min(self.parked)
            self._try(version, holds=holds, max_tries=max_tries)
            if self.parked and min(self.parked) != version:
                self.due.add(min(self.parked))
        self.due &= set(sorted(self.parked)[:1])
        for version in self.new:
            if self.parked and not (holds and any(v < version for v in self.open())):
                self.parked[version] = 0
            else:
                self._try(version, holds=holds, max_tries=max_tries)
        self.new = []

    def _try(self, version: int, *, holds: bool, max_tries: int) -> None:
        tries = self.parked.pop(version, 0) + 1
        self.due.discard(version)
        if holds and any(v < version for v in self.open()):
            self.failures[version] += 1
            self.dead.append([version, "held behind", tries - 1, True])
        elif version not in self.bad:
            self.sent.append(version)
        else:
            self.failures[version] += 1
            if tries < max_tries:
                self.parked[version] = tries
            else:
                self.dead.append([version, "data error", tries, True])


@pytest.fixture(scope="module", params=["hold", "pass"])
def engine(servers: Servers, major: int, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Give one live route for all runs; the target refuses what stands in public.bad."""
    with open_engine(servers.get(major), State.RELAXED) as shared:
        shared.set_policy(on_dead_letter=request.param)
        shared.go_live()
        shared.conn.execute(
            "create table public.bad (key text primary key); grant all on public.bad to public"
        )
        set_hook(
            shared,
            "if exists (select from public.bad as b where b.key = new.idempotency_key) then"
            " raise 'refused'; end if;",
        )
        shared.set_policy(retry_seconds=3600, trip_failures=1_000_000)
        yield shared


class Run:
    """One run: its own subjects, its model, its workers."""

    def __init__(self, engine: Engine, workers: list[psycopg.Connection]) -> None:
        self.engine = engine
        policy = "select on_dead_letter = 'hold' from iu_core.iu_outbound_route"
        self.holds = engine.fetch_value(policy)
        self.workers = workers
        self.prefix = f"run {next(NUMBERS)} "
        self.model: dict[str, Subject] = defaultdict(Subject)
        self.versions: Counter[str] = Counter()
        self.max_tries = 2
        engine.set_policy(max_tries=2)

    def write(self, unit: str, count: int) -> None:
        """New versions, each in a transaction of its own."""
        for _ in range(count):
            self.versions[unit] += 1
            version = self.versions[unit] + 1
            write(self.engine.conn, self.prefix + unit, version)
            self.model[unit].new.append(version)

    def break_(self, unit: str, ahead: int) -> None:
        """A version that is there, or will be, is refused."""
        version = max(self.versions[unit] + 2 - ahead, 2)
        self.engine.conn.execute(
            "insert into public.bad values (iu_core.fn_iu_idempotency_key(%s,"
            " 'iu.version_applied', %s, %s)) on conflict do nothing",
            [ROUTE, self.prefix + unit, version],
        )
        self.model[unit].bad.add(version)

    def mend(self, unit: str, _: int) -> None:
        """Nothing of the subject is refused any more."""
        self.engine.conn.execute(
            "delete from public.bad where key like %s", [f"%:{self.prefix}{unit}"]
        )
        self.model[unit].bad.clear()

    def due(self, *_: object) -> None:
        """Every retry's time has come."""
        self.engine.make_due()
        for subject in self.model.values():
            subject.due |= set(sorted(subject.parked)[:1])

    def redrive(self, unit: str, skipped: int) -> None:
        """Put open dead letters back, all or without the first few; a route that holds refuses."""
        letters = self.engine.fetch(OPEN, self.prefix + unit)
        subject = self.model[unit]
        assert [version for _, version in letters] == sorted(subject.open())
        chosen = dict(letters[skipped:])
        query = "select iu_core.fn_iu_route_redrive(%s, '{}')"
        if self.holds and skipped and chosen:
            with pytest.raises(psycopg.Error, match="comes before") as refused:
                self.engine.fetch_value(query, list(chosen))
            every = " ".join(str(number) for number in sorted(dict(letters)))
            assert refused.value.diag.message_hint == f"iu-gates dead-letter redrive {every}"
            return
        assert self.engine.fetch_value(query, list(chosen)) == len(chosen)
        assert self.engine.fetch_value(query, list(chosen)) == 0, "a second time it does nothing"
        for version in chosen.values():
            subject.parked[version] = 0
            subject.dead = [
                [*letter[:3], False] if letter[0] == version else letter for letter in subject.dead
            ]
        self.due()

    def stop(self, *_: object) -> None:
        """The route is stopped: nothing moves; then it goes on."""
        before = self.engine.count_attempts()
        epoch = self.engine.fetch_value("select iu_gates.fn_stop(%s, 'drill', 'a test')", ROUTE)
        assert drain(self.engine.conn) == []
        assert self.engine.count_attempts() == before
        self.engine.conn.execute("select iu_gates.fn_lift_drill(%s)", [epoch])

    def tries(self, _: str, number: int) -> None:
        """The policy changes, on the live route."""
        self.engine.set_policy(max_tries=number)
        self.max_tries = number

    def drain(self, workers: str, limit: int) -> None:
        """Workers at once, then one, work until nothing is left; all is as the model says."""
        with ThreadPoolExecutor(len(self.workers)) as pool:
            list(pool.map(lambda conn: drain(conn, limit), self.workers[: int(workers)]))
        drain(self.engine.conn, limit)
        for unit, subject in self.model.items():
            subject.drain(holds=self.holds, max_tries=self.max_tries)
            self.check(unit, subject)

    def check(self, unit: str, subject: Subject) -> None:
        """Hold one subject against the model: the target, the parked, the dead, each attempt."""
        name = self.prefix + unit
        outbox = (
            "select payload -> 'data' -> 'version_seq' from public.event_outbox"
            " where subject = %s order by id"
        )
        assert [version for (version,) in self.engine.fetch(outbox, name)] == subject.sent
        parked = [row for row in self.engine.list_parked() if row[0].subject == name]
        head = min(subject.parked, default=None)
        assert parked == [
            (Event(name, version), tries, version == head)
            for version, tries in sorted(subject.parked.items())
        ]
        assert sorted(self.engine.fetch(DEAD, name)) == sorted(map(tuple, subject.dead))
        attempts = (
            "select e.version_seq, a.status from iu_core.iu_route_attempt as a"
            " join iu_core.iu_event as e using (event_id) where e.subject = %s"
        )
        found = Counter(self.engine.fetch(attempts, name))
        wanted = Counter({(v, "failed"): n for v, n in subject.failures.items()})
        assert found == wanted + Counter((version, "sent") for version in subject.sent)

    def end(self) -> None:
        """Mend and redrive all: each event has been delivered exactly once."""
        self.drain("3", 3)
        for unit in list(self.model):
            self.mend(unit, 0)
            self.redrive(unit, 0)
        self.due()
        self.drain("2", 4)
        for unit, subject in self.model.items():
            assert sorted(subject.sent) == list(range(2, self.versions[unit] + 2))
            if self.holds:
                assert subject.sent == sorted(subject.sent), "a route that holds keeps the order"


@SETTINGS
@given(steps=st.lists(STEPS, max_size=40))
def test_nothing_is_lost_repeated_or_reordered(
    engine: Engine, steps: list[tuple[str, str, int]]
) -> None:
    """
    P1, P2, P3: whatever fails, however often, each failure's effect is exactly the policy's.
    """
    workers = [engine.make_conn() for _ in range(3)]
    try:
        run = Run(engine, workers)
        for name, unit, number in steps:
            getattr(run, name if name != "break" else "break_")(unit, number)
        run.end()
    finally:
        for conn in workers:
            conn.close()
