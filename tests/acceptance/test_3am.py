"""docs/runbooks/3am.md: its commands as they stand there, on a database in each of its states."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.docs.pages import list_blocks, read
from tests.support.cli import SECONDS, make_environment, poll
from tests.support.engine import run_batch
from tests.support.play import MakeStage, Stage
from tests.support.walk import ROOT, State

pytestmark = pytest.mark.long_on_each_major

PAGE: Final = read("docs/runbooks/3am.md")
BLOCKS: Final = [body for language, body in list_blocks(PAGE) if language == "sh"]
STOP, TERMINATE, LOOK, BACK, LIST, RESTORE = BLOCKS
ROW: Final = re.compile(
    r"^\| ([\w -]+) \| ([\d, ]+) \| ([\d, ]+) \| ([\d, ]+) \| ([\d, ]+) \| ([\d, ]+) \|$",
    re.MULTILINE,
)
EXPECTED: Final = {
    state: [[int(code) for code in cell.split(", ")] for cell in cells]
    for state, *cells in ROW.findall(PAGE)
}
VICTIM: Final = ROOT / "scripts" / "torture" / "victim.py"
EVENTS: Final = "select subject, version_seq from iu_core.iu_event"
WORKING: Final = "select count(*) from iu_core.iu_route_attempt where status = 'sent'"


class Night:
    """
    Somebody at a shell, with the settings of `advance`.

    Args:
        stage: The database.
        folder: Of the settings; the working directory.
        url: Another database than the stage's own.
    """

    def __init__(self, stage: Stage, folder: Path, url: str | None = None) -> None:
        self.stage = stage
        self.folder = folder
        self.url = url or stage.database.conninfo
        told = conninfo_to_dict(self.url)
        self.variables = {
            "PATH": f"{Path(sys.executable).parent}:{stage.database.bin_dir}:{os.environ['PATH']}",
            "IU_GATES_DATABASE_URL": self.url,
            **{f"IU_GATES_{k.upper()}": str(v) for k, v in stage.values.items() if k in TOLD},
            "IU_GATES_BARRIER_WAIT": "1 s",
            "IU_GATES_DRILL_WAIT": "2 s",
            "PGHOST": str(told["host"]),
            "PGPORT": str(told["port"]),
            "PGUSER": str(told["user"]),
        }

    def type(self, block: str, **variables: str) -> list[int]:
        """Type the lines of a block one by one; return the exit code of each."""
        return [self.run(["sh", "-c", line], **variables) for line in block.splitlines()]

    def run(self, command: list[str], **variables: str) -> int:
        """Run a command to its end."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=make_environment(self.folder, **self.variables, **variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        print(command[-1], done.returncode, done.stdout, done.stderr)  # noqa: T201  pytest shows it
        return done.returncode

    def strike(self, at: str, when: str, *line: str) -> None:
        """Run a command that is killed at a statement."""
        mark = self.folder / "mark"
        program = [sys.executable, str(VICTIM), "client", at, when, "0", str(mark)]
        self.run([*program, *line])
        assert mark.exists(), f"{line} never came to {at}"


TOLD: Final = ("backup_dir", "site_key_file", "bin_dir", "invocation")


@pytest.fixture
def night(request: pytest.FixtureRequest, make_stage: MakeStage, tmp_path: Path) -> Iterator[Night]:
    """Give somebody before a database in the state that the test is called with."""
    folder = tmp_path / "night"
    folder.mkdir()
    with ExitStack() as stack:
        yield stack.enter_context(STATES[request.param](make_stage, folder))


@contextmanager
def healthy(make_stage: MakeStage, folder: Path) -> Iterator[Night]:
    """Live, with events delivered."""
    stage = make_stage(State.LIVE)
    deliver(stage)
    yield Night(stage, folder)


def deliver(stage: Stage) -> None:
    """Let the host write and a worker deliver."""
    with stage.host(), stage.worker():
        poll(lambda: stage.fetch_value(WORKING) > 5, "events are delivered")


@contextmanager
def drifted(make_stage: MakeStage, folder: Path) -> Iterator[Night]:
    """Live, and an object of ours is not what it was."""
    with healthy(make_stage, folder) as night:
        night.stage.conn.execute("alter table iu_core.iu_event add column by_hand integer")
        yield night


@contextmanager
def killed(make_stage: MakeStage, folder: Path) -> Iterator[Night]:
    """The canary is out, and `advance` was killed in the middle of its second drill."""
    night = Night(make_stage(State.CANARY), folder)
    with night.stage.host(), night.stage.worker():
        night.strike("fn_stop(", "after", "advance", "--to", "live")
    assert night.stage.fetch_value("select count(*) from iu_gates.stop where lifted_at is null")
    yield night


@contextmanager
def failed(make_stage: MakeStage, folder: Path) -> Iterator[Night]:
    """The canary is out, and the drill of the next gate had no load."""
    night = Night(make_stage(State.CANARY), folder)
    night.stage.write("unit", 1, 2, 3)
    assert night.run(["iu-gates", "advance", "--to", "live"]) == 3
    yield night


@contextmanager
def in_hand(make_stage: MakeStage, folder: Path) -> Iterator[Night]:
    """Live, and a batch is in a prepared transaction that nobody ends."""
    with healthy(make_stage, folder) as night:
        night.stage.write("unit", 1, 2, 3)
        with psycopg.connect(night.stage.database.conninfo) as conn:
            run_batch(conn)
            conn.execute("prepare transaction 'left behind'")
        yield night


@contextmanager
def half_back(make_stage: MakeStage, folder: Path) -> Iterator[Night]:
    """Live until a rollback was killed while it undid 100."""
    with healthy(make_stage, folder) as night:
        night.strike("fn_record_step('100'", "before", "rollback", "--to", "060", "--yes")
        assert night.stage.list_revisions()[-1] == "100"
        yield night


@contextmanager
def copied(make_stage: MakeStage, folder: Path) -> Iterator[Night]:
    """A clone of a live database."""
    with healthy(make_stage, folder) as night:
        stage = night.stage
        stage.conn.close()
        name = f"{stage.database.name}_copy"
        names = sql.Identifier(name), sql.Identifier(stage.database.name)
        with psycopg.connect(stage.database.server.conninfo(), autocommit=True) as conn:
            conn.execute(sql.SQL("create database {} template {}").format(*names))
            stage.conn = psycopg.connect(stage.database.server.conninfo(name), autocommit=True)
            try:
                yield Night(stage, folder, stage.database.server.conninfo(name))
            finally:
                stage.conn.close()
                conn.execute(sql.SQL("drop database {}").format(names[0]))


STATES: Final[dict[str, Any]] = {
    "live and healthy": healthy,
    "live with drift": drifted,
    "advance killed half-way": killed,
    "a gate failed": failed,
    "workers in hand": in_hand,
    "a half-done rollback": half_back,
    "a copy": copied,
}
IN_SHORT: Final = ("workers in hand",)
NIGHTS: Final = [
    pytest.param(state, marks=() if state in IN_SHORT else pytest.mark.long) for state in STATES
]


def test_every_state_of_the_page_is_tried() -> None:
    """
    The table of the page holds the states that are tried, and no other.
    """
    assert list(EXPECTED) == list(STATES)


@pytest.mark.slow
@pytest.mark.parametrize("night", NIGHTS, indirect=True, ids=str)
def test_page_works_in_each_state(night: Night, request: pytest.FixtureRequest) -> None:
    """
    Stopped, looked at, walked back: with the exit codes of the page, and no event is lost.
    """
    state = request.node.callspec.params["night"]
    stage, events = night.stage, set(night.stage.fetch(EVENTS))
    seen = [night.type(STOP), night.type(TERMINATE)]
    delivered = stage.fetch_value("select count(*) from public.event_outbox")
    stage.write("after the stop", 1, 2)
    night.run(["iu-gates", "worker", "once"])
    assert stage.fetch_value("select count(*) from public.event_outbox") == delivered
    seen += [night.type(LOOK), night.type(BACK), night.type(LIST)]
    assert seen == EXPECTED[state]
    assert {*events, ("after the stop", 2)} <= set(stage.fetch(EVENTS))
    assert night.run(["iu-gates", "audit"]) == 0
    assert night.run(["iu-gates", "ledger", "verify"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("night", ["live and healthy"], indirect=True)
def test_restored_copy_holds_every_event_and_delivers_none(night: Night) -> None:
    """
    The last block makes a database with all events of the backup, in which no worker works.
    """
    stage = night.stage
    assert night.run(["iu-gates", "backup", "create"]) == 0
    (archive,) = Path(stage.values["backup_dir"]).glob("*.dump")
    new = f"{stage.database.name}_new"
    try:
        assert night.type(RESTORE, NEW=new, ARCHIVE=str(archive)) == [0, 0]
        restored = Night(stage, night.folder, stage.database.server.conninfo(new))
        with psycopg.connect(restored.url) as conn:
            assert set(conn.execute(EVENTS)) == set(stage.fetch(EVENTS))
        assert restored.run(["iu-gates", "audit"]) == 0
        assert restored.run(["iu-gates", "worker", "once"]) == 4
    finally:
        stage.conn.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(new)))
