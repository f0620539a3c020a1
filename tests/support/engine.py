"""
A walked database and what tests do with it: write versions, run workers, read what became of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import sql

from iu_gates.embedded import Server
from tests.support.databases import Database, cloned_database, connections
from tests.support.walk import ROUTE, SITE_KEY, State, rehome, require_template

DEADLINE_SECONDS = 20
GATE_KEY, ROUTE_KEY, CURSOR_KEY = 18773001, 18773002, 18773003
Result = TypeVar("Result")


class Batch(NamedTuple):
    """What `fn_iu_route_worker_run` says of a batch."""

    state: str
    events: int
    sent: int
    duplicates: int
    dead: int
    parked: int = 0


class Event(NamedTuple):
    """An event by its subject and version, as tests know it."""

    subject: str
    version_seq: int


def run_batch(
    conn: psycopg.Connection, limit: int = 1000, site_key: str | None = SITE_KEY
) -> Batch:
    """Run one batch of the route's worker in this session."""
    query = "select * from iu_core.fn_iu_route_worker_run(%s, %s, %s)"
    row = conn.execute(query, [ROUTE, limit, site_key]).fetchone()
    assert row is not None
    return Batch(*row)


def drain(conn: psycopg.Connection, limit: int = 1000) -> list[Batch]:
    """Run batches until there is nothing to do; return those that did something."""
    batches = []
    while (batch := run_batch(conn, limit)).state not in ("idle", "hold", "standby"):
        batches.append(batch)
        assert len(batches) < 5000, "the worker never comes to rest"
    return batches


def write(conn: psycopg.Connection, subject: str, *numbers: int) -> list[Event]:
    """Write versions of a unit, each with a statement of its own."""
    for number in numbers:
        query = "insert into public.unit_version (unit, version_seq) values (%s, %s)"
        conn.execute(query, [subject, number])
    return [Event(subject, number) for number in numbers]


def write_bulk(conn: psycopg.Connection, subject: str, first: int, last: int) -> None:
    """Write the versions `first` to `last` of a unit with one statement."""
    query = (
        "insert into public.unit_version (unit, version_seq)"
        " select %s, n from generate_series(%s::integer, %s::integer) as n"
    )
    conn.execute(query, [subject, first, last])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fail after the deadline, saying what did not come."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS} s for: {what}"


def set_hook(engine: Engine, statement: str) -> None:
    """Give the outbox a trigger of the host's that runs `statement` for each row."""
    engine.conn.execute(
        f"""
        create or replace function public.fn_hook() returns trigger language plpgsql as $$
        begin {statement} return new; end $$;
        create or replace trigger hook before insert on public.event_outbox
        for each row execute function public.fn_hook();
        """
    )


LAG = "select amount from iu_core.fn_iu_worker_figures() where figure = 'lag_events'"


@contextmanager
def in_background(call: Callable[..., Result], *args: Any) -> Iterator[Future[Result]]:
    """Run a call in a thread; give its future. The thread has ended when the block is left."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(call, *args)


@dataclass(frozen=True)
class Engine:
    """A database in some state, with a session `conn` (autocommit) to look at it."""

    database: Database
    conn: psycopg.Connection
    make_conn: Callable[..., psycopg.Connection]

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query in the looking session."""
        return self.conn.execute(query, parameters or None).fetchall()

    def fetch_value(self, query: str, *parameters: object) -> Any:
        """Return the one value of a query in the looking session."""
        ((value,),) = self.fetch(query, *parameters)
        return value

    def list_captured(self) -> list[Event]:
        """Return the events in the order of capture."""
        rows = self.fetch("select subject, version_seq from iu_core.iu_event order by event_id")
        return [Event(*row) for row in rows]

    def list_attempted(self, *statuses: str) -> list[Event]:
        """Return the events of the attempts with one of these statuses, in order."""
        rows = self.fetch(
            "select e.subject, e.version_seq from iu_core.iu_route_attempt as a"
            " join iu_core.iu_event as e using (event_id)"
            " where a.status = any (%s) order by a.attempt_id",
            list(statuses),
        )
        return [Event(*row) for row in rows]

    def list_outbox(self) -> list[Event]:
        """Return the events in the host's outbox, in its order."""
        rows = self.fetch(
            "select subject, (payload -> 'data' ->> 'version_seq')::bigint"
            " from public.event_outbox order by id"
        )
        return [Event(*row) for row in rows]

    def list_dead(self) -> list[tuple[Event, str, str | None]]:
        """Return the dead letters: event, reason, SQLSTATE."""
        rows = self.fetch(
            "select subject, version_seq, reason, sqlstate"
            " from iu_core.iu_route_dead_letter order by dead_letter_id"
        )
        return [(Event(*row[:2]), row[2], row[3]) for row in rows]

    def list_parked(self) -> list[tuple[Event, int, bool]]:
        """Return the parked events: event, tries, whether it has a due time of its own."""
        rows = self.fetch(
            "select p.subject, e.version_seq, p.tries, p.due_at is not null"
            " from iu_core.iu_route_parked as p join iu_core.iu_event as e using (event_id)"
            " order by p.event_id"
        )
        return [(Event(*row[:2]), row[2], row[3]) for row in rows]

    def make_due(self) -> None:
        """Let the time of every retry be now."""
        self.conn.execute(
            "update iu_core.iu_route_parked set due_at = clock_timestamp() where due_at is not null"
        )

    def count_attempts(self) -> int:
        """Return how many attempts there are."""
        return int(self.fetch_value("select count(*) from iu_core.iu_route_attempt"))

    def is_waiting(self, pid: int) -> bool:
        """Tell whether a session waits for a lock."""
        return bool(self.fetch_value("select cardinality(pg_blocking_pids(%s)) > 0", pid))

    def wait_until_waiting(self, conn: psycopg.Connection) -> None:
        """Return once another session waits for a lock."""
        pid = conn.info.backend_pid
        wait_until(lambda: self.is_waiting(pid), f"session {pid} waits for a lock")

    def go_live(self, quota: int | None = None) -> None:
        """Approve the route as it is defined now and take it live."""
        self.conn.execute(
            "insert into iu_gates.approval"
            " (route_name, definition_hash, digest, logins, granted_at, expires_at)"
            " select route_name, definition_hash, 'a', '{alice}', now(), now() + interval '1 h'"
            " from iu_core.iu_outbound_route"
        )
        self.conn.execute(
            "select iu_core.fn_iu_route_live(%s, %s, max(approval_id)) from iu_gates.approval",
            [ROUTE, quota],
        )

    def set_policy(self, **numbers: int | str) -> None:
        """Set columns of the route, such as ``max_tries``."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), value)
            for name, value in numbers.items()
        )
        self.conn.execute(sql.SQL("update iu_core.iu_outbound_route set {}").format(columns))

    def go_dry(self) -> None:
        """Take the route back to dry-run, as 081's downgrade does."""
        self.conn.execute("select iu_core.fn_iu_route_dry(%s)", [ROUTE])

    def count_buffers(self, conn: psycopg.Connection, query: str) -> int:
        """Run a query and return how many pages it touched, nested statements included."""
        row = conn.execute(f"explain (analyze, buffers, format json) {query}").fetchone()
        assert row is not None
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        top = plan[0]["Plan"]
        return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])


MakeEngine = Callable[[State], Engine]


@contextmanager
def open_engine(server: Server, state: State) -> Iterator[Engine]:
    """Give a clone of the template in `state`, made an installation of its own."""
    with cloned_database(server, require_template(server, state)) as database:
        rehome(database.conninfo)
        with connections(database.conninfo) as make_conn:
            yield Engine(database, make_conn(), make_conn)
