"""
Who asks, and gets the answers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

Request = Mapping[str, Any]


class Caller:
    """Who asks: one request at a time, and one answer to each."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._next: Request | None = None
        self._is_owed = False
        self._process = os.getpid()
        os.dup2(2, 1)

    def ask(self) -> Request | None:
        """Return the next request, without taking it; None at the end."""
        if self._next is None:
            line = sys.stdin.readline()
            self._next = json.loads(line) if line else None
        return self._next

    def take(self) -> Request:
        """Take the request that was asked for."""
        assert self._next is not None  # noqa: S101  it was looked at before
        request, self._next = self._next, None
        self._is_owed = True
        return request

    def say(self, line: str) -> None:
        """Write one line."""
        self._answers.write(line + "\n")
        self._answers.flush()

    def leave_fork(self) -> None:
        """End a fork that a revision made, and left to itself."""
        if os.getpid() != self._process:
            os._exit(0)

    def answer(self, answer: Mapping[str, Any]) -> None:
        """Answer the request that was taken, unless that is done."""
        self.leave_fork()
        if self._is_owed:
            self._is_owed = False
            self.say(json.dumps(answer))
