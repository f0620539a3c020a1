"""
Write the history into a file, in one snapshot and in constant memory.

1.  a transaction, REPEATABLE READ and read-only: all lines, the ledger's head and what the
    database computes over its rows are of the same snapshot;
2.  COPY, table by table, through zstd into a temporary file, which is fsynced;
3.  the temporary file is read back whole, and each table must have as many lines, with the
    same sum over them, as the database says of its rows;
4.  file and manifest get their names, the manifest last, and the directory is fsynced;
5.  the ledger gets an entry, without which nothing can be purged on the strength of it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import zstandard
from psycopg import sql

from iu_gates import db, lanes, ledger, refusals
from iu_gates.backup import read_identity
from iu_gates.backup.files import sync_directory
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import LockHeldError, RefusedError, UsageError
from iu_gates.export import manifest as manifests
from iu_gates.export import reading
from iu_gates.export.manifest import SUFFIX, Manifest
from iu_gates.export.reading import Export

LEVEL: Final = 3
_SESSION: Final = """
    select set_config(s.name, v.value, true)
    from (values ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'),
                 ('client_encoding', 'UTF8'), ('jit', 'off'),
                 ('statement_timeout', '0'), ('transaction_timeout', '0'),
                 ('idle_in_transaction_session_timeout', '0')) as v (name, value)
    join pg_settings as s on lower(s.name) = v.name
"""
# JSON text holds no control character, so with these CSV quotes nothing: a line is a line.
_COPY: Final = r"copy ({}) to stdout (format csv, delimiter e'\x02', quote e'\x01')"


def write(
    settings: Settings,
    target: Path,
    notify: Callable[[str], None] = lambda _: None,
    *,
    upto: int | None = None,
) -> Export:
    """
    Export the history, read it back, and record it in the ledger.

    Args:
        settings: Of an operator: it acts as the owner to write the entry.
        target: A new file, or a directory in which one gets a name of its own.
        notify: Called with progress.
        upto: What is about the events up to this one, and nothing else; None is all there is.

    Raises:
        RefusedError: IUG-082, there is such a file already, it cannot be written, or what was
            read back is not what the database holds; nothing that looks good is left.
        LockHeldError: Another export writes the same file.
    """
    with (
        refusals.recorded(settings, "history export", file=str(target)),
        db.connect(settings, "history export", as_owner=True) as conn,
    ):
        db.require_installed(conn)
        db.require_writable(conn)
        with conn.transaction():
            conn.execute("set transaction isolation level repeatable read, read only")
            conn.execute(_SESSION)
            made = _write(conn, _name(conn, target, upto), upto, notify)
            seen_before = _fetch_seen_before(conn)
        ledger.append(conn, "export", "history", _facts(made) | {"seen_before": seen_before})
    return made


def _name(conn: Conn, target: Path, upto: int | None) -> Path:
    if not target.is_dir():
        return target
    name, now = conn.execute("select current_database(), now()").fetchone() or ("", None)
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-")[:60] or "database"
    bound = "" if upto is None else f"-to-{upto}"
    return target / f"{safe}-history-{now:%Y%m%dT%H%M%SZ}{bound}{SUFFIX}"


def _write(conn: Conn, path: Path, upto: int | None, notify: Callable[[str], None]) -> Export:
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True)
        with _temporary(path) as file, _temporary(manifests.manifest_path(path)) as description:
            _require_new(path)
            columns = _copy(conn, file, upto, notify)
            notify("reads it back whole")
            manifest = _describe(conn, path, file, upto, columns)
            description.write_text(manifest.as_json(), "utf-8")
            for part in (file, description):
                _sync(part)
            file.rename(path)
            description.rename(manifests.manifest_path(path))
            sync_directory(path.parent)
    except OSError as error:
        raise RefusedError(
            f'"{path}" cannot be written: {error.strerror or error}',
            ident="IUG-082",
            means="there is no export; nothing else was changed",
            next_command=f"df -h {shlex.quote(str(path.parent))}",
            more="docs/history.md",
        ) from error
    return Export(path, manifest)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """
    Give the name under which `path` is written; on leaving it is gone, renamed or not.

    Locked while it is written, so what a killed process left is taken over and nothing else is.
    """
    partial = path.with_name(f".{path.name}.partial")
    fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(fd, partial, path)
        os.fchmod(fd, 0o600)  # whatever the umask took away
        os.ftruncate(fd, 0)
        try:
            yield partial
        finally:
            if _is_at(fd, partial):
                partial.unlink()
    finally:
        os.close(fd)


def _lock(fd: int, partial: Path, path: Path) -> None:
    with suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, partial):
            return
    # It is being written, or got its name between our look and our lock.
    raise LockHeldError(
        f'another export writes "{path}"',
        means="nothing was done; it ends, or another file is named",
        next_command=f"iu-gates history export {shlex.quote(str(path.parent))}/",
    )


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _require_new(path: Path) -> None:
    for there in (path, manifests.manifest_path(path)):
        if there.exists():
            raise RefusedError(
                f'"{there}" is there already',
                ident="IUG-082",
                wanted="a name that is free: an export is never written over",
                next_command=f"iu-gates history export {shlex.quote(str(path.parent))}/",
                more="docs/history.md",
            )


def _copy(
    conn: Conn, file: Path, upto: int | None, notify: Callable[[str], None]
) -> dict[str, dict[str, str]]:
    """Fill the file with the lines of every table; return each one's columns."""
    tables = conn.execute(
        "select table_name, line_query, columns from iu_gates.fn_history_tables(%s)", (upto,)
    ).fetchall()
    if "iu_event" not in (name for name, *_ in tables):
        raise UsageError(
            "there is no history to export: revision 008 is not applied",
            next_command="iu-gates status",
        )
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    with file.open("r+b") as raw, compressor.stream_writer(raw, closefd=False) as out:
        for name, query, _ in tables:
            notify(f"writes {name}")
            with conn.cursor().copy(_copy_of(query)) as rows:
                for block in rows:
                    out.write(block)
    return {name: columns for name, _, columns in tables}


def _copy_of(query: str) -> sql.Composed:
    # From our own function in the database, which quotes its names.
    return sql.SQL(_COPY).format(sql.SQL(query))


def _describe(
    conn: Conn, path: Path, file: Path, upto: int | None, columns: dict[str, dict[str, str]]
) -> Manifest:
    """Read the file back and hold it against the database, in the snapshot it was written in."""
    seen = reading.read(file)
    manifest = Manifest(
        file=path.name,
        sha256=seen.sha256,
        size_bytes=seen.size_bytes,
        snapshot_at=_fetch_snapshot_at(conn),
        database=_identify(conn),
        revisions=lanes.list_applied(conn),
        ledger=dict(zip(("seq", "hash"), ledger.read_head(conn), strict=True)),
        tables={
            name: seen.tallies.get(name, reading.Tally()).state(types)
            for name, types in columns.items()
        },
        upto=upto,
    )
    wanted = db.fetch_value(conn, "select iu_gates.fn_history_state(false, %s)", upto)
    if manifest.states() != wanted:
        raise reading.not_whole(path, str(manifest.states()), f"as the database has it: {wanted}")
    return manifest


def _fetch_snapshot_at(conn: Conn) -> datetime:
    at: datetime = db.fetch_value(conn, "select now()")
    return at


def _fetch_seen_before(conn: Conn) -> str:
    """Return the oldest transaction that the snapshot may not have seen, as JSON takes it."""
    query = "select pg_snapshot_xmin(pg_current_snapshot())::text"
    return str(db.fetch_value(conn, query))


def _identify(conn: Conn) -> dict[str, Any]:
    here = read_identity(conn)
    return {
        "system_identifier": str(here.system_identifier),
        "oid": here.database_oid,
        "name": here.database_name,
        "server_version_num": here.server_version_num,
    }


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _facts(made: Export) -> dict[str, Any]:
    manifest = made.manifest
    return {
        "digest": manifest.digest,
        "file": str(made.path.absolute()),
        "sha256": manifest.sha256,
        "size_bytes": manifest.size_bytes,
        "snapshot_at": manifest.snapshot_at.isoformat(),
        "ledger": dict(manifest.ledger),
        "database": dict(manifest.database),
        "upto": manifest.upto,
        "tables": manifest.states(),
    }
