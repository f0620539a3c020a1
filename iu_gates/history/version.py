"""
A version of a unit, and a history of versions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

MAX_UNIT_BYTES: Final = 1_000
"""A row of the host's unique index holds 2,704 bytes, and ours hold more than the unit."""


def parse_instant(text: str | None) -> datetime | None:
    """
    Return the point in time in UTC, or None if there is none to be had.

    A time without a zone counts as UTC. Clocks of commits can be anything: what Python
    or PostgreSQL could not hold (year 0, a zone of +51:43) is None.
    """
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        zone = instant.tzinfo or UTC
        return instant.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def shown(path: Path) -> str:
    """Return a path as text that can be printed, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Version:
    """
    One version of one unit.

    Attributes:
        unit: What changed; for a git repository the path of the file.
        version_seq: 1 creates the unit, more is an applied change.
        commit: The source's name for the change; neighbours with the same one were
            made together. None if the source has no such thing.
        committed_at: ISO 8601, by the committer's clock: not monotonic.
        blob: The source's name for the content.
    """

    unit: str
    version_seq: int
    commit: str | None = None
    committed_at: str | None = None
    blob: str | None = None

    @property
    def is_applied(self) -> bool:
        """True if this is a change to a unit, not its creation."""
        return self.version_seq > 1


@dataclass(frozen=True)
class History:
    """
    Versions in the order in which they came to be.

    Attributes:
        title: A few words for a heading.
        description: One sentence: the source, and what one must know about it.
        versions: Oldest first; for each unit `version_seq` only grows.
    """

    title: str
    description: str
    versions: tuple[Version, ...]

    @cached_property
    def units(self) -> int:
        """The number of different units."""
        return len({version.unit for version in self.versions})

    @cached_property
    def applied(self) -> int:
        """The number of versions that are applied changes."""
        return sum(version.is_applied for version in self.versions)
