"""
The server's own disk is full (53100): capture, batch and step wait for room and lose nothing.

A database in a tablespace on a small file system of its own, filled to the last byte and
emptied again. Only an account that may mount has one: elsewhere the test says so, and fails where
``mount`` is demanded.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from tests.support.cli import poll
from tests.support.databases import Servers
from tests.support.engine import write_bulk
from tests.support.play import MakeStage, Stage
from tests.support.processes import (
    assert_each_once_and_in_order,
    is_drained,
    read_states,
    run_line,
    running,
)
from tests.support.tools import require_tool
from tests.support.walk import State

SIZE: Final = 48 << 20
NO_ROOM: Final = "the server has no room: could not extend file"
LEFT_BEHIND: Final = """
select (select count(*) from iu_core.iu_event where subject = 'full')
    + (select count(*) from public.unit_version where unit = 'full')
    + (select count(*) from iu_core.iu_route_parked) + (select count(*) from public.event_outbox)
"""


@dataclass(frozen=True)
class Disk:
    """A small file system with a tablespace on it, called "small"."""

    place: Path

    @contextmanager
    def holding(self, stage: Stage) -> Iterator[None]:
        """Keep a stage's database on it, with a new session to look."""
        stage.conn.close()
        with psycopg.connect(stage.database.server.conninfo(), autocommit=True) as other:
            name = sql.Identifier(stage.database.name)
            other.execute(sql.SQL("alter database {} set tablespace small").format(name))
        with psycopg.connect(stage.database.conninfo, autocommit=True) as stage.conn:
            yield
            self.empty()

    def fill(self) -> None:
        """Leave not one byte."""
        with (self.place / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                return

    def empty(self) -> None:
        """Make room."""
        (self.place / "ballast").unlink(missing_ok=True)


@pytest.fixture
def disk(servers: Servers, major: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """Give a small disk; every database that was moved to it is gone before it is."""
    server = servers.get(major)
    place = server.directory / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    done = subprocess.run(mount, check=False, capture_output=True)
    try:
        require_tool("mount", there=done.returncode == 0)
        data = place / "data"
        data.mkdir()
        owner = server.data.stat()
        os.chown(data, owner.st_uid, owner.st_gid)
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            where = sql.Literal(str(data))
            conn.execute(sql.SQL("create tablespace small location {}").format(where))
            yield Disk(place)
            conn.execute("drop tablespace small")
    finally:
        if done.returncode == 0:
            umount = ["umount", str(place)]
            subprocess.run(umount, check=True)
        place.rmdir()


@pytest.mark.long
def test_worker_and_capture_wait_for_room(
    disk: Disk, make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    P1, P2, P3: the batch names it and comes again, blaming no event; the host's write fails whole.
    """
    stage = make_stage(State.LIVE)
    with disk.holding(stage):
        write_bulk(stage.conn, "before", 2, 3000)
        disk.fill()
        with running(stage, tmp_path / "one"):
            log = tmp_path / "one" / "log"
            poll(lambda: NO_ROOM in log.read_text(), "it is named")
            with pytest.raises(psycopg.errors.DiskFull):
                write_bulk(stage.conn, "full", 2, 3000)
            assert "failed (53100)" in read_states(tmp_path / "one")
            assert stage.count() == stage.fetch_value(LEFT_BEHIND) == 0
            assert stage.status().routes[0].mode == "live"
            disk.empty()
            poll(lambda: is_drained(stage), "it goes on by itself", 20)
            write_bulk(stage.conn, "full", 2, 3000)
            poll(lambda: stage.count("sent") == 5998, "what comes after")
        assert_each_once_and_in_order(stage)


@pytest.mark.long
def test_step_that_finds_no_room_goes_on_when_there_is(
    disk: Disk, make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    P8: exit 5 and nothing of the step; the same command applies it once there is room.
    """
    stage = make_stage()
    line = ("advance", "--to", "substrate")
    with disk.holding(stage):
        run_line(stage, tmp_path, "advance", "--to", "backup").expect(0)
        disk.fill()
        answer = run_line(stage, tmp_path, *line).expect(5)
        assert f"IUG-057 {NO_ROOM}" in answer.err
        assert answer.next_command == "iu-gates advance --to substrate"
        assert stage.list_revisions() == ()
        disk.empty()
        run_line(stage, tmp_path, *line).expect(0)
        assert stage.list_revisions() == ("008", "009", "060")
