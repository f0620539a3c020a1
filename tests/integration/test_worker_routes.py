"""Which routes have something to do: none is passed over, looking is cheap (P1, P12, T20)."""

from __future__ import annotations

import random
from contextlib import ExitStack

import psycopg
import pytest

from iu_gates import db, worker
from iu_gates.ending import Ending
from iu_gates.errors import RefusedError
from iu_gates.model import Batch
from iu_gates.worker import loop
from iu_gates.worker.bell import Bell
from iu_gates.worker.crew import Crew
from tests.support.play import MakeStage, Stage
from tests.support.walk import SITE_KEY, State

WRITE = (
    "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
    " select s.system_identifier, %s, %s, %s, '{}' from pg_control_system() as s"
)
TYPES = ("a", "b", "c")
SEEDS = range(12)


def add_routes(stage: Stage, types: dict[str, str]) -> None:
    """Add dry routes of these event types, which begin with the first event."""
    for route, event_type in types.items():
        stage.conn.execute(
            "insert into iu_core.iu_outbound_route"
            " (route_name, event_type, target_kind, target_ref, enabled)"
            " values (%s, %s, 'notify', 'somewhere', true)",
            (route, event_type),
        )
    stage.conn.execute(
        "insert into iu_core.iu_route_cursor"
        " (route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq)"
        " select r.route_name, 'delivery', s.system_identifier, 0, '3:3:', '3', 0"
        " from pg_control_system() as s, iu_core.iu_outbound_route as r"
        " where r.route_name = any (%s)",
        (list(types),),
    )


def make_crew(stage: Stage, said: list[Batch] | None = None) -> Crew:
    """Return what loops on connections of this test share."""
    return Crew(
        stage.settings,
        key=SITE_KEY,
        limit=3,
        is_once=False,
        max_seconds=None,
        on_batch=(said if said is not None else []).append,
        on_notice=lambda _: None,
        stop=Ending(),
    )


def play(
    rng: random.Random, stage: Stage, loops: list[loop.Loop], writers: list[psycopg.Connection]
) -> None:
    """Write, commit, roll back and work in a random order."""
    number = 0
    for _ in range(60):
        writer = rng.choice(writers)
        match rng.choice(
            ["write"] * 5 + ["commit", "commit", "rollback", "savepoint"] + ["work"] * 4
        ):
            case "write":
                number += 1
                writer.execute(WRITE, (rng.choice(TYPES), f"s{number % 4}", number))
            case "commit":
                writer.commit()
            case "rollback":
                writer.rollback()
            case "savepoint":
                number += 1
                writer.execute("savepoint s")
                writer.execute(WRITE, (rng.choice(TYPES), "sub", number))
                writer.execute(rng.choice(["rollback to s", "release s"]))
            case _:
                looper = rng.choice(loops)
                looper.round(full=rng.random() < 0.1, look=rng.random() < 0.7)
    for writer in writers:
        writer.commit()


def settle(rng: random.Random, looper: loop.Loop, *, full: bool) -> None:
    """Work until nothing is left, by quick looks alone or by full ones."""
    del rng
    quiet = 0
    while quiet < 3:
        quiet = 0 if any(b.events for b in looper.round(full=full)) else quiet + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_no_route_is_passed_over(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """
    P1: whatever the order of commits, each event is attempted once on each route of its type.

    Two loops work routes of three types, warm or by looks, and of types that never come, which are
    sifted often; at the end one of them settles by quick looks alone (even seeds) or by full ones.
    """
    monkeypatch.setattr(loop, "FAR", 2)
    monkeypatch.setattr(loop, "FEW", 1)
    monkeypatch.setattr(loop, "STANDBY_SECONDS", 0)
    rng = random.Random(seed)
    stage = make_stage(State.DRY)
    add_routes(stage, {f"r.{t}{n}": t for t in TYPES for n in (1, 2)})
    add_routes(stage, {f"never.{n}": f"never{n}" for n in range(4)})
    with ExitStack() as stack:
        crew = make_crew(stage)
        conns = [stack.enter_context(db.connect(stage.settings, "test")) for _ in range(2)]
        # With a bell a route that moves is kept warm: worked without a look.
        bells = [Bell(conn, stage.settings, crew.stop) for conn in conns]
        loops = [loop.Loop(crew, conn, bells[n], n) for n, conn in enumerate(conns)]
        writers = [stack.enter_context(psycopg.connect(stage.database.conninfo)) for _ in range(3)]
        play(rng, stage, loops, writers)
        settle(rng, loops[0], full=seed % 2 == 1)
        if seed % 2 == 0:
            settle(rng, loops[1], full=False)
    missed = stage.fetch(
        "select r.route_name, e.event_id, count(a.attempt_id)"
        " from iu_core.iu_outbound_route as r join iu_core.iu_event as e using (event_type)"
        " left join iu_core.iu_route_attempt as a using (route_name, event_id)"
        " group by 1, 2 having count(a.attempt_id) <> 1"
    )
    assert missed == []
    assert stage.count() == 2 * stage.fetch_value("select count(*) from iu_core.iu_event")


def test_routes_of_other_types_cost_nothing_but_a_sift(make_stage: MakeStage) -> None:
    """
    T20, P12: 200 routes of which 3 match.

    A quick look reads a few pages; the 197 others are brought forward by one transaction, after
    which even a full look reads no event again.
    """
    stage = make_stage(State.DRY)
    add_routes(stage, {f"match.{n}": "a" for n in range(3)})
    add_routes(stage, {f"other.{n}": f"other{n}" for n in range(197)})
    stage.conn.execute(
        "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
        " select s.system_identifier, 'a', 's' || n, n, '{}'"
        " from pg_control_system() as s, generate_series(1, 3000) as n"
    )
    crew = make_crew(stage)
    crew.limit = 1000
    with db.connect(stage.settings, "test") as conn:
        looper = loop.Loop(crew, conn)
        looper.round(full=True)
        settle(random.Random(), looper, full=True)

        assert stage.count("dry_run") == 3 * 3000
        behind = stage.fetch_value(
            "select count(distinct c.old_seq) from iu_core.iu_outbound_route as r"
            " cross join lateral (select old_seq from iu_core.iu_route_cursor as c"
            " where c.route_name = r.route_name order by cursor_no desc limit 1) as c"
        )
        assert behind == 1
        before = stage.fetch_value("select count(*) from iu_core.iu_route_cursor")
        stage.conn.execute(WRITE, ("a", "one more", 1))
        assert len(looper.round(full=False)) == 3
        assert looper.round(full=False)[0].state == "idle"
        assert looper.round(full=False) == []
        assert stage.fetch_value("select count(*) from iu_core.iu_route_cursor") == before + 3
    seen = stage.fetch_value("select pg_current_snapshot()::text")
    look = f"select * from iu_core.fn_iu_routes_due('{seen}', 1000)"
    stage.fetch(look)  # the first time it reads the catalog
    ((plan,),) = stage.fetch(f"explain (analyze, buffers, format json) {look}")
    assert plan[0]["Plan"]["Shared Hit Blocks"] < 30


def test_events_of_others_that_keep_coming_call_no_route(make_stage: MakeStage) -> None:
    """
    T20: while events come without a pause, routes of other types are not worked for each of them.
    """
    stage = make_stage(State.DRY)
    add_routes(stage, {"r": "a"})
    add_routes(stage, {f"never.{n}": f"never{n}" for n in range(10)})
    worked = []
    with db.connect(stage.settings, "test") as conn:
        crew = make_crew(stage)
        looper = loop.Loop(crew, conn, Bell(conn, stage.settings, crew.stop))
        for number in range(20):
            stage.conn.execute(WRITE, ("a", "unit", number))
            worked += looper.round(full=number == 0)
    assert sum(b.events for b in worked if b.route == "r") == 20
    # At the start each is asked, and once more, since that may have ended an older window.
    assert sum(b.route.startswith("never") for b in worked) == 2 * 10


def test_one_route_that_fails_does_not_stop_the_others(make_stage: MakeStage) -> None:
    """
    A route whose cursor is of another cluster is refused alone: `once` works the others first.

    Then it raises that error, which makes its exit code.
    """
    stage = make_stage(State.LIVE)
    add_routes(stage, {"a.foreign": "iu.version_applied"})
    stage.conn.execute(
        "update iu_core.iu_route_cursor set cluster_id = 1 where route_name = 'a.foreign'"
    )
    stage.write("unit", 1, 2)
    said: list[Batch] = []
    notices: list[str] = []
    with pytest.raises(RefusedError, match="belongs to cluster") as raised:
        worker.run(stage.settings, once=True, on_batch=said.append, on_notice=notices.append)
    assert raised.value.exit_code == 4
    assert stage.count("sent") == 1
    assert "failed (IUG41)" in {b.state for b in said}
    assert "failed (IUG41)" in stage.status().workers[0].state
    assert len(notices) == 1
