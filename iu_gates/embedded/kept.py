"""The server that outlives the process which started it, kept in a state directory."""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iu_gates.embedded.installs import require_install
from iu_gates.embedded.process import wait_until
from iu_gates.embedded.server import Server
from iu_gates.errors import SAME, LockHeldError, UnreachableError

LOCK_SECONDS = 120


def default_state_dir() -> Path:
    """Return where the kept server lies: ``/var/lib/iu-gates`` for root, else XDG's state home."""
    if os.geteuid() == 0:
        return Path("/var/lib/iu-gates")
    state_home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state_home) if state_home.startswith("/") else Path.home() / ".local" / "state"
    return base / "iu-gates"


def open_state_server(state_dir: Path, *, fresh: bool = False, major: int | None = None) -> Server:
    """
    Return the kept server of `state_dir`, running; started by us only if it did not run.

    It goes on running when we end; `Server.stop` ends it. Each major version has data of its
    own. Two processes at once get the same server: a file lock lets one after the other in.

    Args:
        state_dir: Made if missing.
        fresh: Stop the server and begin with empty data.
        major: The newest at hand if None.

    Raises:
        UnreachableError: No server at hand, or it does not start, or the directory is no use.
        LockHeldError: Another process has been starting it for two minutes.
    """
    chosen, _ = require_install(major)
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        with _locked(state_dir / "lock"):
            server = Server(state_dir / str(chosen), major=chosen)
            if fresh:
                server.wipe()
            server.start()
            return server
    except OSError as error:
        raise UnreachableError(
            "the state directory of the embedded server cannot be used",
            found=f"'{error.filename}': {error.strerror}",
            wanted=f"a directory '{state_dir}' that this account may write",
            next_command=f"ls -ld {shlex.quote(str(state_dir))}",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; it is not inherited by the server that is started meanwhile."""
    with path.open("a") as file:
        if not wait_until(lambda: _try_lock(file.fileno()), seconds=LOCK_SECONDS):
            raise LockHeldError(
                "another process is starting the embedded server",
                found=f"the lock '{path}' held for {LOCK_SECONDS} s",
                wanted="the lock",
                next_command=SAME,
            )
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
