"""
Alembic as a user has it: the command in a process of its own, and the library on any database.

Nothing here passes a gate; tests/support/walk.py does that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from iu_gates.symmetry import Difference, RowDigest, Snapshot, row_digests, snapshot
from tests.support.databases import Database
from tests.support.walk import ROOT

CONTROL = ("iu_gates",)
"""The schema of the record and of `alembic_version`: no lane's, so no walk gives it back."""


def run_alembic(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the alembic command in the checkout, with this environment and no other setting."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run_psql(database: Database, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Feed a script to psql; without ``-v ON_ERROR_STOP=1`` it goes on after an error."""
    return subprocess.run(
        [database.bin_dir / "psql", "-X", "-q", *options, "-d", database.conninfo],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )


def make_config(conninfo: str, **settings: Any) -> Config:
    """Return a configuration that hands `settings` to ``migrations/env.py``."""
    made = Config(str(ROOT / "alembic.ini"))
    made.attributes["iu_gates"] = {
        "url": conninfo,
        "schema": "iu_core",
        "host": {},
        "options": {"lock_timeout": "5s"},
        **settings,
    }
    return made


def bootstrap(conninfo: str, **settings: Any) -> None:
    """Make the control schema; no lane moves."""
    config = make_config(conninfo, bootstrap=True, **settings)
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=lambda *_: []):
        script.run_env()


@dataclass(frozen=True)
class Picture:
    """Everything a refusal could have changed."""

    catalog: Snapshot
    rows: Mapping[str, RowDigest]

    def diff(self, other: Picture) -> list[Difference | str]:
        """Return what is different in `other`."""
        tables = sorted(self.rows.items() ^ other.rows.items())
        return [*self.catalog.diff(other.catalog), *(f"rows of {name}" for name, _ in tables)]


def take_picture(conninfo: str, *, without: Collection[str] = ()) -> Picture:
    """Return the catalog and the digests of all rows as they are now."""
    with psycopg.connect(conninfo) as conn:
        return Picture(
            snapshot(conn, exclude_schemas=without), row_digests(conn, exclude_schemas=without)
        )


def take_catalog(conninfo: str) -> Snapshot:
    """Return the catalog without the record's schema."""
    return take_picture(conninfo, without=CONTROL).catalog
