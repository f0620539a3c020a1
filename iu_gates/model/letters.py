"""Events that were given up on, which of them are asked for, and what a redrive did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """
    Which dead letters; what is None or empty asks for nothing.

    Attributes:
        sqlstate: Five characters, or the beginning, such as the class "23".
        redriven_too: Those that are not open any more as well.
    """

    ids: tuple[int, ...] = ()
    route: str | None = None
    subject: str | None = None
    reason: str | None = None
    sqlstate: str | None = None
    since: datetime | None = None
    redriven_too: bool = False

    def asked(self) -> dict[str, Any]:
        """Return what is asked for, as JSON values."""
        since = self.since.isoformat() if self.since else None
        every = {
            "ids": list(self.ids),
            "route": self.route,
            "subject": self.subject,
            "reason": self.reason,
            "sqlstate": self.sqlstate,
            "since": since,
        }
        return {name: value for name, value in every.items() if value}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """
    An event that was given up on; open until it is redriven.

    Attributes:
        tries: How often it was tried since it was captured or redriven.
        on_dead_letter: What its route does with later events of the subject: "hold" or "pass".
        payload: None in a list.
    """

    dead_letter_id: int
    route: str
    event_id: int
    subject: str
    version_seq: int
    reason: str
    sqlstate: str | None
    message: str | None
    tries: int
    given_up_at: datetime
    idempotency_key: str
    on_dead_letter: str
    redriven_at: datetime | None
    redriven_by: str | None
    payload: Mapping[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """True until it is redriven."""
        return self.redriven_at is None


@dataclass(frozen=True, slots=True)
class RedriveResult:
    """
    What a redrive put back.

    Attributes:
        asked: What was asked for, by the names of the options.
        matching: Open dead letters that were asked for.
        redriven: Those of them that it put back; the others somebody else just had.
    """

    asked: Mapping[str, Any]
    matching: int
    redriven: int
