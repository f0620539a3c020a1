"""`rollback --to`: refused before the first step, or gone whole; history is kept (P7)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from iu_gates import disable, lanes, rollback
from iu_gates.errors import IuGatesError, NotDrainedError, RefusedError, UsageError
from tests.support.databases import Servers
from tests.support.engine import GATE_KEY, run_batch
from tests.support.play import MakeStage, stages
from tests.support.walk import State


@pytest.fixture
def make_stage(servers: Servers, major: int, tmp_path: Path) -> Iterator[MakeStage]:
    """Give a maker of stages."""
    with stages(servers, major, tmp_path) as make:
        yield make


@pytest.mark.parametrize("begin", ["live", "disabled"])
@pytest.mark.parametrize("target", lanes.TARGETS)
def test_target_is_what_alembic_undoes(make_stage: MakeStage, target: str, begin: str) -> None:
    """
    T32: for each name that `rollback --to` knows, what was foretold is what is undone, in.

    That order, from live and after a disable; nothing else stays stopped.
    """
    stage = make_stage(State.LIVE)
    if begin == "disabled":
        disable.disable(stage.settings)
    applied = stage.list_revisions()
    before = len(stage.list_steps())
    foretold = [s.revision for s in rollback.preview(stage.settings, target).undone]

    result = rollback.rollback(stage.settings, target)

    assert stage.list_steps()[before:] == [f"down {r}" for r in foretold]
    assert [u.partition("/")[2] for u in result.undone] == foretold
    assert set(stage.list_revisions()) == set(applied) - set(foretold)
    kinds = {s.kind for s in stage.status().stops}
    assert kinds == ({"disable"} if begin == "disabled" else set())
    assert (result.backup is not None) == any(
        not r.startswith("08") or r == "008" for r in foretold
    )


def test_base_is_refused_with_history_and_nothing_changes(make_stage: MakeStage) -> None:
    """
    P7, T32: history would be lost: exit 4 names the tables before the first step; all stands.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    with stage.worker() as worker:
        assert worker is not None
    before = (stage.list_revisions(), stage.list_steps(), stage.status().routes)

    with pytest.raises(RefusedError, match="iu_event holds history") as raised:
        rollback.rollback(stage.settings, "base")

    assert raised.value.exit_code == 4
    assert raised.value.next_command == "iu-gates rollback --to 009, which keeps the history"
    assert (stage.list_revisions(), stage.list_steps(), stage.status().routes) == before
    assert stage.list_kinds()[-1] == "refusal"
    assert not Path(stage.values["backup_dir"]).exists()


def test_history_is_kept_by_009_and_the_way_up_is_open(make_stage: MakeStage) -> None:
    """
    P7: back to 009 keeps events, attempts and ledger, and `advance` begins again from there.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2, 3)
    run_batch(stage.conn, 10)
    kept = (stage.count("sent"), stage.fetch_value("select count(*) from iu_core.iu_event"))

    result = rollback.rollback(stage.settings, "009")

    assert (stage.count("sent"), stage.fetch_value("select count(*) from iu_core.iu_event")) == kept
    assert result.kept["iu_core.iu_event"] == 2
    assert stage.status().next_gate == "substrate"
    assert stage.advance().reports[0].verdict.gate == "substrate"


def test_drift_is_refused(make_stage: MakeStage) -> None:
    """
    P7: what is not as it was left is not undone blindly.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute("alter table iu_core.iu_event add column mine integer")

    with pytest.raises(RefusedError, match="table iu_event: changed"):
        rollback.rollback(stage.settings, "090")

    assert "100" in stage.list_revisions()


def test_nothing_to_undo_says_so(make_stage: MakeStage) -> None:
    """
    A target that is behind nothing undoes nothing, and takes no backup.
    """
    stage = make_stage(State.SUBSTRATE)
    result = rollback.rollback(stage.settings, "100")
    assert (result.undone, result.backup) == ((), None)
    assert stage.status().stops == ()


def test_unknown_target(make_stage: MakeStage) -> None:
    """
    A name that is no target is a usage error that lists them.
    """
    with pytest.raises(UsageError, match="082"):
        rollback.rollback(make_stage(State.LIVE).settings, "082")


def test_without_a_backup_nothing_is_undone_or_stopped(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    T39: rollback takes a backup before its first DDL; where it cannot, the route stays live.
    """
    empty = tmp_path / "no tools"
    empty.mkdir()
    stage = make_stage(State.LIVE, bin_dir=str(empty))

    with pytest.raises(IuGatesError) as raised:
        rollback.rollback(stage.settings, "009")

    assert raised.value.exit_code == 3
    assert stage.list_revisions()[-1] == "082"
    assert stage.status().routes[0].mode == "live"


def test_batches_in_hand_leave_it_off_and_undone_nothing(make_stage: MakeStage) -> None:
    """
    P5: a rollback that cannot drain says who, exits 7, and keeps it off until somebody decides.
    """
    stage = make_stage(State.LIVE, barrier_wait="0.2 s")
    with psycopg.connect(stage.database.conninfo) as session:
        session.execute("select pg_advisory_xact_lock_shared(%s, 0)", [GATE_KEY])
        with pytest.raises(NotDrainedError, match="off, but") as raised:
            rollback.rollback(stage.settings, "009")
        assert f"pid {session.info.backend_pid}" in (raised.value.found or "")
        assert stage.list_revisions()[-1] == "082"
        assert stage.status().routes[0].mode == "hold"

    assert rollback.rollback(stage.settings, "100").undone == ("runtime/082", "runtime/081")
    assert stage.status().routes[0].mode == "dry" or stage.status().stops == ()


def test_killed_rollback_goes_on(make_stage: MakeStage) -> None:
    """
    P8: the stop of a rollback that was killed is lifted by the next one, or by `advance`.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute("select iu_gates.fn_stop(null, 'drill', 'rollback to 100, killed')")

    rollback.rollback(stage.settings, "100")

    assert stage.status().stops == ()


def test_backup_of_a_rollback_is_restorable(make_stage: MakeStage) -> None:
    """
    T39: the archive was taken after the stop and before the first DDL: it holds 100.
    """
    stage = make_stage(State.LIVE)
    result = rollback.rollback(stage.settings, "090")
    assert result.backup is not None
    restore = shutil.which("pg_restore", path=str(stage.database.bin_dir))
    assert restore is not None
    assert "100" in lanes.BY_NAME
    manifest = Path(f"{result.backup}.json").read_text()
    assert '"100"' in manifest
