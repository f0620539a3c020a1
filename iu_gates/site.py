"""
Which installation this is, and the lock that lets one of us walk at a time.

A copy of the database brings the installation's row along; the site key stays where it was.
So a restored dump, a clone or a database of another site is told from the original, and
nothing is walked on it by mistake.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from iu_gates import config, db
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import SAME, LockHeldError, RefusedError

REMEDY: Final = "iu-gates rebase"
LOCK_PATIENCE_SECONDS: Final = 2.0
WALK: Final = 18773005
PRUNE: Final = 18773008
"""Advisory keys; docs/keys.md."""
KEEPALIVE: Final = """
select set_config(o.name, o.value, false)
from (values ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'),
             ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '25s')) as o (name, value)
"""
"""A client whose machine is gone says nothing: the server asks, and frees the lock within 25 s."""


def find_mismatch(conn: Conn, settings: Settings) -> str | None:
    """Return why this database is not the one that was installed from here, or None."""
    row = db.fetch_one(conn, db.load("installation"))
    if not row:
        return None
    if row["iu_schema"] != settings.schema:
        installed, said = row["iu_schema"], settings.schema
        return f'it was installed with schema "{installed}", the settings say "{said}"'
    if not row["same_database"]:
        return "it is a copy: cluster or database are not those that were installed"
    key = config.read_site_key(settings)
    if row["site_key_sha256"] and (
        key is None or config.hash_site_key(key) != row["site_key_sha256"]
    ):
        return "it belongs to another site: the site key here is " + (
            "another" if key else "missing"
        )
    return None


def has_key(conn: Conn) -> bool:
    """Tell whether the installation's row holds the hash of a site key."""
    return bool(db.fetch_one(conn, db.load("installation")).get("site_key_sha256"))


def require_home(conn: Conn, settings: Settings) -> None:
    """Raise `RefusedError` if this database is a copy or belongs to another site."""
    if db.is_installed(conn) and (reason := find_mismatch(conn, settings)):
        raise RefusedError(
            f"this database is not walked from here: {reason}",
            ident="IUG-041",
            means="a copy or another site's database never moves by itself",
            next_command=REMEDY,
            more="docs/runbooks/rebase.md",
        )


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
        conn.execute(KEEPALIVE)
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
