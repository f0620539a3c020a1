"""
The worker's loop: every route in turn, one batch a transaction, a heartbeat, a cheap wait.

All that matters happens in `fn_iu_route_worker_run`; this loop holds nothing that a `kill -9`
could lose. It takes transaction-level locks only, so it runs through pgbouncer in transaction
mode, and any number of workers may stand by. An idle round reads and writes nothing but, every
ten seconds, the heartbeat; it is repeated after 50 ms, and after up to half a second while
nothing comes.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg.rows import dict_row

import iu_gates
from iu_gates import config, db
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError, UnreachableError
from iu_gates.model import Batch

BEAT_SECONDS: Final = 10.0
SHORTEST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 0.5
LONGEST_BACKOFF: Final = 10.0
RETRIED: Final = ("40001", "40P01", "55P03")
MOST_TRIES: Final = 10
AGAIN: Final = "again"
NOTHING: Final = {"events": 0, "sent": 0, "duplicates": 0, "dead": 0}

OnBatch = Callable[[Batch], None]


def run(
    settings: Settings,
    *,
    once: bool = False,
    limit: int = 1000,
    max_seconds: float | None = None,
    on_batch: OnBatch = lambda _: None,
    stop: threading.Event | None = None,
) -> list[Batch]:
    """
    Work until stopped, or (`once`) until nothing is left to do.

    Args:
        settings: Whose database, whose site key.
        once: Return when every route is idle or held; for cron and DOT phases.
        limit: Events a batch.
        max_seconds: Return after this time at the next batch's end.
        on_batch: Called after each batch that moved something, and for each route's last state.
        stop: Set it to drain: the batch in hand is finished.

    Returns:
        The batches of a `once`; an endless run returns only the last round's.
    """
    stop = stop or threading.Event()
    key = config.read_site_key(settings)
    if key is None:
        raise GateError(
            "there is no site key here",
            ident="IUG-036",
            found=f'no IU_GATES_SITE_KEY and no file "{settings.site_key_file}"',
            means="a worker without the key of its installation could be a clone's",
            next_command="iu-gates advance, which makes it the first time; or copy it from"
            " the other worker's host",
        )
    deadline = time.monotonic() + max_seconds if max_seconds is not None else None
    # A cron job is one worker however often it is started; of others there may be several.
    suffix = "" if once else f"/{os.getpid()}"
    worker = _Worker(settings, key, limit, on_batch, stop, deadline, suffix)
    return worker.until_idle() if once else worker.forever()


class _Worker:
    """One process's worker: a connection that is made anew after a failure."""

    def __init__(  # noqa: PLR0917  the parts of one value
        self,
        settings: Settings,
        key: str,
        limit: int,
        on_batch: OnBatch,
        stop: threading.Event,
        deadline: float | None,
        suffix: str,
    ) -> None:
        self.settings = settings
        self.key = key
        self.limit = limit
        self.on_batch = on_batch
        self.stop = stop
        self.deadline = deadline
        self.next_beat = 0.0
        self.said: dict[str, str] = {}
        self.suffix = suffix

    def until_idle(self) -> list[Batch]:
        """Work until a round moves nothing."""
        batches: list[Batch] = []
        tries = 0
        with db.connect(self.settings, "worker") as conn:
            while not self._is_over():
                moved = self._round(conn)
                batches += moved
                # A batch that lost a race moved nothing, and is not the end of the work.
                tries = tries + 1 if any(b.state.startswith(AGAIN) for b in moved) else 0
                if not any(b.events for b in moved) and not 0 < tries < MOST_TRIES:
                    break
                if tries:
                    self.stop.wait(SHORTEST_WAIT)
        return batches

    def forever(self) -> list[Batch]:
        """Work until stopped; a server that goes away is waited for."""
        backoff, last = SHORTEST_WAIT, []
        while not self._is_over():
            try:
                with db.connect(self.settings, "worker") as conn:
                    wait = SHORTEST_WAIT
                    while not self._is_over():
                        last = self._round(conn)
                        backoff = SHORTEST_WAIT
                        wait = self._rest(last, wait)
            except UnreachableError as error:
                state = f"waits for the server: {error.summary}"
                self.on_batch(Batch("-", state, seconds=backoff, **NOTHING))
                self.stop.wait(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF)
        return last

    def _rest(self, batches: list[Batch], wait: float) -> float:
        """Wait, the longer the longer nothing came; return how long to wait the next time."""
        if any(b.events >= self.limit for b in batches):
            return SHORTEST_WAIT
        self.stop.wait(wait)
        moved = any(b.events for b in batches)
        return SHORTEST_WAIT if moved else min(wait * 1.5, LONGEST_WAIT)

    def _is_over(self) -> bool:
        return self.stop.is_set() or (
            self.deadline is not None and time.monotonic() > self.deadline
        )

    def _round(self, conn: Conn) -> list[Batch]:
        """Work through every route: batches until one comes short."""
        home = f'"{self.settings.schema}".iu_worker_heartbeat'
        if db.fetch_value(conn, "select to_regclass(%s)", home) is None:
            return []
        batches = []
        for route in db.fetch_all(conn, db.load("routes", self.settings.schema)):
            batch = self._batch(conn, route["route_name"])
            batches.append(batch)
            while batch.events >= self.limit and not self._is_over():
                batch = self._batch(conn, route["route_name"])
                batches.append(batch)
        self._beat(conn, batches)
        return batches

    def _batch(self, conn: Conn, route: str) -> Batch:
        began = time.perf_counter()
        params = {"route": route, "limit": self.limit, "key": self.key}
        try:
            with conn.cursor(row_factory=dict_row) as cursor:
                query = db.load("worker_run", self.settings.schema)
                row = cursor.execute(query, params).fetchone() or {}
        except psycopg.Error as error:
            if error.sqlstate not in RETRIED:
                raise
            row = {"state": f"{AGAIN} ({error.sqlstate})", **NOTHING}
        batch = Batch(route=route, seconds=time.perf_counter() - began, **row)
        if batch.events or self.said.get(route) != batch.state:
            self.on_batch(batch)
        self.said[route] = batch.state
        return batch

    def _beat(self, conn: Conn, batches: list[Batch]) -> None:
        if time.monotonic() < self.next_beat:
            return
        invocation = self.settings.invocation or "manual"
        params = {
            "worker_id": f"{socket.gethostname()}/{invocation}" + self.suffix,
            "invocation": invocation,
            "host_name": socket.gethostname(),
            "process_id": os.getpid(),
            "version": iu_gates.__version__,
            "state": ", ".join(sorted({b.state for b in batches})) or "no routes",
        }
        conn.execute(db.load("worker_beat", self.settings.schema), params)
        self.next_beat = time.monotonic() + BEAT_SECONDS
