"""
Which installation this is, and the lock that lets one of us walk at a time.

A copy of the database brings the installation's row along; the site key stays where it was.
So a restored dump, a clone or a database of another site is told from the original, and
nothing is walked on it by mistake.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from iu_gates import config, db, network
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import SAME, GateError, LockHeldError, RefusedError

REMEDY: Final = "iu-gates rebase"
LOCK_PATIENCE_SECONDS: Final = 2.0
WALK: Final = 18773005
PRUNE: Final = 18773008
"""Advisory keys; docs/keys.md."""


class Mismatch(NamedTuple):
    """Why a database is not the one that was installed from here, and what to type."""

    reason: str
    next_command: str


def find_mismatch(conn: Conn, settings: Settings) -> Mismatch | None:
    """
    Return why this database is not the one that was installed from here, or None.

    A copy is told to be re-based. Where only the key differs it is the key that has to be mended:
    this is the original, and a re-base of it would void every verdict for nothing.
    """
    row = db.fetch_one(conn, db.load("installation"))
    if not row:
        return None
    if row["iu_schema"] != settings.schema:
        installed, said = row["iu_schema"], settings.schema
        return Mismatch(
            f'it was installed with schema "{installed}", the settings say "{said}"',
            f"export IU_GATES_SCHEMA={shlex.quote(installed)} && {SAME}",
        )
    if not row["same_database"]:
        return Mismatch(
            "it is a copy: cluster or database are not those that were installed", REMEDY
        )
    key = config.read_site_key(settings)
    if row["site_key_sha256"] and (
        key is None or config.hash_site_key(key) != row["site_key_sha256"]
    ):
        state = "another" if key else "missing"
        return Mismatch(
            f"it belongs to another site: the site key here is {state}", name_place(conn, settings)
        )
    return None


def name_place(conn: Conn, settings: Settings) -> str:
    """
    Return the command with which the key of this database comes to this machine.

    The key is pasted: it is never in a command line. A key that is here already belongs to
    another site and is never written over: a place of its own, named for the database, comes first.
    """
    if config.read_site_key(settings) is None:
        return f"install -D -m 600 /dev/stdin {shlex.quote(str(settings.site_key_file))}"
    if config.is_key_given():
        return f"unset IU_GATES_SITE_KEY && {SAME}"
    own = f"{settings.site_key_file}.{conn.info.dbname.replace('/', '_')}"
    return f"export IU_GATES_SITE_KEY_FILE={shlex.quote(own)} && {SAME}"


def has_key(conn: Conn) -> bool:
    """Tell whether the installation's row holds the hash of a site key."""
    return bool(db.fetch_one(conn, db.load("installation")).get("site_key_sha256"))


def require_home(conn: Conn, settings: Settings) -> None:
    """Raise `RefusedError` if this database is a copy or belongs to another site."""
    if db.is_installed(conn) and (found := find_mismatch(conn, settings)):
        raise RefusedError(
            f"this database is not walked from here: {found.reason}",
            ident="IUG-041",
            means="a copy or another site's database never moves by itself",
            next_command=found.next_command,
            more="docs/runbooks/rebase.md",
        )


def require_key(settings: Settings) -> str:
    """Return the site key, without which nothing is delivered, or raise `GateError`."""
    key = config.read_site_key(settings)
    if key is None:
        raise GateError(
            "there is no site key here",
            ident="IUG-036",
            found=f'no IU_GATES_SITE_KEY and no file "{settings.site_key_file}"',
            means="what delivers without the key of its installation could be a clone's; the first"
            " advance makes it, and it is copied to the hosts of other workers",
            next_command="iu-gates advance",
        )
    return key


@contextmanager
def walk_lock(settings: Settings, command: str) -> Iterator[None]:
    """
    Hold the lock that one `advance` or `rollback` at a time may have, on a connection of its own.

    Raises:
        LockHeldError: Someone else has it; the holder is named. Or it could not be held: a
            pooler hands this session to others.
    """
    with _session_lock(settings, command, WALK, "another advance or rollback is at work"):
        yield


@contextmanager
def prune_lock(settings: Settings, command: str) -> Iterator[None]:
    """As `walk_lock`, the lock that one `history prune` at a time may have; a walk goes on."""
    with _session_lock(settings, command, PRUNE, "another history prune is at work"):
        yield


@contextmanager
def _session_lock(settings: Settings, command: str, key: int, held: str) -> Iterator[None]:
    with db.connect(settings, f"{command} (lock)") as conn:
        _require_own_session(conn, settings)
        # A client whose machine is gone says nothing: the server asks, and frees the lock.
        network.keep_alive(conn, settings.network_wait)
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while not db.fetch_value(conn, "select pg_try_advisory_lock(%s, 0)", key):
            if time.monotonic() > deadline:
                raise LockHeldError(
                    held,
                    ident="IUG-060",
                    found=_name_holder(conn, key),
                    means="nothing was done; wait for it, or end that session",
                    next_command=SAME,
                )
            time.sleep(0.1)
        yield


def _require_own_session(conn: Conn, settings: Settings) -> None:
    """Raise if a pooler in transaction mode is in between; one in session mode will do."""
    query = "select pg_backend_pid()"
    pid = db.fetch_value(conn, query)
    if pid == conn.info.backend_pid:
        return
    with db.connect(settings, "pooler?") as other, other.transaction():
        # While the other one is in a transaction, a session that is ours stays ours.
        if pid != db.fetch_value(other, query) and pid == db.fetch_value(conn, query):
            return
    raise LockHeldError(
        "the lock of the walk cannot be held through this pooler",
        ident="IUG-064",
        found=f"session {pid} is handed to other clients between two transactions",
        wanted="a session of its own: the server itself, or a pool in session mode",
        means="two walks could be at work at once; nothing was done",
        next_command="iu-gates status --database-url postgresql://user@server/database",
    )


def _name_holder(conn: Conn, key: int) -> str:
    row = db.fetch_one(conn, db.load("lock_holder"), {"key": key})
    return str(row.get("holder", "gone by now"))
