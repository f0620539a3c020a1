"""The gate "disable_proven": off and on again, route and gate, was walked under organic load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.evidence import Evidence, fetch, leg_findings
from iu_gates.model import Verdict, verdict

NAME: Final = "disable_proven"


@dataclass(frozen=True, slots=True)
class DisableFacts:
    """The newest drill since revision 100."""

    drill: Evidence


def collect(conn: Conn, settings: Settings) -> DisableFacts:  # noqa: ARG001
    """Read the ledger."""
    return DisableFacts(fetch(conn, "drill", "100"))


def judge(facts: DisableFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if the newest drill did; a drill without load is none."""
    drill = facts.drill.as_finding("drill", "iu-gates advance")
    return verdict(NAME, [drill, *leg_findings(facts.drill)], {"drill_seq": facts.drill.seq})
