"""
The gate "rehearsal": the rest of the way, walked on a restored backup, there and back.

Not built yet. It says so, and counts as not satisfied unless the settings waive it by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import Finding, Verdict

NAME: Final = "rehearsal"


@dataclass(frozen=True, slots=True)
class RehearsalFacts:
    """Nothing can be known yet."""


def collect(conn: Conn, settings: Settings) -> RehearsalFacts:  # noqa: ARG001
    """Return that there is nothing to see."""
    return RehearsalFacts()


def judge(facts: RehearsalFacts, settings: Settings) -> Verdict:  # noqa: ARG001
    """Say "not built"."""
    remedy = 'add [[waivers]] gate = "rehearsal", who, why and until to iu-gates.toml'
    return Verdict(
        NAME,
        "not built",
        (
            Finding(
                "rehearsal",
                passed=False,
                found="not built yet",
                wanted="a rehearsal",
                remedy=remedy,
            ),
        ),
    )
