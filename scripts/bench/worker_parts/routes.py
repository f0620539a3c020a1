"""Routes side by side, and many routes of which few have anything to do."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg

from tests.support.walk import ROUTE
from worker_parts import latency, load
from worker_parts.place import (
    DEADLINE_SECONDS,
    EMPTY,
    ORIGIN,
    Place,
    cpu_seconds,
    drain,
    is_drained,
    require_delivered,
)
from worker_parts.result import Results, quantile
from worker_parts.throughput import ATTEMPT

SIDE: Final = "routes"
SIDE_TITLE: Final = (
    "Routes side by side, a worker each, in batches of 5,000: events delivered a second"
)
MANY: Final = "many routes"
MANY_TITLE: Final = "Few routes among many: `worker run`, 100 events a second, each to 3 routes"
RUN: Final = "bench_routes"
BATCH: Final = 5000
MATCHING, ALL = 3, 200
TARGET: Final = """
    insert into public.event_outbox (event_type, subject, payload, idempotency_key)
    select event_type, subject, payload, %s::text || idempotency_key
    from public.bench_job where n > %s and n <= %s order by n
"""
ADD: Final = (
    """
    insert into iu_core.iu_outbound_route (
        route_name, event_type, target_kind, target_ref, enabled, dry_run)
    select 'bench.route_' || n, case when n < %(matching)s then 'iu.version_applied'
           else 'bench.other_' || n end, 'workflow', 'event_outbox', true, true
    from generate_series(1, %(count)s) as n
    """,
    """
    insert into iu_core.iu_route_cursor (
        route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq)
    select r.route_name, 'delivery', s.system_identifier, 0, '3:3:', '3', 0
    from iu_core.iu_outbound_route as r, pg_control_system() as s
    where r.route_name like 'bench.%%'
    """,
    """
    insert into iu_gates.approval (
        route_name, definition_hash, digest, logins, granted_at, expires_at)
    select r.route_name, r.definition_hash, repeat('a', 64), '{alice,bob}', now(),
           now() + interval '1 d'
    from iu_core.iu_outbound_route as r where r.route_name like 'bench.%%'
    """,
    """
    select iu_core.fn_iu_route_live(a.route_name, null, a.approval_id)
    from iu_gates.approval as a where a.route_name like 'bench.%%'
    """,
)


def measure_side(place: Place, results: Results, *, rounds: int) -> None:
    """Deliver the same events on 1, 2 and 4 routes; and the limit with as many sessions."""
    for done in range(rounds):
        for count in (1, 2, 4):
            base = f"limit with {count} sessions"
            results.add(SIDE, base, "events/s", _limit(place, count))
            name = f"iu-gates, {count} routes"
            results.add(SIDE, name, "events/s", _deliver(place, count), base=base)
        print(f"routes: round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    place.drop(RUN)


def _deliver(place: Place, count: int) -> float:
    place.copy(ORIGIN, RUN)
    add_routes(place, count - 1, matching=count)
    names = [ROUTE, *(f"bench.route_{n}" for n in range(1, count))]
    conns = [place.connect(RUN) for _ in names]
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        sent = sum(
            pool.map(lambda pair: drain(pair[0], BATCH, pair[1]), zip(conns, names, strict=True))
        )
    seconds = time.perf_counter() - began
    require_delivered(conns[0], place.events * count)
    for conn in conns:
        conn.close()
    if sent != place.events * count:
        sys.exit(f"{sent} events were sent, not {place.events} on each of {count} routes")
    return sent / seconds


def _limit(place: Place, count: int) -> float:
    place.copy(ORIGIN, RUN)
    add_routes(place, count - 1, matching=count)
    names = [ROUTE, *(f"bench.route_{n}" for n in range(1, count))]
    attempt = ATTEMPT.replace("idempotency_key\n    from", "%s::text || idempotency_key\n    from")
    conns = [place.connect(RUN) for _ in names]

    def write(pair: tuple[psycopg.Connection[Any], str]) -> None:
        conn, name = pair
        for at in range(0, place.events, BATCH):
            with conn.transaction():
                conn.execute(TARGET, (name, at, at + BATCH))
                conn.execute(attempt, (name, name, at, at + BATCH))

    began = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(write, zip(conns, names, strict=True)))
    seconds = time.perf_counter() - began
    require_delivered(conns[0], place.events * count)
    for conn in conns:
        conn.close()
    return place.events * count / seconds


def add_routes(place: Place, count: int, *, matching: int) -> None:
    """Add routes that are live; of all there are then, so many deliver the host's events."""
    if not count:
        return
    with place.connect(RUN) as conn, conn.transaction():
        conn.execute("select set_config('iu_gates.switch_by', 'function', true)")
        for statement in ADD:
            conn.execute(statement, {"matching": matching, "count": count})


def measure_many(place: Place, results: Results, *, seconds: float, rounds: int) -> None:
    """Deliver to 3 routes, first alone and then among 200."""
    for done in range(rounds):
        for count in (MATCHING, ALL):
            place.copy(EMPTY, RUN)
            add_routes(place, count - 1, matching=MATCHING)
            times, used = _work(place, seconds)
            for share in (0.5, 0.99):
                base = f"{MATCHING} routes, p{share * 100:.0f}" if count != MATCHING else ""
                name = f"{count} routes, p{share * 100:.0f}"
                results.add(MANY, name, "ms", quantile(times, share), base=base)
            results.add(MANY, f"{count} routes, the worker's CPU", "% of a core", used * 100)
        print(f"many routes: round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    place.drop(RUN)


def _work(place: Place, seconds: float) -> tuple[list[float], float]:
    """Return the latencies in milliseconds, and the share of a core that the worker used."""
    load.prepare(place, RUN)
    with place.worker(RUN, routes=MATCHING) as pid, place.connect(RUN) as conn:
        used, began = cpu_seconds(pid), time.perf_counter()
        written = load.write(place, RUN, seconds=seconds, clients=2, rate=100)
        used, passed = cpu_seconds(pid) - used, time.perf_counter() - began
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_drained(conn, MATCHING):
            if time.monotonic() > deadline:
                sys.exit("the worker does not come to its end")
            time.sleep(0.05)
        require_delivered(conn, (written.transactions + 1) * MATCHING)
        rows = conn.execute(latency.TAKEN, (150,)).fetchall()
    return [float(row[0]) for row in rows], used / passed
