"""
The four parts in which the demo plays a history.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final, NamedTuple

from iu_gates.errors import UsageError
from iu_gates.history.version import History, Version

MIN_APPLIED: Final = 24
"""Evidence, a canary, and load for three drills: a shorter history cannot be played."""

MIN_DISABLED: Final = 7
"""What is held while disabled, and the load of the drill on the way back."""


class Parts(NamedTuple):
    """
    A history in four parts; put together again in this order they are the history.

    Attributes:
        dry: Evidence for the dry run.
        canary: Ends with its only applied change; before it units may be created.
        tail: Delivered live.
        disabled: Comes while the route is disabled.
    """

    dry: tuple[Version, ...]
    canary: tuple[Version, ...]
    tail: tuple[Version, ...]
    disabled: tuple[Version, ...]


def split(history: History) -> Parts:
    """
    Return the history in four parts, the last with at least `MIN_DISABLED` applied changes.

    About 45 % of the applied changes are dry evidence and 10 % come while disabled. Each
    part but the last ends with an applied change, so a commit may be cut in two.

    Raises:
        UsageError: The history has fewer than `MIN_APPLIED` applied changes.
    """
    if history.applied < MIN_APPLIED:
        raise too_short(history)
    dry = max(1, history.applied * 45 // 100)
    disabled = max(MIN_DISABLED, history.applied // 10)
    wanted = (dry, dry + 1, history.applied - disabled)
    seen = list(accumulate(int(version.is_applied) for version in history.versions))
    first, second, third = (seen.index(count) + 1 for count in wanted)
    versions = history.versions
    return Parts(versions[:first], versions[first:second], versions[second:third], versions[third:])


def too_short(history: History, next_command: str | None = None) -> UsageError:
    """Return the error that says that the history cannot be split in four."""
    return UsageError(
        f'history "{history.title}" is too short for the demo',
        found=f"{history.applied} applied changes in {history.description}",
        wanted=f"at least {MIN_APPLIED} versions with version_seq above 1",
        means="evidence, a canary, three drills and what is held need that many changes",
        next_command=next_command or "iu-gates demo",
    )
