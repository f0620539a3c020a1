"""A PostgreSQL server of our own, on a unix socket."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

from iu_gates.embedded import process
from iu_gates.embedded.cluster import (
    init_data,
    place_data,
    remove_data,
    require_socket_dir,
)
from iu_gates.embedded.installs import require_install, require_reachable
from iu_gates.errors import UnreachableError

START_SECONDS = 60
STOP_SECONDS = 60
SOCKET_PORT = 5432  # the number in the socket's name; nothing listens on it

# In the background of a shell, so that the server is nobody's child here: it may outlive us,
# and if it dies it does not stay behind as a zombie of ours. The log is opened by us.
_IN_BACKGROUND = '"$@" >&2 </dev/null & echo $!'


class Server:
    """
    One PostgreSQL server: its data, its socket, its log, in one directory.

    Nothing is started by making the value; `start` makes the data if there are none and is a
    no-op if the server runs, whoever started it. Leaving the context stops the server.

    The directory may have any name and length: the socket lies in a short directory of its own
    (a socket's path is limited to 107 bytes), which is recorded beside the data. One process at
    a time may start or stop it; `open_state_server` sees to that for the kept one.

    Args:
        directory: Holds ``data``, ``server.log`` and ``socket_dir``; made if missing.
        major: The major version; the newest at hand if None.
        settings: Server settings (GUCs) by name, such as ``{"fsync": "off"}``.
        port: A TCP port on 127.0.0.1 as well. Whoever reaches it is trusted: tests only.

    Raises:
        UnreachableError: There is no such server, or no account to run it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        major: int | None = None,
        settings: Mapping[str, str | int] | None = None,
        port: int | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.major, installed = require_install(major)
        self.data, self._account = place_data(self.directory)
        self.bin_dir = require_reachable(installed, self._account)
        self.settings = dict(settings or {})
        self.port = port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        """The server's log, over all its starts."""
        return self.directory / "server.log"

    @property
    def socket_dir(self) -> Path:
        """The directory of the unix socket; it stays the same over restarts."""
        return Path((self.directory / "socket_dir").read_text())

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None if the server does not run."""
        return process.find_postmaster(self.data)

    def is_running(self) -> bool:
        """Tell whether the server of this directory runs, whoever started it."""
        return self.pid is not None

    def conninfo(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """Return a libpq URI, percent-encoded: for psycopg, psql and pg_dump alike."""
        query = urlencode(
            {"host": str(self.socket_dir), "port": self.port or SOCKET_PORT},
            quote_via=quote,
            safe="",
        )
        return f"postgresql://{quote(user, safe='')}@/{quote(dbname, safe='')}?{query}"

    def start(self) -> None:
        """
        Return with the server accepting connections.

        Raises:
            UnreachableError: It did not come up; `found` holds the end of its log.
        """
        if not (self.data / "PG_VERSION").exists():
            init_data(self.bin_dir, self.data, self._account)
        pid = self.pid
        if pid is None:
            require_socket_dir(self.directory, self._account)
            process.disown_zombie(self.data, self.socket_dir)
            pid = self._launch()
        process.wait_until(
            lambda: self._is_ready() or not process.is_alive(pid), seconds=START_SECONDS
        )
        if not self._is_ready():
            raise self._start_error()

    def stop(self) -> None:
        """
        Return with the server stopped: its sessions ended, everything written.

        Raises:
            UnreachableError: It still runs after a minute and two signals.
        """
        for number in (signal.SIGINT, signal.SIGQUIT):  # fast, then immediate
            if self._ends_on(number):
                return
        raise UnreachableError(
            "the embedded server does not stop",
            found=f"process {self.pid} of '{self.data}'",
            next_command=f"tail {shlex.quote(str(self.log_path))}",
        )

    def kill(self) -> None:
        """End the server and its sessions by SIGKILL, as a crash would; the data stay."""
        pid = self.pid
        if pid is not None:
            process.kill_family(pid)

    def restart(self) -> None:
        """Stop, and start again under the same conninfo."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Stop the server and remove its data, log and socket; `start` makes new ones."""
        self.stop()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.socket_dir, ignore_errors=True)
        remove_data(self.directory)
        for name in ("server.log", "socket_dir"):
            (self.directory / name).unlink(missing_ok=True)
        self.data, self._account = place_data(self.directory)

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log; empty if there is none."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _launch(self) -> int:
        """Start the postmaster in a session of its own, and return its pid at once."""
        options = {
            "listen_addresses": "127.0.0.1" if self.port else "",
            "port": self.port or SOCKET_PORT,
            "unix_socket_directories": self.socket_dir,
            **self.settings,
        }
        command = [str(self.bin_dir / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with self.log_path.open("ab") as log:
            done = self._account.run(
                ["/bin/sh", "-c", _IN_BACKGROUND, "sh", *command],
                stderr=log,
                start_new_session=True,
            )
        return int(done.stdout)

    def _is_ready(self) -> bool:
        return process.is_ready(self.data) and self.is_running()

    def _ends_on(self, number: signal.Signals) -> bool:
        pid = self.pid
        if pid is None:
            return True
        process.send(pid, number)
        return process.wait_until(lambda: not process.is_alive(pid), seconds=STOP_SECONDS)

    def _start_error(self) -> UnreachableError:
        return UnreachableError(
            f"the embedded PostgreSQL {self.major} server did not start",
            found=self.log_tail() or "an empty log",
            wanted=f"a server on '{self.data}' that accepts connections",
            next_command=f"tail {shlex.quote(str(self.log_path))}",
        )
