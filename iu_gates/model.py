"""
The values that the rooms of the house hand to each other. No database, no policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

GATES: Final = (
    "host",
    "backup",
    "substrate",
    "invocation",
    "dry_run",
    "seam",
    "check_relaxed",
    "disable_proven",
    "rehearsal",
    "approval",
    "canary",
    "live",
)
"""The mandatory gates, in the order in which `advance` walks them."""

Direction = Literal["up", "down"]
Outcome = Literal["pass", "fail", "waived"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One limit, held against what was seen.

    Attributes:
        name: What was looked at, in two or three words.
        passed: Whether it satisfies the limit.
        found: What was seen, with units.
        wanted: What the limit asks; empty where `found` says it all.
        remedy: A command or SQL statement that mends it; empty if it passed.
        waits: True if only time or other people can mend it.
    """

    name: str
    passed: bool
    found: str
    wanted: str = ""
    remedy: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a gate's judge said about the facts it was given.

    Attributes:
        gate: One of `GATES`.
        outcome: "pass", "fail" or "waived".
        findings: One for each limit, in the order of the limits.
        facts: What was judged, as JSON values; goes into the ledger as it is.
    """

    gate: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True if one may go on: the gate passed, or was waived by name in the settings."""
        return self.outcome in ("pass", "waived")

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that did not pass."""
        return tuple(f for f in self.findings if not f.passed)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, under the names that ``--json`` uses."""
        return {
            "gate": self.gate,
            "outcome": self.outcome,
            "passed": self.passed,
            "findings": [
                {
                    "name": f.name,
                    "passed": f.passed,
                    "found": f.found,
                    "wanted": f.wanted,
                    "remedy": f.remedy,
                    "waits": f.waits,
                }
                for f in self.findings
            ],
            "facts": dict(self.facts),
        }


def verdict(gate: str, findings: list[Finding], facts: Mapping[str, Any]) -> Verdict:
    """Return "pass" if every finding passed, else "fail"."""
    outcome: Outcome = "pass" if all(f.passed for f in findings) else "fail"
    return Verdict(gate, outcome, tuple(findings), facts)


@dataclass(frozen=True, slots=True)
class Waiver:
    """A gate that the settings let pass by name: who said so, why, and until when."""

    gate: str
    who: str
    why: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One Alembic revision that `advance` or `rollback` ran, or would run."""

    revision: str
    direction: Direction
    lane: Literal["substrate", "runtime"]
    is_ddl: bool
    summary: str


@dataclass(frozen=True, slots=True)
class GateState:
    """
    Where one gate stands.

    Attributes:
        gate: One of `GATES`.
        outcome: Of the newest verdict; None if there is none yet.
        in_force: True if the verdict counts now and the gate's revisions are applied.
        reason: Why it is not in force; empty if it is.
        at: When the newest verdict was written.
    """

    gate: str
    outcome: Outcome | None
    in_force: bool
    reason: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Something held by `disable`, a drill or a trip, and not lifted yet; `route` None is all."""

    epoch: int
    route: str | None
    kind: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RouteState:
    """
    A route as it stands.

    Attributes:
        mode: What a worker does now: "hold", "dry", "held" or "live".
        quota: Deliveries left to the canary; None is no limit.
        counts: Events by "captured", "dry_run", "held" (not delivered since), "sent",
            "duplicate", "dead" and "waiting" (captured, not attempted in any way).
    """

    name: str
    target: str
    mode: str
    enabled: bool
    dry_run: bool
    quota: int | None
    live_from: datetime | None
    live_since: datetime | None
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker's heartbeat; `age_seconds` by the server's clock."""

    worker_id: str
    invocation: str
    state: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    """
    Everything that `status` shows, read in one transaction.

    Attributes:
        installed: False if the control schema is not there; most else is empty then.
        revisions: Applied revisions of both lanes, in the order of the walk.
        worker_gate: "true", "false" or None before 060.
        disagreements: Where revision and switches say different things, in words.
        drift: "object: changed|missing|added" since the last lane step.
        next_gate: The first gate that is not in force; None at live.
        next_command: What to type next.
        blocks: What stands in the way of `next_gate`, one line each.
        ledger_seq, ledger_hash: The head of the ledger; 0 and "" before the first entry.
    """

    database: str
    server_version: str
    installed: bool
    revisions: tuple[str, ...] = ()
    worker_gate: str | None = None
    gates: tuple[GateState, ...] = ()
    routes: tuple[RouteState, ...] = ()
    stops: tuple[Stop, ...] = ()
    workers: tuple[WorkerState, ...] = ()
    disagreements: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    next_gate: str | None = None
    next_command: str = ""
    blocks: tuple[str, ...] = ()
    ledger_seq: int = 0
    ledger_hash: str = ""


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
    A revision that lies ahead: its gate, and its SQL as it would run.

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
    """

    next_gate: str | None
    steps: tuple[PlannedStep, ...]
    waits_for: tuple[str, ...]
    digest: str | None
    backup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProofReport:
    """The consumer proof: each check with what was seen; nothing of it remains in the database."""

    route: str
    pending: tuple[str, ...]
    checks: tuple[Finding, ...]
    held_ms: float

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return all(c.passed for c in self.checks)


@dataclass(frozen=True, slots=True)
class RehearsedStep:
    """
    A revision walked in the scratch database, on restored data.

    Attributes:
        milliseconds: By the client's clock, with all that is looked at on the way.
        held_ms: How long its transaction had run when it was recorded: no lock of it was held
            longer. None if the step did not say.
        is_target: Several steps at once, down to this revision, which stays.
    """

    revision: str
    direction: Direction
    milliseconds: float
    held_ms: float | None
    is_target: bool = False


@dataclass(frozen=True, slots=True)
class RehearsalReport:
    """
    A restored backup, and the rest of the way walked on it, there and back.

    Attributes:
        archive: The backup that was restored; `size_bytes` is of the archive.
        place: Where the scratch database was.
        steps: In the order in which they were walked.
        checks: Everything that was held against what it should be.
        not_rehearsed: What was left out or switched off, so that nothing leaves the database.
    """

    archive: str
    sha256: str
    size_bytes: int
    place: str
    restore_seconds: float
    seconds: float
    steps: tuple[RehearsedStep, ...]
    checks: tuple[Finding, ...]
    not_rehearsed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return all(c.passed for c in self.checks)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A scratch database that an interrupted rehearsal left, and what became of it."""

    database: str
    dropped: bool
    reason: str = ""


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
class RollbackResult:
    """What `rollback` undid, step by step, and what stays."""

    target: str
    undone: tuple[str, ...]
    kept: Mapping[str, int]
    backup: str | None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """
    An independent count, by another way than the worker's.

    Attributes:
        counts: "host", "baseline", "captured", "dry_run", "delivered", "held", "duplicates",
            "dead", "missed" (host rows without an event), "skipped" (events that every cursor
            passed without an attempt), "repeated", "reordered", "unexplained" (target rows
            without an attempt, or the reverse).
        findings: The first of each kind, named.
    """

    route: str
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """True if nothing is missed, skipped, repeated, reordered or unexplained."""
        return all(f.passed for f in self.findings)


@dataclass(frozen=True, slots=True)
class Drift:
    """
    An object of ours, or a part of one, that is not as it was left.

    Attributes:
        object: Its name; parts after ": ", as in "table iu_core.iu_event: column subject".
        change: "changed", "missing" or "added".
        is_part: True if it came or went with another that has drifted too.
        wanted: The SQL that makes it, as recorded; None if nothing was.
        found: The SQL that makes it as it is now.
        removal: The SQL that takes it away; None if it goes with another.
    """

    object: str
    change: str
    is_part: bool = False
    wanted: str | None = None
    found: str | None = None
    removal: str | None = None


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What has drifted, the SQL that mends it, and the command that comes next."""

    found: tuple[Drift, ...]
    sql: str
    next_command: str = ""

    @property
    def passed(self) -> bool:
        """True if nothing has drifted."""
        return not self.found


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
class DoctorReport:
    """Every check of the surroundings: server, rights, tools, host contract, site key, copies."""

    checks: tuple[Finding, ...]


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
    """

    target: str
    undone: tuple[Step, ...]
    kept: Mapping[str, int]
    refusals: tuple[str, ...]
    lost: Mapping[str, int] = field(default_factory=dict)
    blockers: tuple[str, ...] = ()
    ways_on: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Batch:
    """One call of the worker on one route, as it is logged; `seconds` by the client's clock."""

    route: str
    state: str
    events: int
    sent: int
    duplicates: int
    dead: int
    seconds: float


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
