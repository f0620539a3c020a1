"""Which versions are played when: the four parts of the history, with load set aside for drills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from iu_gates.history import History, Version, split


class Scenes(NamedTuple):
    """
    The history, cut; put together again in this order it is the history.

    Attributes:
        evidence: Replayed at once for the dry run.
        first_drill: Load of the drill before the canary.
        canary: Ends with the one event that is delivered under control.
        second_drill: Load of the drill with held events.
        tail: Replayed live.
        disabling: Load under which the route is disabled.
        disabled: Comes while it is off, and is held.
        third_drill: Load of the drill on the way back to live.
    """

    evidence: tuple[Version, ...]
    first_drill: tuple[Version, ...]
    canary: tuple[Version, ...]
    second_drill: tuple[Version, ...]
    tail: tuple[Version, ...]
    disabling: tuple[Version, ...]
    disabled: tuple[Version, ...]
    third_drill: tuple[Version, ...]


def cut(history: History) -> Scenes:
    """Return the scenes of a history; raises `UsageError` if it is too short."""
    parts = split(history)
    load = max(5, min(200, history.applied // 20))
    evidence, first = _last(parts.dry, load)
    second, rest = _first(parts.tail, load)
    tail, disabling = _last(rest, max(1, load // 2))
    disabled, third = _last(parts.disabled, load)
    return Scenes(evidence, first, parts.canary, second, tail, disabling, disabled, third)


def _first(
    versions: Sequence[Version], applied: int
) -> tuple[tuple[Version, ...], tuple[Version, ...]]:
    """Cut after the first `applied` applied changes."""
    seen = 0
    for index, version in enumerate(versions):
        seen += version.is_applied
        if seen == applied:
            return tuple(versions[: index + 1]), tuple(versions[index + 1 :])
    return tuple(versions), ()


def _last(
    versions: Sequence[Version], applied: int
) -> tuple[tuple[Version, ...], tuple[Version, ...]]:
    """Cut before the last `applied` applied changes."""
    total = sum(v.is_applied for v in versions)
    return _first(versions, total - applied) if total > applied else ((), tuple(versions))
