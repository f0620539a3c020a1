"""The guard in the database: lane order is not gate order (T30), and old passes lapse (T31)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from psycopg import errors

from tests.support.command import make_config, take_picture
from tests.support.engine import Engine, MakeEngine
from tests.support.walk import GATES, ROOT, ROUTE, State, pass_gates, walk_to

REQUIRED = {
    "080": GATES[:4],
    "090": GATES[:5],
    "100": GATES[:6],
    "081": GATES[:10],
    "082": GATES[:11],
}
"""Gates stand in their order, so what a revision needs is a beginning of it."""
STATES = {
    "080": (State.SUBSTRATE, "runtime@080"),
    "090": (State.DRY, "substrate@090"),
    "100": (State.SEAM, "substrate@100"),
    "081": (State.RELAXED, "runtime@081"),
    "082": (State.CANARY, "runtime@082"),
}


def set_verdict(engine: Engine, gate: str, outcome: str = "pass", **facts: Any) -> None:
    """Write a verdict into the ledger."""
    text = json.dumps({"outcome": outcome, "facts": {"snapshot_seq": 10**6}, **facts})
    engine.conn.execute("select iu_gates.fn_ledger_append('verdict', %s, %s::jsonb)", [gate, text])


def list_findings(engine: Engine, revision: str) -> list[str]:
    """Return what the guard has against a revision."""
    return list(engine.fetch_value("select iu_gates.fn_guard_findings(%s)", revision))


def require_refused(engine: Engine, revision: str, reason: str) -> None:
    """Assert that neither Alembic nor the step applies the revision, and that nothing changed."""
    before = take_picture(engine.database.conninfo)
    with pytest.raises(
        Exception, match=r"is refused by the guard|are not as they were left"
    ) as refused:
        command.upgrade(make_config(engine.database.conninfo), STATES[revision][1])
    assert reason in str(refused.value)
    with pytest.raises(errors.DatabaseError) as raised:
        engine.conn.execute("select iu_gates.fn_guard(%s)", [revision])
    assert raised.value.sqlstate == "IUG20"
    assert reason in (raised.value.diag.message_detail or "")
    assert before.diff(take_picture(engine.database.conninfo)) == []


@pytest.mark.parametrize("revision", REQUIRED)
def test_each_revision_asks_the_guard_first(revision: str) -> None:
    """
    T30: from 080 on, the first statement of the step is the guard's, before any barrier.
    """
    (folder,) = (ROOT / "migrations" / "versions").glob(f"{revision}_*/up")
    first = min(folder.glob("*.sql")).read_text("utf-8")
    assert first.startswith(f"select iu_gates.fn_guard('{revision}');")


@pytest.mark.parametrize("revision", REQUIRED)
def test_each_revision_needs_these_gates(make_engine: MakeEngine, revision: str) -> None:
    """
    T30: the list is fixed; each gate on it is asked for, and no other.
    """
    engine = make_engine(STATES[revision][0])
    pass_gates(engine.database.conninfo)
    assert list_findings(engine, revision) == []
    for gate in GATES:
        set_verdict(engine, gate, "fail")
        found = (
            [] if gate not in REQUIRED[revision] else [f'gate "{gate}": the last verdict is "fail"']
        )
        assert list_findings(engine, revision) == found, gate
        set_verdict(engine, gate)


@pytest.mark.parametrize("revision", REQUIRED)
def test_without_a_verdict_the_walk_is_refused(make_engine: MakeEngine, revision: str) -> None:
    """
    T30: whatever else has passed, one gate that failed last keeps the revision away.
    """
    engine = make_engine(STATES[revision][0])
    pass_gates(engine.database.conninfo)
    set_verdict(engine, "invocation", "fail")
    require_refused(engine, revision, 'gate "invocation": the last verdict is "fail"')


def void(engine: Engine) -> None:
    """Take the verdict out of force, as a rollback does."""
    engine.conn.execute("select iu_gates.fn_void(array['host'], 'a test')")


def expire(engine: Engine) -> None:
    """Let the newest verdict be one that is too old."""
    set_verdict(engine, "host", expires_at="2001-01-01T00:00:00Z")


def redefine(engine: Engine) -> None:
    """Define the route otherwise after a verdict that speaks of it."""
    query = "select iu_gates.fn_route_definition_hash(%s)"
    set_verdict(engine, "host", route=ROUTE, definition_hash=engine.fetch_value(query, ROUTE))
    assert list_findings(engine, "100") == []
    engine.conn.execute("update iu_core.iu_outbound_route set on_dead_letter = 'hold'")


def lose_route(engine: Engine) -> None:
    """Let a verdict speak of a route that is not there."""
    set_verdict(engine, "host", route="gone", definition_hash="0" * 64)


def drift(engine: Engine) -> None:
    """Change an object of ours by hand."""
    engine.conn.execute("alter function iu_core.fn_iu_route_mode(text) cost 7")


def add(engine: Engine) -> None:
    """Add a trigger of somebody else's to a table of ours."""
    engine.conn.execute(
        "create trigger theirs before insert on iu_core.iu_event"
        " for each row execute function suppress_redundant_updates_trigger()"
    )


def leave_out(engine: Engine) -> None:
    """Write a verdict without an outcome."""
    engine.conn.execute("select iu_gates.fn_ledger_append('verdict', 'host', '{}')")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (void, "voided by ledger entry"),
        (expire, "was too old after 2001-01-01"),
        (redefine, "the route is defined otherwise now"),
        (lose_route, "the route is defined otherwise now"),
        (drift, "function iu_core.fn_iu_route_mode(text) is changed"),
        (add, "table iu_core.iu_event: trigger theirs is added"),
        (leave_out, 'the last verdict is "unknown"'),
    ],
)
def test_verdict_that_has_lapsed_does_not_count(
    make_engine: MakeEngine, spoil: Callable[[Engine], None], reason: str
) -> None:
    """
    T31: voided, too old, of another definition, or of a catalog that has changed since.
    """
    engine = make_engine(State.SEAM)
    pass_gates(engine.database.conninfo)
    assert list_findings(engine, "100") == []

    spoil(engine)

    require_refused(engine, "100", reason)


def test_newer_verdict_stands_again(make_engine: MakeEngine) -> None:
    """
    T31: what was voided counts again once the gate was judged again.
    """
    engine = make_engine(State.SEAM)
    pass_gates(engine.database.conninfo)
    void(engine)
    assert list_findings(engine, "100") != []
    set_verdict(engine, "host")
    assert list_findings(engine, "100") == []


def test_rollback_voids_what_it_takes_back(make_engine: MakeEngine) -> None:
    """
    T31: after 100 is taken back, what was proven with it is not proven any more.
    """
    engine = make_engine(State.RELAXED)
    pass_gates(engine.database.conninfo)
    command.downgrade(make_config(engine.database.conninfo), "090")
    query = "select iu_gates.fn_not_in_force(%s)"
    for gate in ("check_relaxed", "approval", "canary", "live"):
        assert "substrate/100 was taken back" in engine.fetch_value(query, gate)
    assert engine.fetch_value(query, "host") is None


def stale(engine: Engine, gate: str | None) -> str | None:
    """Return why the backup does not hold all that it has to."""
    found: str | None = engine.fetch_value("select iu_gates.fn_backup_stale(%s)", gate)
    return found


def record_step(engine: Engine, direction: str, gate: str) -> None:
    """Write a lane step of a gate (or of plain Alembic: "") into the ledger, and nothing else."""
    with engine.conn.transaction():
        engine.conn.execute("select set_config('iu_gates.walk', %s, true)", [gate])
        engine.conn.execute("select iu_gates.fn_record_step('090', %s)", [direction])


def test_backup_has_to_be_newer_than_the_steps_of_other_gates(make_engine: MakeEngine) -> None:
    """
    T39: it serves all steps of its own gate, also when resumed, and no others.
    """
    engine = make_engine(State.DRY)
    pass_gates(engine.database.conninfo)
    assert stale(engine, "seam") is None
    record_step(engine, "up", "seam")
    assert stale(engine, "seam") is None
    assert stale(engine, "check_relaxed") == "step up 090 came after its snapshot"
    assert stale(engine, None) == "step up 090 came after its snapshot"
    pass_gates(engine.database.conninfo)
    record_step(engine, "down", "seam")
    assert stale(engine, "seam") == "step down 090 came after its snapshot"
    pass_gates(engine.database.conninfo)
    record_step(engine, "up", "")
    assert stale(engine, None) == "step up 090 came after its snapshot"
    set_verdict(engine, "backup", facts={})
    assert stale(engine, "seam") == "it is not known which steps the newest one holds"


@pytest.mark.parametrize("revision", ["090", "100"])
def test_step_that_changes_the_schema_needs_a_new_backup(
    make_engine: MakeEngine, revision: str
) -> None:
    """
    T39: with every verdict in force, a step since the backup's snapshot keeps the next one away.
    """
    engine = make_engine(STATES[revision][0])
    pass_gates(engine.database.conninfo)
    record_step(engine, "up", "substrate")
    require_refused(engine, revision, 'gate "backup": step up 090 came after its snapshot')
    assert list_findings(engine, "081" if revision == "100" else "080") == []


def test_plain_walk_over_two_gates_is_refused_before_its_first_step(
    make_engine: MakeEngine,
) -> None:
    """
    T32, T39: one backup cannot stand behind 090 and 100: the path says so before 090 is applied.
    """
    engine = make_engine(State.DRY)
    pass_gates(engine.database.conninfo)
    before = take_picture(engine.database.conninfo)
    with pytest.raises(Exception, match="revision 100 is refused") as refused:
        command.upgrade(make_config(engine.database.conninfo), "substrate@100")
    assert "step 090 of this walk would come after it" in str(refused.value)
    assert before.diff(take_picture(engine.database.conninfo)) == []


def stop(engine: Engine, kind: str = "disable") -> int:
    """Write a stop of the gate; return its epoch."""
    return int(engine.fetch_value("select iu_gates.fn_stop(null, %s, 'fire')", kind))


@pytest.mark.parametrize("revision", REQUIRED)
def test_stop_that_came_during_the_walk_ends_it(make_engine: MakeEngine, revision: str) -> None:
    """
    T27: a step compares the stops in force with those the walk began with, and goes no further.
    """
    state, target = STATES[revision]
    engine = make_engine(state)
    pass_gates(engine.database.conninfo)
    epoch = stop(engine)
    before = take_picture(engine.database.conninfo)
    config = make_config(engine.database.conninfo, options={"iu_gates.stops_seen": "{}"})

    with pytest.raises(Exception, match='stopped by "postgres"') as refused:
        command.upgrade(config, target)

    assert getattr(getattr(refused.value, "orig", refused.value), "sqlstate", "") == "IUG38"
    assert before.diff(take_picture(engine.database.conninfo)) == []
    assert engine.fetch_value("select iu_gates.fn_stops_in_force()") == [epoch]


def test_stop_that_the_walk_has_seen_is_lifted_by_the_gate(make_engine: MakeEngine) -> None:
    """
    T27, T28: the way back on is the walk: the stop that it saw is lifted, the newer one is not.
    """
    engine = make_engine(State.SUBSTRATE)
    seen = stop(engine)
    walk_to(engine.database.conninfo, "runtime@080")
    assert engine.fetch_value("select iu_gates.fn_stops_in_force()") == []
    assert engine.fetch("select epoch from iu_gates.stop where lifted_by = 'postgres'") == [(seen,)]

    newer = stop(engine)
    with pytest.raises(errors.DatabaseError) as refused:
        engine.conn.execute("select iu_core.fn_iu_gate_set('true')")
    assert refused.value.sqlstate == "IUG38"
    assert engine.fetch_value("select iu_gates.fn_stops_in_force()") == [newer]


def test_drill_does_not_end_a_walk(make_engine: MakeEngine) -> None:
    """
    A drill's own stop holds the worker, not the walk that runs the drill.
    """
    engine = make_engine(State.DRY)
    stop(engine, "drill")
    walk_to(engine.database.conninfo, "substrate@090", options={"iu_gates.stops_seen": "{}"})
    assert engine.fetch_value("select cardinality(iu_gates.fn_stops_in_force())") == 1
