"""
The gate "dry_run": the worker gate is open and organic dry-run attempts were seen.

Every synthetic write of ours is in a transaction that is rolled back, so whatever is committed
is organic (T43). The audit must agree: host rows, events and attempts are as many, none is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from iu_gates import audit, db, lanes
from iu_gates.config import ROUTE, Settings, name_advance
from iu_gates.db import Conn
from iu_gates.model import AuditReport, Finding, Verdict, verdict
from iu_gates.standing import Further, fetch_further

NAME: Final = "dry_run"


@dataclass(frozen=True, slots=True)
class DryRunFacts:
    """
    What the gate looks at.

    Attributes:
        gate_value: The worker gate: "true", "false" or None.
        span_seconds: The time from the first dry-run attempt to the last.
        pruned: Dry-run attempts that were seen once, and pruned since.
        further: The further route that it is about; None for the first.
    """

    gate_value: str | None
    audit: AuditReport
    span_seconds: float
    pruned: int = 0
    further: Further | None = None


def collect(conn: Conn, settings: Settings, route: str = ROUTE) -> DryRunFacts:
    """Read the switch, the attempts and the audit."""
    routes = {r["route_name"]: r for r in db.fetch_all(conn, db.load("routes", settings.schema))}
    seen = db.fetch_one(conn, db.load("dry_run", settings.schema), {"route": route})
    value = seen["gate_value"] if "080" in lanes.list_applied(conn) else None
    span = float(seen["span_seconds"] or 0)
    counted = audit.count(conn, settings, routes[route])
    further = fetch_further(conn, settings, route)
    return DryRunFacts(value, counted, span, int(seen["pruned"]), further)


def judge(facts: DryRunFacts, settings: Settings) -> Verdict:
    """Pass if there are enough attempts over enough time and the audit names no fault."""
    counts = facts.audit.counts
    value = facts.gate_value
    findings = [
        Finding("worker gate", value == "true", str(value), "true", "iu-gates advance"),
        *_judge_on(facts.further),
        *_judge_evidence(facts, settings),
        _judge_none("dead letters", counts.get("dead"), "iu-gates audit"),
        *facts.audit.findings,
        *_judge_audited(facts.audit),
    ]
    facts_json: dict[str, Any] = {
        "gate_value": facts.gate_value,
        "counts": dict(counts),
        "span_seconds": facts.span_seconds,
        "pruned": facts.pruned,
    }
    return verdict(NAME, findings, facts_json)


def _judge_on(further: Further | None) -> list[Finding]:
    """A further route is switched on by a command of its own, the first by 060."""
    if further is None:
        return []
    is_on = further.switch != "off"
    remedy = f"iu-gates route enable {further.route}"
    return [Finding("route", is_on, "on" if is_on else "off", "on", remedy)]


def _judge_evidence(facts: DryRunFacts, settings: Settings) -> list[Finding]:
    counts = facts.audit.counts
    minimum, span = settings.dry_run_min_events, settings.dry_run_min_span.total_seconds()
    return [
        Finding(
            "organic dry-run attempts",
            counts.get("dry_run", -1) + facts.pruned >= minimum,
            f"{counts.get('dry_run')} of {counts.get('captured')} events captured"
            + (f", and {facts.pruned} pruned" if facts.pruned else ""),
            f"{minimum} or more",
            "iu-gates worker run",
            waits=True,
        ),
        Finding(
            "time that they span",
            facts.span_seconds >= span,
            f"{facts.span_seconds:.0f} s",
            f"{span:.0f} s",
            name_advance(facts.further.route if facts.further else None),
            waits=True,
        ),
        # A busy host is never quite caught up with: what came this moment is not counted.
        _judge_none("not attempted yet", counts.get("late"), "iu-gates worker run", waits=True),
    ]


def _judge_none(name: str, found: int | None, remedy: str, *, waits: bool = False) -> Finding:
    return Finding(
        name, found == 0, "not known" if found is None else str(found), "0", remedy, waits
    )


def _judge_audited(seen: AuditReport) -> list[Finding]:
    """Fail for each fault that the audit did not look for."""
    named = {f.name for f in seen.findings}
    return [
        Finding(text, passed=False, found="not counted", wanted="0", remedy="iu-gates audit")
        for text in audit.FAULTS.values()
        if text not in named
    ]
