"""One walk at a time: a session's lock, which a client that is gone does not keep."""

from __future__ import annotations

import os
import signal
import socket
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from iu_gates import config, db, site
from iu_gates.embedded import Server
from iu_gates.errors import LockHeldError
from tests.support.engine import wait_until
from tests.support.play import PROCESSES, MakeStage

HOLDERS = """
select count(*) from pg_locks as l
where l.locktype = 'advisory' and l.classid = 18773005
  and l.database = (select oid from pg_database where datname = current_database())
"""
KEEPALIVE = """
select current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'),
       current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout')
"""


def hold(values: dict[str, Any], ready: Connection) -> None:
    """Hold the lock of the walk until killed."""
    with site.walk_lock(config.build(values), "advance"):
        ready.send(None)
        signal.pause()


def test_client_that_was_killed_frees_the_lock(make_stage: MakeStage) -> None:
    """
    P8: the holder is named while it lives; after kill -9 the next walk has the lock at once.
    """
    stage = make_stage()
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=hold, args=(stage.values, theirs))
    process.start()
    assert ours.poll(60)
    with (
        pytest.raises(LockHeldError, match="is at work") as raised,
        site.walk_lock(stage.settings, "rollback"),
    ):
        pass
    assert "iu-gates advance (lock)" in (raised.value.found or "")
    assert process.pid is not None

    os.kill(process.pid, signal.SIGKILL)
    process.join()

    wait_until(lambda: stage.fetch_value(HOLDERS) == 0, "the lock is free")
    with site.walk_lock(stage.settings, "rollback"):
        assert stage.fetch_value(HOLDERS) == 1


def test_server_asks_after_a_client_that_says_nothing(
    major: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    P8: over TCP the lock's session has keepalives, so a machine that is gone frees it soon.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(tmp_path / "tcp", major=major, port=port)
    made: list[psycopg.Connection] = []

    def connect(*arguments: Any) -> psycopg.Connection:
        made.append(opened(*arguments))
        return made[-1]

    opened = db.open_connection
    monkeypatch.setattr(db, "open_connection", connect)
    server.start()
    try:
        url = make_conninfo(server.conninfo(), host="127.0.0.1", port=port)
        with site.walk_lock(config.build({"database_url": url}), "advance"):
            assert made[0].execute(KEEPALIVE).fetchone() == ("8", "2", "3", "15000")
    finally:
        server.wipe()


def test_lock_is_freed_when_the_walk_ends_or_fails(make_stage: MakeStage) -> None:
    """
    Nothing of it stays behind, whatever was raised inside.
    """
    stage = make_stage()
    with pytest.raises(ZeroDivisionError), site.walk_lock(stage.settings, "advance"):
        raise ZeroDivisionError
    wait_until(lambda: stage.fetch_value(HOLDERS) == 0, "the lock is free")
