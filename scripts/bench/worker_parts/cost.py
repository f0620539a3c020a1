"""What capture costs the host, and what an idle worker costs the server."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import psycopg

from worker_parts import load
from worker_parts.place import EMPTY, Place, cpu_seconds, run_batch
from worker_parts.result import Results

HOST: Final = "host"
HOST_TITLE: Final = "The host's inserts a second, without capture and with it"
IDLE: Final = "idle"
IDLE_TITLE: Final = "An idle worker"
PLAIN, CAPTURED, WORKED = "bench_plain", "bench_captured", "bench_worked"
IDLE_RUN: Final = "bench_idle"
POLLS: Final = 1000
KINDS: Final = {
    "1 writer": (1, load.ONE, 1),
    "16 writers": (16, load.ONE, 1),
    "1 writer, 1,000 rows a statement": (1, load.MANY, 1000),
}
DROP_CAPTURE: Final = """
    do $$ declare v_name text; begin
        for v_name in select t.tgname from pg_trigger as t
                      where t.tgrelid = 'public.unit_version'::regclass and not t.tgisinternal loop
            execute format('drop trigger %I on public.unit_version', v_name);
        end loop;
    end $$
"""


def measure_host(place: Place, results: Results, *, seconds: float, rounds: int) -> None:
    """Write without capture, with it, and with it while a worker delivers, in turn."""
    for name in (PLAIN, CAPTURED, WORKED):
        place.copy(EMPTY, name)
        load.prepare(place, name)
    place.execute(DROP_CAPTURE, PLAIN)
    with place.worker(WORKED):
        pass  # it can run here
    for done in range(rounds):
        for kind, (clients, script, rows) in KINDS.items():
            for database, word in ((PLAIN, "without"), (CAPTURED, "captured")):
                written = load.write(
                    place, database, seconds=seconds, clients=clients, script=script
                )
                base = f"{kind}, without" if database != PLAIN else ""
                name, speed = f"{kind}, {word}", written.per_second * rows
                results.add(HOST, name, "rows/s", speed, base=base)
        clients, script, _ = KINDS["16 writers"]
        with place.worker(WORKED):
            written = load.write(place, WORKED, seconds=seconds, clients=clients, script=script)
        name = "16 writers, captured and delivered at once"
        results.add(HOST, name, "rows/s", written.per_second, base="16 writers, without")
        print(f"host: round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    _require_captured(place)
    place.drop(PLAIN, CAPTURED, WORKED)


def _require_captured(place: Place) -> None:
    """Exit unless each row above version 1 is an event where it is captured, and none is else."""
    for database, has_events in ((PLAIN, False), (CAPTURED, True), (WORKED, True)):
        with place.connect(database) as conn:
            query = (
                "select (select count(*) from public.unit_version where version_seq > 1),"
                " (select count(*) from iu_core.iu_event)"
            )
            ((rows, events),) = conn.execute(query).fetchall()
        if events != (rows if has_events else 0):
            sys.exit(f"{database}: {rows} rows and {events} events")


def measure_idle(place: Place, results: Results, *, seconds: float) -> None:
    """Poll with nothing to do, as a function and as the whole worker."""
    place.copy(EMPTY, IDLE_RUN)
    with place.connect(IDLE_RUN) as conn:
        run_batch(conn, 1000)
        pid, xids = conn.info.backend_pid, 0
        wal, used, began = _wal_of(conn), cpu_seconds(pid), time.perf_counter()
        for _ in range(POLLS):
            with conn.transaction():
                run_batch(conn, 1000)
                query = "select pg_current_xact_id_if_assigned() is not null"
                xids += conn.execute(query).fetchone() == (True,)
        polled, used = time.perf_counter() - began, cpu_seconds(pid) - used
        wal = _wal_of(conn) - wal
    results.add(IDLE, "transaction ids a poll", "xids", xids / POLLS)
    results.add(IDLE, "WAL a poll", "bytes", wal / POLLS)
    results.add(IDLE, "time of a poll", "ms", polled / POLLS * 1000)
    results.add(IDLE, "the server's CPU for a poll", "ms", used / POLLS * 1000)
    with place.worker(IDLE_RUN) as pid:
        time.sleep(2)  # it has nothing to do any more
        before, used, began = _spent(place), cpu_seconds(pid), time.perf_counter()
        time.sleep(seconds)
        after, passed = _spent(place), time.perf_counter() - began
        used = cpu_seconds(pid) - used
    note = f"over {passed:.0f} s; the heartbeat is a write every 10 s"
    results.add(IDLE, "`worker run`: transaction ids", "a second", (after[0] - before[0]) / passed)
    results.add(IDLE, "`worker run`: WAL", "bytes/s", (after[1] - before[1]) / passed)
    results.add(IDLE, "`worker run`: its CPU", "% of a core", used / passed * 100, note=note)
    place.drop(IDLE_RUN)


def _wal_of(conn: psycopg.Connection[Any]) -> int:
    """Return the bytes of WAL that this session has written."""
    conn.execute("select pg_stat_force_next_flush()")
    query = "select wal_bytes from pg_stat_get_backend_wal(pg_backend_pid())"
    row = conn.execute(query).fetchone()
    return int(row[0]) if row else 0


def _spent(place: Place) -> tuple[int, int]:
    """Return the next transaction id and the bytes of WAL so far."""
    with place.connect() as conn:
        row = conn.execute(
            "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " (pg_current_wal_insert_lsn() - '0/0')::bigint"
        ).fetchone()
    return row or (0, 0)
