"""`kill -9` of `advance` anywhere, and two of them at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from typing import Final

import psycopg
import pytest

from iu_gates.model import GATES
from tests.acceptance.newcomer import Newcomer
from tests.acceptance.site import VERSION, Site
from tests.support.cli import SECONDS, poll
from tests.support.failures import assert_as_told

TORTURE: Final = "IU_GATES_TORTURE"
KILLS: Final = int(os.environ.get(TORTURE, "3"))
SEED: Final = "IU_GATES_SEED"
VERDICTS_TWICE: Final = """
    select count(*) from (
        select subject from iu_gates.ledger
        where kind = 'verdict' and facts ->> 'outcome' in ('pass', 'waived')
        group by subject having count(*) > 1) as twice
"""


@pytest.mark.long
def test_advance_goes_on_after_kill(site: Site) -> None:
    """
    P8: killed in any gate, at any moment, `advance` goes on from there, with an intact ledger.
    """
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))
    print(f"{SEED}={seed} {TORTURE}={KILLS} repeats this")  # noqa: T201  pytest shows it
    chance = random.Random(seed)
    newcomer = Newcomer(site, settled=True)
    killed = 0
    began = time.monotonic()
    site.run("status").expect(0)
    start_up = time.monotonic() - began
    for gate in _choose_gates(chance):
        _reach(newcomer, gate)
        # No sooner than a command can have connected; a gate takes a few times as long.
        killed += _kill_advance(site, chance.uniform(start_up / 2, start_up * 4))
    assert killed, "no advance was still at work when its time had come"
    newcomer.advance()
    site.run("ledger", "verify").expect(0)
    site.run("audit").expect(0)
    stops = "select count(*) from iu_gates.stop where kind = 'drill' and lifted_at is null"
    assert site.fetch_value(stops) == 0


def _choose_gates(chance: random.Random) -> list[str]:
    """Return the gates to kill in, in their order; each once before any of them twice."""
    chosen: list[str] = []
    while len(chosen) < KILLS:
        chosen += chance.sample(GATES, min(len(GATES), KILLS - len(chosen)))
    return sorted(chosen, key=GATES.index)


def _reach(newcomer: Newcomer, gate: str) -> None:
    """Walk on until a gate is next; one that was passed while it was to be killed is no fault."""
    before = GATES.index(gate)
    if before:
        newcomer.advance("--to", GATES[before - 1])


def _kill_advance(site: Site, seconds: float) -> bool:
    """Start `advance`, end it by SIGKILL after so long; return False if it ended before."""
    process = site.start_quietly("advance")
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_second_advance_names_the_first(site: Site) -> None:
    """
    Two `advance` at once: one works, the other ends with exit code 6 and names the holder.
    """
    site.configure()
    site.run("advance", "--to", "backup").expect(0)
    with psycopg.connect(site.database.conninfo_as(site.host)) as host:
        unit = host.execute("insert into cms.document (title) values ('x') returning id").fetchone()
        assert unit
        host.execute(VERSION, {"id": unit[0]})
        first = site.start("advance")
        poll(lambda: _has_walk_lock(site), "the first advance walks")
        second = site.run("advance").expect(6)
        assert first.stderr is not None
        is_told = any("waits for a lock" in line for line in first.stderr)
        host.rollback()
    out, err = first.communicate(timeout=SECONDS)
    assert first.returncode == 0, out + err
    assert_as_told("another walk at work", second)
    assert f"login {site.operator}" in second.err
    assert "pid " in second.err
    assert second.next_command == "iu-gates advance"
    assert is_told, "the step names who blocks it"
    assert site.list_heads() == ["060"]


@pytest.mark.long
def test_crowd_from_nothing(site: Site) -> None:
    """
    Three `advance` at once on a database with nothing in it: each works or is refused, none fails.
    """
    site.configure()
    crowd = [site.start("advance", "--to", "substrate") for _ in range(3)]
    said = [process.communicate(timeout=SECONDS) for process in crowd]
    codes = [process.returncode for process in crowd]
    assert set(codes) <= {0, 6}, said
    assert 0 in codes
    site.run("ledger", "verify").expect(0)
    assert site.list_heads() == ["060"]
    assert site.fetch_value(VERDICTS_TWICE) == 0


def _has_walk_lock(site: Site) -> bool:
    query = """
        select exists (
            select from pg_locks as l
            join pg_database as d on d.oid = l.database and d.datname = current_database()
            where l.locktype = 'advisory' and l.granted and l.classid = 18773005)
    """
    return bool(site.fetch_value(query))
