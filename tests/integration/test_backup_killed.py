"""
Backups that are cut short, and what must never be seen from outside.

Each test holds a table exclusively, so that the real pg_dump waits in the middle of its work,
and acts from `progress`, which `create` calls meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from iu_gates.backup import Backup, SnapshotFacts, create, list_backups
from iu_gates.embedded import Server
from iu_gates.embedded.process import list_children
from iu_gates.errors import BackupError, IuGatesError, UnreachableError
from tests.support.databases import Database

PHRASE = "Geheim/ 100%'wort"
WAITING = """
    select pid from pg_stat_activity
     where application_name = 'iu-gates backup' and datname = current_database()
       and wait_event_type = 'Lock'
"""


def no_facts(_: psycopg.Connection[Any]) -> SnapshotFacts:
    """Collect nothing."""
    return SnapshotFacts()


def find_dump(pid: int) -> int | None:
    """Return the pid of the pg_dump that `pid` runs."""
    for child in list_children(pid):
        if Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/pg_dump"):
            return child
    return None


@pytest.fixture
def holder(conn: psycopg.Connection, other_conn: psycopg.Connection) -> psycopg.Connection:
    """Give a session that holds a table exclusively, so that pg_dump waits."""
    conn.execute("create table held as select 1 as n")
    other_conn.execute("begin")
    other_conn.execute("lock table held in access exclusive mode")
    return other_conn


@pytest.fixture
def once_waiting(conn: psycopg.Connection) -> Callable[..., Callable[[int, int | None], None]]:
    """Give a maker of `progress` callbacks that act once, when pg_dump's session waits."""

    def make(act: Callable[[int], object]) -> Callable[[int, int | None], None]:
        done: list[int] = []

        def progress(_size: int, _estimate: int | None) -> None:
            waiting = conn.execute(WAITING).fetchone()
            if waiting is not None and not done:
                done.append(waiting[0])
                act(waiting[0])

        return progress

    return make


@pytest.fixture
def cut(
    database: Database, tmp_path: Path, holder: psycopg.Connection
) -> Callable[..., IuGatesError]:
    """Give a maker of backups that must fail and leave nothing, and return the error."""

    def make(**changed: Any) -> IuGatesError:
        arguments: dict[str, Any] = {"facts": no_facts, "bin_dir": database.bin_dir}
        conninfo = make_conninfo(database.conninfo, password=PHRASE)
        with pytest.raises(IuGatesError) as caught:
            create(conninfo, tmp_path, **arguments | changed)
        assert list(tmp_path.iterdir()) == []
        assert PHRASE not in json.dumps(caught.value.as_dict())
        return caught.value

    return make


def test_killed_pg_dump_leaves_nothing(
    cut: Callable[..., IuGatesError], once_waiting: Callable[..., Any]
) -> None:
    """
    SIGKILL to pg_dump: IUG-021 names the signal, exit code 3, the directory is empty.
    """

    def kill(_: int) -> None:
        pid = find_dump(os.getpid())
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    error = cut(progress=once_waiting(kill))

    assert isinstance(error, BackupError)
    assert error.ident == "IUG-021"
    assert "signal 9" in error.summary


def test_connection_lost_by_pg_dump_leaves_nothing(
    cut: Callable[..., IuGatesError],
    once_waiting: Callable[..., Any],
    conn: psycopg.Connection,
) -> None:
    """
    pg_dump's session is terminated: exit code 5, with what pg_dump said, and nothing is left.
    """
    error = cut(
        progress=once_waiting(lambda pid: conn.execute("select pg_terminate_backend(%s)", [pid]))
    )

    assert isinstance(error, UnreachableError)
    assert "terminating connection" in str(error.found)


def test_interrupted_backup_ends_pg_dump(
    database: Database,
    tmp_path: Path,
    holder: psycopg.Connection,
    once_waiting: Callable[..., Any],
) -> None:
    """
    Ctrl-C goes through, after pg_dump has been ended and its file removed.
    """
    pids: list[int | None] = []

    def interrupt(_: int) -> None:
        pids.append(find_dump(os.getpid()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(
            database.conninfo,
            tmp_path,
            facts=no_facts,
            bin_dir=database.bin_dir,
            progress=once_waiting(interrupt),
        )

    assert pids != [None]
    assert find_dump(os.getpid()) is None
    assert list(tmp_path.iterdir()) == []


def test_table_that_stays_locked_bounds_the_wait(cut: Callable[..., IuGatesError]) -> None:
    """
    pg_dump does not queue for ever behind an exclusive lock: IUG-021 with its own words.
    """
    error = cut(lock_wait=timedelta(milliseconds=50))

    assert error.ident == "IUG-021"
    assert "held" in str(error.found)


def test_idle_timeout_does_not_end_the_snapshot(
    database: Database,
    conn: psycopg.Connection,
    holder: psycopg.Connection,
    tmp_path: Path,
) -> None:
    """
    A dump longer than idle_in_transaction_session_timeout still ends well.

    The session that holds its snapshot is there to the end.
    """
    conn.execute(
        sql.SQL("alter database {} set idle_in_transaction_session_timeout = '50ms'").format(
            sql.Identifier(database.name)
        )
    )
    sessions: list[Any] = []

    def wait(_size: int, _estimate: int | None) -> None:
        sessions.append(
            conn.execute(
                "select count(*) from pg_stat_activity where application_name = 'iu-gates backup'"
                " and datname = current_database()"
            ).fetchone()
        )
        if len(sessions) == 5:  # half a second, ten times the timeout
            holder.execute("rollback")

    backup = create(
        database.conninfo, tmp_path, facts=no_facts, bin_dir=database.bin_dir, progress=wait
    )

    assert sessions[4] == (2,)
    assert backup.require_manifest().entries >= 1


def test_password_is_seen_nowhere(
    database: Database,
    tmp_path: Path,
    holder: psycopg.Connection,
    once_waiting: Callable[..., Any],
) -> None:
    """
    It reaches pg_dump by environment; no command line of ours and no manifest has it.
    """
    command_lines: list[bytes] = []
    environments: list[bytes] = []

    def look(_: int) -> None:
        children = list_children(os.getpid())
        command_lines.extend(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children)
        dump = find_dump(os.getpid())
        environments.append(Path(f"/proc/{dump}/environ").read_bytes())
        holder.execute("rollback")

    backup = create(
        make_conninfo(database.conninfo, password=PHRASE),
        tmp_path,
        facts=no_facts,
        bin_dir=database.bin_dir,
        progress=once_waiting(look),
    )

    assert any(b"pg_dump" in line for line in command_lines)
    assert not any(b"Geheim" in line for line in command_lines)
    assert f"PGPASSWORD={PHRASE}\0".encode() in environments[0]
    assert "Geheim" not in Path(f"{backup.path}.json").read_text()


@pytest.fixture
def small_disk(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the real tools, with files limited to 8 KiB as a full disk limits them."""
    bin_dir = tmp_path_factory.mktemp("bin")
    limited = bin_dir / "pg_dump"
    # only for the dump: `trap` makes the write fail instead of killing the process
    limited.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] || {{ trap "" XFSZ; ulimit -f 16; }}\n'
        f"exec '{database.bin_dir}/pg_dump' \"$@\"\n"
    )
    limited.chmod(0o755)
    (bin_dir / "pg_restore").symlink_to(database.bin_dir / "pg_restore")
    return bin_dir


def test_full_disk_leaves_nothing(
    small_disk: Path, cut: Callable[..., IuGatesError], conn: psycopg.Connection, holder: Any
) -> None:
    """
    pg_dump cannot write on: IUG-030 with its own words, and the half archive is removed.
    """
    holder.execute("rollback")
    conn.execute("create table large as select md5(n::text) from generate_series(1, 5000) n")

    error = cut(bin_dir=small_disk)

    assert (error.ident, error.exit_code) == ("IUG-030", 3)
    assert "could not write" in str(error.found)


def test_server_that_is_killed_leaves_nothing(own_server: Server, tmp_path: Path) -> None:
    """
    SIGKILL to the server in the middle of a dump: exit code 5, nothing is left.
    """
    conninfo = own_server.conninfo()
    with (
        closing(psycopg.connect(conninfo, autocommit=True)) as conn,
        closing(psycopg.connect(conninfo, autocommit=True)) as watch,
    ):
        conn.execute("create table held as select 1 as n")
        conn.execute("begin")
        conn.execute("lock table held in access exclusive mode")

        def kill(_size: int, _estimate: int | None) -> None:
            # In a transaction of its own each time: within one, pg_stat_activity stands still.
            if watch.execute(WAITING).fetchone() is not None:
                own_server.kill()

        with pytest.raises(UnreachableError) as caught:
            create(conninfo, tmp_path, facts=no_facts, bin_dir=own_server.bin_dir, progress=kill)

    assert caught.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def killed(
    database: Database, holder: psycopg.Connection, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that takes a backup, and waits for the lock in the middle."""
    program = """
import sys
from pathlib import Path
from iu_gates.backup import SnapshotFacts, create
create(sys.argv[1], Path(sys.argv[2]), facts=lambda _: SnapshotFacts(), bin_dir=Path(sys.argv[3]))
"""
    arguments = [database.conninfo, str(tmp_path), str(database.bin_dir)]
    with subprocess.Popen([sys.executable, "-c", program, *arguments]) as process:
        yield process
        process.kill()


def test_kill_9_of_ourselves_leaves_nothing_that_looks_good(
    killed: subprocess.Popen[bytes],
    database: Database,
    conn: psycopg.Connection,
    holder: psycopg.Connection,
    tmp_path: Path,
) -> None:
    """
    P8: pg_dump goes with us, its locks with it; what lies there is no backup.

    The next `create` removes it.
    """
    while conn.execute(WAITING).fetchone() is None:
        assert killed.poll() is None
    dump = find_dump(killed.pid)
    assert dump is not None
    end_of_dump = os.pidfd_open(dump)

    killed.kill()
    killed.wait()

    ended, _, _ = select.select([end_of_dump], [], [], 20)
    os.close(end_of_dump)
    left = [path.name for path in tmp_path.iterdir()]
    assert ended == [end_of_dump]
    assert len(left) == 1
    assert left[0].startswith(".partial-")
    assert list_backups(tmp_path) == []

    holder.execute("rollback")
    backup = create(database.conninfo, tmp_path, facts=no_facts, bin_dir=database.bin_dir)

    assert sorted(tmp_path.iterdir()) == [backup.path, Path(f"{backup.path}.json")]


def test_two_at_once_do_not_disturb_each_other(
    killed: subprocess.Popen[bytes],
    database: Database,
    conn: psycopg.Connection,
    holder: psycopg.Connection,
    tmp_path: Path,
) -> None:
    """
    A second backup leaves the temporary file of the first alone, and both are made.
    """
    while conn.execute(WAITING).fetchone() is None:
        assert killed.poll() is None

    with pytest.raises(BackupError):  # it cleans up first, then meets the lock
        create(
            database.conninfo,
            tmp_path,
            facts=no_facts,
            bin_dir=database.bin_dir,
            lock_wait=timedelta(milliseconds=50),
        )
    holder.execute("rollback")

    assert killed.wait() == 0
    listed: list[Backup] = list_backups(tmp_path)
    assert [entry.defect for entry in listed] == [None]
