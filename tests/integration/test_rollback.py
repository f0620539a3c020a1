"""`rollback --to`: refused before the first step, or gone whole; history is kept (P7)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

import psycopg
import pytest

from iu_gates import disable, lanes, rollback
from iu_gates.errors import IuGatesError, NotDrainedError, RefusedError, UsageError
from tests.support.engine import GATE_KEY, run_batch
from tests.support.play import MakeStage, Stage
from tests.support.walk import State

IN_SHORT: Final = (State.RELAXED, State.LIVE, "disabled")
BEGINS: Final = [
    pytest.param(state, marks=() if state in IN_SHORT else pytest.mark.long)
    for state in (*State, "disabled")
]


@pytest.mark.parametrize("begin", BEGINS)
@pytest.mark.parametrize("target", lanes.TARGETS)
def test_target_is_what_alembic_undoes(
    make_stage: MakeStage, target: str, begin: State | str
) -> None:
    """
    T32: for each name that `rollback --to` knows, what was foretold is what is undone.

    In that order, from each state and after a disable; nothing else stays stopped, and what was
    foretold as kept and lost is what is kept and lost.
    """
    stage = make_stage(State.LIVE if begin == "disabled" else begin)
    if begin == "disabled":
        disable.disable(stage.settings)
    applied = stage.list_revisions()
    before = len(stage.list_steps())
    foreseen = rollback.preview(stage.settings, target)
    foretold = [s.revision for s in foreseen.undone]

    result = rollback.rollback(stage.settings, target)

    assert stage.list_steps()[before:] == [f"down {r}" for r in foretold]
    assert [u.partition("/")[2] for u in result.undone] == foretold
    assert set(stage.list_revisions()) == set(applied) - set(foretold)
    kinds = {s.kind for s in stage.status().stops}
    assert kinds == ({"disable"} if begin == "disabled" else set())
    assert (result.backup is not None) == any(
        not r.startswith("08") or r == "008" for r in foretold
    )
    assert foreseen.refusals == ()
    kept = {n: r for n, r in foreseen.kept.items() if n.startswith("iu_core.")}
    if "060" not in foretold:  # without history it takes route and cursor along
        assert count_ours(stage, kept) == kept
    assert not any(count_ours(stage, foreseen.lost).values())


def count_ours(stage: Stage, names: Iterable[str]) -> dict[str, int]:
    """Return the rows of those tables that a rollback does not write into; one that went has 0."""
    found = {}
    for name in names:
        if name.startswith("iu_core."):
            there = stage.fetch_value("select to_regclass(%s) is not null", name)
            found[name] = stage.fetch_value(f"select count(*) from {name}") if there else 0
    return found


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
    assert raised.value.next_command == "iu-gates rollback --to 009"
    assert "iu-gates history export" in (raised.value.means or "")
    assert "then iu-gates history purge --export DIGEST" in (raised.value.means or "")
    assert raised.value.facts["lost"]["iu_core.iu_event"] == 1
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

    with pytest.raises(RefusedError, match=r"table iu_core\.iu_event: column mine: added"):
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


def test_interrupted_backup_leaves_it_live(make_stage: MakeStage) -> None:
    """
    Ctrl-C in the dump, the longest wait of a rollback: nothing is undone, and it is on as before.
    """
    stage = make_stage(State.LIVE)

    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollback.rollback(stage.settings, "009", bar=interrupt)

    assert stage.list_revisions()[-1] == "082"
    assert stage.status().stops == ()
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

    stage.conn.execute("alter table iu_core.iu_event add column mine int")
    with pytest.raises(RefusedError, match="drift"):
        rollback.rollback(stage.settings, "009")
    assert stage.status().routes[0].mode == "hold", "a refusal turns nothing on"
    stage.conn.execute("alter table iu_core.iu_event drop column mine")

    assert rollback.rollback(stage.settings, "100").undone == ("runtime/082", "runtime/081")
    assert stage.status().stops == ()


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


def test_preview_names_who_is_in_the_way(make_stage: MakeStage) -> None:
    """
    T38: a writer that is open holds up the trigger of 060: named before anything is stopped.
    """
    stage = make_stage(State.SUBSTRATE)
    with psycopg.connect(stage.database.conninfo, application_name="a host") as writer:
        writer.execute("insert into public.unit_version (unit, version_seq) values ('u', 1)")

        foreseen = rollback.preview(stage.settings, "009")

        assert f"pid {writer.info.backend_pid}" in foreseen.blockers[0]
        assert foreseen.refusals == ()
    assert stage.status().stops == ()


def test_room_that_lacks_is_found_before_anything_is_stopped(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    T39: a disk on which the backup would not fit: exit 3, and the preview says it already.
    """
    stage = make_stage(State.LIVE)
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    for call in (rollback.preview, rollback.rollback):
        with pytest.raises(IuGatesError) as raised:
            call(stage.settings, "090")
        assert (raised.value.ident, raised.value.exit_code) == ("IUG-030", 3)
    assert "stop" not in stage.list_kinds()
    assert stage.status().routes[0].mode == "live"


def test_server_that_cannot_be_written_is_refused_first(make_stage: MakeStage) -> None:
    """
    A standby, or read-only sessions: exit 4, IUG-084, and nothing was stopped.
    """
    stage = make_stage(State.LIVE)
    name = stage.database.name
    stage.conn.execute(f'alter database "{name}" set default_transaction_read_only = on')
    with pytest.raises(RefusedError) as raised:
        rollback.rollback(stage.settings, "090")
    assert raised.value.ident == "IUG-084"


def test_unknown_revision_is_refused_first(make_stage: MakeStage) -> None:
    """
    A database that a newer version walked is left alone: IUG-044, and nothing was stopped.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute(
        "update iu_gates.alembic_version set version_num = '999' where version_num = '082'"
    )
    with pytest.raises(RefusedError) as raised:
        rollback.rollback(stage.settings, "009")
    assert raised.value.ident == "IUG-044"
    assert stage.fetch_value("select count(*) from iu_gates.stop") == 0
