"""
The gate "check_relaxed": the CHECK that forbade live has given way to one that asks for leave.

`iu_outbound_route_safe_chk` is gone, the constraints that ask for an approval stand, validated,
and the full consumer proof passed on the state as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iu_gates import db, lanes
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.evidence import Evidence, fetch
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "check_relaxed"
WANTED: Final = ("iu_outbound_route_approval_fkey", "iu_outbound_route_live_approved_chk")
OLD: Final = "iu_outbound_route_safe_chk"
REMEDY: Final = "iu-gates drift --sql"


@dataclass(frozen=True, slots=True)
class CheckRelaxedFacts:
    """
    What stands in the catalog, and what was proven on it.

    Attributes:
        applied: Applied revisions.
        constraints: Of the route table: name to whether it is validated.
        proof: The newest proof since 100.
    """

    applied: tuple[str, ...]
    constraints: dict[str, bool]
    proof: Evidence


def collect(conn: Conn, settings: Settings) -> CheckRelaxedFacts:
    """Read the lanes' place, the constraints and the ledger."""
    rows = db.fetch_all(conn, db.load("route_constraints", settings.schema))
    constraints = {r["name"]: r["validated"] for r in rows}
    return CheckRelaxedFacts(lanes.list_applied(conn), constraints, fetch(conn, "proof", "100"))


def judge(facts: CheckRelaxedFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if the constraints are as revision 100 makes them and the proof needed no more steps."""
    stand = [c for c in WANTED if facts.constraints.get(c)]
    old = OLD in facts.constraints
    pending = facts.proof.facts.get("pending")
    found = "not known" if pending is None else ", ".join(pending) or "none"
    applied = ", ".join(facts.applied) or "none"
    findings = [
        Finding("revision", "100" in facts.applied, applied, "100", "iu-gates advance"),
        Finding(
            "constraints, validated",
            len(stand) == len(WANTED),
            ", ".join(stand) or "none",
            ", ".join(WANTED),
            REMEDY,
        ),
        Finding(OLD, not old, "still there" if old else "gone", "gone", REMEDY),
        facts.proof.as_finding(
            "consumer proof on the state as it is", "iu-gates prove && iu-gates advance"
        ),
        Finding("steps still to come in the proof", pending == [], found, "none", "iu-gates prove"),
    ]
    facts_json = {
        "applied": list(facts.applied),
        "constraints": facts.constraints,
        "proof_seq": facts.proof.seq,
    }
    return verdict(NAME, findings, facts_json)
