"""
The gate "invocation": how the worker is run was chosen, approved by another login, and seen.

A scheduler is a part that stays, so it needs its own approval; and a worker that is run in
that way gave a heartbeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from iu_gates import db, digest
from iu_gates.config import INVOCATIONS, Settings
from iu_gates.db import Conn
from iu_gates.errors import AS_ANOTHER
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "invocation"


@dataclass(frozen=True, slots=True)
class InvocationFacts:
    """The choice, its digest, who approved it (other logins), and the workers' heartbeats."""

    chosen: str | None
    digest: str
    approved_by: tuple[str, ...]
    rejected_by: tuple[str, ...]
    heartbeats: tuple[dict[str, Any], ...]


def collect(conn: Conn, settings: Settings) -> InvocationFacts:
    """Read the votes on the choice and the heartbeats."""
    about = digest.compute(digest.fetch_invocation(settings))
    votes = db.fetch_all(conn, db.load("votes"), {"digest": about})
    return InvocationFacts(
        settings.invocation,
        about,
        tuple(v["login"] for v in votes if v["choice"] == "approve" and not v["is_me"]),
        tuple(v["login"] for v in votes if v["choice"] == "reject"),
        tuple(db.fetch_all(conn, db.load("heartbeats", settings.schema))),
    )


def judge(facts: InvocationFacts, settings: Settings) -> Verdict:
    """Pass if the choice is made, approved, and a worker of that kind was seen in time."""
    limit = settings.heartbeat_max_age.total_seconds()
    ages = [h.get("age_seconds") for h in facts.heartbeats if h.get("invocation") == facts.chosen]
    fresh = [age for age in ages if age is not None and age <= limit]
    seen = ", ".join(_describe(h) for h in facts.heartbeats)
    return verdict(
        NAME,
        [
            Finding(
                "choice",
                facts.chosen is not None,
                facts.chosen or "none",
                f"one of {', '.join(INVOCATIONS)}",
                "export IU_GATES_INVOCATION=cron && iu-gates advance",
            ),
            Finding(
                "approval of the choice",
                bool(facts.approved_by) and not facts.rejected_by,
                f"approved by {', '.join(facts.approved_by) or 'nobody'}"
                + (f", rejected by {', '.join(facts.rejected_by)}" if facts.rejected_by else ""),
                "another login",
                f"iu-gates approve {AS_ANOTHER}",
                waits=True,
            ),
            Finding(
                "heartbeat",
                bool(fresh),
                seen or "no worker was seen",
                f'a worker run by "{facts.chosen}" within {limit:.0f} s',
                "iu-gates worker run",
                waits=True,
            ),
        ],
        {k: v for k, v in asdict(facts).items() if k != "heartbeats"},
    )


def _describe(heartbeat: Mapping[str, Any]) -> str:
    age = heartbeat.get("age_seconds")
    when = "at a time not known" if age is None else f"{age:.0f} s ago"
    return f"{heartbeat.get('worker_id')} {when}"
