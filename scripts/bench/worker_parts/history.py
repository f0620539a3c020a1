"""What a batch costs as history grows, and while another session holds an old snapshot."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import psycopg

from tests.support.walk import ROUTE
from worker_parts.place import EMPTY, Place, drain, require_delivered, run_batch
from worker_parts.result import Results, number, quantile

HISTORY: Final = "history"
HISTORY_TITLE: Final = "Time of a batch of 1,000 events, by rows of history in each table"
SNAPSHOT: Final = "snapshot"
SNAPSHOT_TITLE: Final = "Throughput in batches of 1,000 while another session holds a snapshot"
BATCH: Final = 1000
RUN: Final = "bench_snapshot"
PAST: Final = (
    """
    insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)
    select s.system_identifier, 'iu.version_applied', 'past ' || n %% 1000, n / 1000 + 2,
           jsonb_build_object('unit', 'past ' || n %% 1000, 'version_seq', n / 1000 + 2)
    from generate_series(0, %s - 1) as n, pg_control_system() as s
    """,
    """
    insert into public.event_outbox (event_type, subject, payload, idempotency_key)
    select e.event_type, e.subject,
           jsonb_build_object('specversion', '1.0', 'subject', e.subject, 'data', e.payload),
           'past ' || e.event_id
    from iu_core.iu_event as e order by e.event_id
    """,
    f"""
    insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)
    select '{ROUTE}', e.event_id, 'sent', 'past ' || e.event_id
    from iu_core.iu_event as e order by e.event_id
    """,  # noqa: S608  a constant
)
BEGIN_AFTER: Final = f"""
    insert into iu_core.iu_route_cursor (
        route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq)
    select '{ROUTE}', 'delivery', s.system_identifier, nextval('iu_core.iu_route_cursor_cursor_no_seq'),
           pg_current_snapshot(), pg_current_xact_id(),
           (select max(event_id) from iu_core.iu_event)
    from pg_control_system() as s
"""  # noqa: E501, S608  a constant


def measure_history(
    place: Place, results: Results, sizes: tuple[int, ...], *, batches: int, rounds: int
) -> None:
    """Deliver batch after batch on databases of different age, in turn."""
    conns: dict[int, psycopg.Connection[Any]] = {}
    for size in sizes:
        place.copy(EMPTY, f"bench_past_{size}")
        conns[size] = place.connect(f"bench_past_{size}")
        _load_past(conns[size], size)
        print(f"history: {size:,} rows loaded", file=sys.stderr, flush=True)
    place.execute("checkpoint")
    seq = 0
    for _ in range(rounds):
        times: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(batches):
            seq += 1
            for size, conn in conns.items():
                _write(conn, seq)
                began = time.perf_counter()
                state, events, sent = run_batch(conn, BATCH)
                times[size].append((time.perf_counter() - began) * 1000)
                if (state, events, sent) != ("live", BATCH, BATCH):
                    sys.exit(f"a batch was {state}, {events} events, {sent} sent")
                run_batch(conn, BATCH)  # closes the window
        for size, taken in times.items():
            base = name_of(sizes[0]) if size != sizes[0] else ""
            results.add(HISTORY, name_of(size), "ms", quantile(taken, 0.5), base=base)
    for size, conn in conns.items():
        require_delivered(conn, size + rounds * batches * BATCH)
        conn.close()
        place.drop(f"bench_past_{size}")


def name_of(size: int) -> str:
    """Return the name of a row."""
    return f"{size:,} rows"


def _load_past(conn: psycopg.Connection[Any], size: int) -> None:
    """Write history as it would be after this many deliveries, with the cursor behind it."""
    conn.execute("set session_replication_role = replica")
    conn.execute(PAST[0], (size,))
    for statement in PAST[1:]:
        conn.execute(statement)
    conn.execute(BEGIN_AFTER)
    conn.execute("set session_replication_role = origin")
    conn.execute("vacuum analyze")


def _write(conn: psycopg.Connection[Any], seq: int) -> None:
    conn.execute(
        "insert into public.unit_version (unit, version_seq, body)"
        " select 'unit ' || n, %s, '{}' from generate_series(1, %s) as n",
        (seq + 1, BATCH),
    )


def measure_snapshot(place: Place, results: Results, *, seconds: float, rounds: int) -> None:
    """Write and deliver for a time, with no other session and with one that holds a snapshot."""
    for done in range(rounds):
        for held in (False, True):
            place.copy(EMPTY, RUN)
            with place.connect(RUN) as conn, psycopg.connect(place.url(RUN)) as holder:
                if held:
                    holder.execute("set transaction isolation level repeatable read")
                    holder.execute("select count(*) from iu_core.iu_event")
                rates, dead = _deliver_for(conn, seconds)
            word = "held" if held else "nobody holds one"
            base = "nobody holds one, first quarter"
            results.add(SNAPSHOT, f"{word}, first quarter", "events/s", rates[0], base=base)
            results.add(SNAPSHOT, f"{word}, last quarter", "events/s", rates[1], base=base)
            results.add(
                SNAPSHOT, f"{word}, dead tuples", "rows", sum(dead.values()), note=_say(dead)
            )
        print(f"snapshot: round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    place.drop(RUN)


def _deliver_for(
    conn: psycopg.Connection[Any], seconds: float
) -> tuple[tuple[float, float], dict[str, int]]:
    """Return events a second of the worker alone, early and late, and what died in which table."""
    conn.execute("vacuum")  # the copy's own address was written anew
    began, seq = time.perf_counter(), 0
    taken: list[tuple[float, float]] = []
    while (passed := time.perf_counter() - began) < seconds:
        seq += 1
        _write(conn, seq)
        start = time.perf_counter()
        sent = drain(conn, BATCH)
        taken.append((passed, time.perf_counter() - start))
        if sent != BATCH:
            sys.exit(f"{sent} events were sent, {BATCH} were written")
    require_delivered(conn, seq * BATCH)
    early = [t for at, t in taken if at < seconds / 4]
    late = [t for at, t in taken if at >= seconds * 3 / 4]
    conn.execute("select pg_stat_force_next_flush()")
    rows = conn.execute(
        "select relname, n_dead_tup from pg_stat_user_tables where n_dead_tup > 0"
        " order by n_dead_tup desc"
    ).fetchall()
    rates = tuple(BATCH / quantile(part, 0.5) for part in (early, late))
    return (rates[0], rates[1]), {str(name): int(count) for name, count in rows}


def _say(dead: dict[str, int]) -> str:
    return ", ".join(f"{name} {number(count)}" for name, count in dead.items()) or "none"
