"""Routes one by one: what each is and how it stands, what was changed, replayed or skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """
    How far a cursor has read; the events of other routes and types count in its place.

    Attributes:
        event_id: The highest event that it has worked through; a late committer comes after it.
        is_open: True in the middle of a window.
    """

    event_id: int
    is_open: bool
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class Route:
    """
    A route, with how it stands now.

    Attributes:
        state: "off", "dry", "held", "canary", "live" or "tripped" (docs/routes.md).
        why: Why it is off or tripped, in words; empty otherwise.
        event_filter: {"subject": text} and {"payload": object}, or None for all of its type.
        evaluation: Ahead of `delivery` where the route is held, else the same.
        behind: Events that are committed and not worked through by the delivery cursor.
        behind_seconds: Age of the oldest of them; 0 without one.
        held: Of these, evaluated and kept back.
        last_attempt_at, last_status: Of the newest attempt; None without one.
    """

    name: str
    state: str
    why: str
    event_type: str
    event_filter: Mapping[str, Any] | None
    target_kind: str
    target_ref: str
    on_dead_letter: str
    max_tries: int
    retry_seconds: int
    trip_failures: int
    trip_seconds: int
    definition_hash: str
    created_at: datetime
    live_from: datetime | None
    quota: int | None
    delivery: Place | None
    evaluation: Place | None
    behind: int
    behind_seconds: float
    held: int
    parked: int
    dead: int
    last_attempt_at: datetime | None
    last_status: str | None


@dataclass(frozen=True, slots=True)
class RouteChange:
    """
    What was changed of a route.

    Attributes:
        changed: By the name of the column, [before, after]; empty if nothing had to be.
        carried: Past events that a new route begins with.
        next_command: What to type next; empty if nothing follows.
    """

    route: str
    did: str
    changed: Mapping[str, Any]
    carried: int = 0
    state: str = ""
    next_command: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """
    Which past events: by event_id or by when they were captured, both ends included.

    Attributes:
        first, last: Event ids.
        since, until: Start of the host's transaction, by the server's clock.
    """

    first: int | None = None
    last: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def asked(self) -> dict[str, Any]:
        """Return what is asked for, as JSON values."""
        every = {
            "from": self.first if self.since is None else self.since.isoformat(),
            "to": self.last if self.until is None else self.until.isoformat(),
        }
        return {name: value for name, value in every.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ReplayPreview:
    """How many events a replay would hand to the seam again; `first` and `last` are event ids."""

    route: str
    events: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """
    What a replay did.

    Attributes:
        events: Handed to the seam again.
        delivered: Of these, what the target lacked and has now.
        duplicates: No-ops by their keys: the target had them.
    """

    route: str
    asked: Mapping[str, Any]
    events: int
    delivered: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class SkipPreview:
    """What a skip would give up, by event ids, and how many stay before the cursor."""

    route: str
    events: int
    first: int | None
    last: int | None
    kept: int


@dataclass(frozen=True, slots=True)
class SkipResult:
    """What was given up by decision: how many events, from which to which, and what stays."""

    route: str
    skipped: int
    first: int | None
    last: int | None
    kept: int
