"""
The gate "canary": one controlled live delivery of an organic event.

It was sent and delivered, no dead letter came, the quota is spent, and the same event
presented again is a no-op by its key.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from iu_gates import db, lanes
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.evidence import fetch
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "canary"
WORKER: Final = "iu-gates worker run"


@dataclass(frozen=True, slots=True)
class CanaryFacts:
    """
    What came of the canary since 081 was last applied.

    Attributes:
        applied: Applied revisions.
        sent: Deliveries.
        event_id: The first event that was delivered; None before.
        quota: What is left of it.
        dead: Dead letters.
        again: Ledger facts of the newest second presentation; empty before.
    """

    applied: tuple[str, ...]
    sent: int
    event_id: int | None
    quota: int | None
    dead: int | None
    again: dict[str, Any]

    @property
    def is_noop_again(self) -> bool:
        """True if the very event that was delivered was presented again, and nothing came of it."""
        same = self.event_id is not None and self.again.get("event_id") == self.event_id
        return same and self.again.get("passed") is True


def collect(conn: Conn, settings: Settings) -> CanaryFacts:
    """Read what was delivered since the canary began."""
    row = db.fetch_one(conn, db.load("canary", settings.schema), {"route": ROUTE})
    return CanaryFacts(
        lanes.list_applied(conn),
        row["sent"],
        row["event_id"],
        row["quota"],
        row["dead"],
        fetch(conn, "again", "081").facts,
    )


def judge(facts: CanaryFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if exactly one event was delivered, the quota is spent, and again was a no-op."""
    applied = ", ".join(facts.applied) or "none"
    dead = "not known" if facts.dead is None else str(facts.dead)
    findings = [
        Finding("revision", "081" in facts.applied, applied, "081", "iu-gates advance"),
        Finding("delivered", facts.sent == 1, str(facts.sent), "1", WORKER, waits=facts.sent == 0),
        Finding("quota left", facts.quota == 0, str(facts.quota), "0", WORKER, waits=True),
        Finding("dead letters", facts.dead == 0, dead, "0", "iu-gates audit"),
        _judge_again(facts),
    ]
    return verdict(NAME, findings, asdict(facts) | {"applied": list(facts.applied)})


def _judge_again(facts: CanaryFacts) -> Finding:
    """Judge the second presentation; there can be none, and one waits, before the first."""
    wanted = "a no-op by its key"
    found = wanted if facts.is_noop_again else str(facts.again.get("seen", "not tried"))
    return Finding(
        "the same event again",
        facts.is_noop_again,
        found,
        wanted,
        WORKER if facts.sent == 0 else "iu-gates advance",
        waits=facts.sent == 0,
    )
