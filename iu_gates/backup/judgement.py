"""Judge whether a backup may stand behind the next DDL step. Pure."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iu_gates.model import Finding

if TYPE_CHECKING:
    from datetime import datetime

    from iu_gates.backup.identity import Identity
    from iu_gates.backup.manifest import Manifest

_REMEDY: Final = "iu-gates backup create"


def judge_manifest(
    manifest: Manifest,
    *,
    identity: Identity,
    min_ledger_seq: int | None,
    now: datetime,
    max_age: timedelta,
) -> list[Finding]:
    """
    Hold a manifest against the database at hand.

    Says nothing about the archive itself: `verify` and `quick_check` do that.

    Args:
        manifest: Of the backup.
        identity: Of the database that is about to change.
        min_ledger_seq: The entry of the last lane step of any earlier gate or walk; the
            snapshot must hold it (T39). None if there was no such step.
        now: The server's clock, read after the backup was made.
        max_age: Inclusive, and counted from the snapshot: what was committed since is
            not in the archive, however long the dump took.

    Returns:
        One finding for each limit, always all six: system identifier, database oid,
        database name, server version, ledger entry, age.
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
        _judge_ledger(manifest.facts.ledger_seq, min_ledger_seq),
        _judge_age(manifest.snapshot_at, now, max_age),
    ]


def _judge_ledger(found: int | None, wanted: int | None) -> Finding:
    has = "no ledger in the snapshot" if found is None else f"entry {found}"
    if wanted is None:
        return _finding("ledger entry", passed=True, found=has, wanted="")
    passed = found is not None and found >= wanted
    return _finding("ledger entry", passed, has, f"entry {wanted} or later")


def _judge_age(snapshot_at: datetime, now: datetime, max_age: timedelta) -> Finding:
    age = now - snapshot_at
    wanted = f"at most {_duration(max_age)} old"
    if age < timedelta(0):
        found = f"{_duration(-age)} ahead of the server's clock"
        return _finding("age of the snapshot", passed=False, found=found, wanted=wanted)
    return _finding("age of the snapshot", age <= max_age, f"{_duration(age)} old", wanted)


def _finding(name: str, passed: bool, found: str, wanted: str) -> Finding:  # noqa: FBT001
    return Finding(name, passed, found, wanted, remedy="" if passed else _REMEDY)


def _duration(span: timedelta) -> str:
    """Return a span in words, rounded up to seconds: ``1 h 5 s``."""
    minutes, seconds = divmod(math.ceil(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"
