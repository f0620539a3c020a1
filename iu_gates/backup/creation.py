"""
Take a backup: one snapshot for the facts and for the dump.

The order matters, and each line is there for the case that the next never happens:

1.  connect, begin (repeatable read, read only), export the snapshot. `snapshot_at` is the
    server's clock at BEGIN, so a little before the snapshot: whatever was committed by then
    is in the dump, and nothing is claimed that is not (T39);
2.  the caller's facts, read in that snapshot;
3.  pg_dump of that snapshot into a temporary file, which is fsynced;
4.  the temporary file is read back whole and hashed;
5.  the manifest, into a temporary file of its own, fsynced;
6.  the archive gets its name, then the manifest, then the directory is fsynced. The
    manifest's name is the commit: until it stands there is no backup, only a file that
    `list_backups` calls broken.

Our connection stays in its transaction until pg_dump has ended, because a snapshot can be
imported only as long as its owner is there.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from iu_gates import db
from iu_gates.backup import compression, defects, files, process
from iu_gates.backup.archive import SUFFIX, Backup, manifest_path, read_back
from iu_gates.backup.identity import Identity, read_identity
from iu_gates.backup.manifest import Kind, Manifest, SnapshotFacts
from iu_gates.backup.tools import Tools, find_tools, require_major
from iu_gates.errors import UnreachableError, UsageError

Progress = Callable[[int, int | None], None]
"""Called with the bytes written and an upper estimate of them."""

Facts = Callable[[psycopg.Connection[Any]], SnapshotFacts]
"""Reads what the manifest shall say, in the snapshot that is dumped."""

_CUT_CONNECTION: Final = ("08", "57P")
"""SQLSTATEs that say so; a connection that was never made has none."""

_LOCK_WAIT: Final = timedelta(minutes=1)

# A session left idle in its transaction for the length of a dump must not be ended for it.
_SNAPSHOT: Final = """
    select now(), pg_export_snapshot(),
           (select count(set_config(name, '0', true)) from pg_settings
             where name in ('idle_in_transaction_session_timeout', 'statement_timeout',
                            'transaction_timeout'))
"""
_DATABASE_BYTES: Final = "select pg_database_size(current_database())"
_SCHEMA_BYTES: Final = """
    select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'm') and n.nspname = any (%s)
"""
_OTHER_SCHEMAS: Final = """
    select distinct n.nspname::text
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'm', 'f', 'S') and n.nspname <> all (%s)
       and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
     order by 1
"""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """An exported snapshot; `began` is our own monotonic clock just before it was taken."""

    name: str
    taken_at: datetime
    began: float
    estimate_bytes: int
    identity: Identity
    facts: SnapshotFacts

    def now(self) -> datetime:
        """Return the server's time, which needs neither its connection nor our wall clock."""
        return self.taken_at + timedelta(seconds=time.monotonic() - self.began)


def create(
    conninfo: str,
    directory: Path,
    *,
    facts: Facts,
    tools: Tools | None = None,
    bin_dir: Path | None = None,
    compress: str | None = None,
    own_schemas: Sequence[str] = (),
    lock_wait: timedelta = _LOCK_WAIT,
    progress: Progress | None = None,
) -> Backup:
    """
    Return a new backup, read back whole and published under its name.

    Args:
        conninfo: How libpq takes it; a password in it reaches pg_dump by environment only.
        directory: Made with mode 0700 if it is not there.
        facts: Called with a connection inside the snapshot; it must neither commit nor
            leave the transaction failed.
        tools: Found for the server's version if None.
        bin_dir: Where to look for tools, and nowhere else.
        compress: As pg_dump 16 takes it in `--compress`; what measured best if None.
        own_schemas: If any are given, the rows of these alone are dumped, with the
            definitions of everything: an archive of the kind "own-objects".
        lock_wait: How long pg_dump waits for a table that somebody holds exclusively.
        progress: Called about ten times a second while pg_dump runs, and at its end.

    Raises:
        BackupError: IUG-021 to IUG-023, IUG-028 to IUG-031; nothing looks like a backup.
        UnreachableError: There is no connection, or it was lost.
    """
    with _as_ours(directory), closing(_connect(conninfo)) as conn:
        major = conn.info.server_version // 10_000
        tools = require_major(tools, major) if tools else find_tools(major, bin_dir)
        files.make_private_directory(directory)
        files.remove_leftovers(directory)
        compress = compress or compression.choose(tools)
        snapshot = _take_snapshot(conn, facts, own_schemas)
        files.require_room(directory, snapshot.estimate_bytes)
        command = [
            *_command(tools, snapshot, lock_wait),
            compression.argument(tools, compress),
            *_without_rows_of_others(conn, own_schemas),
        ]
        with files.open_partial(directory) as partial:
            _dump(conn, command, partial, progress, snapshot.estimate_bytes)
            conn.close()
            kind: Kind = "own-objects" if own_schemas else "full"
            return _finish(directory, partial, snapshot, tools, kind=kind, compress=compress)


@contextmanager
def _as_ours(directory: Path) -> Iterator[None]:
    """Turn what the system and libpq raise into our errors."""
    try:
        yield
    except OSError as error:
        raise defects.unusable_directory(directory, error) from error
    except psycopg.OperationalError as error:
        if error.sqlstate and not error.sqlstate.startswith(_CUT_CONNECTION):
            raise
        raise _unreachable(str(error)) from error


def _connect(conninfo: str) -> psycopg.Connection[Any]:
    try:
        conn = psycopg.connect(
            conninfo,
            autocommit=True,
            application_name=process.APPLICATION_NAME,
            client_encoding="utf8",  # of SQL_ASCII, which PGCLIENTENCODING may say, comes bytes
            prepare_threshold=None,
            row_factory=tuple_row,
        )
    except psycopg.ProgrammingError:
        # libpq quotes the string that it cannot parse, password and all
        summary = "the connection string cannot be read"
        raise UsageError(
            summary,
            wanted="a libpq connection string or URL",
            next_command="iu-gates backup create --database-url postgresql://user@host/database",
        ) from None
    db.set_styles(conn)
    conn.autocommit = False
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    conn.read_only = True
    return conn


def _take_snapshot(
    conn: psycopg.Connection[Any], facts: Facts, own_schemas: Sequence[str]
) -> _Snapshot:
    began = time.monotonic()
    row = conn.execute(_SNAPSHOT).fetchone()
    assert row is not None  # noqa: S101  a select without FROM has one row
    seen = facts(conn)
    if conn.info.transaction_status is not TransactionStatus.INTRANS:
        message = "the facts of a backup must be read inside the transaction they are given"
        raise RuntimeError(message)
    return _Snapshot(row[1], row[0], began, _estimate(conn, own_schemas), read_identity(conn), seen)


def _estimate(conn: psycopg.Connection[Any], own_schemas: Sequence[str]) -> int:
    """Return an upper estimate of the archive: the size of what its rows come from."""
    query, parameters = (
        (_SCHEMA_BYTES, [list(own_schemas)]) if own_schemas else (_DATABASE_BYTES, None)
    )
    row = conn.execute(query, parameters).fetchone()
    assert row is not None  # noqa: S101  both queries have one row
    return int(row[0])


def _without_rows_of_others(conn: psycopg.Connection[Any], own_schemas: Sequence[str]) -> list[str]:
    """Return the arguments that leave out all rows, values and large objects but ours."""
    if not own_schemas:
        return []
    rows = conn.execute(_OTHER_SCHEMAS, [list(own_schemas)]).fetchall()
    quoted = ['"' + name.replace('"', '""') + '"' for (name,) in rows]
    return ["--no-blobs", *(f"--exclude-table-data={name}.*" for name in quoted)]


def _command(tools: Tools, snapshot: _Snapshot, lock_wait: timedelta) -> list[str]:
    return [
        str(tools.pg_dump),
        "--format=custom",
        "--no-password",
        f"--snapshot={snapshot.name}",
        f"--lock-wait-timeout={max(1, round(lock_wait / timedelta(milliseconds=1)))}",
    ]


def _dump(
    conn: psycopg.Connection[Any],
    command: list[str],
    partial: files.Partial,
    progress: Progress | None,
    estimate_bytes: int,
) -> None:
    """Fill `partial`, or raise."""

    def tick() -> None:
        if progress is not None:
            progress(partial.size(), estimate_bytes)

    child = process.child_connection(conn)
    command = [*command, *child.arguments]
    returncode, said = process.run_dump(command, child, partial.fd, tick)
    if returncode != 0:
        conn.execute("select")  # if the server is gone, that is what to say
        raise defects.dump_failed(returncode, said)
    tick()
    partial.sync()


def _finish(
    directory: Path,
    partial: files.Partial,
    snapshot: _Snapshot,
    tools: Tools,
    *,
    kind: Kind,
    compress: str,
) -> Backup:
    """Read back what was dumped, describe it and give both files their names."""
    finished_at = snapshot.now()
    entries = read_back(partial.path, tools)
    manifest = Manifest(
        archive=_archive_name(snapshot),
        sha256=files.hash_file(partial.path),
        size_bytes=partial.size(),
        entries=entries,
        identity=snapshot.identity,
        snapshot_at=snapshot.taken_at,
        finished_at=finished_at,
        verified_at=snapshot.now(),
        facts=snapshot.facts,
        tools={"pg_dump": tools.version, "pg_restore": tools.restore_version},
        kind=kind,
        compression=compress,
    )
    path = directory / manifest.archive
    with files.open_partial(directory) as description:
        description.write(manifest.as_json())
        description.sync()
        _publish(partial.path, description.path, path)
    return Backup(path, manifest)


def _publish(archive: Path, description: Path, path: Path) -> None:
    """Rename both, the manifest last; take the archive away again if that fails."""
    archive.rename(path)
    try:
        description.rename(manifest_path(path))
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    files.sync_directory(path.parent)


def _archive_name(snapshot: _Snapshot) -> str:
    """Return a name that sorts by time within a database and is safe in any shell."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", snapshot.identity.database_name)
    name = name.strip("._-")[:60] or "database"
    return f"{name}-{snapshot.taken_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}{SUFFIX}"


def _unreachable(reason: str) -> UnreachableError:
    return UnreachableError(
        "the database cannot be reached, or the connection was lost",
        found=process.scrub(reason.strip(), ()),
        means="no backup was made; nothing else was changed",
        next_command="iu-gates doctor",
    )
