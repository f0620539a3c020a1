"""Backups of this installation: taken, with what the ledger must know of them; and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

import psycopg

from iu_gates import backup as archives
from iu_gates import db, lanes, ledger, refusals
from iu_gates.backup import Backup, Manifest, Retention, SiteBackup, SnapshotFacts
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import BackupError, UsageError
from iu_gates.gates import backup as gate

Progress = Callable[[int, int | None], None]
Bar = Callable[[], AbstractContextManager[Progress | None]]
"""Makes a progress bar that stands as long as it is entered; None where nobody looks."""

CONTROL: Final = "iu_gates"


@dataclass(frozen=True, slots=True)
class Pruned:
    """
    What was removed, or would be.

    Attributes:
        removed: The oldest first.
        failed: What could not be removed, and why.
        broken: What is no backup, and was left alone.
        kept: How many backups stay, of whatever database.
        is_limited: False if no limit is set, so that nothing ever goes.
        dry_run: True if nothing was touched.
    """

    removed: tuple[Backup, ...]
    failed: tuple[str, ...]
    broken: tuple[Backup, ...]
    kept: int
    is_limited: bool
    dry_run: bool


def create_backup(settings: Settings, bar: Bar = nullcontext) -> Backup:
    """Take a backup, read it back whole; where a ledger stands, record it and the verdict."""
    with (
        refusals.recorded(settings, "backup"),
        db.connect(settings, "backup", as_owner=True) as conn,
    ):
        return take(conn, settings, bar)


def take(conn: Conn, settings: Settings, bar: Bar = nullcontext) -> Backup:
    """As `create_backup`, with `conn` for the ledger."""
    own = (settings.schema, CONTROL) if settings.backup_kind == "own-objects" else ()
    with bar() as progress:
        backup = archives.create(
            db.resolve_url(settings),
            settings.backup_dir.absolute(),
            facts=_facts,
            bin_dir=settings.bin_dir,
            compress=settings.backup_compress,
            own_schemas=own,
            progress=progress,
        )
    if db.is_installed(conn):
        ledger.append(conn, "backup", backup.path.name, _entry(backup))
        record(conn, settings, backup)
    if _retention(settings).is_set:
        _prune(conn, settings, dry_run=False)
    return backup


def record(conn: Conn, settings: Settings, backup: Backup) -> None:
    """Judge a backup for the gate and write the verdict; it runs out with what it stands on."""
    facts = gate.collect(conn, settings, gate=None, path=backup.path)
    verdict = gate.judge(facts, settings)
    expires_at = _expires_at(backup.require_manifest(), facts.site, settings)
    ledger.record_verdict(conn, verdict, expires_at=expires_at)


def verify_backup(settings: Settings, path: Path | None = None) -> Backup:
    """Read an archive back whole, or the newest; raises the defect as `BackupError`."""
    if path is None:
        newest = next(iter(list_backups(settings)), None)
        if newest is None:
            raise BackupError(
                f'there is no backup in "{settings.backup_dir}"',
                ident="IUG-024",
                next_command="iu-gates backup create",
            )
        path = newest.path
    return archives.verify(path, bin_dir=settings.bin_dir)


def list_backups(settings: Settings) -> list[Backup]:
    """Return what lies in the backup directory, newest snapshot first."""
    return archives.list_backups(settings.backup_dir.absolute())


def register(
    settings: Settings,
    *,
    ident: str,
    tool: str,
    taken_at: datetime,
    restore_tested_at: datetime | None,
    note: str = "",
) -> SiteBackup:
    """
    Write into the ledger what this login says of the site's own backup.

    Raises:
        UsageError: A moment in the future, by the server's clock.
    """
    with (
        refusals.recorded(settings, "backup register", id=ident),
        db.connect(settings, "backup", as_owner=True) as conn,
    ):
        db.require_installed(conn)
        now: datetime = db.fetch_value(conn, "select clock_timestamp()")
        for option, moment in (("taken-at", taken_at), ("restore-tested-at", restore_tested_at)):
            _require_past(option, moment, now)
        entry = {
            "id": ident,
            "tool": tool,
            "taken_at": taken_at.isoformat(),
            "restore_tested_at": restore_tested_at.isoformat() if restore_tested_at else None,
            "note": note,
            "database": archives.read_identity(conn).as_dict(),
        }
        ledger.append(conn, "backup", gate.SITE, entry)
        registered = gate.fetch_site(conn)
        assert registered is not None  # noqa: S101  it was written a line above
        return registered


def prune(settings: Settings, *, dry_run: bool) -> Pruned:
    """Remove the archives of this database that are beyond every limit, and that nothing needs."""
    with (
        refusals.recorded(settings, "backup prune"),
        db.connect(settings, "backup", as_owner=True) as conn,
    ):
        return _prune(conn, settings, dry_run=dry_run)


def _prune(conn: Conn, settings: Settings, *, dry_run: bool) -> Pruned:
    found = list_backups(settings)
    identity = archives.read_identity(conn)
    said = _list_said(conn)

    @cache
    def newest_good() -> Path | None:
        ours = (b for b in found if b.manifest and b.manifest.identity.is_same_database(identity))
        return _find_sound(ours)

    def is_needed(backup: Backup) -> bool:
        sha256 = backup.require_manifest().sha256
        named = any(backup.path.name in text or sha256 in text for text in said)
        return named or backup.path == newest_good()

    chosen = archives.choose_removable(
        found,
        _retention(settings),
        identity=identity,
        is_needed=is_needed,
        now=db.fetch_value(conn, "select clock_timestamp()"),
    )
    failed = () if dry_run else _remove(conn, chosen)
    broken = tuple(b for b in found if b.defect is not None)
    kept = len(found) - len(broken) - len(chosen)
    return Pruned(chosen, failed, broken, kept, _retention(settings).is_set, dry_run)


def _remove(conn: Conn, chosen: Iterable[Backup]) -> tuple[str, ...]:
    """Remove archives, each after its entry in the ledger; return what went wrong."""
    failed = []
    for backup in chosen:
        if db.is_installed(conn):
            ledger.append(conn, "prune", backup.path.name, _entry(backup))
        try:
            archives.remove(backup)
        except OSError as error:
            failed.append(f"{backup.path}: {error.strerror or error}")
    return tuple(failed)


def _list_said(conn: Conn) -> list[str]:
    """Return what verdicts and approvals say, in which an archive that they stand on is named."""
    if not db.is_installed(conn):
        return []
    return [row["said"] for row in db.fetch_all(conn, db.load("backup_needed"))]


def _find_sound(backups: Iterable[Backup]) -> Path | None:
    for backup in backups:
        try:
            return archives.quick_check(backup).path
        except BackupError:
            continue
    return None


def _retention(settings: Settings) -> Retention:
    return Retention(settings.backup_keep, settings.backup_keep_for)


def _expires_at(manifest: Manifest, site: SiteBackup | None, settings: Settings) -> datetime:
    moments = [manifest.snapshot_at + settings.backup_max_age]
    if manifest.kind == "own-objects" and site is not None:
        moments.append(site.taken_at + settings.site_backup_max_age)
        if site.restore_tested_at is not None:
            moments.append(site.restore_tested_at + settings.site_restore_test_max_age)
    return min(moments)


def _require_past(option: str, moment: datetime | None, now: datetime) -> None:
    if moment is not None and moment > now:
        raise UsageError(
            f"--{option} lies in the future",
            ident="IUG-091",
            found=moment.isoformat(),
            wanted=f"a moment up to {now.isoformat(timespec='seconds')}, the server's clock",
            means="nothing was registered",
            next_command="iu-gates backup register --help",
        )


def _entry(backup: Backup) -> dict[str, object]:
    manifest = backup.require_manifest()
    return {
        "archive": str(backup.path),
        "kind": manifest.kind,
        "sha256": manifest.sha256,
        "size_bytes": manifest.size_bytes,
        "snapshot_at": manifest.snapshot_at.isoformat(),
        "snapshot_seq": manifest.facts.ledger_seq or 0,
    }


def _facts(conn: psycopg.Connection[tuple[object, ...]]) -> SnapshotFacts:
    if not db.is_installed(conn):
        return SnapshotFacts(ledger_seq=None, revisions=lanes.list_applied(conn))
    seq, head = ledger.read_head(conn)
    return SnapshotFacts(
        ledger_seq=seq,
        ledger_hash=head or None,
        revisions=lanes.list_applied(conn),
        catalog_fingerprint=db.fetch_value(
            conn, "select iu_gates.fn_fingerprint(iu_gates.fn_catalog_hashes())"
        ),
        row_counts=db.count_rows(conn),
    )
