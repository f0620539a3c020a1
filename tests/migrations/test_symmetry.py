"""P11: every step down gives back what was before its step up."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from alembic import command

from iu_gates import audit
from iu_gates.config import Settings
from iu_gates.symmetry import row_digests
from tests.support.command import bootstrap, make_config, take_catalog, take_picture
from tests.support.databases import Database
from tests.support.engine import Engine, Event, MakeEngine, drain, write
from tests.support.walk import State, walk_down, walk_to

STEPS = (
    ("substrate@008", "base"),
    ("substrate@009", "008"),
    ("substrate@060", "009"),
    ("runtime@080", "runtime@base"),
    ("substrate@090", "060"),
    ("substrate@100", "090"),
    ("runtime@081", "runtime@080"),
    ("runtime@082", "runtime@081"),
)
"""Each step, in the order of the gates, and the target that takes it back."""
HISTORY = (
    "iu_event",
    "iu_route_attempt",
    "iu_route_dead_letter",
    "iu_route_redrive",
    "iu_route_parked",
    "iu_route_cursor",
)


def fetch_switches(conninfo: str) -> Any:
    """Return the gate, and of the route: enabled, dry, live without a quota, its definition."""
    with psycopg.connect(conninfo) as conn:
        if conn.execute("select to_regclass('iu_core.iu_runtime_gate')").fetchone() == (None,):
            return None
        return conn.execute(
            "select (select gate_value from iu_core.iu_runtime_gate),"
            " (select jsonb_build_array(enabled, dry_run, not dry_run and quota is null,"
            "                           definition_hash) from iu_core.iu_outbound_route)"
        ).fetchone()


@pytest.mark.long
@pytest.mark.long_on_each_major
def test_each_step_down_restores_what_was_before_its_step_up(host_database: Database) -> None:
    """
    P11: catalog and switches are the same after up and down, and the same after a second up.
    """
    conninfo = host_database.conninfo
    bootstrap(conninfo, scratch=True)
    config = make_config(conninfo)
    for up, down in STEPS:
        before, switches = take_catalog(conninfo), fetch_switches(conninfo)
        command.upgrade(config, up)
        after = take_catalog(conninfo), fetch_switches(conninfo)
        assert after != (before, switches), f"{up} does nothing"

        command.downgrade(config, down)

        assert before.diff(take_catalog(conninfo)) == [], f"{up}, then {down}"
        assert fetch_switches(conninfo) == switches, f"{up}, then {down}"
        command.upgrade(config, up)
        assert after[0].diff(take_catalog(conninfo)) == [], f"{up}, {down}, {up}"
        assert fetch_switches(conninfo) == after[1], f"{up}, {down}, {up}"


@pytest.mark.every_major
def test_whole_walk_restores_catalog_and_rows(host_database: Database) -> None:
    """
    P11: to the heads and back to base nothing is left, in the catalog and in the tables.

    And the walk can be gone again, with the same end.
    """
    conninfo = host_database.conninfo
    bootstrap(conninfo, scratch=True)
    config = make_config(conninfo)
    base = take_picture(conninfo, without=["iu_gates"])
    command.upgrade(config, "heads")
    heads = take_catalog(conninfo)

    command.downgrade(config, "base")

    assert base.diff(take_picture(conninfo, without=["iu_gates"])) == []
    command.upgrade(config, "heads")
    assert heads.diff(take_catalog(conninfo)) == []


def test_rows_of_060_go_with_it_when_there_is_no_history(host_database: Database) -> None:
    """
    P11: 060 without history takes back the gate's row, the route's and the cursor's.
    """
    conninfo = host_database.conninfo
    walk_to(conninfo, "substrate@009")
    before = take_picture(conninfo, without=["iu_gates"])
    walk_to(conninfo, "substrate@060")
    changed = before.diff(take_picture(conninfo, without=["iu_gates"]))
    assert "rows of iu_core.iu_runtime_gate" in changed
    assert "rows of iu_core.iu_outbound_route" in changed

    walk_down(conninfo, "009")

    assert before.diff(take_picture(conninfo, without=["iu_gates"])) == []


@pytest.fixture
def lived(make_engine: MakeEngine) -> Engine:
    """Give a live database with history: dry attempts, deliveries, a dead letter, one waiting."""
    engine = make_engine(State.DRY)
    write(engine.conn, "dry", 1, 2, 3)
    drain(engine.conn)
    walk_to(engine.database.conninfo, "substrate@090", "substrate@100", "runtime@081")
    walk_to(engine.database.conninfo, "runtime@082")
    engine.conn.execute(
        "alter table public.event_outbox add constraint no_poison check (subject <> 'poison')"
    )
    engine.set_policy(max_tries=1)
    write(engine.conn, "live", 1, 2, 3)
    write(engine.conn, "poison", 2)
    drain(engine.conn)
    write(engine.conn, "waiting", 2)
    assert engine.list_dead() == [(Event("poison", 2), "data error", "23514")]
    return engine


def digest_history(engine: Engine) -> dict[str, Any]:
    """Return digests of the tables that no rollback may touch."""
    found = row_digests(engine.conn)
    return {name: found[f"iu_core.{name}"] for name in HISTORY}


@pytest.mark.long
@pytest.mark.long_on_each_major
def test_each_step_is_symmetric_with_history_too(lived: Engine) -> None:
    """
    P7, P11: with history, each step from live down to 009 and up again is symmetric too.

    The catalog is as it was at each stage, and not one row of history is touched.
    """
    conninfo, kept = lived.database.conninfo, digest_history(lived)
    catalogs = []
    for _, down in reversed(STEPS[2:]):
        catalogs.append(take_catalog(conninfo))
        walk_down(conninfo, down)
        assert digest_history(lived) == kept, down

    for up, _ in STEPS[2:]:
        walk_to(conninfo, up)
        assert catalogs.pop().diff(take_catalog(conninfo)) == [], up
        assert digest_history(lived) == kept, up


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("target", ["base", "008"])
def test_downgrade_that_would_lose_history_changes_nothing(lived: Engine, target: str) -> None:
    """
    P7, T32: it is refused before the first step of the path, not at 009 half-way.

    It says which table holds history, and which command keeps it.
    """
    before = take_picture(lived.database.conninfo)

    with pytest.raises(Exception, match="refused while history exists") as refused:
        walk_down(lived.database.conninfo, target)

    assert "iu_event holds history" in str(refused.value)
    assert "rollback --to 009" in str(refused.value)
    assert before.diff(take_picture(lived.database.conninfo)) == []


@pytest.mark.parametrize("revision", ["008", "009"])
def test_the_step_itself_refuses_too(lived: Engine, revision: str) -> None:
    """
    P7: whoever runs the SQL of the downgrade by hand gets the same refusal from the database.
    """
    walk_down(lived.database.conninfo, "009")
    with pytest.raises(psycopg.DatabaseError, match="iu_event, iu_route_attempt") as refused:
        lived.conn.execute("select iu_gates.fn_refuse_history(%s)", [revision])
    assert refused.value.sqlstate == "IUG40"


def test_gap_of_060_is_recorded_and_audit_names_it(lived: Engine) -> None:
    """
    T7: what the host wrote while no trigger stood has no event, and that is on record.

    The span says when it was, and audit counts these versions apart, as none that was missed.
    """
    conninfo = lived.database.conninfo
    settings = Settings(database_url=conninfo)
    (before,) = audit.audit(settings)
    assert (before.counts["missed"], before.counts["gap"]) == (0, 0)
    walk_down(conninfo, "009")
    write(lived.conn, "gap", 1, 2, 3, 4)
    walk_to(conninfo, "substrate@060")
    write(lived.conn, "gap", 5)

    (report,) = audit.audit(settings)

    assert (report.counts["missed"], report.counts["gap"]) == (0, 3)
    assert Event("gap", 5) in lived.list_captured()
    assert lived.fetch(
        "select ended_at is not null, began_at < ended_at from iu_gates.capture_span"
        " where ended_at is not null"
    ) == [(True, True)]
    assert (
        lived.fetch_value("select count(*) from iu_gates.capture_span where ended_at is null") == 1
    )
