"""
What pytest-alembic does for the comparison: copied beside a project as its test.

`test_up_down_consistency` as it is shipped; and `test_downgrade_leaves_no_trace` for each revision,
in the cheapest way there is: in one walk, from the state before, as the shipped test does it, but
going on where that stops at the first that it finds. What it finds goes into the file BENCH_FOUND.
"""

# mypy: ignore-errors
# ruff: noqa: ANN001  its types are pytest-alembic's, which is not installed here
from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy
from pytest_alembic.plugin.error import AlembicTestFailure
from pytest_alembic.tests import experimental
from pytest_alembic.tests.default import test_up_down_consistency  # noqa: F401  collected here
from pytest_alembic.tests.experimental import downgrade_leaves_no_trace as module

check = module.check_revision_cycle


@pytest.fixture
def alembic_config() -> dict[str, str]:
    """Name the project's own settings."""
    return {
        "file": os.environ["BENCH_CONFIG"],
        "sqlalchemy.url": os.environ["BENCH_URL"],
        "script_location": os.environ["BENCH_SCRIPTS"],
    }


@pytest.fixture
def alembic_engine() -> sqlalchemy.Engine:
    """Give the database."""
    return sqlalchemy.create_engine(os.environ["BENCH_URL"])


def test_downgrade_leaves_no_trace(alembic_runner, alembic_engine, monkeypatch) -> None:
    """Try each revision; go on after one that fails."""
    with alembic_engine.begin() as conn:
        conn.exec_driver_sql(os.environ["BENCH_RESET"])
    found, checked = [], []

    def go_on(runner, connection, revision) -> None:
        if revision == "base":
            return  # the next one is the same cycle again
        checked.append(revision)
        try:
            check(runner, connection, revision)
        except (AlembicTestFailure, sqlalchemy.exc.SQLAlchemyError):
            found.append(revision)

    monkeypatch.setattr(module, "check_revision_cycle", go_on)
    experimental.downgrade_leaves_no_trace.test_downgrade_leaves_no_trace(alembic_runner)
    Path(os.environ["BENCH_FOUND"]).write_text(f"{len(checked)} {len(found)}", "utf-8")
