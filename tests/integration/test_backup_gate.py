"""The gate "backup" on real archives: fresh is exact, and looked at before each step of DDL."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iu_gates import backup as archives
from iu_gates import backups, gates, lanes, ledger
from iu_gates.backup import Backup
from iu_gates.errors import GateError, IuGatesError
from iu_gates.model import Verdict
from iu_gates.rollback import rollback
from tests.support.play import MakeStage, Stage
from tests.support.walk import State, walk_to


def judge(stage: Stage, gate: str | None = None, path: Path | None = None) -> Verdict:
    """Return the gate's verdict on an archive."""
    facts = gates.backup.collect(stage.conn, stage.settings, gate=gate, path=path)
    return gates.backup.judge(facts, stage.settings)


def failures(verdict: Verdict) -> list[str]:
    """Return the names of what did not pass."""
    return [finding.name for finding in verdict.failures]


def describe(backup: Backup) -> Path:
    """Return where the manifest lies."""
    return Path(f"{backup.path}.json")


def move(backup: Backup, directory: Path) -> Path:
    """Copy an archive and its manifest; return where it is now."""
    directory.mkdir(exist_ok=True, mode=0o700)
    shutil.copy(describe(backup), directory)
    return Path(shutil.copy(backup.path, directory))


def truncate(backup: Backup) -> None:
    """Cut the archive in half."""
    backup.path.write_bytes(backup.path.read_bytes()[:1000])


def alter(backup: Backup) -> None:
    """Flip one bit."""
    content = bytearray(backup.path.read_bytes())
    content[len(content) // 2] ^= 1
    backup.path.write_bytes(content)


@pytest.mark.every_major
def test_backup_of_this_state_passes_every_finding(make_stage: MakeStage) -> None:
    """
    Its manifest carries the state that the last step left, row counts, tools and the entry.
    """
    stage = make_stage(State.DRY)

    made = backups.create_backup(stage.settings).require_manifest()

    assert failures(judge(stage)) == []
    facts = made.facts
    assert facts.revisions == ("008", "009", "060", "080")
    assert facts.ledger_seq == stage.fetch_value("select max(seq) - 2 from iu_gates.ledger")
    query = "select hash from iu_gates.ledger where seq = %s"
    assert facts.ledger_hash == stage.fetch_value(query, facts.ledger_seq)
    assert facts.catalog_fingerprint is not None
    assert facts.row_counts["iu_gates.ledger"] == facts.ledger_seq
    assert facts.row_counts["iu_core.iu_event"] == 0
    assert set(made.tools) == {"pg_dump", "pg_restore"}
    entry = ledger.fetch_newest(stage.conn, "backup")
    assert (entry["subject"], entry["facts"]["sha256"]) == (made.archive, made.sha256)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: b.path.unlink(), "is not there"),
        (lambda b: b.path.write_bytes(b""), "is empty"),
        (truncate, "is truncated"),
        (alter, "was altered"),
        (lambda b: describe(b).unlink(), "is missing"),
        (lambda b: describe(b).write_text(describe(b).read_text()[:80]), "cannot be read"),
    ],
)
def test_broken_archive_is_refused_in_its_own_words(
    make_stage: MakeStage, damage: Callable[[Backup], object], words: str
) -> None:
    """
    Gone, empty, truncated, altered, half-written: the gate says which, and how to mend it.
    """
    stage = make_stage(State.DRY)
    damage(backups.create_backup(stage.settings))

    verdict = judge(stage)

    assert failures(verdict) == ["archive"]
    assert words in verdict.failures[0].found
    assert verdict.failures[0].remedy == "iu-gates backup create && iu-gates advance"


def test_archive_of_another_database_is_foreign(make_stage: MakeStage) -> None:
    """
    The archive of a clone differs in oid and name, and the ledgers have parted.
    """
    stage, other = make_stage(State.DRY), make_stage(State.DRY)
    ledger.append(stage.conn, "drill", "route", {"here": True})
    ledger.append(other.conn, "drill", "route", {"here": False})
    foreign = move(backups.create_backup(other.settings), stage.settings.backup_dir)

    found = failures(judge(stage, path=foreign))

    assert found == ["database oid", "database name", "ledger chain"]


def test_archive_put_in_the_place_of_another_is_told_by_the_ledger(make_stage: MakeStage) -> None:
    """
    Archive and manifest agree with each other, and not with what was written down.
    """
    stage = make_stage(State.DRY)
    first, second = backups.create_backup(stage.settings), backups.create_backup(stage.settings)
    data = json.loads(describe(first).read_text()) | {"archive": second.path.name}
    shutil.copy(first.path, second.path)
    describe(second).write_text(json.dumps(data))

    assert failures(judge(stage, path=second.path)) == ["record"]


def rewrite(backup: Backup, key: str, value: object) -> None:
    """Write a manifest anew, with one thing said otherwise."""
    data = json.loads(describe(backup).read_text())
    home = next(d for d in (data, *data.values()) if isinstance(d, dict) and key in d)
    home[key] = value
    describe(backup).write_text(json.dumps(data))


def alter_both(backup: Backup) -> None:
    """Flip one bit, and let the manifest say so."""
    alter(backup)
    rewrite(backup, "sha256", hashlib.sha256(backup.path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("name", "tamper"),
    [
        ("record", alter_both),
        ("ledger chain", lambda b: rewrite(b, "ledger_hash", "0" * 64)),
        ("database oid", lambda b: rewrite(b, "oid", 1)),
        ("archive", alter),
        ("archive", lambda b: describe(b).unlink()),
    ],
)
def test_archive_that_was_tampered_with_is_not_replaced_in_silence(
    make_stage: MakeStage, name: str, tamper: Callable[[Backup], object]
) -> None:
    """
    Altered, alone or with its manifest: no step and no new archive; what the error names gets on.

    Nor where its verdict ran out, and another would be taken anyway.
    """
    stage = make_stage()
    stage.walk("backup")
    stage.conn.execute("select iu_gates.fn_void(array['backup'], 'it ran out')")
    (archive,) = stage.settings.backup_dir.glob("*.dump")
    tamper(Backup(archive, None))

    with pytest.raises(GateError) as raised:
        stage.advance()

    assert f": {name}: " in raised.value.summary
    assert gates.backup.TAMPERED[name] in str(raised.value.found)
    assert raised.value.next_command == "iu-gates backup create && iu-gates advance"
    assert list(stage.settings.backup_dir.glob("*.dump")) == [archive]
    assert stage.list_steps() == []
    backups.create_backup(stage.settings)
    assert stage.advance().reports[0].verdict.gate == "substrate"


def test_archive_that_was_put_away_is_replaced(make_stage: MakeStage) -> None:
    """
    Where its verdict ran out, what is gone altogether is nobody's forgery.
    """
    stage = make_stage()
    stage.walk("backup")
    stage.conn.execute("select iu_gates.fn_void(array['backup'], 'it ran out')")
    for file in stage.settings.backup_dir.iterdir():
        file.unlink()
    assert stage.advance().reports[0].verdict.gate == "backup"


def test_archive_from_before_a_re_base_is_replaced(make_stage: MakeStage) -> None:
    """
    The database that the ledger names was another one then: nothing is wrong with its archive.
    """
    stage = make_stage()
    stage.walk("backup")
    (archive,) = stage.settings.backup_dir.glob("*.dump")
    rewrite(Backup(archive, None), "oid", 1)
    ledger.append(stage.conn, "rebase", "installation", {})

    assert stage.advance().reports[0].verdict.gate == "substrate"
    assert len(list(stage.settings.backup_dir.glob("*.dump"))) == 2


def test_archive_from_before_the_last_step_is_stale(make_stage: MakeStage) -> None:
    """
    T39: it lacks the step's entry, and so its revision and its objects; guard and judge agree.
    """
    stage = make_stage(State.DRY)
    backups.create_backup(stage.settings)
    walk_to(stage.database.conninfo, "substrate@090")

    assert failures(judge(stage)) == ["ledger entry", "revisions", "catalog"]


def test_what_was_changed_by_hand_before_the_snapshot_is_seen(make_stage: MakeStage) -> None:
    """
    The state in the archive must be one that a lane step left: not a stamp, not a changed object.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute("comment on table iu_core.iu_event is 'by hand'")
    stage.conn.execute("alter table iu_core.iu_event add column by_hand text")
    stage.conn.execute(
        "update iu_gates.alembic_version set version_num = '090' where version_num = '080'"
    )

    made = backups.create_backup(stage.settings)

    assert failures(judge(stage, path=made.path)) == ["revisions", "catalog"]
    assert "iu-gates status" in judge(stage, path=made.path).failures[0].remedy


def test_ledger_that_was_restored_does_not_take_a_later_archive(make_stage: MakeStage) -> None:
    """
    An archive from before a restore has an entry of that number too, but another one.
    """
    stage = make_stage(State.DRY)
    made = backups.create_backup(stage.settings)
    with stage.conn.transaction():
        stage.conn.execute("alter table iu_gates.ledger disable trigger user")
        stage.conn.execute("delete from iu_gates.ledger where seq > %s", (_before(made),))
        stage.conn.execute("alter table iu_gates.ledger enable trigger user")
    while stage.fetch_value("select max(seq) from iu_gates.ledger") < _before(made) + 3:
        ledger.append(stage.conn, "drill", "route", {"after": "the restore"})

    assert "ledger chain" in failures(judge(stage, path=made.path))


def _before(made: Backup) -> int:
    seq = made.require_manifest().facts.ledger_seq
    assert seq is not None
    return seq - 1


GATES_AND_STEPS: list[tuple[str | None, list[tuple[str | None, str]], bool]] = [
    (None, [], True),
    ("seam", [("seam", "up")], True),
    ("seam", [("seam", "up"), ("seam", "up")], True),
    ("seam", [("seam", "down")], False),
    ("seam", [("check_relaxed", "up")], False),
    ("seam", [(None, "up")], False),
    (None, [(None, "up")], False),
    (None, [("seam", "up")], False),
    ("rollback", [("rollback", "down")], True),
    ("rollback", [("seam", "up")], False),
    ("rollback", [(None, "down")], False),
    ("seam", [("rollback", "down")], False),
]


@pytest.mark.parametrize(("gate", "steps", "counts"), GATES_AND_STEPS)
def test_guard_and_judge_agree_on_what_is_stale(
    make_stage: MakeStage,
    gate: str | None,
    steps: list[tuple[str | None, str]],
    *,
    counts: bool,
) -> None:
    """
    T39: a gate's own steps up, and a rollback's own steps down, may be missing; no other may.
    """
    stage = make_stage(State.SUBSTRATE)
    backups.create_backup(stage.settings)
    for walk, direction in steps:
        query = "select set_config('iu_gates.walk', %s, false), iu_gates.fn_record_step('090', %s)"
        stage.conn.execute(query, (walk or "", direction))

    stale = stage.fetch_value("select iu_gates.fn_backup_stale(%s)", gate)

    assert (stale is None) == counts
    assert ("ledger entry" not in failures(judge(stage, gate=gate))) == counts


def test_resumed_gate_keeps_its_backup(make_stage: MakeStage) -> None:
    """
    Between 008 and 009 of one gate the archive lacks 008, and counts; after a new one too.
    """
    stage = make_stage()
    stage.walk("backup")
    lanes.upgrade(stage.settings, "008", gate="substrate", stops_seen=[], notify=lambda _: None)

    assert failures(judge(stage, gate="substrate")) == []
    assert "ledger entry" in failures(judge(stage))
    backups.create_backup(stage.settings)
    assert failures(judge(stage, gate="substrate")) == []
    assert stage.advance().reports[0].verdict.gate == "substrate"


def test_each_step_of_the_substrate_looks_again(make_stage: MakeStage) -> None:
    """
    An archive that goes away after 008 stops 009, in the same call; nothing later is applied.
    """
    stage = make_stage()
    stage.walk("backup")

    def spoil(_gate: str, text: str) -> None:
        if text.startswith("applies 008"):
            for archive in stage.settings.backup_dir.glob("*.dump"):
                archive.unlink()

    with pytest.raises(GateError) as raised:
        advance_with(stage, spoil)

    assert stage.list_steps() == ["up 008"]
    assert "is not there" in str(raised.value.found)


def advance_with(stage: Stage, notify: Callable[[str, str], None]) -> Any:
    """Advance once, telling `notify`."""
    from iu_gates.advance import advance  # noqa: PLC0415

    return advance(stage.settings, notify=notify)


def test_each_step_of_a_rollback_looks_again(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An archive that goes away after 100 was undone stops 090; the same rollback goes on.
    """
    stage = make_stage(State.RELAXED)
    quick_check = archives.quick_check

    def spoil(path: Path) -> Backup:
        if "down 100" in stage.list_steps():
            path.unlink(missing_ok=True)
        return quick_check(path)

    with monkeypatch.context() as patched:
        patched.setattr(archives, "quick_check", spoil)
        with pytest.raises(IuGatesError) as raised:
            rollback(stage.settings, "060")

    assert raised.value.exit_code == 3
    assert "no further step" in str(raised.value.means)
    left = stage.list_revisions()
    assert "100" not in left
    assert "090" in left
    assert rollback(stage.settings, "060").undone
    assert stage.list_revisions() == ("008", "009", "060")
