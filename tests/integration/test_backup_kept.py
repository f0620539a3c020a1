"""Retention: what goes after a backup was taken, and by hand; what stays whatever is set."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from iu_gates import backup as archives
from iu_gates import backups, ledger
from iu_gates.backup import Backup
from iu_gates.config import Settings
from tests.support.databases import Servers
from tests.support.play import MakeStage, Stage, stages
from tests.support.walk import State


@pytest.fixture
def stage(servers: Servers, major: int, tmp_path: Path) -> Iterator[Stage]:
    """Give a database with a ledger."""
    with stages(servers, major, tmp_path) as make:
        yield make(State.SUBSTRATE)


def take(settings: Settings, count: int) -> list[str]:
    """Take backups; return their names, the oldest first."""
    return [backups.create_backup(settings).path.name for _ in range(count)]


def listed(settings: Settings) -> set[str]:
    """Return the names of what lies there."""
    return {path.name for path in settings.backup_dir.iterdir()}


def files_of(names: list[str]) -> set[str]:
    """Return the names of archives and of their manifests."""
    return {*names, *(f"{name}.json" for name in names)}


def test_nothing_goes_unless_a_limit_is_set(stage: Stage) -> None:
    """
    The default keeps all; prune says so and removes nothing.
    """
    names = take(stage.settings, 3)

    done = backups.prune(stage.settings, dry_run=False)

    assert (done.removed, done.kept, done.is_limited) == ((), 3, False)
    assert listed(stage.settings) == files_of(names)


def test_count_is_kept_after_each_backup(stage: Stage) -> None:
    """
    The oldest goes as the newest comes, with its manifest; the ledger says so.
    """
    names = take(stage.with_settings(backup_keep=2), 4)

    assert listed(stage.settings) == files_of(names[2:])
    gone = [entry.subject for entry in ledger.list_entries(stage.settings, kind="prune")]
    assert gone == names[:2]


def test_dry_run_shows_and_touches_nothing(stage: Stage) -> None:
    """
    Neither a file nor the ledger changes.
    """
    names = take(stage.settings, 3)
    settings = stage.with_settings(backup_keep_for="0 s")
    head = ledger.fetch_head(settings)

    done = backups.prune(settings, dry_run=True)

    assert [backup.path.name for backup in done.removed] == names[:2]
    assert listed(settings) == files_of(names)
    assert ledger.fetch_head(settings) == head


def test_archive_on_which_a_verdict_stands_stays(stage: Stage) -> None:
    """
    The one that a verdict names stays, however old; once another takes its place it may go.
    """
    names = take(stage.settings, 3)
    first = next(b for b in backups.list_backups(stage.settings) if b.path.name == names[0])
    backups.record(stage.conn, stage.settings, first)
    settings = stage.with_settings(backup_keep=1)

    done = backups.prune(settings, dry_run=False)

    assert [backup.path.name for backup in done.removed] == [names[1]]
    assert listed(settings) == files_of([names[0], names[2]])


def test_newest_good_one_stays_though_newer_ones_are_altered(stage: Stage) -> None:
    """
    A bit that was flipped in the newest is seen before an older one would go.
    """
    names = take(stage.settings, 3)
    for name in names[1:]:
        path = stage.settings.backup_dir / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    backups.prune(stage.with_settings(backup_keep=1), dry_run=False)

    assert names[0] in listed(stage.settings)


def test_broken_and_foreign_ones_are_listed_and_left_alone(make_stage: MakeStage) -> None:
    """
    What is broken may be all that somebody has; what is another database's is not ours.
    """
    stage, other = make_stage(State.SUBSTRATE), make_stage(State.SUBSTRATE)
    shared = {"backup_dir": str(stage.settings.backup_dir), "backup_keep": 1}
    foreign = take(other.with_settings(**shared), 1)
    names = take(stage.settings, 3)
    (stage.settings.backup_dir / f"{names[0]}.json").unlink()

    done = backups.prune(stage.with_settings(backup_keep=1), dry_run=False)

    assert [backup.path.name for backup in done.broken] == [names[0]]
    assert [backup.path.name for backup in done.removed] == [names[1]]
    assert listed(stage.settings) == {names[0], *files_of(foreign), *files_of(names[2:])}


def test_removal_cut_short_leaves_nothing_that_looks_good(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The manifest goes first: what is left after a crash in between is listed as broken.
    """
    names = take(stage.settings, 2)
    unlink = Path.unlink

    def crash(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".dump":
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", crash)
        done = backups.prune(stage.with_settings(backup_keep=1), dry_run=False)

    assert len(done.failed) == 1
    assert "not permitted" in done.failed[0]
    left = [
        (b.path.name, b.defect and b.defect.ident) for b in backups.list_backups(stage.settings)
    ]
    assert left == [(names[1], None), (names[0], "IUG-025")]


def test_walk_prunes_and_keeps_what_it_stands_on(make_stage: MakeStage) -> None:
    """
    Each gate's new archive pushes out the old ones; what lies there at the end is enough.
    """
    stage = make_stage(State.DRY, backup_keep=1)

    stage.advance()
    stage.advance()

    (left,) = backups.list_backups(stage.settings)
    assert left.defect is None
    entry = ledger.fetch_newest(stage.conn, "verdict", "backup")
    assert entry["facts"]["facts"]["archive"] == str(left.path)
    sound: Backup = archives.verify(left)
    assert sound.require_manifest().snapshot_at > left.require_manifest().snapshot_at - timedelta(1)
