"""
The gate "backup": an archive of this database that may stand behind the next DDL step.

Its snapshot must hold every lane step of any earlier gate or walk (T39), and the state in which
that left the database; it must be young enough; and the archive must still be what was read
back whole when it was made. An archive of our objects alone counts only beside a backup of the
site's own, registered in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from iu_gates import backup as archives
from iu_gates import db, lanes, ledger
from iu_gates.backup import Backup, Identity, LedgerFacts, Manifest, SiteBackup, SiteLimits
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import BackupError
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "backup"
SITE: Final = "site"
"""Subject of the ledger's entries of kind "backup" that register one of the site's own."""

REMEDY: Final = f"{archives.AGAIN} && iu-gates advance"

TAMPERED: Final = {
    "archive": "the ledger vouches for it, and this is not what was read back whole",
    "record": "archive and manifest agree with each other, and not with the ledger",
    "ledger chain": "the ledger vouches for it, and its manifest is of another ledger",
    "system identifier": "the ledger vouches for it, and its manifest is of another server",
    "database oid": "the ledger vouches for it, and its manifest is of another database",
}
"""Findings that no passing of time brings about, and what each says of the archive."""


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """
    The archive that the ledger names, or else the newest; and what it is held against.

    Attributes:
        newest: None if there is none.
        defect: Why the newest is none after all, found by its size and sha256.
        ledger: What the ledger says of it and of this database.
        site: The site's own backup that was registered last; None without one.
        now: The server's clock.
        is_vouched: True if the ledger names it, and the database was not re-based since.
    """

    directory: Path
    newest: Backup | None
    defect: BackupError | None
    identity: Identity
    ledger: LedgerFacts
    site: SiteBackup | None
    now: datetime
    is_vouched: bool = False


def collect(
    conn: Conn, settings: Settings, *, gate: str | None = None, path: Path | None = None
) -> BackupFacts:
    """
    Look at one archive: `path`, else the one that the ledger names, else the newest.

    `gate` is the one that is being walked, or "rollback": its own steps may be missing in the
    archive.
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
    return BackupFacts(
        settings.backup_dir.absolute(),
        newest,
        defect,
        identity,
        _read_ledger(conn, gate, newest.manifest if newest else None),
        fetch_site(conn),
        db.fetch_value(conn, "select clock_timestamp()"),
        path is None and _is_vouched(conn),
    )


def fetch_site(conn: Conn) -> SiteBackup | None:
    """Return the backup of the site's own that was registered last; None without one."""
    if not db.is_installed(conn):
        return None
    entry = ledger.fetch_newest(conn, "backup", SITE)
    if not entry:
        return None
    facts = entry["facts"]
    tested = facts["restore_tested_at"]
    return SiteBackup(
        ident=facts["id"],
        tool=facts["tool"],
        taken_at=datetime.fromisoformat(facts["taken_at"]),
        restore_tested_at=datetime.fromisoformat(tested) if tested else None,
        note=facts["note"],
        identity=_read_identity(facts["database"]),
        by=entry["actor"],
        said_at=entry["at"],
        seq=entry["seq"],
    )


def _read_identity(said: Mapping[str, Any]) -> Identity:
    return Identity(**{**said, "system_identifier": int(said["system_identifier"])})


def judge(facts: BackupFacts, settings: Settings) -> Verdict:
    """Decide whether the newest archive will do; one finding a limit."""
    if facts.newest is None:
        none = _failed("backup", f"none in {facts.directory}", "one of this database")
        return verdict(NAME, [none], {})
    if facts.defect is not None or facts.newest.manifest is None:
        found = facts.defect.summary if facts.defect else "no manifest"
        broken = _failed("archive", found, "as it was when it was read back whole")
        return verdict(NAME, [broken], {"archive": str(facts.newest.path)})
    manifest = facts.newest.manifest
    findings = archives.judge_manifest(
        manifest,
        identity=facts.identity,
        ledger=facts.ledger,
        now=facts.now,
        max_age=settings.backup_max_age,
    )
    findings += _judge_kind(manifest, facts, settings)
    return verdict(NAME, findings, _as_json(facts.newest.path, manifest, facts.site))


def is_mended_by_another(verdict: Verdict) -> bool:
    """Tell whether a new archive might mend anything: it does nothing for the site's own."""
    return any(f.remedy.startswith(archives.AGAIN) for f in verdict.failures)


def find_tampering(facts: BackupFacts, verdict: Verdict) -> list[Finding]:
    """
    Return the failures that another archive must not paper over: somebody has to know of them.

    After a re-base an archive may be of the database that this one was; never of another record.
    One that is gone altogether was put away: nothing stands in its place.
    """
    is_gone = facts.defect is not None and facts.defect.ident == archives.MISSING
    return [
        replace(f, found=f"{f.found}: {TAMPERED[f.name]}", remedy=REMEDY)
        for f in verdict.failures
        if f.name == "record" or (facts.is_vouched and not is_gone and f.name in TAMPERED)
    ]


def _judge_kind(manifest: Manifest, facts: BackupFacts, settings: Settings) -> list[Finding]:
    """Judge an archive of our objects: whether it is allowed, and what stands beside it."""
    if manifest.kind == "full":
        return [Finding("kind", passed=True, found="full")]
    if settings.backup_kind == "full":
        return [_failed("kind", manifest.kind, "full, as the settings say")]
    limits = SiteLimits(settings.site_backup_max_age, settings.site_restore_test_max_age)
    beside = archives.judge_site(facts.site, identity=facts.identity, now=facts.now, limits=limits)
    return [Finding("kind", passed=True, found=manifest.kind), *beside]


def _as_json(path: Path, manifest: Manifest, site: SiteBackup | None) -> dict[str, Any]:
    beside = {"site_backup_seq": site.seq} if site and manifest.kind == "own-objects" else {}
    return {
        "archive": str(path),
        "kind": manifest.kind,
        "sha256": manifest.sha256,
        "size_bytes": manifest.size_bytes,
        "snapshot_at": manifest.snapshot_at.isoformat(),
        "snapshot_seq": manifest.facts.ledger_seq or 0,
        **beside,
    }


def _failed(name: str, found: str, wanted: str) -> Finding:
    return Finding(name, passed=False, found=found, wanted=wanted, remedy=REMEDY)


def _named_in_ledger(conn: Conn) -> Path | None:
    """Return the archive that the verdict in the ledger stands on: no other is looked at."""
    if not db.is_installed(conn):
        return None
    last = ledger.fetch_newest(conn, "verdict", NAME)
    path = last.get("facts", {}).get("facts", {}).get("archive")
    return Path(path) if path else None


def _is_vouched(conn: Conn) -> bool:
    """Tell whether the ledger names an archive, and what it says is of this very database."""
    if _named_in_ledger(conn) is None:
        return False
    rebased = ledger.fetch_newest(conn, "rebase")
    return bool(ledger.fetch_newest(conn, "verdict", NAME)["seq"] > rebased.get("seq", 0))


def _read_ledger(conn: Conn, gate: str | None, manifest: Manifest | None) -> LedgerFacts:
    if not db.is_installed(conn):
        return LedgerFacts()
    row = db.fetch_one(
        conn,
        db.load("backup_ledger"),
        {
            "gate": gate,
            "snapshot_seq": (manifest.facts.ledger_seq if manifest else None) or 0,
            "archive": manifest.archive if manifest else "",
        },
    )
    heads = row["heads"]
    return LedgerFacts(
        min_seq=row["min_seq"],
        hash_at_head=row["hash_at_head"],
        step_seq=row["step_seq"],
        revisions=None if heads is None else lanes.list_with_needs(heads),
        fingerprint=row["fingerprint"],
        sha256=row["sha256"],
    )
