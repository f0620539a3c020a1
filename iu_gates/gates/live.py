"""
The gate "live": a second drill with held events passed, then the quota is lifted.

Every other gate is in force then, and so the whole of the evidence stands at PASS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iu_gates import lanes, standing
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.evidence import Evidence, fetch, leg_findings
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "live"
REMEDY: Final = "iu-gates advance"


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """
    What live stands on.

    Attributes:
        applied: Applied revisions.
        drill: The newest drill since 081.
        not_in_force: Gates before that are not in force, with why.
    """

    applied: tuple[str, ...]
    drill: Evidence
    not_in_force: tuple[str, ...]


def collect(conn: Conn, settings: Settings) -> LiveFacts:  # noqa: ARG001
    """Read the lanes' place and the ledger."""
    states = standing.list_gates(conn)
    lacking = tuple(f"{s.gate}: {s.reason}" for s in states if not s.in_force and s.gate != NAME)
    return LiveFacts(lanes.list_applied(conn), fetch(conn, "drill", "081"), lacking)


def judge(facts: LiveFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if the quota is lifted, the second drill passed and every gate before is in force."""
    live = "082" in facts.applied
    held = bool(facts.drill.facts.get("live_before"))
    lacking = "; ".join(facts.not_in_force) or "all in force"
    findings = [
        Finding("revision", live, "082 applied" if live else "082 not applied", "082", REMEDY),
        facts.drill.as_finding("second drill", REMEDY),
        Finding("held events in it", held, "yes" if held else "no", "yes", REMEDY),
        *leg_findings(facts.drill),
        Finding("gates before", not facts.not_in_force, lacking, "all in force", REMEDY),
    ]
    return verdict(NAME, findings, {"applied": list(facts.applied), "drill_seq": facts.drill.seq})
