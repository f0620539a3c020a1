"""Judge one gate, waivers included; and the error for a gate that is not satisfied."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from iu_gates import db, gates
from iu_gates.config import WAIVABLE, Settings, name_advance, name_further
from iu_gates.db import Conn
from iu_gates.errors import GateError
from iu_gates.model import Finding, Verdict


def refusal(verdict: Verdict, did: list[str]) -> GateError:
    """Return the error that says which limit a gate does not meet, and what to type next."""
    worst = next((f for f in verdict.failures if not f.waits), None) or verdict.failures[0]
    whose = f" of {verdict.route}" if verdict.route else ""
    return GateError(
        f'gate "{verdict.gate}"{whose} is not satisfied: {worst.name}: {worst.found}',
        found=worst.found,
        wanted=worst.wanted,
        means="it waits for this" if worst.waits else "nothing was changed past this gate",
        next_command=worst.remedy or name_advance(verdict.route),
        more=f"docs/gates/{verdict.gate}.md",
        facts={"verdict": verdict.as_dict(), "did": did},
    )


def judge_route(conn: Conn, settings: Settings, gate: str, route: str) -> Verdict:
    """Return the verdict of one of `ROUTE_GATES` about a route, of which none can be waived."""
    module = gates.BY_NAME[gate]
    result: Verdict = module.judge(module.collect(conn, settings, route), settings)
    return replace(result, route=name_further(route))


def judge(conn: Conn, settings: Settings, gate: str) -> Verdict:
    """Return the verdict of a gate; one of `WAIVABLE` that is not satisfied may be waived."""
    module = gates.BY_NAME[gate]
    result: Verdict = module.judge(module.collect(conn, settings), settings)
    now: datetime = db.fetch_value(conn, "select clock_timestamp()")
    waiver = settings.waiver(gate, now)
    if not result.passed and waiver and gate in WAIVABLE:
        facts = {
            **result.facts,
            "waiver": {"who": waiver.who, "why": waiver.why, "until": waiver.until.isoformat()},
        }
        finding = Finding(
            "waived",
            passed=True,
            found=f"by {waiver.who} until {waiver.until:%Y-%m-%d}: {waiver.why}",
        )
        return Verdict(gate, "waived", (finding,), facts)
    return result


def is_writable(host: Verdict) -> bool:
    """Tell whether the ledger could hold this verdict at all."""
    return not {"server", "primary", "writable"} & {f.name for f in host.failures}
