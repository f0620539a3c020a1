"""
The values that the rooms of the house hand to each other. No database, no policy.

    verdicts    what a judge says, and where a gate stands by it
    walks       what lies ahead, and what was walked
    standing    how things stand: status, doctor, drift, a worker's batch
    moves       what moved, and what was captured after the fact
    proofs      what was tried: the proof, the rehearsal, the audit
    letters     dead letters, and what a redrive did
    routes      routes one by one: replayed, skipped, changed
    records     what is kept for good: the ledger, its export, a prune, a purge
"""

from iu_gates.model.letters import DeadLetter, LetterFilter, RedriveResult
from iu_gates.model.moves import BackfillResult, RebasePreview, RebaseResult
from iu_gates.model.proofs import (
    AuditReport,
    Leftover,
    ProofReport,
    RehearsalReport,
    RehearsedStep,
)
from iu_gates.model.records import (
    LedgerEntry,
    LedgerExport,
    PrunePreview,
    PruneResult,
    PurgePreview,
    PurgeResult,
)
from iu_gates.model.routes import (
    Place,
    ReplayPreview,
    ReplayResult,
    Route,
    RouteChange,
    SkipPreview,
    SkipResult,
    Span,
)
from iu_gates.model.standing import (
    Batch,
    DoctorReport,
    Drift,
    DriftReport,
    HistorySize,
    RouteState,
    Status,
    Stop,
    WorkerState,
)
from iu_gates.model.verdicts import (
    GATES,
    ROUTE_GATES,
    SHARED_GATES,
    Finding,
    GateState,
    Outcome,
    Verdict,
    Waiver,
    scope_gate,
    verdict,
)
from iu_gates.model.walks import (
    Adoption,
    AdvanceResult,
    Direction,
    DisableResult,
    GateReport,
    LockNeed,
    PendingApproval,
    Plan,
    PlannedStep,
    RollbackPreview,
    RollbackResult,
    Step,
)

__all__ = [
    "GATES",
    "ROUTE_GATES",
    "SHARED_GATES",
    "Adoption",
    "AdvanceResult",
    "AuditReport",
    "BackfillResult",
    "Batch",
    "DeadLetter",
    "Direction",
    "DisableResult",
    "DoctorReport",
    "Drift",
    "DriftReport",
    "Finding",
    "GateReport",
    "GateState",
    "HistorySize",
    "LedgerEntry",
    "LedgerExport",
    "Leftover",
    "LetterFilter",
    "LockNeed",
    "Outcome",
    "PendingApproval",
    "Place",
    "Plan",
    "PlannedStep",
    "ProofReport",
    "PrunePreview",
    "PruneResult",
    "PurgePreview",
    "PurgeResult",
    "RebasePreview",
    "RebaseResult",
    "RedriveResult",
    "RehearsalReport",
    "RehearsedStep",
    "ReplayPreview",
    "ReplayResult",
    "RollbackPreview",
    "RollbackResult",
    "Route",
    "RouteChange",
    "RouteState",
    "SkipPreview",
    "SkipResult",
    "Span",
    "Status",
    "Step",
    "Stop",
    "Verdict",
    "Waiver",
    "WorkerState",
    "scope_gate",
    "verdict",
]
