"""The demo as a new user runs it: a history of its own, of a file, of a repository; counted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from iu_gates.embedded import Server, open_state_server
from iu_gates.model import GATES
from tests.support.cli import SECONDS, end, start_command

UNITS, VERSIONS = 6, 8
APPLIED = UNITS * (VERSIONS - 1)
ZEROS = ("repeated", "skipped", "reordered", "after_disable", "held_at_end")


class Playing(NamedTuple):
    """A demo that was started, and where its server is kept."""

    process: subprocess.Popen[str]
    state_dir: Path


@pytest.fixture(scope="module")
def demos(
    unpacked_wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Playing]]:
    """
    Give the four demos, all under way: they wait more than they work, so they run side by side.

    They run from what the wheel holds, because the checkout's own history would be the default.
    """
    base = tmp_path_factory.mktemp("demo")
    options: dict[str, list[str | Path]] = {
        "generated": [],
        "history": ["--history", make_history(base / "history.jsonl")],
        "repo": ["--repo", make_repository(base / "a repository")],
        "keep": ["--keep", "live"],
    }
    with ExitStack() as ends:
        playing = {}
        for name, more in options.items():
            folder, state_dir = base / f"folder of {name}", base / f"state of {name}"
            folder.mkdir()
            process = start_command(
                folder,
                *("demo", "--json", "--state-dir", state_dir, *more),
                stdout=subprocess.PIPE,
                PYTHONPATH=str(unpacked_wheel),
            )
            ends.callback(stop_server, state_dir)
            ends.callback(end, process)
            playing[name] = Playing(process, state_dir)
        yield playing


def make_history(path: Path) -> Path:
    """Write a history: a few units, each changed in turn."""
    lines = [
        {"unit": f"page {unit}", "version_seq": seq, "commit": f"{seq}-{unit}"}
        for seq in range(1, VERSIONS + 1)
        for unit in range(UNITS)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def make_repository(path: Path) -> Path:
    """Make a git repository whose history has as many changes, two files a commit."""
    path.mkdir()
    names = [path / f"file {number}.txt" for number in range(UNITS)]
    git(path, "init", "--quiet")
    for seq in range(1, VERSIONS + 1):
        for pair in zip(names[::2], names[1::2], strict=True):
            for name in pair:
                name.write_text(f"{name.name} {seq}\n", "utf-8")
            git(path, "add", ".")
            git(path, "commit", "--quiet", "--message", f"change {seq}")
    return path


def git(path: Path, *arguments: str) -> None:
    """Run git as somebody, whoever runs the tests."""
    identity = (
        "-c",
        "user.name=Ann",
        "-c",
        "user.email=ann@example.org",
        "-c",
        "commit.gpgsign=false",
    )
    line = ["git", *identity, *arguments]
    subprocess.run(line, cwd=path, check=True, capture_output=True)


def stop_server(state_dir: Path) -> None:
    """Stop the kept server of a state directory, if one was made."""
    for made in state_dir.glob("[0-9]*"):
        Server(made, major=int(made.name)).wipe()


def finish(playing: Playing) -> dict[str, Any]:
    """Wait for a demo to end well, and return what it says."""
    out, err = playing.process.communicate(timeout=2 * SECONDS)
    assert playing.process.returncode == 0, out + err
    assert err == ""
    said = json.loads(out)
    assert isinstance(said, dict)
    return said


def assert_proven(said: dict[str, Any]) -> None:
    """All events went dry or out, none twice, none out of order; every gate was walked."""
    assert said["captured"] == said["dry_run"] + said["delivered"]
    assert said["captured"] > 0
    assert said["delivered"] > 0
    assert {name: said[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert said["held"] > 0
    assert said["seconds"] > 0
    assert [gate["gate"] for gate in said["gates"]] == list(GATES)
    assert {gate["outcome"] for gate in said["gates"]} == {"pass"}
    assert said["waivers"] == []


@pytest.mark.slow
def test_demo_generates_a_history_and_says_so(demos: dict[str, Playing]) -> None:
    """
    In an empty folder with neither repository nor file it plays a generated history.
    """
    said = finish(demos["generated"])
    assert_proven(said)
    assert "generated" in said["history"]
    assert "not a real history" in said["history"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["history", "repo"])
def test_demo_plays_what_it_is_given(demos: dict[str, Playing], kind: str) -> None:
    """
    With a file or a repository it captures exactly the applied changes that are in it.
    """
    said = finish(demos[kind])
    assert_proven(said)
    assert said["captured"] == APPLIED
    assert "generated" not in said["history"]


@pytest.mark.long
@pytest.mark.slow
def test_demo_keeps_its_server_at_live(demos: dict[str, Playing]) -> None:
    """
    With --keep live the server stays up, live, and it says how to look at it.
    """
    said = finish(demos["keep"])
    assert said["look"].startswith("psql ")
    assert said["stop"].startswith("pg_ctl stop ")
    (made,) = demos["keep"].state_dir.glob("[0-9]*")
    server = Server(made, major=int(made.name))
    assert server.is_running()
    with psycopg.connect(server.conninfo("iu_gates_demo")) as conn:
        row = conn.execute(
            "select enabled and not dry_run and quota is null from iu_core.iu_outbound_route"
        ).fetchone()
    assert row == (True,)
    open_state_server(demos["keep"].state_dir).stop()
    assert not server.is_running()


@pytest.mark.parametrize(
    "line", [("--keep", "dry"), ("--repo", "/", "--history", "x"), ("--repo", "/")]
)
def test_demo_refuses_what_it_cannot_play(line: tuple[str, ...], tmp_path: Path) -> None:
    """
    Options that make no sense, and a folder that is no repository, start no server.
    """
    process = start_command(
        tmp_path, "demo", "--state-dir", tmp_path / "state", *line, stdout=subprocess.PIPE
    )
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 2, out + err
    assert not (tmp_path / "state").exists()
