"""
P5: `disable` works when everything else is wrong.

What is in `test_disable.py` is not here again: `alembic_version`, the switches and the ledger's
key held (`test_disable_answers_while_everything_else_is_held`), an `advance` at work
(`test_disable_while_advance_holds_the_walk`; that it does not turn on again is T27 in
`test_advance.py`), a session and a prepared transaction that do not end
(`test_batch_that_does_not_end_is_named_and_ended_on_demand`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from iu_gates import config, disable, lanes
from iu_gates.embedded import Server
from iu_gates.errors import NotDrainedError, RefusedError
from tests.support.engine import GATE_KEY, in_background, run_batch, wait_until
from tests.support.play import ROUTE, MakeStage, Stage
from tests.support.walk import SITE_KEY, State, require_template, walk_down

RAISES = (
    "create or replace function {} language plpgsql as $$ begin"
    " raise exception 'broken' using errcode = '53100'; end $$"
)
KEY = "iu.version_applied.workflow:iu.version_applied:2:unit"


@pytest.fixture
def live(make_stage: MakeStage) -> Stage:
    """Give a stage at 082."""
    return make_stage(State.LIVE)


def sql(*statements: str) -> Callable[[Stage], None]:
    """Return what runs these statements."""

    def run(stage: Stage) -> None:
        for statement in statements:
            stage.conn.execute(statement)

    return run


BROKEN: dict[str, tuple[Callable[[Stage], None], str]] = {
    "drift": (
        sql("alter table iu_core.iu_event add column mine int", "create table iu_core.mine ()"),
        "",
    ),
    "guard": (sql(RAISES.format("iu_gates.fn_guard(p_revision text) returns void")), ""),
    "ledger": (
        sql(
            RAISES.format("iu_gates.fn_broken() returns trigger"),
            "create trigger broken before insert on iu_gates.ledger"
            " for each row execute function iu_gates.fn_broken()",
        ),
        "lane behind: ",
    ),
    "ledger function": (
        sql("drop function iu_gates.fn_ledger_append(text, text, jsonb)"),
        "lane behind: ",
    ),
    "switch function": (sql("drop function iu_core.fn_iu_gate_set(text)"), "lane behind: "),
    "worker function": (
        sql("drop function iu_core.fn_iu_route_worker_run(text, integer, text)"),
        "",
    ),
    "version table": (sql("drop table iu_gates.alembic_version"), "already at"),
    "revision": (
        sql("update iu_gates.alembic_version set version_num = '999' where version_num = '082'"),
        "lane behind: ",
    ),
    "failed gate": (
        sql(
            "select iu_gates.fn_ledger_append('verdict', g, '{\"outcome\": \"fail\"}')"
            " from unnest(array['host', 'backup', 'live']) as g"
        ),
        "runtime@base",
    ),
    "half-done step": (
        lambda stage: walk_down(stage.database.conninfo, "runtime@081"),
        "runtime@base",
    ),
    "routes gone": (
        sql("alter table iu_core.iu_outbound_route rename to hidden"),
        "lane behind: ",
    ),
}


@pytest.mark.parametrize("route", [None, ROUTE], ids=["gate", "route"])
@pytest.mark.parametrize("state", BROKEN)
def test_broken_database_is_off_and_drained(live: Stage, state: str, route: str | None) -> None:
    """
    P5: off and drained whatever is broken; what of the follow-up fails is said, and is all.
    """
    break_it, lane = BROKEN[state]
    live.write("unit", 1, 2, 3)
    assert run_batch(live.conn, 1).sent == 1
    break_it(live)

    result = disable.disable(live.with_settings(lock_wait="1 s"), route=route)

    assert result.drained
    if route is None:
        assert result.lane.startswith(lane)
    assert live.fetch_value("select iu_gates.fn_is_stopped(%s)", ROUTE)
    with suppress(psycopg.Error):  # what is broken may be the worker itself
        assert run_batch(live.conn, 10).state == "hold"
    assert live.fetch_value("select count(*) from public.event_outbox") == 1


def test_bootstrap_that_waits_holds_up_no_stop(live: Stage) -> None:
    """
    P5, T26: an `upgrade` that renews the control schema waits for a voter; `disable` does not.
    """
    with closing(psycopg.connect(live.database.conninfo)) as voter, ExitStack() as stack:
        voter.execute("lock table iu_gates.vote in row exclusive mode")
        bootstrap = stack.enter_context(in_background(lanes.bootstrap, live.settings))
        wait_until(
            lambda: live.fetch_value(
                "select exists (select from pg_locks where not granted"
                " and relation = 'iu_gates.vote'::regclass)"
            ),
            "the bootstrap waits",
        )
        assert not bootstrap.done()

        live.conn.execute("set lock_timeout = '5s'")
        live.conn.execute("select iu_gates.fn_stop(null, 'disable', 'a test')")

        voter.rollback()
        bootstrap.exception(timeout=20)
    assert run_batch(live.conn, 10).state == "hold"


def test_route_is_off_while_a_migration_holds_the_routes(live: Stage) -> None:
    """
    P5, T26: 100 rewrites the table of the routes; `--route` is off, and drained by the barrier.
    """
    live.write("unit", 1, 2)
    with closing(psycopg.connect(live.database.conninfo)) as migration:
        migration.execute("lock table iu_core.iu_outbound_route")

        result = disable.disable(live.with_settings(lock_wait="1 s"), route=ROUTE)

        assert result.drained
        assert result.lane.startswith("lane behind: ")
        assert result.lane.endswith(f"; iu-gates disable --route {ROUTE}")
    assert run_batch(live.conn, 10).state == "hold"


def test_eight_workers_are_drained(live: Stage) -> None:
    """
    P5, T24: eight workers whose batches overlap without end do not keep the barrier away.
    """
    with ExitStack() as stack:
        stack.enter_context(live.host(pause=0.001))
        for limit in range(1, 9):
            stack.enter_context(live.worker(limit=limit))
        wait_until(lambda: live.count("sent") > 50, "delivery")

        result = disable.disable(live.settings)

        sent = live.count("sent")
        assert result.drained
        captured = live.fetch_value("select count(*) from iu_core.iu_event")
        wait_until(
            lambda: live.fetch_value("select count(*) from iu_core.iu_event") > captured + 50,
            "more events",
        )
        assert live.count("sent") == sent


def test_worker_that_waits_for_a_lock_is_named_and_ended(live: Stage) -> None:
    """
    P5: a batch that waits for a key that the host holds is named; `--terminate` ends it.
    """
    live.write("unit", 1, 2)
    settings = live.with_settings(barrier_wait="0.3 s")
    with (
        closing(psycopg.connect(live.database.conninfo)) as host,
        closing(psycopg.connect(live.database.conninfo, autocommit=True)) as worker,
    ):
        host.execute(
            "insert into public.event_outbox (idempotency_key, event_type, subject, payload)"
            " values (%s, 'x', 'x', '{}')",
            (KEY,),
        )
        pid = worker.info.backend_pid
        with in_background(run_batch, worker) as batch:
            wait_until(
                lambda: live.fetch_value("select cardinality(pg_blocking_pids(%s)) > 0", pid),
                "the worker waits",
            )
            with pytest.raises(NotDrainedError) as raised:
                disable.disable(settings)
            assert f"pid {pid}," in (raised.value.found or "")

            result = disable.disable(settings, terminate=True)

            assert result.drained
            assert f"pid {pid}," in result.terminated[0]
            assert isinstance(batch.exception(timeout=20), psycopg.OperationalError)
    assert live.count() == 0


def test_follow_up_that_fails_is_made_up_for(live: Stage) -> None:
    """
    P5, T26: the disk is full after the barrier; off stands, and the next `disable` writes it down.
    """
    BROKEN["ledger"][0](live)
    assert disable.disable(live.settings, reason="full").lane.startswith("lane behind: ")
    assert "stop" not in live.list_kinds()
    live.conn.execute("drop trigger broken on iu_gates.ledger")

    assert disable.disable(live.settings, reason="again").lane == "runtime@base"

    rows = live.fetch("select facts ->> 'reason' from iu_gates.ledger where kind = 'stop'")
    assert [reason for (reason,) in rows] == ["full", "again"]


@pytest.mark.long
def test_standby_says_so(own_server: Server, tmp_path: Path) -> None:
    """
    On a standby nothing can be written, and nothing is delivered: exit 4, IUG-084.
    """
    name = require_template(own_server, State.LIVE)
    with psycopg.connect(own_server.conninfo(), autocommit=True) as conn:
        conn.execute(f'alter database "{name}" with allow_connections true')
    own_server.stop()
    (own_server.data / "standby.signal").touch()
    own_server.start()
    key = tmp_path / "site-key"
    key.write_text(SITE_KEY)
    values = {"database_url": own_server.conninfo(name), "site_key_file": str(key)}

    with pytest.raises(RefusedError) as raised:
        disable.disable(config.build(values))

    assert (raised.value.ident, raised.value.exit_code) == ("IUG-084", 4)


def test_batch_whose_session_is_not_shown_is_named(live: Stage) -> None:
    """
    P5: without `pg_read_all_stats` a batch shows no age, state and application, but its pid.
    """
    login = live.make_login("iu_gates_operator")
    owner = Identifier(login)
    function = "alter function iu_gates.fn_batches_in_hand(integer) owner to {}"
    live.conn.execute(SQL("grant usage, create on schema iu_gates to {}").format(owner))
    live.conn.execute(SQL(function).format(owner))
    with psycopg.connect(live.database.conninfo) as worker:
        worker.execute("select pg_advisory_xact_lock_shared(%s, 0)", (GATE_KEY,))
        pid = worker.info.backend_pid
        with pytest.raises(NotDrainedError) as raised:
            disable.disable(live.with_settings(barrier_wait="0.2 s"))

    assert f"pid {pid}, login " in (raised.value.found or "")
    assert "not shown to this login" in (raised.value.found or "")
