"""The gate "substrate": 008, 009 and 060 stand, and nothing of ours has drifted since."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from iu_gates import db, drift, lanes
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "substrate"
REVISIONS: Final = ("008", "009", "060")


@dataclass(frozen=True, slots=True)
class SubstrateFacts:
    """
    What stands of the substrate, and whether it is as it was left.

    Attributes:
        applied: Applied revisions.
        drift: "object: change".
        trigger_always: Whether the capture trigger fires always.
        mend: The command that mends the drift; empty without any.
    """

    applied: tuple[str, ...]
    drift: tuple[str, ...]
    trigger_always: bool
    mend: str = ""


def collect(conn: Conn, settings: Settings) -> SubstrateFacts:  # noqa: ARG001  one form for all gates
    """Read the lanes' place, the drift and the trigger's state."""
    enabled = db.fetch_value(
        conn, "select tgenabled from pg_trigger where tgname = 'iu_unit_version_capture'"
    )
    found = drift.list_names(conn)
    return SubstrateFacts(
        lanes.list_applied(conn),
        found,
        enabled in (b"A", "A"),
        drift.name_remedy(conn) if found else "",
    )


def judge(facts: SubstrateFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if the three revisions stand, without drift, with the trigger on for all writers."""
    missing = [r for r in REVISIONS if r not in facts.applied]
    return verdict(
        NAME,
        [
            Finding(
                "revisions",
                not missing,
                ", ".join(facts.applied) or "none",
                "008, 009, 060",
                facts.mend or "iu-gates advance",
            ),
            Finding(
                "drift",
                not facts.drift and facts.mend == "",
                "; ".join(facts.drift) or "none",
                "none",
                facts.mend or drift.MEND,
            ),
            Finding(
                "capture trigger",
                facts.trigger_always,
                "fires always" if facts.trigger_always else "off or missing",
                "enabled always",
                facts.mend or "iu-gates advance",
            ),
        ],
        asdict(facts),
    )
