"""Judge whether a backup may stand behind the next DDL step. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iu_gates.model import Finding

if TYPE_CHECKING:
    from datetime import datetime

    from iu_gates.backup.identity import Identity
    from iu_gates.backup.manifest import Manifest

AGAIN: Final = "iu-gates backup create"
"""What every remedy begins with that another archive may be."""

_CHANGED_BY_HAND: Final = f"{AGAIN} && iu-gates status"


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """
    What the ledger says of a backup, and of the database that it should hold.

    Attributes:
        min_seq: The entry of the last lane step of any earlier gate or walk; the snapshot
            must hold it (T39). None if there was no such step.
        hash_at_head: The hash, in this ledger, of the entry that was the backup's newest.
        step_seq: The last lane step that the snapshot holds, or must hold; None without one.
        revisions: Those applied after that step; None if it does not say.
        fingerprint: Of our catalog after that step; None if it does not say.
        sha256: As it was recorded when the archive was made; None if nobody recorded it.
    """

    min_seq: int | None = None
    hash_at_head: str | None = None
    step_seq: int | None = None
    revisions: tuple[str, ...] | None = None
    fingerprint: str | None = None
    sha256: str | None = None


def judge_manifest(
    manifest: Manifest,
    *,
    identity: Identity,
    ledger: LedgerFacts,
    now: datetime,
    max_age: timedelta,
) -> list[Finding]:
    """
    Hold a manifest against the database at hand and its ledger.

    Says nothing about the archive itself: `verify` and `quick_check` do that.

    Args:
        manifest: Of the backup.
        identity: Of the database that is about to change.
        ledger: Of that database.
        now: The server's clock, read after the backup was made.
        max_age: Inclusive, and counted from the snapshot: what was committed since is
            not in the archive, however long the dump took.

    Returns:
        One finding for each limit, always all ten: system identifier, database oid,
        database name, server version, record, ledger entry, ledger chain, revisions,
        catalog, age.
    """
    taken = manifest.identity
    pairs: tuple[tuple[str, object, object], ...] = (
        ("system identifier", taken.system_identifier, identity.system_identifier),
        ("database oid", taken.database_oid, identity.database_oid),
        ("database name", taken.database_name, identity.database_name),
        ("server version", taken.server_version_num, identity.server_version_num),
    )
    same = [_finding(name, found == want, str(found), str(want)) for name, found, want in pairs]
    return [
        *same,
        _judge_record(manifest, ledger),
        _judge_entry(manifest.facts.ledger_seq, ledger.min_seq),
        _judge_chain(manifest, ledger),
        *_judge_state(manifest, ledger),
        _judge_age(manifest, now, max_age),
    ]


def _judge_record(manifest: Manifest, ledger: LedgerFacts) -> Finding:
    """Archive and manifest agree with each other; do they with what was written down?"""
    if ledger.sha256 is None:
        return _finding("record", passed=True, found="made where no ledger stood", wanted="")
    passed = manifest.sha256 == ledger.sha256
    return _finding("record", passed, _sha256(manifest.sha256), _sha256(ledger.sha256))


def _judge_entry(found: int | None, wanted: int | None) -> Finding:
    has = "no ledger in the snapshot" if found is None else f"entry {found}"
    if wanted is None:
        return _finding("ledger entry", passed=True, found=has, wanted="")
    passed = found is not None and found >= wanted
    return _finding("ledger entry", passed, has, f"entry {wanted} or later")


def _judge_chain(manifest: Manifest, ledger: LedgerFacts) -> Finding:
    """A ledger that was restored from a backup has entries of the same numbers, and others."""
    if not manifest.facts.ledger_seq:
        return _finding("ledger chain", passed=True, found="no entry in the snapshot", wanted="")
    found, wanted = manifest.facts.ledger_hash, ledger.hash_at_head
    entry = f"entry {manifest.facts.ledger_seq}"
    if wanted is None:
        return _finding("ledger chain", passed=False, found=f"{entry} is not in this ledger")
    passed = found == wanted
    return _finding("ledger chain", passed, f"{entry} {_short(found)}", f"{entry} {_short(wanted)}")


def _judge_state(manifest: Manifest, ledger: LedgerFacts) -> list[Finding]:
    """Judge that the snapshot holds what the last lane step in it left, and nothing else."""
    if ledger.step_seq is None:
        none = "no lane step yet"
        return [_finding(n, passed=True, found=none, wanted="") for n in ("revisions", "catalog")]
    seen = manifest.facts
    step = f"as step {ledger.step_seq} of the ledger left"
    revisions = "not recorded" if ledger.revisions is None else _names(ledger.revisions)
    return [
        _finding(
            "revisions",
            ledger.revisions is not None and set(seen.revisions) == set(ledger.revisions),
            _names(seen.revisions),
            f"{revisions}, {step}",
            _CHANGED_BY_HAND,
        ),
        _finding(
            "catalog",
            seen.catalog_fingerprint is not None and seen.catalog_fingerprint == ledger.fingerprint,
            f"fingerprint {_short(seen.catalog_fingerprint)}",
            f"{_short(ledger.fingerprint)}, {step}",
            _CHANGED_BY_HAND,
        ),
    ]


def _judge_age(manifest: Manifest, now: datetime, max_age: timedelta) -> Finding:
    took = manifest.verified_at - manifest.snapshot_at
    remedy = AGAIN
    if took >= max_age:
        minutes = math.ceil(2 * took.total_seconds() / 60)
        remedy = f"export IU_GATES_BACKUP_MAX_AGE='{minutes} min' && iu-gates advance"
    return judge_age("age of the snapshot", manifest.snapshot_at, now, max_age, remedy)


def judge_age(
    name: str, moment: datetime, now: datetime, max_age: timedelta, remedy: str
) -> Finding:
    """Return whether a moment lies at most so far back, and not in the future."""
    age = now - moment
    wanted = f"at most {words_of(max_age)} old"
    if age < timedelta(0):
        found = f"{words_of(-age)} ahead of the server's clock"
        return _finding(name, passed=False, found=found, wanted=wanted, remedy=remedy)
    return _finding(name, age <= max_age, f"{words_of(age)} old", wanted, remedy)


def words_of(span: timedelta) -> str:
    """Return a span in words, rounded up to seconds: ``1 d 1 h 5 s``."""
    minutes, seconds = divmod(math.ceil(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"


def _finding(
    name: str,
    passed: bool,  # noqa: FBT001
    found: str,
    wanted: str = "",
    remedy: str = AGAIN,
) -> Finding:
    return Finding(name, passed, found, wanted, remedy="" if passed else remedy)


def _names(revisions: tuple[str, ...]) -> str:
    return ", ".join(revisions) or "none"


def _sha256(text: str) -> str:
    return f"sha256 {_short(text)}"


def _short(text: str | None) -> str:
    return text[:12] if text else "none"
