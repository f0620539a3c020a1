"""The embedded server: any path, any end, any number of callers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from iu_gates.embedded import (
    Server,
    default_state_dir,
    find_installs,
    installs,
    open_state_server,
)
from iu_gates.embedded.account import Account, is_private_dir
from iu_gates.embedded.installs import require_install, require_reachable
from iu_gates.embedded.process import is_alive, list_children, wait_until
from iu_gates.errors import UnreachableError
from tests.support.databases import SETTINGS
from tests.support.majors import newest_major

AWKWARD = ["plain", "with a space", 'it\'s "quoted" $HOME `id` %41;x', "long-" * 40]


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """Give the directory of a kept server, which is stopped and removed afterwards."""
    directory = tmp_path / "kept state"
    yield directory
    for major in find_installs():
        if (directory / str(major)).exists():
            Server(directory / str(major), major=major).wipe()


def ask(server: Server, query: LiteralString) -> object:
    """Return the one value that `query` gives."""
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        row = conn.execute(query).fetchone()
        assert row is not None
        return row[0]


@pytest.mark.parametrize("name", AWKWARD, ids=["plain", "space", "quotes", "long"])
def test_server_starts_in_any_directory(tmp_path: Path, name: str) -> None:
    """
    Blanks, quotes, the shell's own signs and long names in the path change nothing.
    """
    directory = tmp_path / name / ("deeper-" * 20)
    server = Server(directory, settings=SETTINGS)
    with server:
        assert ask(server, "select 1") == 1
        dump = subprocess.run(
            [server.bin_dir / "pg_dump", server.conninfo()], check=True, capture_output=True
        )
        assert b"PostgreSQL database dump complete" in dump.stdout
    assert not server.is_running()
    server.wipe()
    assert not server.data.exists()


@pytest.mark.every_major
def test_every_major_at_hand_starts(own_server: Server, major: int) -> None:
    """
    Each major version serves UTF-8 on a socket that only its owner can reach.
    """
    assert ask(own_server, "select current_setting('server_version_num')::int / 10000") == major
    assert ask(own_server, "show server_encoding") == "UTF8"
    assert ask(own_server, "show listen_addresses") == ""
    assert ask(own_server, "show max_prepared_transactions") == "20"
    assert is_private_dir(own_server.socket_dir, own_server.data.stat().st_uid)


def test_committed_row_survives_kill(own_server: Server) -> None:
    """
    P8: after SIGKILL of everything the same conninfo works again, and the row is there.
    """
    with psycopg.connect(own_server.conninfo()) as conn:
        conn.execute("create table kept as select 42 as answer")
    before = own_server.conninfo()
    family = [own_server.pid or 0, *list_children(own_server.pid or 0)]

    own_server.kill()

    assert not any(is_alive(pid) for pid in family)
    own_server.start()
    assert own_server.conninfo() == before
    assert ask(own_server, "select answer from kept") == 42


def test_start_after_postmaster_alone_was_killed(own_server: Server) -> None:
    """
    P8: a postmaster killed by somebody else does not leave a lock that keeps the server off.
    """
    pid = own_server.pid
    assert pid is not None
    sessions = list_children(pid)
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not any(map(is_alive, [pid, *sessions])), seconds=30)

    own_server.start()

    assert ask(own_server, "select 1") == 1


def test_restart_keeps_conninfo(own_server: Server) -> None:
    """
    A restart is another process under the same address.
    """
    before, pid = own_server.conninfo(), own_server.pid
    own_server.restart()
    assert (own_server.conninfo(), own_server.pid == pid) == (before, False)


def test_conninfo_escapes_names(own_server: Server) -> None:
    """
    Names of databases and roles may hold any sign.
    """
    name, role = "a b/c?d=e&f%g", "o'per:ator@x"
    with psycopg.connect(own_server.conninfo(), autocommit=True) as conn:
        conn.execute(psycopg.sql.SQL("create role {} login").format(psycopg.sql.Identifier(role)))
        conn.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))
    with psycopg.connect(own_server.conninfo(name, role)) as conn:
        assert (conn.info.dbname, conn.info.user) == (name, role)


def test_wrong_setting_shows_the_log(tmp_path: Path) -> None:
    """
    A server that dies at start says why, with the end of its log.
    """
    server = Server(tmp_path / "bad", settings={"no_such_setting": 1})
    with pytest.raises(UnreachableError) as caught:
        server.start()
    assert "no_such_setting" in (caught.value.found or "")
    server.wipe()


def test_unknown_major_is_named(tmp_path: Path) -> None:
    """
    A major that is not installed is refused with the list of what is.
    """
    with pytest.raises(UnreachableError, match="no PostgreSQL 9 server"):
        Server(tmp_path, major=9)


def test_foreign_process_is_not_ours(tmp_path: Path) -> None:
    """
    A pid file that names another process (a recycled pid) makes us neither wait nor kill.
    """
    server = Server(tmp_path / "stale", settings=SETTINGS)
    server.start()
    server.stop()
    with subprocess.Popen(["/bin/sleep", "600"]) as bystander:
        (server.data / "postmaster.pid").write_text(f"{bystander.pid}\n{server.data}\n")
        assert not server.is_running()
        server.stop()
        server.kill()
        assert bystander.poll() is None
        bystander.kill()
    server.wipe()


def test_kept_server_is_reused(state_dir: Path) -> None:
    """
    The second caller gets the running server, with the data of the first.
    """
    first = open_state_server(state_dir)
    with psycopg.connect(first.conninfo()) as conn:
        conn.execute("create table mine ()")
    second = open_state_server(state_dir)
    assert (second.pid, second.conninfo()) == (first.pid, first.conninfo())
    assert ask(second, "select to_regclass('mine') is not null") is True


def test_kept_server_outlives_its_starter(state_dir: Path) -> None:
    """
    A process that ends leaves the server running for the next.
    """
    code = (
        "import pathlib, sys; from iu_gates.embedded import open_state_server;"
        " print(open_state_server(pathlib.Path(sys.argv[1])).pid)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(state_dir)], check=True, capture_output=True, text=True
    ).stdout
    assert open_state_server(state_dir).pid == int(printed)


def test_fresh_begins_with_nothing(state_dir: Path) -> None:
    """
    `fresh` stops the server and wipes its data.
    """
    first = open_state_server(state_dir)
    pid = first.pid
    with psycopg.connect(first.conninfo()) as conn:
        conn.execute("create table mine ()")
    second = open_state_server(state_dir, fresh=True)
    assert second.pid != pid
    assert ask(second, "select to_regclass('mine') is null") is True


def test_two_callers_at_once_share_one_server(state_dir: Path) -> None:
    """
    Processes that open it at the same moment get one server, made once.
    """
    code = (
        "import pathlib, sys; from iu_gates.embedded import open_state_server;"
        " print(open_state_server(pathlib.Path(sys.argv[1])).pid)"
    )
    command = [sys.executable, "-c", code, str(state_dir)]

    def call(_: int) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    with ThreadPoolExecutor(4) as pool:
        pids = set(pool.map(call, range(4)))
    assert len(pids) == 1


def test_state_dir_that_cannot_be_made(tmp_path: Path) -> None:
    """
    A directory that cannot be made or written is said to be that, with exit code 5.
    """
    (tmp_path / "file").touch()
    with pytest.raises(UnreachableError, match="cannot be used") as caught:
        open_state_server(tmp_path / "file" / "state")
    assert str(tmp_path / "file") in (caught.value.found or "")


class LockedOut(Account):
    """An account that can reach nothing."""

    def can(self, test: str, path: Path) -> bool:  # noqa: ARG002 - overrides
        """Say no."""
        return False


def test_install_out_of_reach_is_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An account that cannot reach the binaries gets a copy that works; ours stay as they are.
    """
    monkeypatch.setattr(installs, "CACHE_DIR", tmp_path / "cache")
    major, original = require_install(None)
    before = original.stat().st_mode
    account = LockedOut(os.geteuid(), os.getegid(), is_other=False)

    copied = require_reachable(original, account)

    assert copied.is_relative_to(tmp_path / "cache")
    assert copied.stat().st_mode & 0o777 == 0o755
    assert original.stat().st_mode == before
    for name in ("postgres", "initdb", "pg_dump"):
        output = subprocess.run([copied / name, "--version"], check=True, capture_output=True)
        assert f" {major}.".encode() in output.stdout
    made = copied.stat().st_ctime_ns
    assert require_reachable(original, account) == copied
    assert copied.stat().st_ctime_ns == made


def test_default_state_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Root's lies under /var/lib, a user's where XDG says, and a relative XDG path is ignored.
    """
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_state_dir() == Path("/var/lib/iu-gates")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_dir() == tmp_path / "iu-gates"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_state_dir() == tmp_path / ".local" / "state" / "iu-gates"


def test_newest_is_chosen(tmp_path: Path) -> None:
    """
    Without a major, the newest at hand.
    """
    assert Server(tmp_path).major == next(iter(find_installs())) >= newest_major()
