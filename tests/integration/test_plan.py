"""`plan`: what each step ahead would do, lock and wait for; nothing is changed by looking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from iu_gates import ledger, plan
from iu_gates.model import Plan
from tests.support.cli import run_command
from tests.support.databases import Servers
from tests.support.engine import GATE_KEY, wait_until
from tests.support.play import INSERT, MakeStage, Stage
from tests.support.walk import State

LAST_XID = "select pg_snapshot_xmax(pg_current_snapshot())::text"
AUTOVACUUM = "select count(*) from pg_stat_activity where backend_type like 'autovacuum%'"


def lines(ahead: Plan) -> dict[str, list[str]]:
    """Return, for each step, its locks and what it waits for."""
    return {
        s.revision: [
            *s.locks,
            *(["batches"] if s.holds_batches else []),
            *(["backup"] if s.needs_backup else []),
            *(["rewrites"] if s.rewrites else []),
        ]
        for s in ahead.steps
    }


def test_locks_barrier_and_backup_of_each_step(make_stage: MakeStage) -> None:
    """
    T38, T39: before anything is there, the whole way with its locks; a backup a gate, not a step.
    """
    ahead = plan.make_plan(make_stage().settings)
    assert lines(ahead) == {
        "008": ["backup"],
        "009": ["SHARE ROW EXCLUSIVE on iu_core.iu_outbound_route"],
        "060": ["SHARE ROW EXCLUSIVE on public.unit_version"],
        "080": [],
        "090": ["batches", "backup"],
        "100": [
            "ACCESS EXCLUSIVE on iu_core.iu_outbound_route",
            "SHARE ROW EXCLUSIVE on iu_gates.approval",
            "batches",
            "backup",
        ],
        "081": ["batches"],
        "082": [],
    }
    assert 'on "public"."unit_version"' in ahead.steps[2].sql
    assert ahead.digest is None


def test_who_would_hold_a_step_up_now_is_shown(make_stage: MakeStage) -> None:
    """
    T38: an open writer of the host, and a batch in hand, stand at the steps that wait for them.
    """
    stage = make_stage()
    with closing(psycopg.connect(stage.database.conninfo, application_name="import")) as writer:
        writer.execute(INSERT, ("u", 1))
        pid = writer.info.backend_pid
        steps = {s.revision: s.blockers for s in plan.make_plan(stage.settings).steps}
    assert f"pid {pid}, login postgres, import" in steps["060"][0]
    assert [r for r, blockers in steps.items() if blockers] == ["060"]

    dry = make_stage(State.DRY)
    with closing(psycopg.connect(dry.database.conninfo)) as batch:
        batch.execute(f"select pg_advisory_xact_lock_shared({GATE_KEY}, 0)")
        steps = {s.revision: s.blockers for s in plan.make_plan(dry.settings).steps}
    assert [r for r, blockers in steps.items() if blockers] == ["090", "100", "081"]


def test_what_each_kind_of_backup_restores_is_said(make_stage: MakeStage) -> None:
    """
    A full one takes everybody's writes back; one of our objects holds no row of the host.
    """
    stage = make_stage(State.DRY)
    (full, never) = plan.make_plan(stage.settings).backup
    assert "the whole database" in full
    assert "takes back what everybody has written since, the host too" in full
    assert "a rollback never needs a restore" in never
    own = stage.with_settings(backup_kind="own-objects")
    (ours, site, never) = plan.make_plan(own).backup
    assert "no row of the host" in ours
    assert "NONE YET: restored, it takes back what everybody has written since" in site
    assert "a rollback never needs a restore" in never


@pytest.fixture(scope="module")
def without_autovacuum(servers: Servers, major: int) -> Iterator[None]:
    """Let nobody on the server draw transaction ids unasked."""
    with psycopg.connect(servers.get(major).conninfo(), autocommit=True) as conn:
        conn.execute("alter system set autovacuum = off")
        try:
            conn.execute("select pg_reload_conf()")
            wait_until(lambda: conn.execute(AUTOVACUUM).fetchone() == (0,), "autovacuum has ended")
            yield
        finally:
            conn.execute("alter system reset autovacuum")
            conn.execute("select pg_reload_conf()")


@pytest.mark.usefixtures("without_autovacuum")
@pytest.mark.parametrize("state", [None, State.DRY, State.LIVE])
def test_plan_writes_nothing(make_stage: MakeStage, state: State | None) -> None:
    """
    No transaction id is drawn, no row written, no file made: the transaction is read-only.
    """
    stage = make_stage(state)
    before = int(stage.fetch_value(LAST_XID))
    entries = ledger.fetch_head(stage.settings) if state else None

    plan.make_plan(stage.settings)

    assert int(stage.fetch_value(LAST_XID)) == before
    stage.conn.execute("select pg_current_xact_id()")
    assert int(stage.fetch_value(LAST_XID)) == before + 1, "one that is drawn is seen"
    if state:
        assert ledger.fetch_head(stage.settings) == entries
    assert not (Path(stage.values["backup_dir"])).exists()


@pytest.mark.parametrize(
    "command",
    [
        ("advance", "--tp", "live"),
        ("advance", "--yes"),
        ("plan", "--apply"),
        ("rollback", "--to", "base", "--yes", "--now"),
        ("disable", "--rout", "x"),
        ("prove", "--force"),
        ("backup", "create", "--to", "x"),
        ("approve", "--all"),
    ],
    ids=" ".join,
)
def test_unknown_flag_never_runs_anything(
    make_stage: MakeStage, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """
    A misspelt option is a usage error (exit 2): no step, no stop, no entry in the ledger.
    """
    stage = make_stage(State.DRY)
    before = take_marks(stage)

    run_command(
        tmp_path,
        *command,
        IU_GATES_DATABASE_URL=stage.database.conninfo,
        IU_GATES_SITE_KEY_FILE=stage.values["site_key_file"],
    ).expect(2)

    assert take_marks(stage) == before


def take_marks(stage: Stage) -> tuple[object, ...]:
    """Return what a command could have moved."""
    return stage.list_revisions(), ledger.fetch_head(stage.settings), stage.status().stops
