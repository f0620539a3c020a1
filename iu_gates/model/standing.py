"""
How things stand: what `status`, `doctor`, a worker and the look for drift show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from iu_gates.model.verdicts import Finding, GateState


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
            "duplicate", "parked" (to be tried again, or behind such a one), "dead" (open dead
            letters) and "waiting" (captured, not attempted in any way).
        gates: Of a further route, its own gates; of the first, empty: those of the status.
        next_gate: The first of them that is not in force; None at live.
        is_about: What is captured, dry, sent and duplicate is estimated: the history is long.
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
    gates: tuple[GateState, ...] = ()
    next_gate: str | None = None
    is_about: bool = False


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker's heartbeat; `age_seconds` by the server's clock."""

    worker_id: str
    invocation: str
    state: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class HistorySize:
    """
    How much history there is.

    Attributes:
        oldest: When its oldest event was captured; None without one.
        size_bytes: Of events and attempts on disk, indexes included.
        beyond: Events that are older than the policy `history_keep` keeps; 0 without one.
        overdue: Of these, older by two days and more, that nothing holds back.
        is_about: The events are estimated, from a share of the pages.
    """

    events: int
    oldest: datetime | None
    size_bytes: int
    beyond: int
    overdue: int
    is_about: bool = False


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
        history: How much there is; None before 008.
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
    history: HistorySize | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """
    One call of the worker on one route, as it is logged; `seconds` by the client's clock.

    Attributes:
        parked: Events that failed and will be tried again, and those that wait behind them.
    """

    route: str
    state: str
    events: int
    sent: int
    duplicates: int
    dead: int
    seconds: float
    parked: int = 0


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
        holds: The rows that would go with it, in words; empty for none, or where nobody looked.
    """

    object: str
    change: str
    is_part: bool = False
    wanted: str | None = None
    found: str | None = None
    removal: str | None = None
    holds: str = ""


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
class DoctorReport:
    """Every check of the surroundings: server, rights, tools, host contract, site key, copies."""

    checks: tuple[Finding, ...]
