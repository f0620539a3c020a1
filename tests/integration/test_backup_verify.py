"""Each way in which an archive on the disk can be broken, with its own id and message."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates.backup import (
    Backup,
    SnapshotFacts,
    Tools,
    archive,
    create,
    find_tools,
    list_backups,
    quick_check,
    verify,
)
from iu_gates.errors import BackupError
from tests.support.databases import Database

Damage = Callable[[Path], object]


@pytest.fixture
def backup(database: Database, conn: psycopg.Connection, tmp_path: Path) -> Backup:
    """Give a sound backup, most of whose bytes are data that hardly compresses."""
    conn.execute(
        "create table note as"
        " select md5(n::text) || md5((-n)::text) as said from generate_series(1, 5000) n"
    )
    return create(
        database.conninfo, tmp_path, facts=lambda _: SnapshotFacts(), bin_dir=database.bin_dir
    )


def manifest_of(archive: Path) -> Path:
    """Return where the manifest lies."""
    return Path(f"{archive}.json")


def flip(archive: Path, position: int | None = None) -> None:
    """Change one bit: in the middle, unless a position is given."""
    data = bytearray(archive.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    archive.write_bytes(data)


def change_manifest(path: Path, /, **fields: Any) -> None:
    """Write other fields into the manifest."""
    manifest = manifest_of(path)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | fields))


def own_up(archive: Path) -> None:
    """Make the manifest agree with whatever the archive is now."""
    data = archive.read_bytes()
    change_manifest(archive, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def truncate(archive: Path) -> None:
    """Cut the last byte off."""
    os.truncate(archive, archive.stat().st_size - 1)


def append(archive: Path) -> None:
    """Add a byte."""
    with archive.open("ab") as file:
        file.write(b"\0")


DAMAGES: list[tuple[str, str, Damage]] = [
    ("IUG-024", "is not there", Path.unlink),
    ("IUG-025", "is missing", lambda path: manifest_of(path).unlink()),
    ("IUG-025", "cannot be read", lambda path: os.truncate(manifest_of(path), 40)),
    ("IUG-025", "cannot be read", lambda path: manifest_of(path).write_bytes(b"\xff\xfe")),
    ("IUG-025", "lacks the field 'sha256'", lambda path: drop_field(path, "sha256")),
    ("IUG-025", "another archive", lambda path: change_manifest(path, archive="x.dump")),
    ("IUG-026", "is truncated", truncate),
    ("IUG-026", "longer than it was written", append),
    ("IUG-029", "is empty", lambda path: os.truncate(path, 0)),
]
"""What can be seen without reading the archive."""


def drop_field(archive: Path, name: str) -> None:
    """Take a field out of the manifest."""
    path = manifest_of(archive)
    path.write_text(
        json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != name})
    )


def defect(check: Callable[[Path], object], archive: Path) -> BackupError:
    """Return the error that `check` raises."""
    with pytest.raises(BackupError) as caught:
        check(archive)
    assert caught.value.exit_code == 3
    assert caught.value.next_command == "iu-gates backup create"
    return caught.value


def test_sound_backup_passes_every_check(backup: Backup) -> None:
    """
    Checks take the backup or its path, and the tools that suit the archive are found.
    """
    manifest = backup.require_manifest()

    assert quick_check(backup) == quick_check(backup.path) == backup
    for seen in (verify(backup), verify(backup.path), verify(backup, find_tools(18))):
        assert seen.path == backup.path
        assert seen.require_manifest().sha256 == manifest.sha256
        assert seen.require_manifest().verified_at > manifest.verified_at


@pytest.mark.parametrize(("ident", "words", "damage"), DAMAGES)
def test_what_the_file_system_shows(backup: Backup, ident: str, words: str, damage: Damage) -> None:
    """
    Missing, truncated, lengthened, emptied, without its manifest: all three checks say the same.
    """
    damage(backup.path)

    for check in (quick_check, verify):
        error = defect(check, backup.path)
        assert error.ident == ident
        assert words in f"{error.summary} {error.found}"
    (listed,) = list_backups(backup.path.parent)
    assert listed.defect is not None
    assert listed.defect.ident == ident
    with pytest.raises(BackupError, match=r"\S"):
        listed.require_manifest()


def test_one_altered_bit_is_seen_by_its_hash(backup: Backup) -> None:
    """
    IUG-027 for one bit in the middle; the list, which does not read archives, cannot know.
    """
    flip(backup.path)

    assert defect(quick_check, backup.path).ident == "IUG-027"
    assert defect(verify, backup.path).ident == "IUG-027"
    assert list_backups(backup.path.parent)[0].defect is None


@pytest.mark.parametrize("part", range(1, 10))
def test_block_that_pg_restore_cannot_read_is_found(backup: Backup, part: int) -> None:
    """
    IUG-028: every block is read back, so damage anywhere in the data is found.

    Size and hash agree here, and the table of contents alone would not show it.
    """
    size_bytes = backup.path.stat().st_size
    flip(backup.path, size_bytes // 10 * part)
    own_up(backup.path)

    quick_check(backup.path)
    error = defect(verify, backup.path)

    assert error.ident == "IUG-028"
    assert "pg_restore: error" in str(error.found)


def test_half_an_archive_is_not_read_as_a_whole_one(backup: Backup) -> None:
    """
    IUG-028 also where the manifest was written for the half.
    """
    os.truncate(backup.path, backup.path.stat().st_size // 2)
    own_up(backup.path)

    assert defect(verify, backup.path).ident == "IUG-028"


def test_file_that_is_no_archive_is_not_read(backup: Backup) -> None:
    """
    IUG-028 for anything that is not pg_dump's.
    """
    backup.path.write_text("-- PostgreSQL database dump\n")
    own_up(backup.path)

    assert defect(verify, backup.path).ident == "IUG-028"


def test_archive_later_than_the_tools_is_not_read(backup: Backup, database: Database) -> None:
    """
    IUG-028 with a pg_restore that is too old; left to itself, verify looks for one that is not.
    """
    older = find_tools(16)
    assert older.major < database.major, "this test needs older tools than the newest server"

    error = defect(lambda path: verify(path, older), backup.path)

    assert error.ident == "IUG-028"
    assert "unsupported version" in str(error.found)
    with pytest.raises(BackupError) as caught:
        verify(backup, bin_dir=older.pg_dump.parent)
    assert caught.value.ident == "IUG-023"


def test_pg_restore_that_does_not_run_reads_nothing(backup: Backup, tmp_path: Path) -> None:
    """
    IUG-028 where the program is gone since it was found.
    """
    gone = tmp_path / "gone"

    error = defect(lambda path: verify(path, Tools(gone, gone, "18.4", "18.4")), backup.path)

    assert error.ident == "IUG-028"
    assert "no such file" in str(error.found).lower()


def test_archive_that_may_not_be_opened_is_no_backup(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    IUG-028, not a traceback; raised by hand because root may open everything.
    """

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(archive, "hash_file", refuse)

    assert defect(quick_check, backup.path).ident == "IUG-028"


def test_empty_file_is_not_read_back(tmp_path: Path) -> None:
    """
    IUG-029 for a pg_dump that ended well and wrote nothing.
    """
    (tmp_path / "empty").touch()

    with pytest.raises(BackupError) as caught:
        archive.read_back(tmp_path / "empty", find_tools(16))

    assert caught.value.ident == "IUG-029"


def test_backup_without_manifest_has_none_to_give(tmp_path: Path) -> None:
    """
    IUG-025 also where nobody has looked yet.
    """
    with pytest.raises(BackupError, match="is missing"):
        Backup(tmp_path / "a.dump", None).require_manifest()


def test_each_broken_backup_is_listed_beside_the_sound_ones(
    backup: Backup, database: Database
) -> None:
    """
    Nothing is raised; without a manifest there is no moment, so such a one comes last.
    """
    directory = backup.path.parent
    sound = create(
        database.conninfo, directory, facts=lambda _: SnapshotFacts(), bin_dir=database.bin_dir
    )
    manifest_of(backup.path).unlink()
    (directory / ".partial-0123").write_text("half")
    (directory / "readme.txt").write_text("not ours")

    listed = list_backups(directory)

    assert [entry.path for entry in listed] == [sound.path, backup.path]
    assert [entry.defect and entry.defect.ident for entry in listed] == [None, "IUG-025"]


def test_directory_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """
    Before the first backup the list is empty.
    """
    assert list_backups(tmp_path / "none") == []
