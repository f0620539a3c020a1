"""
A network that dies (P1, P2, P3, P5, P8): reset, silent, silent one way, and back.

The silence here is one that a kernel still acknowledges, so it is our own bound that ends it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.support.cli import poll
from tests.support.network import network
from tests.support.play import MakeStage, Stage
from tests.support.processes import (
    assert_each_once_and_in_order,
    is_drained,
    read_states,
    run_line,
    running,
)
from tests.support.walk import State, pass_gates

QUICK: Final = {"IU_GATES_NETWORK_WAIT": "0.5 s"}
SILENT: Final = "the connection was lost: no answer comes from the server"
WAITS: Final = f"waits for the server: {SILENT}"
SESSIONS: Final = "select count(*) from pg_stat_activity where datname = current_database() and "
WAITING: Final = f"{SESSIONS} application_name = 'iu-gates worker' and wait_event_type = 'Lock'"
WALKERS: Final = f"{SESSIONS} starts_with(application_name, 'iu-gates advance')"
IN_STEP: Final = f"{WALKERS} and state like '%%in transaction%%'"


def wait_for_more(stage: Stage, more: int, what: str, seconds: float = 20) -> None:
    """Return once so many more were sent."""
    sent = stage.count("sent")
    poll(lambda: stage.count("sent") >= sent + more, what, seconds)


def test_worker_goes_on_after_every_kind_of_death(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    P1, P2, P3, P8: reset, silent, silent towards the client, and back: a lone worker goes on.
    """
    stage = make_stage(State.LIVE)
    with (
        network(stage.database) as (way, url),
        running(stage, tmp_path / "one", "--limit", "3", url=url, **QUICK) as process,
    ):
        with stage.host(pause=0.005):
            wait_for_more(stage, 20, "delivery")
            way.reset()
            wait_for_more(stage, 20, "delivery after a reset", 5)
            for ways in ((), ("down",), ("up",)):
                way.silence(*ways)
                poll(lambda: sum(way.held.values()) > 0, "something is held")
                poll(lambda: WAITS in read_states(tmp_path / "one"), "it gave up", 5)
                way.come_back()
                wait_for_more(stage, 20, f"delivery after silence {ways}", 5)
        assert process.poll() is None
        poll(lambda: is_drained(stage), "all is delivered")
    assert_each_once_and_in_order(stage)


def test_commit_whose_answer_is_lost_is_not_done_again(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    P2: a batch commits while nothing comes back; the next one begins behind it.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", *range(1, 31))
    with (
        psycopg.connect(stage.database.conninfo) as host,
        network(stage.database) as (way, url),
    ):
        host.execute("lock table public.event_outbox in exclusive mode")
        with running(stage, tmp_path / "one", url=url, **QUICK):
            poll(lambda: stage.fetch_value(WAITING) == 1, "a batch waits for the outbox")
            way.silence("down")
            host.rollback()
            poll(lambda: stage.count("sent") == 29, "the batch commits")
            poll(lambda: way.held["down"] > 0, "its answer is lost")
            stage.write("unit", 31)
            poll(lambda: WAITS in read_states(tmp_path / "one"), "it gave the connection up", 5)
            assert stage.count("sent") == 29
            way.come_back()
            poll(lambda: is_drained(stage), "it goes on behind", 5)
    assert_each_once_and_in_order(stage)


def test_standby_takes_over_from_a_silent_worker(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    P2, P8: behind a dead network a worker holds no lock; another goes on at once, and in order.
    """
    stage = make_stage(State.LIVE)
    with (
        network(stage.database) as (way, url),
        running(stage, tmp_path / "one", "--limit", "3", url=url, **QUICK),
        stage.host(pause=0.005),
    ):
        wait_for_more(stage, 5, "delivery")
        with running(stage, tmp_path / "two", "--limit", "3"):
            poll(lambda: "standby" in read_states(tmp_path / "two"), "the other stands by")
            way.silence()
            poll(lambda: sum(way.held.values()) > 0, "something is held")
            wait_for_more(stage, 20, "the other goes on", 3)
            poll(lambda: WAITS in read_states(tmp_path / "one"), "the first gave up", 5)
            way.come_back()
            wait_for_more(stage, 20, "both go on", 5)
    with stage.worker():
        poll(lambda: is_drained(stage), "all is delivered")
    assert_each_once_and_in_order(stage)


@pytest.mark.parametrize(
    ("mark", "is_off"),
    [
        (b"fn_stop(", False),
        pytest.param(b"fn_take_barrier", True, marks=pytest.mark.long),
    ],
)
def test_disable_in_a_silent_network_ends_and_says_what_to_do(
    make_stage: MakeStage, tmp_path: Path, mark: bytes, *, is_off: bool
) -> None:
    """
    P5: exit 5 within its bound, nothing claimed; the same command then says "off and drained".
    """
    stage = make_stage(State.LIVE)
    with network(stage.database) as (way, url):
        way.silence_at(mark)
        began = time.monotonic()
        answer = run_line(stage, tmp_path, "disable", url=url, **QUICK).expect(5)
        assert time.monotonic() - began < 10
        assert f"IUG-054 {SILENT}" in answer.err
        assert "take it that deliveries go on" in answer.err
        assert answer.next_command == "iu-gates disable"
        assert "drained" not in answer.out
        assert (stage.fetch_value("select count(*) from iu_gates.stop") == 1) is is_off
        way.come_back()
        answer = run_line(stage, tmp_path, "disable", url=url)
    assert "off and drained" in answer.expect(0).out


@pytest.mark.long
def test_advance_whose_step_goes_silent_ends_and_goes_on(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    P8: exit 5, the step undone by the server within the bound; the same command applies it.
    """
    stage = make_stage(State.DRY)
    pass_gates(stage.database.conninfo)
    stage.conn.execute("select iu_gates.fn_void(array['seam'], 'a test')")
    with network(stage.database) as (way, url):
        way.silence_at(b"select iu_gates.fn_record_step")
        line = ("advance", "--to", "seam")
        answer = run_line(stage, tmp_path, *line, url=url, **QUICK).expect(5)
        assert f"IUG-054 {SILENT}" in answer.err
        assert answer.next_command == "iu-gates advance --to seam"
        assert stage.list_revisions()[-1] != "090"
        poll(lambda: stage.fetch_value(IN_STEP) == 0, "the server has undone the step", 5)
        way.come_back()
        poll(lambda: stage.fetch_value(WALKERS) == 0, "the sessions of the first have ended", 5)
        answer = run_line(stage, tmp_path, *line, url=url)
    assert "applied substrate/090" in answer.out
    assert "090" in stage.list_revisions()
