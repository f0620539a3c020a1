"""
A worker on one connection: which routes have something to do, and how long to rest.

**A round** is a look and one batch of each route that is due. The look is one query, whatever the
number of routes (T20):

- Mostly it asks for the types of what became visible since the look before, in a snapshot that
  the loop keeps. Where nothing did, that is a comparison of two snapshots; where something did,
  it follows from the new events. The routes of those types are due.
- At the first look, after 1 s, and where there is too much that is new, it asks all routes by
  their cursors: open windows, late committers, parked events that are due, switches.

**Warm.** A route that has moved an event is asked for the next by a batch itself, each
millisecond for a quarter of a second, and the look comes only each 4 ms: a batch that finds nothing
is read-only and costs about what a look does, and one that finds something has saved the look's
round trip. After a ring the routes that moved last are worked before it looks, and the bell is
silenced after that. At most three are warm; where more move, one look for all of them is cheaper.

**Why no route is passed over for good (P1).** What the loop keeps in memory only ever brings a
route forward: it is in `todo` from when it was due until a batch of its own said that it has
nothing more to do ("idle" or "hold"), through "standby", lock errors and failures, which only put
it off. So it is after two batches in a row that moved its cursor and found nothing, because all
that came was other routes': the first may have ended a window that was opened long ago, but the
second's is younger than the snapshot that the next look begins with. And the full look, at least
once a second, rests on the cursors alone, as the batch itself does: whatever the quick looks had
missed, a route whose cursor has something before it is due within that second. A lost connection,
a crash, or another worker's death costs nothing but the memory.

**Routes that are far behind** because the events are other routes' would make their next batch
dear. Where there are several of them, they are sifted: one transaction, with one snapshot, in the
order of a batch (sequence, own xid, keys, cursors, snapshot), moves all those in whose window
there is neither an event of their type nor a late committer, which is what a batch of each would
have done; the others are due.
"""

from __future__ import annotations

import os
import time
from typing import Final

import psycopg
from psycopg import errors as pg
from psycopg import sql

from iu_gates import db
from iu_gates.db import Conn
from iu_gates.model import Batch
from iu_gates.worker.bell import NAP_SECONDS, Bell
from iu_gates.worker.crew import Crew, idle_batch

SHORTEST_WAIT: Final = 0.05
QUICK_WAIT: Final = 0.001
LOOK_SECONDS: Final = 0.004
QUICK_SECONDS: Final = 0.25
STANDBY_SECONDS: Final = 0.5
LONGEST_PAUSE: Final = 60.0
MOST_TRIES: Final = 10
FAR: Final = 1000
FEW: Final = 3
"""So many routes that are far behind, or warm, are worked one by one."""
MOVING: Final = ("live", "dry", "held")
"""States of a batch that worked a window."""
AGAIN: Final = "again"
RETRIED: Final = ("40001", "40P01", "55P03", "57014")
NOT_INSTALLED: Final = (pg.UndefinedFunction, pg.UndefinedTable, pg.InvalidSchemaName)


class Loop:
    """One connection's loop; `step` works and rests, `until_idle` works until nothing is left."""

    def __init__(self, crew: Crew, conn: Conn, bell: Bell | None = None, number: int = 0) -> None:
        self._crew = crew
        self._conn = conn
        self._schema = crew.settings.schema
        self._offset = os.getpid() + number
        self._bell = bell
        self._seen: str | None = None
        self._next_full = 0.0
        self._next_look = 0.0
        self._warm: dict[str, float] = {}
        self._todo: dict[str, float] = {}
        self._standby: set[str] = set()
        self._empty: set[str] = set()
        self._pauses: dict[str, float] = {}
        self._quick_until = 0.0
        self._is_first = True

    def until_idle(self) -> list[Batch]:
        """Work until a round moves nothing."""
        batches: list[Batch] = []
        tries = 0
        while self._is_installed() and not self._crew.is_over:
            moved = self.round(full=True)
            batches += moved
            # A batch that lost a race moved nothing, and is not the end of the work.
            tries = tries + 1 if any(b.state.startswith(AGAIN) for b in moved) else 0
            if not any(b.events for b in moved) and not 0 < tries < MOST_TRIES:
                break
            if tries:
                self._crew.stop.wait(SHORTEST_WAIT)
        return batches

    def step(self) -> list[Batch]:
        """Work one round, and rest as long as nothing is to be done."""
        # A worker may be started before the substrate, and outlive it.
        if not self._is_first or self._is_installed():
            try:
                now = time.monotonic()
                batches = self.round(full=now >= self._next_full, look=now >= self._next_look)
                if self._bell:
                    self._bell.silence()
                self._rest()
            except NOT_INSTALLED:
                self._forget()
            except pg.InternalError_:
                # What a statement was about to open is gone; anything else of XX000 is raised.
                if self._is_installed():
                    raise
                self._forget()
            else:
                return batches
        self._crew.stop.wait(NAP_SECONDS)
        return []

    def _forget(self) -> None:
        self._is_first, self._seen = True, None
        for routes in (self._todo, self._warm, self._standby, self._empty):
            routes.clear()

    def round(self, *, full: bool, look: bool = True) -> list[Batch]:
        """Look, and work a batch of each route that is due; return the batches."""
        if full or look:
            self._look(full=full)
        now = time.monotonic()
        ready = sorted(route for route, at in self._todo.items() if at <= now)
        turn = self._offset % len(ready) if ready else 0
        batches = []
        for route in ready[turn:] + ready[:turn]:
            if self._crew.is_over:
                break
            batches.append(self._batch(route))
        self._require_any_to_work(ready)
        self._is_first = False
        self._crew.beat(self._conn, self._bell.lacks if self._bell else "")
        return batches

    def _is_installed(self) -> bool:
        home = sql.Identifier(self._schema, "iu_worker_heartbeat").as_string()
        return db.fetch_value(self._conn, "select to_regclass(%s)", home) is not None

    def _look(self, *, full: bool) -> None:
        """Put the routes that are due into `todo`; the first time, all."""
        full = full or self._seen is None
        params = {"seen": None if full else self._seen, "far": FAR}
        found = db.fetch_one(self._conn, db.load("worker_due", self._schema), params)
        self._seen = found["seen"]
        now = time.monotonic()
        self._next_look = now + LOOK_SECONDS if self._is_warm(now) else 0.0
        due = [*found["due"], *self._sift(found["far"])]
        if self._is_first:
            rows = db.fetch_all(self._conn, db.load("routes", self._schema))
            due = [row["route_name"] for row in rows]
        for route in due:
            self._todo.setdefault(route, 0.0)
        if full:
            self._next_full = time.monotonic() + NAP_SECONDS
            for route in found["held_back"]:
                self._rest_of(route, "hold")
        held = set(found["held_back"])
        for route, state in list(self._crew.said.items()):
            quiet = (*MOVING, "trip") + (("hold",) if full else ())
            if route not in self._todo and route not in held and state in quiet:
                self._rest_of(route, "idle")

    def _rest_of(self, route: str, state: str) -> None:
        if route not in self._todo:
            self._crew.tell(idle_batch(route, state))

    def _sift(self, far: list[str]) -> list[str]:
        """Return those of the routes far behind that have something to do."""
        if len(far) <= FEW:
            return far
        params = {"routes": far, "key": self._crew.key}
        try:
            query = db.load("worker_sift", self._schema)
            return list(db.fetch_one(self._conn, query, params)["due"])
        except psycopg.Error as error:
            self._raise_unless_of_a_route(error)
            return far

    def _batch(self, route: str) -> Batch:
        """Work one batch, and note when the route is to be worked next."""
        began = time.perf_counter()
        params = {"route": route, "limit": self._crew.limit, "key": self._crew.key}
        try:
            row = db.fetch_one(self._conn, db.load("worker_run", self._schema), params)
        except psycopg.Error as error:
            self._raise_unless_of_a_route(error)
            batch = self._failed(route, error, time.perf_counter() - began)
        else:
            batch = Batch(route=route, seconds=time.perf_counter() - began, **row)
            self._pauses.pop(route, None)
            self._crew.recover(route)
            self._note(batch)
        if batch.state != "idle" or route not in self._todo:
            self._crew.tell(batch)
        return batch

    def _note(self, batch: Batch) -> None:
        now = time.monotonic()
        self._standby.discard(batch.route)
        if batch.state == "standby":
            self._standby.add(batch.route)
        if batch.events:
            self._quick_until = now + QUICK_SECONDS
            self._keep_warm(batch.route, now)
        is_empty = not batch.events and batch.state in MOVING
        is_second = is_empty and batch.route in self._empty
        self._empty.discard(batch.route)
        if batch.state == "idle" and self._warm.get(batch.route, 0.0) > now:
            self._todo[batch.route] = now + QUICK_WAIT
        elif batch.state in {"idle", "hold"} or is_second:
            self._todo.pop(batch.route, None)
        else:
            if is_empty:
                self._empty.add(batch.route)
            self._todo[batch.route] = now + (STANDBY_SECONDS if batch.state == "standby" else 0)

    def _keep_warm(self, route: str, now: float) -> None:
        """Let a route that moves be asked again and again, if not too many are; not by `once`."""
        if self._bell is None:
            return
        cold = [r for r, until in self._warm.items() if until < now]
        if route not in self._warm and len(self._warm) == FEW:
            if not cold:
                return
            del self._warm[cold[0]]
        self._warm[route] = now + QUICK_SECONDS

    def _is_warm(self, now: float) -> bool:
        return any(until > now for until in self._warm.values())

    def _raise_unless_of_a_route(self, error: psycopg.Error) -> None:
        """Raise what is no matter of one route: the connection, a server that takes no writes."""
        lost = self._conn.closed or (error.sqlstate or "08")[:2] == "08"
        if lost or isinstance(error, pg.ReadOnlySqlTransaction):
            raise error
        if (error.sqlstate or "")[:2] == "57" and error.sqlstate not in RETRIED:
            raise error

    def _failed(self, route: str, error: psycopg.Error, seconds: float) -> Batch:
        """Put the route off: shortly after a lost race, longer and longer after a failure."""
        now = time.monotonic()
        self._standby.discard(route)
        if error.sqlstate in RETRIED:
            self._todo[route] = now + SHORTEST_WAIT
            return idle_batch(route, f"{AGAIN} ({error.sqlstate})", seconds)
        pause = min(self._pauses.get(route, 0.5) * 2, LONGEST_PAUSE)
        self._pauses[route] = pause
        self._todo[route] = now + pause
        self._crew.fail(route, error)
        return idle_batch(route, f"failed ({error.sqlstate})", seconds)

    def _require_any_to_work(self, ready: list[str]) -> None:
        """Raise if every route is refused, at the start or because the whole database is."""
        failures = self._crew.failures
        every = set(self._crew.said) - {"-"}
        if not ready or not every or not every <= set(failures):
            return
        if self._is_first or all(error.sqlstate == "IUG41" for error in failures.values()):
            raise next(iter(failures.values()))

    def _rest(self) -> None:
        """Wait: not at all, 1 ms, 50 ms, or until the bell rings; being told to stop ends it."""
        now = time.monotonic()
        first = min([now + NAP_SECONDS, self._crew.deadline, *self._todo.values()])
        if first <= now or self._crew.is_over:
            return
        bell = self._bell
        if now < self._quick_until:
            if bell and bell.is_armed:
                bell.wait(min(QUICK_WAIT, first - now))
            else:
                self._crew.stop.wait(min(QUICK_WAIT, first - now))
            return
        # Who stands by leaves the bell alone: the one that works is awake.
        if bell is None or bell.lacks or self._standby:
            if bell and bell.lacks:
                self._crew.notice(f"no bell: {bell.lacks}; looks every 50 ms")
            self._crew.stop.wait(min(SHORTEST_WAIT, first - now))
        elif not bell.is_armed or not bell.due_in:
            bell.arm()
        else:
            self._sleep(bell, first - now)

    def _sleep(self, bell: Bell, seconds: float) -> None:
        """Sleep until it rings or is to be renewed; poll while it may not be seen by all yet."""
        longest = bell.due_in if bell.lets_sleep(self._seen or "0:") else SHORTEST_WAIT
        if bell.wait(min(longest, seconds)):
            self._wake()
        elif not bell.due_in:
            bell.arm()

    def _wake(self) -> None:
        """After a ring: the routes that moved last are worked at once, and then it looks."""
        now = time.monotonic()
        self._quick_until = now + QUICK_SECONDS
        for route in self._warm:
            self._warm[route] = now + LOOK_SECONDS
            self._todo.setdefault(route, now)
            self._next_look = now + LOOK_SECONDS
