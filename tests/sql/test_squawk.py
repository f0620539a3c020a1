"""Squawk on the SQL that Alembic prints: no statement that holds up a host at work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment in the project's root."""
    environment = {**os.environ, "IU_GATES_DATABASE_URL": "postgresql://nowhere.invalid/none"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def squawk(file: Path) -> subprocess.CompletedProcess[str]:
    """Run squawk with the project's rules."""
    return run(Path(sys.executable).with_name("squawk"), "--reporter", "gcc", file)


def test_squawk_finds_nothing_in_the_whole_way_up(tmp_path: Path) -> None:
    """The SQL of `alembic upgrade heads --sql` breaks none of the rules in .squawk.toml."""
    printed = run(sys.executable, "-m", "alembic", "upgrade", "heads", "--sql")
    assert printed.returncode == 0, printed.stderr
    file = tmp_path / "heads.sql"
    file.write_text(printed.stdout, "utf-8")

    found = squawk(file)

    assert found.returncode == 0, found.stdout


def test_squawk_would_find_a_blocking_statement(tmp_path: Path) -> None:
    """A statement that rewrites a table under a lock is found, so the test above can fail."""
    file = tmp_path / "bad.sql"
    file.write_text("alter table unit_version alter column unit type varchar(10);", "utf-8")

    assert squawk(file).returncode != 0
