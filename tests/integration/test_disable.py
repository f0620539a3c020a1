"""`disable` is a barrier (P5), as a command: off at once, drained or named, back by `advance`."""

from __future__ import annotations

import os
import random
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from iu_gates import disable
from iu_gates.errors import GateError, NotDrainedError, UsageError
from iu_gates.model import DisableResult
from tests.support import rounds
from tests.support.engine import GATE_KEY, in_background, run_batch, wait_until
from tests.support.play import ROUTE, MakeStage, Stage
from tests.support.walk import State

LEDGER_KEY = 18773004
ROUNDS = int(os.environ.get("IU_GATES_DISABLE_ROUNDS", "6"))


@pytest.fixture
def live(make_stage: MakeStage) -> Stage:
    """Give a stage at 082, with a unit to begin from."""
    return make_stage(State.LIVE)


@pytest.mark.parametrize(
    "route",
    [pytest.param(None, id="gate"), pytest.param(ROUTE, id="route", marks=pytest.mark.long)],
)
def test_nothing_is_delivered_after_drained(live: Stage, route: str | None) -> None:
    """
    P5: rounds under live load, two hosts and four workers; IU_GATES_DISABLE_ROUNDS is how many.

    After "off and drained" the hosts go on writing and no attempt is added, whatever was in
    flight; in the end each event was delivered once, in order.
    """
    seed = random.randrange(2**32)
    seen = rounds.play(live, ROUNDS, route, random.Random(seed))
    assert len(seen.seconds) == ROUNDS, f"seed {seed}"


def test_batch_that_does_not_end_is_named_and_ended_on_demand(live: Stage) -> None:
    """
    P5: off is committed although a session and a prepared transaction hold batches.

    Exit 7 names pid and gid; ``--terminate`` ends both, and then it is drained.
    """
    live.write("unit", 1, 2, 3)
    settings = live.with_settings(barrier_wait="0.2 s")
    with (
        closing(psycopg.connect(live.database.conninfo)) as session,
        closing(psycopg.connect(live.database.conninfo)) as prepared,
    ):
        for holder in (session, prepared):
            holder.execute("select pg_advisory_xact_lock_shared(%s, 0)", [GATE_KEY])
        prepared.execute("prepare transaction 'it''s in hand'")

        with pytest.raises(NotDrainedError) as raised:
            disable.disable(settings, reason="a test")

        assert raised.value.exit_code == 7
        assert f"pid {session.info.backend_pid}," in (raised.value.found or "")
        assert "it's in hand" in (raised.value.found or "")
        assert raised.value.next_command == "iu-gates disable --terminate"
        assert {r.mode for r in live.status().routes} == {"hold"}

        result = disable.disable(settings, reason="a test", terminate=True)

        assert result.drained
        assert len(result.terminated) == 2
        with pytest.raises(psycopg.OperationalError):
            session.execute("select")
        assert live.fetch("select gid from pg_prepared_xacts") == []


def test_who_holds_the_barrier_itself_is_named(live: Stage) -> None:
    """
    P5: a step that keeps the exclusive key keeps the barrier from being had, and is named too.
    """
    with psycopg.connect(live.database.conninfo, application_name="a step") as step:
        step.execute("select pg_advisory_xact_lock(%s, 0)", [GATE_KEY])

        with pytest.raises(NotDrainedError) as raised:
            disable.disable(live.with_settings(barrier_wait="0.2 s"))

        assert f"pid {step.info.backend_pid}" in (raised.value.found or "")
        assert "a step" in (raised.value.found or "")


def test_who_may_not_end_a_batch_still_turns_it_off(live: Stage) -> None:
    """
    P5: an operator who may not end a session is told that it is off and not drained.
    """
    operator = live.make_settings_of("iu_gates_operator")
    values = {**live.values, "database_url": operator.database_url, "barrier_wait": "0.2 s"}
    with psycopg.connect(live.database.conninfo) as session:
        session.execute("select pg_advisory_xact_lock_shared(%s, 0)", [GATE_KEY])

        with pytest.raises(NotDrainedError) as raised:
            disable.disable(live.with_settings(**values), terminate=True)

        assert raised.value.facts["terminated"] == []
        assert not session.closed
    assert {r.mode for r in live.status().routes} == {"hold"}


def test_disable_answers_while_everything_else_is_held(live: Stage) -> None:
    """
    P5, T26: a migration holds alembic_version and the switch rows, somebody the ledger's key.

    Off and drained is known at once, and "lane behind" is all that comes of it.
    """
    said: list[tuple[str, float]] = []
    with psycopg.connect(live.database.conninfo) as migration:
        migration.execute("lock table iu_gates.alembic_version")
        migration.execute("select * from iu_core.iu_runtime_gate for update")
        migration.execute("select * from iu_core.iu_outbound_route for update")
        migration.execute("select pg_advisory_xact_lock(%s, 0)", [LEDGER_KEY])
        began = time.monotonic()

        result = disable.disable(
            live.settings, notify=lambda text: said.append((text, time.monotonic() - began))
        )

        assert result.drained
        assert result.lane.startswith("lane behind: ")
        assert result.lane.endswith("; iu-gates disable")
        assert said[-1][0] == "off and drained"
        assert said[-1][1] < 2
        assert run_batch(live.conn, 10, read_key(live)).state == "hold"
    assert "082" in live.list_revisions()


def read_key(stage: Stage) -> str:
    """Return the site key of a stage."""
    return Path(stage.values["site_key_file"]).read_text()


def test_advance_is_the_way_back_where_the_lane_is_behind(live: Stage) -> None:
    """
    P5, T28: an approver turned it off and may not walk the lane: `status` says so.

    And `advance` walks it back first, then up again.
    """
    approver = live.make_settings_of("iu_gates_approver")

    result = disable.disable(approver, reason="by an approver")

    assert result.drained
    assert result.lane.startswith("lane behind: this login is no operator")
    assert any("is stopped" in d for d in live.status().disagreements)
    assert live.status().next_command == "iu-gates advance"
    with live.host(), live.worker():
        live.walk()
        sent = live.count("sent")
        wait_until(lambda: live.count("sent") > sent, "delivery")
    assert live.list_steps()[-6:] == [
        "down 082",
        "down 081",
        "down 080",
        "up 080",
        "up 081",
        "up 082",
    ]
    assert live.status().stops == ()


@pytest.mark.parametrize("route", [None, ROUTE], ids=["gate", "route"])
def test_way_back_on_delivers_what_was_held(live: Stage, route: str | None) -> None:
    """
    P5, T28, T29: after `disable` the route is off; what the host writes is held.

    And `advance` goes up again by itself and delivers all of it, in order, once.
    """
    live.write("a", 1, 2)
    with live.worker():
        wait_until(lambda: live.count("sent") == 1, "delivery")

        result = disable.disable(live.settings, route=route)

        lane = "runtime@080" if route else "runtime@base"
        assert result == DisableResult(
            route, result.epoch, drained=True, in_hand=(), terminated=(), lane=lane
        )
        live.write("a", *range(3, 9))
        with live.host():
            live.walk()
            sent = live.count("sent")
            wait_until(lambda: live.count("sent") > sent, "delivery")
    with live.worker():
        wait_until(lambda: live.status().routes[0].counts["waiting"] == 0, "all is delivered")
    versions = live.fetch(
        "select (payload -> 'data' ->> 'version_seq')::int from public.event_outbox"
        " where subject = 'a' order by id"
    )
    assert [v for (v,) in versions] == list(range(2, 9))
    assert live.status().routes[0].mode == "live"


def test_route_that_is_stopped_while_dry_is_back_by_advance(make_stage: MakeStage) -> None:
    """
    P5, T28: a stop of a route that never was live does not hold up the gates for ever.
    """
    stage = make_stage(State.DRY)
    result = disable.disable(stage.settings, route=ROUTE)
    assert result.lane == "already at runtime@080"
    assert {r.mode for r in stage.status().routes} == {"hold"}

    report = stage.advance().reports[0]

    assert f"lifted the stop of {ROUTE}, which is dry now" in report.did
    assert {r.mode for r in stage.status().routes} == {"dry"}


def test_disable_while_advance_holds_the_walk(live: Stage) -> None:
    """
    P5: `disable` takes no lock of a walk: it answers while one is at work.
    """
    with psycopg.connect(live.database.conninfo, autocommit=True) as walk:
        walk.execute("select pg_advisory_lock(18773005, 0)")
        with in_background(disable.disable, live.settings) as answer:
            assert answer.result(timeout=20).drained


def test_unknown_route_does_nothing(live: Stage) -> None:
    """
    A route that there is not is refused, named beside those that there are, and nothing stops.
    """
    with pytest.raises(UsageError, match='no route "nowhere"') as raised:
        disable.disable(live.settings, route="nowhere")
    assert ROUTE in (raised.value.wanted or "")
    assert live.status().stops == ()


def test_disable_without_an_installation(make_stage: MakeStage) -> None:
    """
    There is nothing to turn off: exit 3, and nothing is written.
    """
    stage = make_stage()
    with pytest.raises(GateError, match="not installed"):
        disable.disable(stage.settings)
    assert stage.fetch_value("select to_regnamespace('iu_gates') is null")


def test_stop_is_in_the_ledger(live: Stage) -> None:
    """
    T26: the stop is folded into the ledger after the answer, with who and why.
    """
    disable.disable(live.settings, reason="because")
    entry = live.fetch("select facts from iu_gates.ledger where kind = 'stop'")[-1][0]
    assert (entry["reason"], entry["stopped_by"]) == ("because", "postgres")
