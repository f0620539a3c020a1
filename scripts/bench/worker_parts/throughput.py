"""Events delivered a second: iu-gates, the limit of the server, and other queues, interleaved."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from tests.support.walk import ROUTE
from worker_parts.place import ORIGIN, Place, cpu_seconds, drain, require_delivered
from worker_parts.queues import PgqueRead, Queue
from worker_parts.result import Results

SECTION: Final = "throughput"
TITLE: Final = (
    "Throughput: events delivered a second, each with one row of attempt and one in the target"
)
LIMIT: Final = "limit: INSERT … SELECT, one statement each"
BATCHES: Final = (1000, 5000)
RUN: Final = "bench_run"
TARGET: Final = """
    insert into public.event_outbox (event_type, subject, payload, idempotency_key)
    select event_type, subject, payload, idempotency_key
    from public.bench_job where n > %s and n <= %s order by n
"""
ATTEMPT: Final = """
    insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)
    select %s::text, event_id, 'sent', idempotency_key
    from public.bench_job where n > %s and n <= %s order by n
"""


def ours(batch: int) -> str:
    """Return the name of our row."""
    return f"iu-gates, {batch:,}"


def limit(batch: int) -> str:
    """Return the name of the limit's row in batches."""
    return f"limit in batches of {batch:,}"


def measure(place: Place, results: Results, queues: list[Queue], rounds: int) -> None:
    """Run each on a fresh copy, all in turn, several times."""
    steps: list[Callable[[], None]] = [lambda: _limit(place, results, LIMIT, place.events)]
    for batch in BATCHES:
        steps.append(lambda batch=batch: _limit(place, results, limit(batch), batch))
        steps.append(lambda batch=batch: _gates(place, results, batch))
    for number, queue in enumerate(queues):
        if why := queue.why_not():
            results.leave_out(SECTION, queue.name, "events/s", why)
            continue
        origin, count = f"bench_queue_{number}", max(int(place.events * queue.share), 500)
        place.copy(ORIGIN, origin)
        queue.set_up(place, origin, count)
        steps.append(
            lambda queue=queue, origin=origin, count=count: _queue(
                place, results, queue, origin, count
            )
        )
    for done in range(rounds):
        for step in steps:
            step()
        print(f"throughput: round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    place.drop(RUN, *(f"bench_queue_{n}" for n in range(len(queues))))


def _gates(place: Place, results: Results, batch: int) -> None:
    place.copy(ORIGIN, RUN)
    with place.connect(RUN) as conn:
        used, began = cpu_seconds(conn.info.backend_pid), time.perf_counter()
        sent = drain(conn, batch)
        seconds = time.perf_counter() - began
        used = cpu_seconds(conn.info.backend_pid) - used
        require_delivered(conn, place.events)
    if sent != place.events:
        sys.exit(f"{sent} of {place.events} events were sent")
    results.add(SECTION, ours(batch), "events/s", sent / seconds, base=LIMIT)
    results.add("cpu", ours(batch), "µs", used / sent * 1e6, base=LIMIT)


def _limit(place: Place, results: Results, name: str, batch: int) -> None:
    place.copy(ORIGIN, RUN)
    with place.connect(RUN) as conn:
        used, began = cpu_seconds(conn.info.backend_pid), time.perf_counter()
        for at in range(0, place.events, batch):
            with conn.transaction():
                conn.execute(TARGET, (at, at + batch))
                conn.execute(ATTEMPT, (ROUTE, at, at + batch))
        seconds = time.perf_counter() - began
        used = cpu_seconds(conn.info.backend_pid) - used
        require_delivered(conn, place.events)
    base = "" if name == LIMIT else LIMIT
    results.add(SECTION, name, "events/s", place.events / seconds, base=base)
    results.add("cpu", name, "µs", used / place.events * 1e6, base=base)


def _queue(place: Place, results: Results, queue: Queue, origin: str, count: int) -> None:
    place.copy(origin, RUN)
    seconds, note = queue.work(place, RUN, count)
    with place.connect(RUN) as conn:
        if isinstance(queue, PgqueRead):
            note += ", writes nothing"
        else:
            require_delivered(conn, count)
    note = f"{queue.version()}; {note}; {count:,} events"
    results.add(SECTION, queue.name, "events/s", count / seconds, note=note, base=ours(1000))
