"""`pytest --symmetry` in a project of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.cli import make_environment
from tests.support.databases import Servers
from tests.support.projects import Rev, chain, make_project

PROJECT = chain(
    Rev("good", "create table t (id int)", "drop table t"),
    Rev("left", "create type color as enum ('red')", ""),
)


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest in a folder, with the plugin and no configuration but the folder's own."""
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "iu_gates.pytest_symmetry",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*line, *arguments],
        cwd=folder,
        env=make_environment(folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_one_test_a_revision_beside_the_projects_own(
    servers: Servers, major: int, tmp_path: Path
) -> None:
    """
    A fault fails its own test with its findings; without --symmetry nothing is added.
    """
    folder = tmp_path / "project"
    make_project(folder, PROJECT)
    (folder / "test_own.py").write_text("def test_own() -> None:\n    assert True\n")
    (folder / "pytest.ini").write_text(
        f"[pytest]\nsymmetry_database_url = {servers.get(major).conninfo()}\n"
    )
    code, out = run_pytest(folder, "-q")
    assert (code, "1 passed" in out) == (0, True), out

    code, out = run_pytest(folder, "--symmetry", "-v")
    assert (code, "2 failed, 2 passed" in out) == (1, True), out
    assert "asymmetric" in out
    assert "type public.color: is new" in out
    assert "Traceback" not in out

    with psycopg.connect(servers.get(major).conninfo(), autocommit=True) as conn:
        conn.execute("create role no_createdb login")
        try:
            for ident, line in {
                "IUG-090": ("--symmetry-config", "nowhere.ini"),
                "IUG-089": ("--symmetry-setup-sql", "nowhere.sql"),
                "IUG-050": ("--symmetry-database-url", "postgresql://nowhere.invalid/db"),
                "IUG-042": (
                    "--symmetry-database-url",
                    servers.get(major).conninfo("postgres", "no_createdb"),
                ),
            }.items():
                _refuses(folder, ident, *line)
        finally:
            conn.execute("drop role no_createdb")
    (folder / "migrations" / "env.py").write_text("import nothing_like_it\n")
    assert "nothing_like_it" in _refuses(folder, "IUG-090")


def _refuses(folder: Path, ident: str, *line: str) -> str:
    """Require that pytest says what is wrong with its settings, and return what it says."""
    code, out = run_pytest(folder, "--symmetry", *line)
    assert (code, f"ERROR: {ident} " in out) == (pytest.ExitCode.USAGE_ERROR, True), out
    assert "next: " in out
    assert "Traceback" not in out
    assert "INTERNALERROR" not in out
    return out


@pytest.mark.long
def test_workers_of_xdist_try_the_revisions_once(
    servers: Servers, major: int, tmp_path: Path
) -> None:
    """
    With two processes each test has its verdict, and one of them tried the revisions for both.
    """
    folder = tmp_path / "project"
    make_project(folder, PROJECT)
    url = servers.get(major).conninfo()
    (folder / "pytest.ini").write_text(f"[pytest]\nsymmetry_database_url = {url}\n")
    env = folder / "migrations" / "env.py"
    env.write_text(f"print('env', file=open({str(tmp_path / 'runs')!r}, 'a'))\n" + env.read_text())
    assert run_pytest(folder, "--symmetry", "-q")[0] == 1
    alone = (tmp_path / "runs").read_text().count("env")

    line = ("--symmetry", "-q", "-p", "xdist", "-n", "2", f"--basetemp={tmp_path / 'base'}")
    code, out = run_pytest(folder, *line)

    assert (code, "2 failed, 1 passed" in out) == (1, True), out
    both = (tmp_path / "runs").read_text().count("env") - alone
    assert both == alone + 1, "the second one lists them, and nothing else"
