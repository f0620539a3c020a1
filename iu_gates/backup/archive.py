"""Read archives back: from a look at the size to every block."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from iu_gates.backup import defects
from iu_gates.backup.compression import algorithm_of
from iu_gates.backup.files import hash_file
from iu_gates.backup.manifest import Manifest, parse_manifest
from iu_gates.backup.process import read_archive
from iu_gates.backup.tools import Tools, find_tools, major_of
from iu_gates.errors import BackupError

SUFFIX: Final = ".dump"
_DAWN: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Backup:
    """
    An archive with what is known of it.

    Attributes:
        path: Of the archive.
        manifest: None if it is missing or cannot be read; then there is a defect.
        defect: Why this is no backup; None as far as was looked.
    """

    path: Path
    manifest: Manifest | None
    defect: BackupError | None = None

    def require_manifest(self) -> Manifest:
        """Return the manifest, or raise the defect."""
        if self.defect is not None:
            raise self.defect
        if self.manifest is None:
            raise defects.broken_manifest(manifest_path(self.path), "is missing")
        return self.manifest


def manifest_path(archive: Path) -> Path:
    """Return where the manifest of an archive lies."""
    return archive.with_name(f"{archive.name}.json")


def list_backups(directory: Path) -> list[Backup]:
    """
    Return what lies in `directory`, newest snapshot first, those without a manifest last.

    Looks at names, manifests and sizes, not at the bytes. What is broken carries its defect.
    A directory that does not exist holds nothing; one that cannot be read raises IUG-031.
    """
    try:
        names = [path.name.removesuffix(".json") for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise defects.unusable_directory(directory, error) from error
    archives = {n for n in names if n.endswith(SUFFIX) and not n.startswith(".")}
    return sorted((_look(directory / n) for n in archives), key=_recency, reverse=True)


def quick_check(backup: Backup | Path) -> Backup:
    """
    Return the backup if existence, size and sha256 are those of its manifest, else raise.

    Raises:
        BackupError: IUG-024 to IUG-027, IUG-029; IUG-028 if the file cannot be opened.
    """
    path = backup if isinstance(backup, Path) else backup.path
    _require_archive(path)
    manifest = _read_manifest(path)
    _require_size(path, manifest)
    try:
        found = hash_file(path)
    except OSError as error:
        raise defects.unreadable(path, [str(error)]) from error
    if found != manifest.sha256:
        raise defects.other_sha256(path, found, manifest.sha256)
    return Backup(path, manifest)


def verify(
    backup: Backup | Path, tools: Tools | None = None, *, bin_dir: Path | None = None
) -> Backup:
    """
    Return the backup if it is the one that was written and every block can be read.

    Args:
        backup: Or the path of its archive.
        tools: With a pg_restore no older than the pg_dump that wrote it; found if None.
        bin_dir: Where to look for tools.

    Returns:
        The backup, its manifest's `verified_at` set to now by this machine's clock. The
        file beside the archive stays as it was written.

    Raises:
        BackupError: IUG-022 to IUG-029 and IUG-032, each defect its own.
    """
    sound = quick_check(backup)
    manifest = sound.require_manifest()
    entries = read_back(sound.path, tools or find_reader(manifest, bin_dir))
    return replace(
        sound, manifest=replace(manifest, entries=entries, verified_at=datetime.now(UTC))
    )


def find_reader(manifest: Manifest, bin_dir: Path | None = None) -> Tools:
    """Return the tools that can read the archive of a manifest; raises as `find_tools`."""
    major = major_of(manifest.tools.get("pg_dump", "0"))
    return find_tools(major, bin_dir, reads=algorithm_of(manifest.compression))


def read_back(path: Path, tools: Tools) -> int:
    """Read every block of an archive; return how many objects it lists, at least one."""
    size_bytes = path.stat().st_size
    if not size_bytes:
        raise defects.empty(path, size_bytes)
    archive = str(path.absolute())
    with tempfile.TemporaryFile() as listing:
        _read(path, tools, ["--list", archive], listing)
        listing.seek(0)
        lines = [line for line in listing if line.strip() and not line.startswith(b";")]
    if not lines:
        raise defects.empty(path, size_bytes)
    with Path(os.devnull).open("wb") as nowhere:
        _read(path, tools, ["--file=-", archive], nowhere)
    return len(lines)


def _read(path: Path, tools: Tools, arguments: list[str], out: IO[bytes]) -> None:
    said = read_archive(tools.pg_restore, arguments, out)
    if said is not None:
        raise defects.unreadable(path, said)


def _require_archive(path: Path) -> None:
    if not path.is_file():
        raise defects.missing_archive(path)


def _require_size(path: Path, manifest: Manifest) -> None:
    _require_archive(path)
    size_bytes = path.stat().st_size
    if not size_bytes:
        raise defects.empty(path, size_bytes)
    if size_bytes != manifest.size_bytes:
        raise defects.other_size(path, size_bytes, manifest.size_bytes)


def _read_manifest(archive: Path) -> Manifest:
    path = manifest_path(archive)
    try:
        manifest = parse_manifest(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise defects.broken_manifest(path, "is missing") from error
    except (OSError, ValueError) as error:
        raise defects.broken_manifest(path, f"cannot be read: {error}") from error
    if manifest.archive != archive.name:
        raise defects.broken_manifest(path, f"is of another archive, {manifest.archive!r}")
    return manifest


def _look(path: Path) -> Backup:
    manifest = None
    try:
        manifest = _read_manifest(path)
        _require_size(path, manifest)
    except BackupError as defect:
        return Backup(path, manifest, defect)
    return Backup(path, manifest)


def _recency(backup: Backup) -> tuple[datetime, str]:
    moment = backup.manifest.snapshot_at if backup.manifest else _DAWN
    return moment, backup.path.name
