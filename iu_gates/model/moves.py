"""
What moved: a database into use elsewhere, rows into events after the fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RebasePreview:
    """
    What a re-base would do, and to which copy.

    Attributes:
        needed: False if this is the installation itself.
        why: How the copy was told.
        new_site: Whether it becomes a site of its own, and leaves the past out.
    """

    needed: bool
    why: str
    new_site: bool


@dataclass(frozen=True, slots=True)
class RebaseResult:
    """
    A copy that was taken into use.

    Attributes:
        carried: Events carried over, by route.
        new_site: Whether it is a site of its own now.
    """

    carried: Mapping[str, int]
    new_site: bool
    next_command: str


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """
    What was captured after the fact.

    Attributes:
        examined: Host rows looked at.
        missing: Of them, without an event although they should have one.
        late: Missing rows that could only be delivered out of order.
        captured: Events made; 0 in a dry run.
        examples: Some of the missing ones.
        late_examples: Some of the late ones.
        dry_run: Whether nothing was written.
    """

    examined: int
    missing: int
    late: int
    captured: int
    examples: tuple[str, ...]
    late_examples: tuple[str, ...]
    dry_run: bool
