"""
What lies ahead and what was walked: plan, advance, disable, rollback, adoption, approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from iu_gates.model.verdicts import Verdict

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Step:
    """One Alembic revision that `advance` or `rollback` ran, or would run."""

    revision: str
    direction: Direction
    lane: Literal["substrate", "runtime"]
    is_ddl: bool
    summary: str


@dataclass(frozen=True, slots=True)
class LockNeed:
    """A lock that a step takes on a table that it finds, under the names of this database."""

    schema: str
    table: str
    mode: str

    def __str__(self) -> str:
        """Return the lock as a person reads it."""
        return f"{self.mode} on {self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """
    A revision, or a switch of a further route, that lies ahead: its gate, and its SQL.

    Attributes:
        needs_backup: A backup is taken before it, unless one that counts is there already.
        locks: What it takes above ROW EXCLUSIVE on tables that it finds.
        holds_batches: It waits until no batch is in hand, and none begins until it has ended.
        rewrites: Whether it rewrites a table. None does: a test compares the files.
        blockers: Who holds, at this moment, what it would wait for.
    """

    revision: str
    gate: str
    summary: str
    sql: str
    needs_backup: bool
    locks: tuple[str, ...] = ()
    holds_batches: bool = False
    rewrites: bool = False
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What lies ahead, gate by gate, and the digest that an approval would be about.

    Attributes:
        backup: What the backups on the way hold, and what a restore of them would lose.
        route: The further route whose gates they are; None for those of the first.
    """

    next_gate: str | None
    steps: tuple[PlannedStep, ...]
    waits_for: tuple[str, ...]
    digest: str | None
    backup: tuple[str, ...] = ()
    route: str | None = None


@dataclass(frozen=True, slots=True)
class GateReport:
    """What one gate's turn in `advance` did, and how it was judged."""

    verdict: Verdict
    did: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdvanceResult:
    """
    The outcome of one `advance` that was not refused.

    Attributes:
        reports: One for each gate that was passed in this call; empty at live.
        next_gate: The gate that comes next; None at live.
        next_command: What to type next; empty at live.
    """

    reports: tuple[GateReport, ...]
    next_gate: str | None
    next_command: str
    ledger_seq: int
    ledger_hash: str


@dataclass(frozen=True, slots=True)
class DisableResult:
    """
    What `disable` did. "Off" is committed in any case; the rest may have failed.

    Attributes:
        drained: True if no batch was in hand when the barrier was taken.
        in_hand: Those that still were: pid or gid, login, application, age.
        lane: "runtime@base" once the lane followed, or why it did not.
    """

    route: str | None
    epoch: int
    drained: bool
    in_hand: tuple[str, ...]
    terminated: tuple[str, ...]
    lane: str


@dataclass(frozen=True, slots=True)
class RollbackPreview:
    """
    What a rollback would do.

    Attributes:
        undone: Steps in the order in which they would be undone.
        kept: Rows that stay, by table.
        refusals: Why it would be refused, found before the first step; empty if it would not.
        lost: Rows of the tables that go, by table.
        blockers: Who holds a lock now that a step would wait for.
        ways_on: If it is refused, the commands that lead there all the same, in order.
        dried: Further routes that are live, and go back to dry-run before the first step.
    """

    target: str
    undone: tuple[Step, ...]
    kept: Mapping[str, int]
    refusals: tuple[str, ...]
    lost: Mapping[str, int] = field(default_factory=dict)
    blockers: tuple[str, ...] = ()
    ways_on: tuple[str, ...] = ()
    dried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What `rollback` undid, step by step, what stays, and further routes that are dry now."""

    target: str
    undone: tuple[str, ...]
    kept: Mapping[str, int]
    backup: str | None
    dried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """
    What was taken over.

    Attributes:
        revisions: The revisions that stand, in order.
        objects: How many objects were compared.
        capture: From where on `audit` counts what capture should have seen, in words.
        next_command: What to type next.
        ledger_seq, ledger_hash: The head of the ledger.
    """

    revisions: tuple[str, ...]
    objects: int
    capture: str
    next_command: str
    ledger_seq: int = 0
    ledger_hash: str = ""


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """
    What waits for approval: the newest request in the ledger.

    Attributes:
        subject: "package" or "invocation".
        digest: SHA-256 of what is voted on, in hex.
        contents: What the digest is about, readable.
        votes: "login: approve|reject, when", the last word of each.
        needed: Logins, other than the one that advances, that must approve.
    """

    subject: str
    digest: str
    requested_by: str
    requested_at: datetime
    contents: Mapping[str, Any]
    votes: tuple[str, ...]
    needed: int
