"""Temporary files, their locks and modes, on a real file system."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iu_gates.backup import files
from iu_gates.errors import BackupError


def mode(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Set a umask for the test, whose own folder was made before."""
    assert tmp_path.is_dir()
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def test_modes_do_not_depend_on_the_umask(umask: int, tmp_path: Path) -> None:
    """
    The directory is 0700 and a file in it 0600, whether the umask takes away nothing or all.
    """
    directory = tmp_path / "backups"
    files.make_private_directory(directory)

    with files.open_partial(directory) as partial:
        assert (mode(directory), mode(partial.path)) == (0o700, 0o600)


@pytest.mark.parametrize("wide", [0o770, 0o702, 0o1777])
def test_directory_where_others_may_write_is_refused(wide: int, tmp_path: Path) -> None:
    """
    An archive could be swapped there; the error has the command that mends it.
    """
    tmp_path.chmod(wide)

    with pytest.raises(BackupError) as caught:
        files.make_private_directory(tmp_path)

    assert caught.value.ident == "IUG-031"
    assert caught.value.next_command == f"chmod 700 {tmp_path}"


def test_directory_that_others_may_read_keeps_its_mode(tmp_path: Path) -> None:
    """
    A directory that was there before is its owner's affair as long as only the owner writes.
    """
    tmp_path.chmod(0o755)

    files.make_private_directory(tmp_path)

    assert mode(tmp_path) == 0o755


def test_partial_file_is_gone_afterwards_unless_renamed(tmp_path: Path) -> None:
    """
    Leaving by an exception removes the file; one that got its name stays.
    """
    with pytest.raises(KeyboardInterrupt), files.open_partial(tmp_path) as partial:
        raise KeyboardInterrupt
    with files.open_partial(tmp_path) as partial:
        partial.path.rename(tmp_path / "named")

    assert [path.name for path in tmp_path.iterdir()] == ["named"]


def test_leftover_goes_only_when_nobody_writes_it(tmp_path: Path) -> None:
    """
    A file that a process still holds stays, also if the one that made it is dead; then it goes.
    """
    made = """
import os, subprocess, sys
from pathlib import Path
from iu_gates.backup import files
with files.open_partial(Path(sys.argv[1])) as partial:
    heir = subprocess.Popen(["cat"], stdin=0, stdout=partial.fd)
    print(heir.pid, flush=True)
    os._exit(9)  # as a kill -9 would
"""
    with subprocess.Popen(
        [sys.executable, "-c", made, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as maker:
        assert maker.stdin is not None
        assert maker.stdout is not None
        heir = int(maker.stdout.readline())
        maker.wait()

        files.remove_leftovers(tmp_path)
        held = list(tmp_path.iterdir())
        end = os.pidfd_open(heir)
        maker.stdin.close()
        wait_for(end)

    files.remove_leftovers(tmp_path)

    assert len(held) == 1
    assert list(tmp_path.iterdir()) == []


def test_file_that_was_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Between making and locking, another process may take a file for a leftover.
    """
    lock = fcntl.flock
    swept: list[Path] = []

    def sweep_and_lock(fd: int, operation: int) -> None:
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_and_lock)

    with files.open_partial(tmp_path) as partial:
        assert list(tmp_path.iterdir()) == [partial.path]
        assert partial.path not in swept


def wait_for(pidfd: int) -> None:
    """Return when the process of another parent has ended."""
    select.select([pidfd], [], [], 20)
    os.close(pidfd)


def test_room_is_refused_below_a_tenth_of_the_database(tmp_path: Path) -> None:
    """
    IUG-030 names both sizes in its fields; a database ten times the free space still passes.
    """
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize

    files.require_room(tmp_path, free)  # nine tenths to spare for others on this disk
    with pytest.raises(BackupError) as caught:
        files.require_room(tmp_path, free * 1000)

    assert caught.value.ident == "IUG-030"
    assert caught.value.facts["database_bytes"] == free * 1000
