"""One server, a database of events that wait for a live route, and copies of it for each run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from iu_gates.embedded import Server
from iu_gates.hostplay import make_host
from tests.support.walk import ROUTE, SITE_KEY, STEPS, State, rehome, walk_to

ROOT: Final = Path(__file__).parents[3]
SETTINGS: Final[dict[str, str | int]] = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "track_commit_timestamp": "on",
}
EMPTY, ORIGIN, STAGING = "bench_empty", "bench_origin", "bench_staging"
HOST_ROWS: Final = """
    insert into public.unit_version (unit, version_seq, body)
    select 'unit ' || n %% 100, n / 100 + 2, '{"words": "a few"}'
    from generate_series(%s::integer, %s::integer) as n
"""
DEADLINE_SECONDS: Final = 60


@dataclass
class Place:
    """
    A server of our own, and what is needed to run something on a fresh copy of a database.

    Args:
        directory: Of the server and of all else that is made; removed at the end.
        events: How many events wait in the database `ORIGIN`.
        content: `host.content_mode`.
    """

    directory: Path
    events: int
    content: str = "structured"
    server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.server = Server(self.directory / "server", major=18, settings=SETTINGS)

    def url(self, name: str = "postgres") -> str:
        """Return the URL of a database."""
        return self.server.conninfo(name)

    def connect(self, name: str = "postgres") -> psycopg.Connection[Any]:
        """Return a session in autocommit mode that prepares every statement."""
        conn = psycopg.connect(self.url(name), autocommit=True)
        conn.prepare_threshold = 0
        return conn

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Execute one statement in a session of its own."""
        with self.connect(name) as conn:
            conn.execute(sql.SQL(statement))

    def copy(self, origin: str, name: str) -> str:
        """Make a database anew as a copy of another, on disk; return its URL."""
        self.execute(f"drop database if exists {name} with (force)")
        self.execute(f"create database {name} template {origin} strategy file_copy")
        rehome(self.url(name))
        self.execute("checkpoint")
        return self.url(name)

    def drop(self, *names: str) -> None:
        """Drop databases."""
        for name in names:
            self.execute(f"drop database if exists {name} with (force)")

    def build(self) -> None:
        """
        Make `EMPTY` (a live route, nothing captured) and `ORIGIN` (the events wait in it).

        `ORIGIN` also holds `bench_job`: byte for byte what a worker wrote of these events on
        another copy. The limit and the other queues write from there.
        """
        self.execute(f"create database {EMPTY}")
        with psycopg.connect(self.url(EMPTY)) as conn:
            make_host(conn)
        walk_to(
            self.url(EMPTY),
            *(STEPS[state][1] for state in State),
            host={"content_mode": self.content},
        )
        self.copy(EMPTY, ORIGIN)
        with self.connect(ORIGIN) as conn:
            write_host_rows(conn, 0, self.events)
            conn.execute("vacuum analyze")
        self.copy(ORIGIN, STAGING)
        with self.connect(STAGING) as conn:
            drain(conn, 5000)
        self._stage()
        self.drop(STAGING)

    def _stage(self) -> None:
        with self.connect(STAGING) as source, self.connect(ORIGIN) as target:
            target.execute(
                "create table public.bench_job (n bigint primary key, event_id bigint,"
                " event_type text, subject text, idempotency_key text, payload jsonb)"
            )
            query = (
                "copy (select row_number() over (order by o.id), a.event_id, o.event_type,"
                " o.subject, o.idempotency_key, o.payload from public.event_outbox as o"
                " join iu_core.iu_route_attempt as a using (idempotency_key)"
                " where a.status = 'sent' order by o.id) to stdout"
            )
            with (
                source.cursor().copy(query) as rows,
                target.cursor().copy("copy public.bench_job from stdin") as into,
            ):
                for row in rows:
                    into.write(row)
            target.execute("vacuum analyze public.bench_job")
            ((staged,),) = target.execute("select count(*) from public.bench_job").fetchall()
        if staged != self.events:
            sys.exit(f"{staged} rows were staged, {self.events} events wait")

    def environment(self, name: str) -> dict[str, str]:
        """Return what a command of ours is told, and nothing else of us."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
        return inherited | {
            "PYTHONPATH": str(ROOT),
            "IU_GATES_DATABASE_URL": self.url(name),
            "IU_GATES_SITE_KEY": SITE_KEY,
            "IU_GATES_INVOCATION": "manual",
        }

    @contextmanager
    def worker(self, name: str, *, routes: int = 1) -> Iterator[int]:
        """Let `iu-gates worker run` run while the block does; give its process id."""
        with subprocess.Popen(
            [sys.executable, "-m", "iu_gates", "worker", "run"],
            cwd=self.directory,
            env=self.environment(name),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                self._await_worker(name, process, routes)
                yield process.pid
            finally:
                process.terminate()
                process.wait(DEADLINE_SECONDS)

    def _await_worker(self, name: str, process: subprocess.Popen[str], routes: int) -> None:
        """Return when an event written now is delivered."""
        with self.connect(name) as conn:
            conn.execute(
                "insert into public.unit_version (unit, version_seq) values ('first', 2)"
                " on conflict do nothing"
            )
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not is_drained(conn, routes):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the worker delivers nothing: {process.communicate()[1]}")
                time.sleep(0.02)


def write_host_rows(conn: psycopg.Connection[Any], first: int, end: int) -> None:
    """Write versions number `first` to `end` - 1 of a hundred units, 1,000 a transaction."""
    for n in range(first, end, 1000):
        conn.execute(HOST_ROWS, (n, min(n + 1000, end) - 1))


def run_batch(
    conn: psycopg.Connection[Any], limit: int, route: str = ROUTE
) -> tuple[str, int, int]:
    """Run one batch as the worker does; return its state, its events, and those sent."""
    query = "select state, events, sent from iu_core.fn_iu_route_worker_run(%s, %s, %s)"
    row = conn.execute(query, (route, limit, SITE_KEY)).fetchone()
    return row or ("nothing", 0, 0)


def drain(conn: psycopg.Connection[Any], limit: int, route: str = ROUTE) -> int:
    """Run batches until the route is idle; return how many events were sent."""
    sent = 0
    while True:
        state, events, delivered = run_batch(conn, limit, route)
        sent += delivered
        if state != "live" or not events:
            return sent


def is_drained(conn: psycopg.Connection[Any], routes: int = 1) -> bool:
    """Tell whether each event is in the target once for each route."""
    query = (
        "select (select count(*) from iu_core.iu_event) * %s"
        " = (select count(*) from public.event_outbox)"
    )
    return conn.execute(query, (routes,)).fetchone() == (True,)


def require_delivered(conn: psycopg.Connection[Any], wanted: int) -> None:
    """Exit unless so many events have each one attempt 'sent' and one row in the target."""
    query = """
        select (select count(*) from public.event_outbox),
               (select count(distinct idempotency_key) from public.event_outbox),
               (select count(*) from iu_core.iu_route_attempt),
               (select count(distinct (route_name, event_id)) from iu_core.iu_route_attempt
                where status = 'sent'),
               (select count(*) from iu_core.iu_route_attempt as a
                join public.event_outbox as o using (idempotency_key))
    """
    found = conn.execute(query).fetchone()
    if found != (wanted,) * 5:
        sys.exit(f"expected {wanted} of each, got {found}: the figure would be of something else")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def repeated(step: Any) -> Iterator[None]:
    """Call `step` again and again in a thread while the block runs; raise what it raised."""
    over = threading.Event()
    errors: list[BaseException] = []

    def loop() -> None:
        try:
            while not over.is_set():
                step()
        except BaseException as error:  # noqa: BLE001  raised below, in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]
