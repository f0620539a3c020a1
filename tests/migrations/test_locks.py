"""What each revision locks: declared in `iu_gates.locks`, seen in pg_locks, up and down (T38)."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from iu_gates import lanes, locks, proof
from iu_gates.config import Settings
from iu_gates.lanes import REVISIONS
from iu_gates.model import Direction
from tests.support.command import bootstrap
from tests.support.databases import Database
from tests.support.engine import GATE_KEY
from tests.support.walk import pass_gates, walk_to

MODES = (
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""Above ROW EXCLUSIVE, the weaker first."""
BEFORE = """
create temp table before as
select c.oid, n.nspname || '.' || c.relname as name, c.relkind, c.relfilenode
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('public', 'iu_core', 'iu_gates')
"""
HELD = """
select b.name, l.mode from pg_locks as l
join before as b on b.oid = l.relation and b.relkind in ('r', 'p')
where l.pid = pg_backend_pid() and l.granted and l.mode = any (%s)
"""
HAS_BARRIER = """
select exists (
    select from pg_locks as l
    where l.pid = pg_backend_pid() and l.locktype = 'advisory' and l.classid = %s
      and l.mode = 'ExclusiveLock')
"""
REWRITTEN = """
select b.name from before as b
join pg_class as c on c.oid = b.oid
where b.relfilenode <> 0 and c.relfilenode <> b.relfilenode
"""


@dataclass(frozen=True)
class Seen:
    """What a step did to what was there before it: locks by table, the barrier, rewrites."""

    locks: set[tuple[str, str]]
    holds_batches: bool
    rewritten: list[str]


def try_step(database: Database, revision: str, direction: Direction) -> Seen:
    """Run a step's SQL in a transaction that is taken back, and look at it from inside."""
    settings = Settings(database_url=database.conninfo)
    with psycopg.connect(database.conninfo) as conn:
        names = proof.fetch_names(conn, settings)
        conn.execute(BEFORE)
        conn.execute("set local search_path = iu_core, pg_temp")
        for text in lanes.render_sql(names, revision, direction):
            conn.cursor().execute(text)
        strongest: dict[str, str] = {}
        for name, mode in conn.execute(HELD, [list(MODES)]).fetchall():
            strongest[name] = max(mode, strongest.get(name, mode), key=MODES.index)
        barrier = conn.execute(HAS_BARRIER, [GATE_KEY]).fetchone()
        rewritten = [name for (name,) in conn.execute(REWRITTEN).fetchall()]
        conn.rollback()
    return Seen(set(strongest.items()), barrier == (True,), rewritten)


def declared(revision: str, direction: Direction) -> set[tuple[str, str]]:
    """Return what `iu_gates.locks` says of a step, with the modes as pg_locks writes them."""
    names = {"iu_schema": "iu_core", "iu_host_schema": "public", "iu_unit_table": "unit_version"}
    return {
        (f"{need.schema}.{need.table}", f"{need.mode.title().replace(' ', '')}Lock")
        for need in locks.list_needs(names, revision, direction)
    }


@pytest.mark.long_on_each_major
def test_steps_lock_what_is_declared_and_rewrite_nothing(host_database: Database) -> None:
    """
    T38: up and down, each step takes the table locks and the barrier that `locks` declares.

    No table or index that was there before is rewritten.
    """
    bootstrap(host_database.conninfo)
    for revision in REVISIONS:
        pass_gates(host_database.conninfo)
        seen: dict[Direction, Seen] = {"up": try_step(host_database, revision.name, "up")}
        walk_to(host_database.conninfo, f"{revision.lane}@{revision.name}")
        seen["down"] = try_step(host_database, revision.name, "down")
        for direction, step in seen.items():
            name = (revision.name, direction)
            assert step.locks == declared(*name), name
            assert step.holds_batches == (name in locks.HOLDS_BATCHES), name
            assert step.rewritten == [], name


def test_the_barrier_comes_before_any_table(host_database: Database) -> None:
    """
    T24: a step takes the key of all batches before its first DDL: the other order deadlocks.
    """
    settings = Settings(database_url=host_database.conninfo)
    bootstrap(host_database.conninfo)
    with psycopg.connect(host_database.conninfo) as conn:
        names = proof.fetch_names(conn, settings)
    for revision, direction in locks.HOLDS_BATCHES:
        text = "\n".join(lanes.render_sql(names, revision, direction)).lower()
        if revision != "081":
            barrier = text.index("fn_hold_batches()")
            first = min(text.find(f"\n{word} ") % 10**9 for word in ("alter", "create", "drop"))
            assert barrier < first, (revision, direction)
