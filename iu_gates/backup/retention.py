"""
Which old archives go: chosen first (pure), then removed.

Nothing goes unless a limit is set. Only whole archives of this very database are looked at;
what is broken is somebody's to look into, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iu_gates.backup import files
from iu_gates.backup.archive import Backup, manifest_path

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from iu_gates.backup.identity import Identity


@dataclass(frozen=True, slots=True)
class Retention:
    """
    What is kept at least.

    Attributes:
        count: The newest so many; None is no limit of its own.
        span: Whatever was taken within it; None is no limit of its own.
    """

    count: int | None = None
    span: timedelta | None = None

    @property
    def is_set(self) -> bool:
        """True if anything may go at all."""
        return self.count is not None or self.span is not None


def choose_removable(
    backups: Sequence[Backup],
    retention: Retention,
    *,
    identity: Identity,
    is_needed: Callable[[Backup], bool],
    now: datetime,
) -> tuple[Backup, ...]:
    """
    Return what may go, the oldest first.

    Args:
        backups: As `list_backups` gives them: the newest snapshot first.
        retention: An archive goes only if it is beyond every limit that is set.
        identity: Of the database at hand; archives of others are not ours to remove.
        is_needed: Whether the ledger, or anything else, stands on it.
        now: The server's clock.
    """
    if not retention.is_set:
        return ()
    ours = [
        (backup, backup.manifest)
        for backup in backups
        if backup.defect is None
        and backup.manifest is not None
        and backup.manifest.identity.is_same_database(identity)
    ]
    kept = max(retention.count or 0, 1)  # the newest stays in any case
    return tuple(
        backup
        for backup, manifest in reversed(ours[kept:])
        if (retention.span is None or now - manifest.snapshot_at > retention.span)
        and not is_needed(backup)
    )


def remove(backup: Backup) -> None:
    """
    Remove an archive for good, its manifest first: without one it is no backup to anybody.

    Raises:
        OSError: It could not be removed; killed or failed in between, the archive is listed
            as one without its manifest.
    """
    manifest_path(backup.path).unlink(missing_ok=True)
    backup.path.unlink(missing_ok=True)
    files.sync_directory(backup.path.parent)
