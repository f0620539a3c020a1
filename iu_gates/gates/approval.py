"""
The gate "approval": the package's digest is approved by enough logins.

None of them is the one that advances, and none rejects. It cannot be waived.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from iu_gates import db, digest
from iu_gates.config import ROUTE, Settings, name_further
from iu_gates.db import Conn
from iu_gates.errors import AS_ANOTHER
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "approval"


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """The digest of the package as it is now, and the votes on it that count, by login."""

    digest: str
    me: str
    approved_by: tuple[str, ...]
    rejected_by: tuple[str, ...]
    expires_at: datetime | None
    further: str | None = None


def collect(conn: Conn, settings: Settings, route: str = ROUTE) -> ApprovalFacts:
    """Compute the digest and read the votes on it."""
    about = digest.compute(digest.fetch_contents(conn, settings, route))
    votes = db.fetch_all(conn, db.load("votes"), {"digest": about})
    now = db.fetch_value(conn, "select clock_timestamp()")
    valid = [
        v
        for v in votes
        if v["choice"] == "approve"
        and not v["is_me"]
        and v["voted_at"] + settings.approval_valid_for > now
    ]
    return ApprovalFacts(
        about,
        db.fetch_value(conn, "select session_user::text"),
        tuple(v["login"] for v in valid),
        tuple(v["login"] for v in votes if v["choice"] == "reject"),
        min(v["voted_at"] for v in valid) + settings.approval_valid_for if valid else None,
        name_further(route),
    )


def judge(facts: ApprovalFacts, settings: Settings) -> Verdict:
    """Pass if enough other logins approved this digest and none rejected it."""
    enough = bool(facts.digest) and len(set(facts.approved_by)) >= settings.approvals_needed
    about, who = (facts.digest or "not known")[:12], ", ".join(facts.approved_by) or "nobody"
    found = f"digest {about} approved by {who}"
    scope = f" --route {facts.further}" if facts.further else ""
    return verdict(
        NAME,
        [
            Finding(
                "approvals",
                enough,
                found,
                f"{settings.approvals_needed}, not by {facts.me}",
                f"iu-gates approve{scope} {AS_ANOTHER}",
                waits=True,
            ),
            Finding(
                "rejections",
                not facts.rejected_by,
                ", ".join(facts.rejected_by) or "none",
                "none",
                "iu-gates ledger show --kind vote",
                waits=True,
            ),
        ],
        asdict(facts) | {"expires_at": facts.expires_at.isoformat() if facts.expires_at else None},
    )
