"""
What several gates ask of the ledger: the newest proof or drill since a revision was applied.

Not a gate; it lies below them, because gates never import one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from iu_gates import db
from iu_gates.config import ROUTE
from iu_gates.db import Conn
from iu_gates.model import Finding

SCOPES: Final = ("route", "gate")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The newest entry of a kind since a revision's last step up; `facts` is empty without one."""

    seq: int | None
    at: datetime | None
    facts: dict[str, Any]

    @property
    def passed(self) -> bool:
        """True if there is an entry and it says so."""
        return self.facts.get("passed") is True

    def as_finding(self, name: str, remedy: str) -> Finding:
        """Return whether there is such evidence, named by its ledger entry."""
        word = "passed" if self.passed else "failed"
        why = "; ".join(self.facts.get("failed", []))
        found = f"ledger entry {self.seq}: {word}{': ' if why else ''}{why}" if self.seq else "none"
        return Finding(name, self.passed, found, "one that passed", remedy)


def fetch(conn: Conn, kind: str, since_revision: str, route: str = ROUTE) -> Evidence:
    """Return the newest entry of `kind` about a route after `since_revision` was last applied."""
    row = db.fetch_one(
        conn, db.load("evidence"), {"kind": kind, "route": route, "revision": since_revision}
    )
    return Evidence(row["seq"], row["at"], row["facts"]) if row else Evidence(None, None, {})


def leg_findings(drill: Evidence) -> list[Finding]:
    """Return one finding for each half of a drill; a half that was not walked fails."""
    legs = {leg.get("scope"): leg for leg in drill.facts.get("legs", [])}
    return [_judge_leg(scope, legs.get(scope, {})) for scope in SCOPES]


def _judge_leg(scope: str, leg: Mapping[str, Any]) -> Finding:
    load = leg.get("batch_before") is True and leg.get("event_during") is True
    quiet = leg.get("drained") is True and leg.get("after_barrier") == 0 and leg.get("back") is True
    return Finding(
        f"{scope} off and on again",
        load and quiet,
        _describe(leg),
        "a batch before, an event during, nothing after the barrier, back again",
        "iu-gates worker run",
        waits=not load,
    )


def _describe(leg: Mapping[str, Any]) -> str:
    if not leg:
        return "not walked"
    if not leg.get("batch_before"):
        return "no load: no batch before"
    if leg.get("drained") and not leg.get("event_during"):
        return "no load: no event while it was off"
    drained = "drained" if leg.get("drained") else "not drained"
    back = f"back after {leg.get('seconds')} s" if leg.get("back") else "not back"
    return f"{drained}, {leg.get('after_barrier')} attempts after the barrier, {back}"
