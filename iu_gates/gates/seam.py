"""
The gate "seam": revision 090 stands, and the consumer proof passed.

What is still to come of the way was applied inside the proof, and rolled back with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iu_gates import lanes
from iu_gates.config import ROUTE, Settings, name_advance, name_further
from iu_gates.db import Conn
from iu_gates.evidence import Evidence, fetch
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "seam"


@dataclass(frozen=True, slots=True)
class SeamFacts:
    """Applied revisions, the newest proof since 090 (a further route's: 100), whose it is."""

    applied: tuple[str, ...]
    proof: Evidence
    further: str | None = None


def collect(conn: Conn, settings: Settings, route: str = ROUTE) -> SeamFacts:  # noqa: ARG001
    """Read the lanes' place and the ledger."""
    further = name_further(route)
    proof = fetch(conn, "proof", "100" if further else "090", route)
    return SeamFacts(lanes.list_applied(conn), proof, further)


def judge(facts: SeamFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if the seam is built and the proof went through it."""
    built = "090" in facts.applied
    mend = name_advance(facts.further) if facts.further else "iu-gates prove && iu-gates advance"
    return verdict(
        NAME,
        [
            Finding(
                "revision",
                built,
                "090 applied" if built else "090 not applied",
                "090",
                "iu-gates advance",
            ),
            facts.proof.as_finding("consumer proof, rolled back", mend),
        ],
        {"applied": list(facts.applied), "proof_seq": facts.proof.seq},
    )
