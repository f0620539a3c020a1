"""
Is that process ours, and the end of it.

A process is touched only after it was recognised: the pid comes from the data directory's own
``postmaster.pid``, and the process with that pid must be a ``postgres`` that was started with
this very data directory. A recycled pid fails that.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
POLL_SECONDS = 0.02
NO_SUCH_PID = 2**31 - 1


def find_postmaster(data: Path) -> int | None:
    """Return the pid of the running server of `data`, or None."""
    lines = read_pid_file(data)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
    return pid if pid is not None and is_alive(pid) and _serves(pid, data) else None


def is_ready(data: Path) -> bool:
    """Tell whether the server of `data` says of itself that it accepts connections."""
    lines = read_pid_file(data)
    return len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - its eighth line


def read_pid_file(data: Path) -> list[str]:
    """Return the lines of ``postmaster.pid``; empty if there is none."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def is_alive(pid: int) -> bool:
    """Tell whether `pid` runs; a zombie that nobody has waited for does not."""
    try:
        status = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return _fields_after_name(status)[0] not in {"Z", "X"}


def list_children(pid: int) -> list[int]:
    """Return the pids of the living processes whose parent is `pid`."""
    children = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = _fields_after_name((entry / "stat").read_text())
                if int(fields[1]) == pid and fields[0] not in {"Z", "X"}:
                    children.append(int(entry.name))
    return children


def kill_family(pid: int) -> None:
    """
    SIGKILL the postmaster `pid` and its children, and return when none is left.

    The postmaster is stopped first, so that it neither starts another child nor notices that
    one has died: to the data directory this looks like a power cut.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    family = [*list_children(pid), pid]
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(member) for member in family), seconds=30)


def disown_zombie(data: Path, socket_dir: Path) -> None:
    """
    Let a new server start where the old one is a zombie that nobody waits for.

    A container's first process often reaps nothing, and to PostgreSQL a zombie's pid is alive:
    it would refuse its own leftovers for ever. The pid is replaced by one that cannot exist;
    the rest of the file stays, because PostgreSQL reads the shared memory's id from it and
    still refuses while any session of the old server lives.
    """
    lines = read_pid_file(data)
    if not lines or not lines[0].strip().isdigit() or is_alive(int(lines[0])):
        return
    (data / "postmaster.pid").write_text("\n".join([str(NO_SUCH_PID), *lines[1:]]) + "\n")
    for lock in socket_dir.glob(".s.PGSQL.*.lock"):
        lock.unlink(missing_ok=True)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Poll `condition` until it holds; False if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _serves(pid: int, data: Path) -> bool:
    """Tell whether the command line of `pid` is a postgres on `data` (readable without rights)."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    is_server = Path(os.fsdecode(words[0])).name in {"postgres", "postmaster"}
    return is_server and any(_is_same(os.fsdecode(word), data) for word in words[1:] if word)


def _is_same(word: str, data: Path) -> bool:
    with suppress(OSError):
        return word.startswith("/") and Path(word).samefile(data)
    return False


def _fields_after_name(stat: str) -> list[str]:
    """Split ``/proc/N/stat`` behind the name, which may itself hold blanks and brackets."""
    return stat.rpartition(")")[2].split()
