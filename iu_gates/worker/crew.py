"""What the connections of one worker process share: what was said, the heartbeat, the end."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg

import iu_gates
from iu_gates import db
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.ending import Ending
from iu_gates.model import Batch

BEAT_SECONDS: Final = 10.0
ORDINARY: Final = frozenset({"idle", "live", "dry", "held", "standby"})
"""States that come and go with the events; a change among them is no reason for a heartbeat."""
OnBatch = Callable[[Batch], None]
OnNotice = Callable[[str], None]


def idle_batch(route: str, state: str, seconds: float = 0.0) -> Batch:
    """Return a batch that moved nothing."""
    return Batch(route, state, events=0, sent=0, duplicates=0, dead=0, seconds=seconds)


class Crew:
    """The shared part of one process's worker; its connections may be threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        key: str,
        limit: int,
        is_once: bool,
        max_seconds: float | None,
        on_batch: OnBatch,
        on_notice: OnNotice,
        stop: Ending,
    ) -> None:
        self.settings = settings
        self.key = key
        self.limit = limit
        self.stop = stop
        self.said: dict[str, str] = {}
        self.failures: dict[str, psycopg.Error] = {}
        self._on_batch = on_batch
        self._on_notice = on_notice
        self._noticed: set[str] = set()
        self.deadline = math.inf if max_seconds is None else time.monotonic() + max_seconds
        # A cron job is one worker however often it is started; of others there may be several.
        self._suffix = "" if is_once else f"/{os.getpid()}"
        self._lock = threading.Lock()
        self._next_beat = 0.0
        self._beaten: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        """True once told to stop, or out of time."""
        return self.stop.is_set() or time.monotonic() > self.deadline

    def tell(self, batch: Batch) -> None:
        """Show a batch that moved something, or a route's new state."""
        with self._lock:
            if batch.events or self.said.get(batch.route) != batch.state:
                self._on_batch(batch)
            self.said[batch.route] = batch.state

    def notice(self, text: str) -> None:
        """Show what a person should know, once."""
        with self._lock:
            if text not in self._noticed:
                self._noticed.add(text)
                self._on_notice(text)

    def fail(self, route: str, error: psycopg.Error) -> None:
        """Keep why a route fails, and show it."""
        self.failures[route] = error
        self.notice(f"route {route} fails: {db.translate(error).summary}")

    def recover(self, route: str) -> None:
        """Forget that a route failed."""
        self.failures.pop(route, None)

    def beat(self, conn: Conn, lacks: str) -> None:
        """Write the heartbeat if 10 s have passed or something out of the ordinary has changed."""
        with self._lock:
            states = set(self.said.values()) | ({f"no bell ({lacks})"} if lacks else set())
            odd = frozenset(states - ORDINARY)
            if time.monotonic() < self._next_beat and odd == self._beaten:
                return
            self._next_beat, self._beaten = time.monotonic() + BEAT_SECONDS, odd
        invocation = self.settings.invocation or "manual"
        params = {
            "worker_id": f"{socket.gethostname()}/{invocation}" + self._suffix,
            "invocation": invocation,
            "host_name": socket.gethostname(),
            "process_id": os.getpid(),
            "version": iu_gates.__version__,
            "state": ", ".join(sorted(states)) or "no routes",
        }
        conn.execute(db.load("worker_beat", self.settings.schema), params)
