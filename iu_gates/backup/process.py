"""
pg_dump and pg_restore as child processes.

Connection parameters travel in the environment, which other users cannot read, never on the
command line, which they can. They are taken from the live connection, not from the
connection string: what came from a service file, a passfile or one of several hosts is
settled there, and pg_dump reaches the very server that exported the snapshot.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

APPLICATION_NAME: Final = "iu-gates backup"
_LAST_LINES: Final = 10
_POLL_S: Final = 0.1
_GRACE_S: Final = 10.0
_WITHOUT_VARIABLE: Final = (
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_NOT_FOR_CHILD: Final = (b"PGSERVICE", b"PGCLIENTENCODING", b"PGHOSTADDR", b"PGTARGETSESSIONATTRS")
"""A service would win over our variables, an encoding transcode the dump, the rest is settled."""

# Runs the program given after our process id, and has the kernel end it with us: an orphaned
# pg_dump would hold its locks on every table until it is done. A shim, because `preexec_fn`
# can deadlock where there are threads. Elsewhere than on Linux it only runs the program.
_DIES_WITH_US: Final = """
import ctypes, os, sys
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is not None:
    prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM
    if os.getppid() != int(sys.argv[1]):
        sys.exit("our caller is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class ChildConnection:
    """
    How a child reaches the database of a live connection.

    Attributes:
        environment: The child's whole environment; holds the password, show it nowhere.
        arguments: What has no environment variable; never a secret.
        secrets: What must not appear in any text.
    """

    environment: dict[bytes, bytes]
    arguments: tuple[str, ...]
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        """Return a text without any of it, for tracebacks that show locals."""
        return "ChildConnection(…)"


def child_connection(conn: psycopg.Connection[Any]) -> ChildConnection:
    """Return how a child reaches the database of `conn`, as the same user."""
    pgconn, options = conn.pgconn, conn.pgconn.info
    environment = {k: v for k, v in _plain_environment().items() if k not in _NOT_FOR_CHILD}
    for option in options:
        skipped = option.envvar is None or option.envvar in _NOT_FOR_CHILD
        if not skipped and option.val is not None:
            environment[option.envvar or b""] = option.val
    settled = {
        b"PGHOST": pgconn.host,
        b"PGHOSTADDR": pgconn.hostaddr,
        b"PGPORT": pgconn.port,
        b"PGDATABASE": pgconn.db,
        b"PGUSER": pgconn.user,
        b"PGAPPNAME": APPLICATION_NAME.encode(),
    }
    environment |= {name: value for name, value in settled.items() if value}
    secret = [o.val for o in options if o.dispchar == b"*" and o.val]
    secret += [pgconn.password] if pgconn.password else []
    texts = tuple(value.decode(errors="replace") for value in secret)
    return ChildConnection(environment, _rest(options), texts)


def scrub(text: str, secrets: Sequence[str]) -> str:
    """Return `text` without the secrets, as they are and as a URL quotes them."""
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote(secret)):
            text = text.replace(form, "***")
    text = re.sub(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", r"\1***", text, flags=re.IGNORECASE)
    return re.sub(r"(://[^:/@\s]*:)[^@\s]*@", r"\1***@", text)


def run_dump(
    command: Sequence[str],
    connection: ChildConnection,
    out: int,
    tick: Callable[[], None],
) -> tuple[int, list[str]]:
    """
    Run pg_dump into the open file `out`, calling `tick` about ten times a second.

    Returns:
        Its exit code (negative: the signal that ended it) and the last lines of what it
        said, scrubbed. Whatever interrupts us ends the child first.
    """
    with tempfile.TemporaryFile() as errors:
        shim = [sys.executable, "-I", "-S", "-c", _DIES_WITH_US, str(os.getpid())]
        child = subprocess.Popen(
            [*shim, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env=connection.environment,
        )
        try:
            returncode = _wait(child, tick)
        finally:
            _end(child)
        return returncode, _last_lines(errors, connection.secrets)


def read_archive(pg_restore: Path, arguments: Sequence[str], out: IO[bytes]) -> list[str] | None:
    """Run pg_restore on an archive; return None, or what it said if it did not end well."""
    with tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                [pg_restore, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                env=_plain_environment(),
                check=False,
            )
        except OSError as error:
            return [f"{pg_restore}: {error.strerror}"]
        return None if done.returncode == 0 else _last_lines(errors, ())


def _wait(child: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    while True:
        try:
            return child.wait(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            tick()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child if it still runs: first so that it cancels its query, then for good."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_lines(errors: IO[bytes], secrets: Sequence[str]) -> list[str]:
    errors.seek(0)
    text = errors.read().decode(errors="replace")
    return scrub(text, secrets).splitlines()[-_LAST_LINES:]


def _plain_environment() -> dict[bytes, bytes]:
    """Return our environment, with messages in English: some are looked at."""
    return {**os.environb, b"LC_ALL": b"C"}


def _rest(options: Sequence[psycopg.pq.ConninfoOption]) -> tuple[str, ...]:
    given = {
        option.keyword.decode(): option.val.decode()
        for option in options
        if option.keyword.decode() in _WITHOUT_VARIABLE and option.val is not None
    }
    return (f"--dbname={make_conninfo('', **given)}",) if given else ()
