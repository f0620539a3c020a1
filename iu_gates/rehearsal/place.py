"""
Where a scratch database may be: rights, version, room; all looked at before it is made.

The server of the database itself, unless `rehearsal_url` names another. The room on a server's
disk cannot be asked by SQL: it is compared where the data directory can be seen from here, and
else the report says that nobody looked.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psycopg import sql
from psycopg.conninfo import make_conninfo

from iu_gates import backup as archives
from iu_gates import db
from iu_gates.config import EMBEDDED, Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError
from iu_gates.model import Finding

PAGE: Final = "docs/gates/rehearsal.md"
ELSEWHERE: Final = (
    "export IU_GATES_REHEARSAL_URL=postgresql://user@another-server/postgres && iu-gates rehearse"
)
"""Mends what this server lacks."""

NEEDS_MORE: Final = 1.1
"""The scratch database grows by what is walked and by its WAL."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    A server on which a scratch database may be made.

    Attributes:
        url: Of a database there; never shown, it may hold a password.
        name: What the report calls it.
        is_same_server: Then owners and privileges are restored as they are.
        is_superuser: Of the login there.
        major: Of the server.
        login: The login there.
        data_directory: If the login may know it, and the server is on this machine.
    """

    url: str
    name: str
    is_same_server: bool
    is_superuser: bool
    major: int
    login: str
    data_directory: str | None

    def url_of(self, database: str) -> str:
        """Return how to connect to another database of this server."""
        return make_conninfo(self.url, dbname=database)


def choose(conn: Conn, settings: Settings) -> Place:
    """
    Return where the rehearsal is held.

    Raises:
        GateError: IUG-085, it cannot be held there; nothing was made.
        UnreachableError: No server answers at `rehearsal_url`.
    """
    url, name = _resolve(settings)
    there = db.open_connection(url, "rehearse")
    try:
        server = db.fetch_one(there, db.load("rehearsal_server"))
        is_local = there.info.host.startswith("/")
        here, other = archives.read_identity(conn), archives.read_identity(there)
    finally:
        there.close()
    same = here.system_identifier == other.system_identifier
    if settings.rehearsal_url and same and here.database_oid == other.database_oid:
        raise cannot(
            "rehearsal_url names the database that is to be rehearsed",
            found=f'database "{here.database_name}" itself',
            wanted="a maintenance database, such as postgres, or another server",
            next_command="unset IU_GATES_REHEARSAL_URL && iu-gates rehearse",
        )
    require_able(server, conn.info.server_version // 10_000)
    return Place(
        url,
        name,
        same,
        server["is_superuser"],
        server["major"],
        server["login"],
        server["data_directory"] if is_local else None,
    )


def judge_room(place: Place, source_bytes: int) -> Finding:
    """Return what is known of the room on the server's disk; raises IUG-085 if it is too small."""
    need = int(source_bytes * NEEDS_MORE)
    wanted = f"about {need / 2**20:.0f} MiB"
    free = _free(place)
    if free is None:
        found = f"not known from here; {wanted} are needed"
        return Finding("room", passed=True, found=found, wanted=wanted)
    if free < need:
        raise cannot(
            "there is no room for a restored copy",
            found=f'{free / 2**20:.0f} MiB free in "{place.data_directory}"',
            wanted=wanted,
            next_command=ELSEWHERE,
        )
    return Finding("room", passed=True, found=f"{free / 2**20:.0f} MiB free", wanted=wanted)


def cannot(summary: str, **fields: Any) -> GateError:
    """Return IUG-085: the surroundings do not let a rehearsal be held."""
    return GateError(
        f"a rehearsal cannot be held: {summary}",
        ident="IUG-085",
        means="nothing was restored; production was only read",
        more=PAGE,
        **fields,
    )


def _resolve(settings: Settings) -> tuple[str, str]:
    if settings.rehearsal_url is None:
        return db.resolve_url(settings), "its own server"
    if settings.rehearsal_url == EMBEDDED:
        # As in db.resolve_url: only who names it pays for it.
        from iu_gates.embedded import default_state_dir, open_state_server  # noqa: PLC0415

        return open_state_server(default_state_dir()).conninfo("postgres"), "the embedded server"
    url = settings.rehearsal_url.replace("postgresql+psycopg://", "postgresql://", 1)
    return url, "the server of rehearsal_url"


def require_able(server: Mapping[str, Any], major: int) -> None:
    """Raise IUG-085 unless a database of that major can be restored there by this login."""
    login = server["login"]
    if server["in_recovery"]:
        raise cannot(
            "the server of rehearsal_url is a standby",
            found="in recovery",
            wanted="a primary",
            next_command=ELSEWHERE,
        )
    if server["major"] < major:
        raise cannot(
            "the server of rehearsal_url is older than the database",
            found=f"PostgreSQL {server['major']}",
            wanted=f"PostgreSQL {major} or newer",
            next_command=ELSEWHERE,
        )
    if not server["may_create"]:
        raise cannot(
            f'"{login}" may not make databases',
            found="no CREATEDB",
            wanted="CREATEDB, or another server by rehearsal_url, or a waiver by name",
            next_command=f"alter role {sql.Identifier(login).as_string()} createdb",
        )


def _free(place: Place) -> int | None:
    """Return the room on the server's disk; None if it is another machine's, or hidden from us."""
    if place.data_directory is None:
        return None
    try:
        return shutil.disk_usage(Path(place.data_directory)).free
    except OSError:
        return None
