"""
What a judge says, and where a gate stands by it.
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

SHARED_GATES: Final = GATES[: GATES.index("approval")]
"""Those that a further route shares with the first."""

ROUTE_GATES: Final = ("dry_run", "seam", "approval", "canary", "live")
"""Those that a further route walks on its own."""


def scope_gate(gate: str, route: str | None) -> str:
    """Return the subject of a gate's verdicts: the gate, of a further route "NAME/canary"."""
    return f"{route}/{gate}" if route else gate


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
        route: The further route whose gate it is; None for the gates of the first.
    """

    gate: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    route: str | None = None

    @property
    def subject(self) -> str:
        """Under which the ledger has it."""
        return scope_gate(self.gate, self.route)

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
            "route": self.route,
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
