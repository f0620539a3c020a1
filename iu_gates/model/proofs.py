"""
What was tried, and what came of it: the proof, the rehearsal, the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from iu_gates.model.verdicts import Finding
from iu_gates.model.walks import Direction


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
class AuditReport:
    """
    An independent count, by another way than the worker's.

    Attributes:
        counts: "host", "baseline", "captured", "dry_run", "delivered", "held", "duplicates",
            "dead", "left_out" (from before the route began), "skipped_by_decision", "missed"
            (host rows without an event), "skipped" (events that every cursor passed without an
            attempt), "repeated", "reordered", "unexplained" (target rows without an attempt, or
            the reverse).
        findings: One of each kind of fault.
        named: What is wrong or was skipped by decision, by the kind; at most 1,000 each.
    """

    route: str
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True if nothing is missed, skipped, repeated, reordered or unexplained."""
        return all(f.passed for f in self.findings)
