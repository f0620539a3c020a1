"""The examples of docs/symmetry.md: parsed, and their commands run on a small project."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.docs.pages import ROOT, marked_block, read
from tests.support.cli import make_environment
from tests.support.databases import Servers
from tests.support.projects import Rev, chain, make_project

PROJECT = chain(
    Rev("good", "create table t (id int)", "drop table t"),
    Rev("left", "create type color as enum ('red')", ""),
)
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project in git with one fault, its ``alembic.ini`` at the top."""
    folder = tmp_path / "project"
    make_project(folder, PROJECT)
    for line in ("init --quiet", "add .", "commit --quiet --message all"):
        git = ["git", *IDENTITY, *shlex.split(line)]
        subprocess.run(git, cwd=folder, check=True)
    return folder


IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")


@pytest.fixture
def shell(servers: Servers, major: int, project: Path, tmp_path: Path) -> Shell:
    """Give a function that runs a line of an example in the project, ``iu-gates`` being ours."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    program = bin_dir / "iu-gates"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m iu_gates "$@"\n')
    program.chmod(0o755)
    environment = make_environment(
        project,
        IU_GATES_DATABASE_URL=servers.get(major).conninfo(),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )
    environment["PATH"] = f"{bin_dir}:{environment['PATH']}"

    def run(line: str) -> subprocess.CompletedProcess[str]:
        bash = ["bash", "-ec", line]
        return subprocess.run(
            bash,
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def example(mark: str) -> Any:
    """Return what the YAML of an example says."""
    return yaml.safe_load(marked_block(read("docs/symmetry.md"), mark))


def test_github_actions(shell: Shell, project: Path, tmp_path: Path) -> None:
    """
    The steps as they stand: the fault fails the job, is annotated and in the summary.
    """
    job = example("github")["jobs"]["symmetry"]
    lines = [s["run"] for s in job["steps"] if not s.get("run", "pip").startswith("pip")]
    assert set(job["env"]) == {"IU_GATES_DATABASE_URL"}
    (cache,) = [s["with"]["path"] for s in job["steps"] if "cache" in s.get("uses", "")]

    done = [shell(line) for line in lines]

    assert [d.returncode for d in done] == [3, 0], done
    assert "::error file=migrations/versions/left.py" in done[0].stdout
    assert "`left`" in (tmp_path / "summary.md").read_text("utf-8")
    assert list((project / cache).glob("??/*.json")) != []


def test_gitlab_ci(shell: Shell, project: Path) -> None:
    """
    The script as it stands: the fault fails the job and is in its report.
    """
    job = example("gitlab")["symmetry"]
    (line,) = [line for line in job["script"] if not line.startswith("pip")]

    assert shell(line).returncode == 3

    report = ET.parse(project / job["artifacts"]["reports"]["junit"]).getroot()  # noqa: S314
    assert report is not None
    assert report.get("failures") == "2"
    assert (project / job["cache"]["paths"][0]).is_dir()


def call_hook(hook: dict[str, Any], arguments: list[str]) -> str:
    """Return the line that pre-commit runs: the entry split as a shell does, then the arguments."""
    assert hook["pass_filenames"] is False
    assert re.search(hook["files"], "migrations/versions/left.py")
    assert not re.search(hook["files"], "src/conversions/left.py")
    return shlex.join([*shlex.split(hook["entry"]), *arguments])


@pytest.mark.long
def test_pre_commit_hook(shell: Shell, project: Path) -> None:
    """
    Both forms try what a commit changes: nothing passes, a new fault does not.

    As pre-commit calls them; on the server of this test instead of the one in the box, and with
    this interpreter for the project's.
    """
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    (use,) = example("pre-commit")["repos"][0]["hooks"]
    assert use["id"] == hook["id"]
    assert use["args"][:3] == ["--database-url", "embedded", "--python"]
    (local,) = example("pre-commit local")["repos"][0]["hooks"]
    lines = [call_hook(hook, ["--python", sys.executable]), call_hook(local, [])]

    assert [shell(line).returncode for line in lines] == [0, 0]

    with (project / "migrations/versions/left.py").open("a") as file:
        file.write("# changed\n")
    for line in lines:
        done = shell(line)
        assert done.returncode == 3
        assert "✗ left" in done.stdout
        assert "good" not in done.stdout
