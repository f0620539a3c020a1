"""
The gate "canary": one controlled live delivery of an organic event.

It was sent and delivered, no dead letter came, the quota is spent, and the same event
presented again is a no-op by its key.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from iu_gates import db, lanes
from iu_gates.config import ROUTE, Settings, name_advance, name_further
from iu_gates.db import Conn
from iu_gates.evidence import fetch
from iu_gates.model import Finding, Verdict, verdict
from iu_gates.standing import Further, fetch_further

NAME: Final = "canary"
WORKER: Final = "iu-gates worker run"


@dataclass(frozen=True, slots=True)
class CanaryFacts:
    """
    What came of the canary since it last began: 081, or the switch of a further route.

    Attributes:
        applied: Applied revisions.
        sent: Deliveries.
        event_id: The first event that was delivered; None before.
        quota: What is left of it.
        dead: Dead letters.
        again: Ledger facts of the newest second presentation; empty before.
        further: The further route whose canary it is; None for the first.
        begun: Whether the ledger knows of a canary of that one.
    """

    applied: tuple[str, ...]
    sent: int
    event_id: int | None
    quota: int | None
    dead: int | None
    again: dict[str, Any]
    further: Further | None = None
    begun: bool | None = None

    @property
    def has_keys(self) -> bool:
        """False for `notify`: what it is told again, it hears again."""
        return self.further is None or self.further.target_kind != "notify"

    @property
    def is_noop_again(self) -> bool:
        """True if the very event that was delivered was presented again, and nothing came of it."""
        same = self.event_id is not None and self.again.get("event_id") == self.event_id
        return same and self.again.get("passed") is True


def collect(conn: Conn, settings: Settings, route: str = ROUTE) -> CanaryFacts:
    """Read what was delivered since the canary began."""
    began = ("step", "081") if route == ROUTE else ("route", route)
    params = {"route": route, "kind": began[0], "subject": began[1]}
    row = db.fetch_one(conn, db.load("canary", settings.schema), params)
    return CanaryFacts(
        lanes.list_applied(conn),
        row["sent"],
        row["event_id"],
        row["quota"],
        row["dead"],
        fetch(conn, "again", "081" if route == ROUTE else "100", route).facts,
        fetch_further(conn, settings, route),
        row["began_at"] is not None if name_further(route) else None,
    )


def judge(facts: CanaryFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Pass if exactly one event was delivered, the quota is spent, and again was a no-op."""
    dead = "not known" if facts.dead is None else str(facts.dead)
    findings = [
        _judge_begun(facts),
        Finding("delivered", facts.sent == 1, str(facts.sent), "1", WORKER, waits=facts.sent == 0),
        Finding("quota left", facts.quota == 0, str(facts.quota), "0", WORKER, waits=True),
        Finding("dead letters", facts.dead == 0, dead, "0", "iu-gates audit"),
        _judge_again(facts),
    ]
    return verdict(NAME, findings, asdict(facts) | {"applied": list(facts.applied)})


def _judge_begun(facts: CanaryFacts) -> Finding:
    if facts.further is None:
        applied = ", ".join(facts.applied) or "none"
        return Finding("revision", "081" in facts.applied, applied, "081", "iu-gates advance")
    further, wanted = facts.further, "canary"
    is_live = further.switch in {wanted, "live"}
    return Finding("switch", is_live, further.switch, wanted, name_advance(further.route))


def _judge_again(facts: CanaryFacts) -> Finding:
    """Judge the second presentation; there can be none, and one waits, before the first."""
    wanted = "a no-op by its key"
    if not facts.has_keys:
        return Finding("the same event again", passed=True, found="told again: notify has no keys")
    found = wanted if facts.is_noop_again else str(facts.again.get("seen", "not tried"))
    return Finding(
        "the same event again",
        facts.is_noop_again,
        found,
        wanted,
        name_advance(facts.further.route if facts.further else None) if facts.sent else WORKER,
        waits=facts.sent == 0,
    )
