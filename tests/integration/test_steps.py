"""Each step: a look before it tries, a bound on its wait, nobody held up meanwhile (T38)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

from iu_gates import db, lanes, locks
from iu_gates.errors import SAME, GateError, IuGatesError, LockHeldError, UnreachableError
from tests.support.engine import GATE_KEY, in_background, wait_until
from tests.support.play import INSERT, MakeStage, Stage
from tests.support.walk import State, pass_gates, walk_down

OPEN_FOR = (
    "select clock_timestamp() - xact_start > %s::interval from pg_stat_activity where pid = %s"
)
READ = "select count(*) from public.unit_version"
HOLD_BATCH = f"select pg_advisory_xact_lock_shared({GATE_KEY}, 0)"


@pytest.fixture
def at_009(make_stage: MakeStage) -> Stage:
    """Give a stage whose next step is 060, with every verdict in force."""
    return walk_to_009(make_stage(State.SUBSTRATE, lock_wait="2 s"))


def walk_to_009(stage: Stage) -> Stage:
    """Walk a stage back to 009, with every verdict in force."""
    walk_down(stage.database.conninfo, "009")
    pass_gates(stage.database.conninfo)
    return stage


def apply(stage: Stage, revision: str, said: list[str] | None = None, **settings: Any) -> None:
    """Apply a revision as `advance` does."""
    notify: Callable[[str], None] = (lambda _: None) if said is None else said.append
    gate = lanes.BY_NAME[revision].gate
    values = stage.with_settings(**settings)
    lanes.upgrade(values, revision, gate=gate, stops_seen=[], notify=notify)


class Impatient(threading.Thread):
    """
    Another session of the host, which would not wait 50 ms for a lock: it counts what it did.

    Args:
        stage: The database.
        query: What it does over and over, each in a transaction of its own.
    """

    def __init__(self, stage: Stage, query: str) -> None:
        super().__init__(daemon=True)
        self.done = 0
        self.error: psycopg.Error | None = None
        self._conninfo = stage.database.conninfo
        self._query = query
        self._over = threading.Event()

    def run(self) -> None:
        """Do it until told to stop, or until a lock was waited for."""
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            conn.execute("set lock_timeout = '50ms'")
            while not self._over.is_set() and self.error is None:
                try:
                    conn.execute(self._query)
                    self.done += 1
                except psycopg.Error as error:
                    self.error = error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join()


def write_one(stage: Stage) -> str:
    """Return an INSERT of the host that can be repeated."""
    stage.conn.execute("create sequence if not exists public.numbers")
    values = "values ('n', nextval('public.numbers'))"
    return f"insert into public.unit_version (unit, version_seq) {values}"


def open_transaction(stage: Stage, stack: ExitStack, query: str, name: str = "") -> int:
    """Leave a transaction open that is older than a try; return its session's pid."""
    conn = stack.enter_context(closing(psycopg.connect(stage.database.conninfo)))
    conn.execute("select set_config('application_name', %s, false)", [name])
    conn.execute(query)
    pid = conn.info.backend_pid
    wait_until(lambda: bool(stage.fetch_value(OPEN_FOR, "200 ms", pid)), "it is open for a while")
    return pid


def test_while_a_step_waits_for_one_writer_no_other_waits(at_009: Stage) -> None:
    """
    T38: behind an open writer 060 does not even try: others would queue behind the try.

    Another writer, who would not wait 50 ms, writes on all the time; the open one is named with
    its login, application, age and statement.
    """
    said: list[str] = []
    query = write_one(at_009)
    with ExitStack() as stack:
        insert = "insert into public.unit_version (unit, version_seq) values ('open', 1)"
        pid = open_transaction(at_009, stack, insert, "a nightly import")
        other = stack.enter_context(Impatient(at_009, query))
        wait_until(lambda: other.done > 0, "the other writes")
        before = other.done

        with pytest.raises(LockHeldError) as raised:
            apply(at_009, "060", said)

        assert other.error is None
        assert other.done > before + 20
        found = raised.value.found or ""
        assert f"pid {pid}, login postgres, a nightly import, open for" in found
        assert "holds unit_version; its statement" in found
        assert "insert into public.unit_version" in found
        assert said
        assert raised.value.ident == "IUG-061"
    assert at_009.list_revisions() == ("008", "009")
    apply(at_009, "060")
    assert "060" in at_009.list_revisions()


def test_while_the_way_down_waits_for_a_reader_no_other_waits(make_stage: MakeStage) -> None:
    """
    T38: to drop the trigger nobody may read: an open reader is named, others read on.
    """
    stage = make_stage(State.SUBSTRATE, lock_wait="2 s")
    with ExitStack() as stack:
        pid = open_transaction(stage, stack, READ, "pg_dump")
        other = stack.enter_context(Impatient(stage, READ))

        with pytest.raises(LockHeldError, match="step 060") as raised:
            lanes.downgrade(stage.settings, "009")

        assert other.error is None
        assert other.done > 20
        assert f"pid {pid}, login postgres, pg_dump" in (raised.value.found or "")
    assert "060" in stage.list_revisions()


def test_a_running_dump_does_not_hold_up_060(at_009: Stage) -> None:
    """
    T38: pg_dump reads (ACCESS SHARE); a trigger is made beside it, at once.
    """
    said: list[str] = []
    with ExitStack() as stack:
        open_transaction(at_009, stack, "lock table public.unit_version in access share mode")
        apply(at_009, "060", said)
    assert said == []
    assert "060" in at_009.list_revisions()


def test_prepared_transaction_is_named_by_its_gid(at_009: Stage) -> None:
    """
    T38: it has no session that could be ended: its gid, login and age are named.
    """
    with closing(psycopg.connect(at_009.database.conninfo)) as conn:
        conn.execute(INSERT, ("prepared", 1))
        conn.execute("prepare transaction 'of ''two'' phases'")
    age = "select clock_timestamp() - prepared > '200 ms' from pg_prepared_xacts"
    wait_until(lambda: (True,) in at_009.fetch(age), "it is open for a while")

    with pytest.raises(LockHeldError) as raised:
        apply(at_009, "060", lock_wait="1 s")

    found = raised.value.found or ""
    assert "prepared transaction 'of 'two' phases', login postgres, open for" in found
    at_009.conn.execute("rollback prepared 'of ''two'' phases'")
    apply(at_009, "060")


PARTITIONED = """
alter table public.unit_version rename to unit_version_all;
create table public.unit_version (like public.unit_version_all including defaults)
partition by hash (unit);
create table public.unit_version_0 partition of public.unit_version
for values with (modulus 1, remainder 0);
alter table public.unit_version add unique (unit, version_seq);
"""


def test_writer_of_a_partition_is_seen(make_stage: MakeStage) -> None:
    """
    T38: a trigger on a partitioned table is made on each partition: a lock on one counts.
    """
    stage = make_stage()
    stage.conn.execute(PARTITIONED)
    stage.walk("backup")
    insert = "insert into public.unit_version_0 (id, unit, version_seq) values (1, 'u', 1)"
    with ExitStack() as stack:
        pid = open_transaction(stage, stack, insert)
        with pytest.raises(LockHeldError) as raised:
            lanes.upgrade(
                stage.with_settings(lock_wait="1 s"),
                "060",
                gate="substrate",
                stops_seen=[],
                notify=lambda _: None,
            )
        assert f"pid {pid}," in (raised.value.found or "")
        assert "holds unit_version_0" in (raised.value.found or "")


def test_writers_that_come_and_go_do_not_starve_it(at_009: Stage) -> None:
    """
    T38: two writers whose transactions take 150 ms each, one after another, let 060 through.
    """
    query = f"do $$ begin {write_one(at_009)}; perform pg_sleep(0.15); end $$"
    over = threading.Event()

    def write() -> int:
        done = 0
        with psycopg.connect(at_009.database.conninfo, autocommit=True) as conn:
            while not over.is_set():
                conn.execute(query)
                done += 1
        return done

    with in_background(write) as one, in_background(write) as two:
        try:
            apply(at_009, "060", lock_wait="20 s")
        finally:
            over.set()
        assert one.result() + two.result() > 2
    assert "060" in at_009.list_revisions()


def test_the_whole_wait_is_bounded(make_stage: MakeStage) -> None:
    """
    T38: `lock_wait` bounds everything that a step waits for, the barrier too.

    A lock that no look foresees (here: the ledger's key) is tried for again within that bound.
    """
    stage = make_stage(State.DRY)
    pass_gates(stage.database.conninfo)
    for query, name in (
        (HOLD_BATCH, "holds the key of all batches"),
        ("select pg_advisory_xact_lock(18773004, 0)", "lock timeout"),
    ):
        with ExitStack() as stack:
            open_transaction(stage, stack, query)
            began = time.monotonic()
            with pytest.raises(LockHeldError) as raised:
                apply(stage, "090", lock_wait="1 s")
            assert 1 <= time.monotonic() - began < 6
            assert name in (raised.value.found or "")
    assert "090" not in stage.list_revisions()
    apply(stage, "090")


def test_behind_a_batch_that_hangs_no_other_worker_waits(make_stage: MakeStage) -> None:
    """
    T24, T37: a step that swaps a function waits for a hanging batch without asking for the key.
    """
    stage = make_stage(State.DRY)
    pass_gates(stage.database.conninfo)
    with ExitStack() as stack:
        pid = open_transaction(stage, stack, HOLD_BATCH)
        wait_until(lambda: bool(stage.fetch_value(OPEN_FOR, "1.1 s", pid)), "it hangs")
        worker = stack.enter_context(Impatient(stage, HOLD_BATCH))
        with pytest.raises(LockHeldError):
            apply(stage, "090", lock_wait="1.5 s")
        assert worker.error is None
        assert worker.done > 20


def test_batches_that_come_and_go_do_not_starve_the_barrier(make_stage: MakeStage) -> None:
    """
    T24: four workers in overlapping batches: 090 has its barrier within a second or two.
    """
    stage = make_stage(State.DRY)
    pass_gates(stage.database.conninfo)
    batch = (
        f"do $$ begin perform pg_advisory_xact_lock_shared({GATE_KEY}, 0), pg_sleep(0.2); end $$"
    )
    over = threading.Event()

    def work() -> None:
        with psycopg.connect(stage.database.conninfo, autocommit=True) as conn:
            while not over.is_set():
                conn.execute(batch)

    with ExitStack() as stack:
        stack.callback(over.set)
        for _ in range(4):
            stack.enter_context(in_background(work))
        stack.callback(over.set)
        apply(stage, "090", lock_wait="10 s")
    assert "090" in stage.list_revisions()


def test_only_a_lock_is_tried_for_again(at_009: Stage) -> None:
    """
    T38: SQLSTATE 55P03 is tried again; another walk's move of the lane, or any error, is not.
    """
    tried = []

    def moved() -> None:
        tried.append(1)
        raise LockHeldError("another walk moved this lane meanwhile", ident="IUG-062")

    with pytest.raises(LockHeldError, match="moved"):
        locks.Patience(at_009.settings, lambda _: None).call(moved)
    assert len(tried) == 1

    def busy() -> None:
        tried.append(1)
        raise LockHeldError("a lock") from psycopg.errors.LockNotAvailable("timeout")

    with pytest.raises(LockHeldError, match="could not have its locks"):
        locks.Patience(at_009.settings, lambda _: None).call(busy)
    assert len(tried) > 3


RECORD = """
create table public.seen (name text, value text);
grant select, insert on public.seen to public;
create function public.see() returns event_trigger language plpgsql as $$
begin
    insert into public.seen select s.name, current_setting(s.name)
    from unnest(array['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout',
                      'application_name']) as s (name)
    where not exists (select from public.seen) and current_setting('iu_gates.walk', true) = 'seam';
end $$;
create event trigger see on ddl_command_end when tag in ('CREATE FUNCTION')
execute function public.see();
"""


def test_each_step_has_its_time_outs_and_its_name(make_stage: MakeStage) -> None:
    """
    In a step lock_timeout is 100 ms; no statement and no pause lasts for ever; the name is ours.
    """
    stage = make_stage(State.DRY)
    pass_gates(stage.database.conninfo)
    stage.conn.execute(RECORD)
    apply(stage, "090")
    assert dict(stage.fetch("select name, value from public.seen")) == {
        "lock_timeout": "100ms",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "15s",
        "application_name": "iu-gates advance",
    }


UNIQUE = "alter table public.unit_version drop constraint unit_version_unit_version_seq_key"
CHANGES = {
    "renamed": ("alter table public.unit_version rename to gone", GateError, "IUG-034", "no such"),
    "column": ("alter table public.event_outbox drop column payload", GateError, "IUG-034", "payl"),
    "key": (UNIQUE, GateError, "IUG-034", "unique"),
    "drift": ("alter table iu_core.iu_event add extra int", IuGatesError, "IUG-046", "iu_event"),
    "stop": ("select iu_gates.fn_stop(null, 'disable', 'a fire')", GateError, "IUG-038", "a fire"),
    "backup": (
        "select iu_gates.fn_void(array['backup'], 'a test')",
        GateError,
        "IUG-020",
        "backup",
    ),
}


def test_statement_that_runs_out_of_time_has_an_error_of_its_own(make_stage: MakeStage) -> None:
    """
    A time-out is no lost connection: it is named, and the same command is the next.
    """
    stage = make_stage(State.SUBSTRATE)
    with pytest.raises(UnreachableError) as raised, db.connect(stage.settings, "a test") as conn:
        conn.execute("set statement_timeout = '1 ms'; select pg_sleep(10)")

    assert (raised.value.ident, raised.value.next_command) == ("IUG-100", SAME)
    assert "statement timeout" in raised.value.summary


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("revision", [pytest.param("060", marks=pytest.mark.long), "090"])
def test_what_changed_since_the_look_stops_the_step(
    make_stage: MakeStage, revision: str, change: str
) -> None:
    """
    T27, T31, T39: a step looks again, in its own transaction, at what was looked at before it.

    The change comes while the step waits for a lock, after its path was found to be good.
    """
    statement, kind, ident, word = CHANGES[change]
    if revision == "060":
        stage, held = walk_to_009(make_stage(State.SUBSTRATE)), INSERT % ("'u'", 1)
    else:
        stage, held = make_stage(State.DRY), HOLD_BATCH
        pass_gates(stage.database.conninfo)
    with closing(psycopg.connect(stage.database.conninfo)) as blocker:
        blocker.execute(held)
        error = apply_after(stage, revision, blocker, statement)
    assert isinstance(error, kind)
    assert isinstance(error, IuGatesError)
    assert error.ident == ident
    assert word in f"{error.summary} {error.found}"
    assert stage.list_steps()[-1] != f"up {revision}"


def test_backup_that_runs_out_while_the_way_down_waits_stops_the_step(
    make_stage: MakeStage,
) -> None:
    """
    T39: a step down looks at the backup again in its own transaction, as a step up does.
    """
    stage = make_stage(State.SUBSTRATE)
    pass_gates(stage.database.conninfo)
    with closing(psycopg.connect(stage.database.conninfo)) as blocker:
        blocker.execute(READ)

        def notify(_text: str) -> None:
            if not blocker.closed:
                blocker.close()
                stage.conn.execute(CHANGES["backup"][0])

        wait_until(
            lambda: bool(stage.fetch_value(OPEN_FOR, "200 ms", blocker.info.backend_pid)), "open"
        )
        with pytest.raises(GateError, match='revision 060 is not undone: gate "backup"') as raised:
            lanes.downgrade(stage.settings, "009", notify=notify)

    assert raised.value.next_command == "iu-gates status"
    assert "060" in stage.list_revisions()


def apply_after(
    stage: Stage, revision: str, blocker: psycopg.Connection, statement: str
) -> BaseException:
    """Run a statement once the step waits for `blocker`, let it go on, and return its refusal."""
    age, pid = ("1.1 s" if revision == "090" else "200 ms"), blocker.info.backend_pid
    wait_until(lambda: bool(stage.fetch_value(OPEN_FOR, age, pid)), "it is open for a while")

    def notify(_text: str) -> None:
        if not blocker.closed:
            blocker.close()
            gone = "select not exists (select from pg_stat_activity where pid = %s)"
            wait_until(lambda: bool(stage.fetch_value(gone, pid)), "it is gone")
            stage.conn.execute(statement)

    gate = lanes.BY_NAME[revision].gate
    with pytest.raises(IuGatesError) as raised:
        lanes.upgrade(stage.settings, revision, gate=gate, stops_seen=[], notify=notify)
    assert blocker.closed
    return raised.value
