"""
The gate "rehearsal": the rest of the way was walked on a restored backup, there and back.

The evidence is an entry of the ledger that `iu_gates.rehearsal` writes. It counts for the
package that is about to be walked and for no other: the same SQL and route, and the catalog
that the rehearsal came to at the revisions that are applied now. It counts whenever it was
made, within its age: a rehearsal from before the last steps has walked them as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from iu_gates import db, digest, lanes, ledger
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.evidence import Evidence
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "rehearsal"
REMEDY: Final = "iu-gates rehearse && iu-gates advance"


@dataclass(frozen=True, slots=True)
class RehearsalFacts:
    """
    The newest rehearsal, and what it is held against.

    Attributes:
        rehearsal: Its entry in the ledger.
        state: The revisions that are applied now, as one text.
        catalog: Hash of our objects as they are now, whoever owns them.
        package: Digest of the SQL and the route as they are now.
        now: The server's clock.
    """

    rehearsal: Evidence
    state: str | None
    catalog: str | None
    package: str | None
    now: datetime | None


def collect(conn: Conn, settings: Settings) -> RehearsalFacts:
    """Read the ledger, the lanes' place and our catalog."""
    entry = ledger.fetch_newest(conn, "rehearsal", ROUTE)
    return RehearsalFacts(
        Evidence(entry.get("seq"), entry.get("at"), entry.get("facts", {})),
        " ".join(lanes.list_applied(conn)),
        digest.compute(digest.fetch_catalog(conn)),
        digest.compute(digest.fetch_way(conn, settings)),
        db.fetch_value(conn, "select clock_timestamp()"),
    )


def judge(facts: RehearsalFacts, settings: Settings) -> Verdict:
    """Pass if the newest rehearsal passed, is of this package and catalog, and young enough."""
    evidence = facts.rehearsal
    findings = [evidence.as_finding("rehearsal", REMEDY)]
    if evidence.facts:
        findings += [
            _judge_package(evidence.facts, facts.package),
            _judge_catalog(evidence.facts, facts),
            _judge_age(evidence.at, facts.now, settings.rehearsal_max_age),
        ]
    expires_at = evidence.at + settings.rehearsal_max_age if evidence.at else None
    return verdict(
        NAME,
        findings,
        {
            "rehearsal_seq": evidence.seq,
            "restored": evidence.facts.get("archive"),
            "sha256": evidence.facts.get("sha256"),
            "package": facts.package,
            "expires_at": expires_at.isoformat() if expires_at else None,
        },
    )


def _judge_package(seen: Mapping[str, Any], package: str | None) -> Finding:
    rehearsed = seen.get("package")
    return Finding(
        "package",
        rehearsed is not None and rehearsed == package,
        f"rehearsed {_short(rehearsed)}",
        f"{_short(package)}: the SQL and the route as they are now",
        REMEDY,
    )


def _judge_catalog(seen: Mapping[str, Any], facts: RehearsalFacts) -> Finding:
    rehearsed = seen.get("states", {}).get(facts.state)
    newest = (facts.state or "").rpartition(" ")[2] or "no revision"
    return Finding(
        "catalog",
        rehearsed is not None and rehearsed == facts.catalog,
        f"rehearsed {_short(rehearsed)} at {newest}" if rehearsed else f"{newest} not rehearsed",
        f"{_short(facts.catalog)}: our objects as they are now",
        REMEDY,
    )


def _judge_age(at: datetime | None, now: datetime | None, most: timedelta) -> Finding:
    age = now - at if now and at else None
    return Finding(
        "age",
        age is not None and timedelta(0) <= age <= most,
        "not known" if age is None else f"{age / timedelta(hours=1):.1f} h",
        f"at most {most / timedelta(hours=1):.0f} h",
        REMEDY,
    )


def _short(sha256: str | None) -> str:
    return (sha256 or "not known")[:12]
