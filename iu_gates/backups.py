"""Backups of this installation: taken with what the ledger must know of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg

from iu_gates import backup as archives
from iu_gates import db, lanes, ledger
from iu_gates.backup import Backup, SnapshotFacts
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import BackupError
from iu_gates.gates import backup as gate

Progress = Callable[[int, int | None], None]


def create_backup(settings: Settings, progress: Progress | None = None) -> Backup:
    """Take a backup, read it back whole; where a ledger stands, record it and the verdict."""
    with db.connect(settings, "backup") as conn:
        return take(conn, settings, progress)


def take(conn: Conn, settings: Settings, progress: Progress | None = None) -> Backup:
    """As `create_backup`, with `conn` for the ledger."""
    backup = archives.create(
        db.resolve_url(settings),
        settings.backup_dir.absolute(),
        facts=_facts,
        bin_dir=settings.bin_dir,
        progress=progress,
    )
    if db.is_installed(conn):
        manifest = backup.require_manifest()
        ledger.append(
            conn,
            "backup",
            backup.path.name,
            {
                "archive": str(backup.path),
                "sha256": manifest.sha256,
                "size_bytes": manifest.size_bytes,
                "snapshot_at": manifest.snapshot_at.isoformat(),
                "snapshot_seq": manifest.facts.ledger_seq or 0,
            },
        )
        record(conn, settings, backup)
    return backup


def record(conn: Conn, settings: Settings, backup: Backup) -> None:
    """Judge a backup for the gate and write the verdict; it runs out with the backup's age."""
    manifest = backup.require_manifest()
    facts = gate.collect(conn, settings, gate=None, path=backup.path)
    ledger.record_verdict(
        conn, gate.judge(facts, settings), expires_at=manifest.snapshot_at + settings.backup_max_age
    )


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
    return archives.verify(path)


def list_backups(settings: Settings) -> list[Backup]:
    """Return what lies in the backup directory, newest snapshot first."""
    return archives.list_backups(settings.backup_dir.absolute())


def _facts(conn: psycopg.Connection[tuple[object, ...]]) -> SnapshotFacts:
    if not db.is_installed(conn):
        return SnapshotFacts(ledger_seq=None, revisions=lanes.list_applied(conn))
    return SnapshotFacts(
        ledger_seq=ledger.read_head(conn)[0],
        revisions=lanes.list_applied(conn),
        catalog_fingerprint=db.fetch_value(
            conn, "select iu_gates.fn_fingerprint(iu_gates.fn_catalog_hashes())"
        ),
        row_counts=db.count_rows(conn),
    )
