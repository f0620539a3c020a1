"""
Alembic as a library, for tests: from an empty database to any revision, guard and all.

The guard is passed as `advance` passes it, with verdicts in the ledger; only here nobody has
looked before writing "pass". So the databases of these tests are ordinary ones, in which a
worker runs, and not scratch databases.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql

from iu_gates.embedded import Server

ROOT = Path(__file__).parents[2]
HOST = (ROOT / "iu_gates" / "queries" / "demo_host.sql").read_text("utf-8")
ROUTE = "iu.version_applied.workflow"
SITE_KEY = "the site of the tests"
GATES = (
    "host",
    "backup",
    "substrate",
    "invocation",
    "dry_run",
    "seam",
    "check_relaxed",
    "disable_proven",
    "rehearsal",
    "approval",
    "canary",
    "live",
)


class State(StrEnum):
    """How far a test's database has been walked."""

    SUBSTRATE = "substrate"
    DRY = "dry"
    SEAM = "seam"
    RELAXED = "relaxed"
    CANARY = "canary"
    LIVE = "live"


STEPS: Mapping[State, tuple[State | None, str]] = {
    State.SUBSTRATE: (None, "substrate@060"),
    State.DRY: (State.SUBSTRATE, "runtime@080"),
    State.SEAM: (State.DRY, "substrate@090"),
    State.RELAXED: (State.SEAM, "substrate@100"),
    State.CANARY: (State.RELAXED, "runtime@081"),
    State.LIVE: (State.CANARY, "runtime@082"),
}
"""For each state, the one before it and the revision that leads from there."""


def walk_to(conninfo: str, *targets: str, **settings: Any) -> None:
    """
    Upgrade to each target in turn, with every gate passed and the route approved before it.

    Args:
        conninfo: libpq URI of the owner, on a database with the host's tables.
        targets: As `alembic upgrade` takes them, such as ``substrate@060``.
        settings: Of `migrations/env.py`, over those of the tests, such as ``scratch=True``.
    """
    for target in targets:
        pass_gates(conninfo)
        command.upgrade(_make_config(conninfo, settings), target)


def walk_down(conninfo: str, *targets: str) -> None:
    """Downgrade to each target in turn; the stops in force are left alone."""
    for target in targets:
        command.downgrade(_make_config(conninfo, {}), target)


def pass_gates(conninfo: str) -> None:
    """Write a passing verdict of each gate into the ledger, and an approval of the route."""
    with psycopg.connect(conninfo) as conn:
        conn.execute((ROOT / "migrations/control/015_act_as_owner.sql").read_bytes())
        if conn.execute("select to_regclass('iu_gates.ledger')").fetchone() == (None,):
            return
        row = conn.execute("select coalesce(max(seq), 0) from iu_gates.ledger").fetchone()
        facts = {"outcome": "pass", "facts": {"snapshot_seq": row and row[0]}}
        for gate in GATES:
            query = "select iu_gates.fn_ledger_append('verdict', %s, %s::jsonb)"
            conn.execute(query, [gate, json.dumps(facts)])
        conn.execute(
            """
            insert into iu_gates.approval (
                route_name, definition_hash, digest, logins, granted_at, expires_at)
            select %(route)s, h.hash, repeat('a', 64), '{alice,bob}', now(), now() + interval '1 d'
            from iu_gates.fn_route_definition_hash(%(route)s) as h (hash) where h.hash is not null
            """,
            {"route": ROUTE},
        )


def require_template(server: Server, state: State) -> str:
    """Return the name of the template database in `state`, made on first use."""
    name = f"iu_gates_{state}"
    before, target = STEPS[state]
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        if conn.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            return name
        origin = require_template(server, before) if before else "template0"
        conn.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(origin)
            )
        )
        conninfo = server.conninfo(name)
        if before is None:
            with psycopg.connect(conninfo) as host:
                host.execute(HOST)
        walk_to(conninfo, target)
        conn.execute(
            sql.SQL("alter database {} with allow_connections false").format(sql.Identifier(name))
        )
    return name


def rehome(conninfo: str) -> None:
    """Make a clone an installation of its own; until then its worker refuses to run."""
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            "update iu_gates.installation set database_oid = d.oid"
            " from pg_database as d where d.datname = current_database()"
        )


def _make_config(conninfo: str, settings: Mapping[str, Any]) -> Config:
    made = Config(str(ROOT / "alembic.ini"))
    made.attributes["iu_gates"] = {
        "url": conninfo,
        "schema": "iu_core",
        "host": {},
        "site_key_sha256": hashlib.sha256(SITE_KEY.encode()).hexdigest(),
        "scratch": False,
        "options": {"lock_timeout": "5s"},
        **settings,
    }
    return made
