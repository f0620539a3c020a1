"""
The gate "backup": an archive of this database that may stand behind the next DDL step.

Its snapshot must hold every lane step of any earlier gate or walk (T39), must be young enough,
and the archive must still be what was read back whole when it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from iu_gates import backup as archives
from iu_gates import db, ledger
from iu_gates.backup import Backup, Identity
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import BackupError
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "backup"


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """
    The archive that the ledger names, or else the newest; and what it is held against.

    Attributes:
        newest: None if there is none.
        defect: Why the newest is none after all, found by its size and sha256.
        min_ledger_seq: The last lane step that it must hold.
        now: The server's clock.
    """

    directory: Path
    newest: Backup | None
    defect: BackupError | None
    identity: Identity
    min_ledger_seq: int | None
    now: datetime


def collect(
    conn: Conn, settings: Settings, *, gate: str | None = None, path: Path | None = None
) -> BackupFacts:
    """
    Look at one archive: `path`, else the one that the ledger names, else the newest.

    `gate` is the one that is being walked: its own steps may be missing in the archive.
    """
    identity = archives.read_identity(conn)
    named = path or _named_in_ledger(conn)
    known = archives.list_backups(settings.backup_dir.absolute())
    newest = Backup(named, None) if named else next(iter(known), None)
    defect = None
    if newest is not None:
        try:
            newest = archives.quick_check(newest.path)
        except BackupError as error:
            defect = error
    now = db.fetch_value(conn, "select clock_timestamp()")
    return BackupFacts(
        settings.backup_dir.absolute(), newest, defect, identity, _last_step(conn, gate), now
    )


def judge(facts: BackupFacts, settings: Settings) -> Verdict:
    """Decide whether the newest archive will do; one finding a limit."""
    remedy = "iu-gates backup create && iu-gates advance"
    if facts.newest is None:
        none = Finding(
            "backup",
            passed=False,
            found=f"none in {facts.directory}",
            wanted="one of this database",
            remedy=remedy,
        )
        return verdict(NAME, [none], {})
    if facts.defect is not None or facts.newest.manifest is None:
        found = facts.defect.summary if facts.defect else "no manifest"
        broken = Finding(
            "archive",
            passed=False,
            found=found,
            wanted="as it was when it was read back whole",
            remedy=remedy,
        )
        return verdict(NAME, [broken], {"archive": str(facts.newest.path)})
    manifest = facts.newest.manifest
    findings = archives.judge_manifest(
        manifest,
        identity=facts.identity,
        min_ledger_seq=facts.min_ledger_seq,
        now=facts.now,
        max_age=settings.backup_max_age,
    )
    facts_json = {
        "archive": str(facts.newest.path),
        "sha256": manifest.sha256,
        "size_bytes": manifest.size_bytes,
        "snapshot_at": manifest.snapshot_at.isoformat(),
        "snapshot_seq": manifest.facts.ledger_seq or 0,
    }
    return verdict(NAME, findings, facts_json)


def _named_in_ledger(conn: Conn) -> Path | None:
    """Return the archive that the verdict in the ledger stands on: no other is looked at."""
    if not db.is_installed(conn):
        return None
    last = ledger.fetch_newest(conn, "verdict", NAME)
    path = last.get("facts", {}).get("facts", {}).get("archive")
    return Path(path) if path else None


def _last_step(conn: Conn, gate: str | None) -> int | None:
    if not db.is_installed(conn):
        return None
    seq: int | None = db.fetch_value(
        conn,
        "select max(l.seq) from iu_gates.ledger as l where l.kind = 'step'"
        " and (l.facts ->> 'gate' is distinct from %s or l.facts ->> 'direction' = 'down')",
        gate,
    )
    return seq
