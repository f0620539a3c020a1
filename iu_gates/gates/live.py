"""
The gate "live": the quota is lifted, and every other gate is in force.

Of the first route, a second drill with held events passed before: so the whole of the evidence
stands at PASS. A further route has the barrier in common with it, and no drill of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iu_gates import lanes, standing
from iu_gates.config import ROUTE, Settings, name_advance
from iu_gates.db import Conn
from iu_gates.evidence import Evidence, fetch, leg_findings
from iu_gates.model import Finding, Verdict, verdict
from iu_gates.standing import Further

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
        further: The further route that it is about; None for the first.
    """

    applied: tuple[str, ...]
    drill: Evidence
    not_in_force: tuple[str, ...]
    further: Further | None = None


def collect(conn: Conn, settings: Settings, route: str = ROUTE) -> LiveFacts:
    """Read the lanes' place, the route's switch and the ledger."""
    further = standing.fetch_further(conn, settings, route)
    states = standing.list_gates(conn)
    if further:
        row = standing.fetch_route(conn, settings, route)
        states = (*standing.list_shared(states), *standing.list_route_gates(conn, row))
    lacking = tuple(f"{s.gate}: {s.reason}" for s in states if not s.in_force and s.gate != NAME)
    drill = fetch(conn, "drill", "081")
    return LiveFacts(lanes.list_applied(conn), drill, lacking, further)


def judge(facts: LiveFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if the quota is lifted, every gate before is in force and the drill passed."""
    lacking = "; ".join(facts.not_in_force) or "all in force"
    before = ("gates before", not facts.not_in_force, lacking, "all in force")
    if facts.further:
        again, switch = name_advance(facts.further.route), facts.further.switch
        findings = [Finding("switch", switch == "live", switch, "live", again)]
        return verdict(NAME, [*findings, Finding(*before, again)], {"switch": switch})
    live = "082" in facts.applied
    held = bool(facts.drill.facts.get("live_before"))
    findings = [
        Finding("revision", live, "082 applied" if live else "082 not applied", "082", REMEDY),
        facts.drill.as_finding("second drill", REMEDY),
        Finding("held events in it", held, "yes" if held else "no", "yes", REMEDY),
        *leg_findings(facts.drill),
        Finding(*before, REMEDY),
    ]
    return verdict(NAME, findings, {"applied": list(facts.applied), "drill_seq": facts.drill.seq})
