"""
What is kept for good, and what is taken out of it: the ledger, its export, a prune, a purge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry of the ledger; `facts` are JSON values."""

    seq: int
    at: datetime
    kind: str
    subject: str
    actor: str
    address: str
    application: str
    facts: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class LedgerExport:
    """
    A ledger that was written out.

    Attributes:
        path: Of the file; None is stdout.
        entries: How many; the last of them has the hash `ledger_hash` ("" without one).
        broken_at: The first entry that is not as it was written; None if the chain holds.
    """

    path: str | None
    entries: int
    ledger_hash: str
    broken_at: int | None

    @property
    def passed(self) -> bool:
        """True if the chain holds."""
        return self.broken_at is None


@dataclass(frozen=True, slots=True)
class PurgePreview:
    """
    What a purge would remove for good.

    Attributes:
        digest: What was voted on.
        export: Digest of the export that holds it.
        lost: Rows by table.
        never_delivered: Events among them that no target got.
        approved_by: Logins whose approval counts.
    """

    digest: str
    export: str
    file: str
    lost: Mapping[str, int]
    never_delivered: int
    approved_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What a purge removed, for good."""

    digest: str
    export: str
    removed: Mapping[str, int]
    approved_by: tuple[str, ...]
    backup: str


@dataclass(frozen=True, slots=True)
class PrunePreview:
    """
    What a prune would remove.

    Attributes:
        upto: Nothing above this event goes.
        events: How many events may go.
        kept: How many below it stay: an open dead letter, or waiting to be tried again.
        oldest: When the oldest event was captured; None without one.
        age: How long an event must have been there; None if only `upto` counts.
    """

    upto: int
    events: int
    kept: int
    oldest: datetime | None
    age: timedelta | None


@dataclass(frozen=True, slots=True)
class PruneResult:
    """
    What a prune removed.

    Attributes:
        prune_no: Its number; None if there was nothing to remove.
        removed: Rows by table.
        export: Digest of the export that holds them, in `file`.
    """

    prune_no: int | None
    upto: int
    removed: Mapping[str, int]
    kept: int
    export: str | None
    file: str | None
