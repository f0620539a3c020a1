"""
A backup that the trunk begins with, so that revisions are tried on real rows (``--rows-from``).

Whatever pg_dump writes is taken: -Fc, -Fd, -Ft and plain SQL. It need not be a backup of ours, so
what it is, how it is compressed and which pg_restore reads it is told from its first bytes.

Subscriptions, the credentials of foreign servers and pg_cron are left out: they would act beyond
the copy. A superuser restores owners and privileges; any other login owns what it restores.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from iu_gates.backup import Tools, find_tools, process, restoring
from iu_gates.backup.compression import algorithm_of
from iu_gates.errors import BackupError, IuGatesError, UsageError
from iu_gates.symmetry.project import Home, Revision

MAKE_ONE: Final = 'pg_dump --format=custom --file=BACKUP.dump "$DATABASE_URL"'
LEFT_OUT: Final = re.compile(
    r"(?:COMMENT - |SECURITY LABEL - )?(?:SUBSCRIPTION|USER MAPPING)\b"
    r"|(?:COMMENT - )?EXTENSION (?:- )?pg_cron\b|(?:TABLE DATA|SEQUENCE SET) cron "
)
MAGIC: Final = b"PGDMP"
TOC: Final = "toc.dat"
TAR_HEAD_BYTES: Final = 512
NAMES_ALGORITHM: Final = (1, 15)
"""From this format on the head names the compression; before it is a level of gzip."""
ALGORITHMS: Final = ("none", "gzip", "lz4", "zstd")
READ_SINCE: Final = {(1, 15): 16, (1, 16): 17}
"""The first major whose pg_restore reads a format; those before are read by all."""
PLAIN: Final = b"PostgreSQL database dump"
COPY: Final = re.compile(rb"COPY .* FROM stdin;\s*")
HARMLESS: Final = (b"\\restrict ", b"\\unrestrict ")
REMEDIES: Final = (
    (re.compile(r'role "(?P<name>[^"]+)" does not exist'), 'create role "{name}" nologin'),
    (
        re.compile(r'extension "(?P<name>[^"]+)" is not available'),
        "select * from pg_available_extensions where name = '{name}'",
    ),
)


@dataclass(frozen=True, slots=True)
class Restored:
    """
    A backup, with the tools that read it.

    Attributes:
        path: A file, or a folder of -Fd.
        is_plain: True if it is SQL.
        sha256: Of all its bytes.
        size_bytes: Of all its files.
        tools: Which read it, and belong to the server or a later one.
    """

    path: Path
    is_plain: bool
    sha256: str
    size_bytes: int
    tools: Tools

    def restore(self, conninfo: str) -> None:
        """Restore it into an empty database; raises `UsageError`."""
        with psycopg.connect(conninfo, autocommit=True) as conn:
            try:
                said = self._read_sql(conn) if self.is_plain else self._read_archive(conn)
            except BackupError as error:
                raise _unusable(self.path, f"{error.summary}: {error.found}") from error
        if said is not None:
            raise _unusable(self.path, next((s for s in said if "rror:" in s), " ".join(said)))

    def _read_archive(self, conn: psycopg.Connection[Any]) -> list[str] | None:
        row = conn.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
        owners = () if row and row[0] else ("--no-owner", "--no-privileges")
        leave_out = LEFT_OUT.match
        with restoring.choosing(self.tools, self.path, lambda e: leave_out(e) is not None) as (
            use_list,
            _,
        ):
            options = (f"--use-list={use_list}", "--no-tablespaces", *owners)
            return restoring.run_restore(self.tools, conn, self.path, options, self.size_bytes)

    def _read_sql(self, conn: psycopg.Connection[Any]) -> list[str] | None:
        child = process.child_connection(conn)
        command = (
            *(str(self.tools.pg_restore.with_name("psql")), "--no-psqlrc", "--quiet"),
            *("--no-password", "--set=ON_ERROR_STOP=1", f"--file={self.path}"),
            *(f"--dbname={conn.info.dbname}", *child.arguments),
        )
        with Path(os.devnull).open("wb") as nowhere:
            returncode, said = process.run_dump(command, child, nowhere.fileno(), lambda: None)
        return None if returncode == 0 else said


def find_backup(path: Path, server_version: int, bin_dir: Path | None) -> Restored:
    """
    Return a backup that can be restored into a server of this version.

    Raises:
        UsageError: It is no backup, or nothing at hand reads it.
    """
    head = _read_head(path)
    is_plain = not head.startswith(MAGIC)
    if is_plain and PLAIN not in head:
        raise _unusable(path, "it does not begin as what pg_dump writes")
    major, compression = (0, "none") if is_plain else _read_format(head)
    try:
        tools = find_tools(
            max(server_version // 10_000, major), bin_dir, reads=algorithm_of(compression)
        )
    except BackupError as error:
        raise _unusable(path, f"{error.summary}: {error.found}", error.next_command) from error
    if is_plain:
        _require_plain(path, tools)
    files = sorted(_list_files(path))
    size_bytes = sum(file.stat().st_size for file in files)
    return Restored(path.absolute(), is_plain, _hash_files(files), size_bytes, tools)


def require_known(
    restored: Restored, recorded: Iterable[str], home: Home, revisions: Sequence[Revision]
) -> None:
    """Raise `UsageError` unless the backup is at revisions of this project."""
    table = ".".join(filter(None, (home.schema, home.table)))
    names, known = sorted(recorded), {r.name for r in revisions}
    if not names:
        raise _unusable(restored.path, f'it has no revision in its version table "{table}"')
    strange = [name for name in names if name not in known]
    if strange:
        found = f"it is at {', '.join(strange)}, which is no revision of this project"
        raise _unusable(restored.path, found, "alembic history")


def _read_head(path: Path) -> bytes:
    """Return the first bytes of a backup; of tar and of a folder, of its table of contents."""
    try:
        with (path / TOC if path.is_dir() else path).open("rb") as file:
            head = file.read(2 * TAR_HEAD_BYTES)
    except OSError as error:
        raise _unusable(path, f"{error.strerror}: {error.filename}") from error
    return head[TAR_HEAD_BYTES:] if head.startswith(TOC.encode() + b"\0") else head


def _read_format(head: bytes) -> tuple[int, str]:
    """Return which major's pg_restore an archive needs, and how it is compressed."""
    version, integer_bytes, rest = (head[5], head[6]), head[8], head[11:]
    if version < NAMES_ALGORITHM:
        return 0, "gzip" if any(rest[1 : 1 + integer_bytes]) else "none"
    algorithm = ALGORITHMS[rest[0]] if rest[0] < len(ALGORITHMS) else "none"
    return READ_SINCE.get(version, max(READ_SINCE.values())), algorithm


def _require_plain(path: Path, tools: Tools) -> None:
    """Refuse SQL that would leave its database, and a machine without psql."""
    if not tools.pg_restore.with_name("psql").is_file():
        raise _unusable(path, f"it is SQL, and there is no psql in {tools.pg_restore.parent}")
    with path.open("rb") as file:
        is_data = False
        for line in file:
            if is_data:
                is_data = line.rstrip() != b"\\."
            elif line.startswith(b"\\") and not line.startswith(HARMLESS):
                found = line.decode(errors="replace").strip()
                raise _unusable(path, f'it has a command of psql: "{found}"')
            else:
                is_data = COPY.fullmatch(line) is not None


def _list_files(path: Path) -> Iterator[Path]:
    return (p for p in path.iterdir() if p.is_file()) if path.is_dir() else iter((path,))


def _hash_files(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _unusable(path: Path, found: str, next_command: str | None = None) -> IuGatesError:
    for sign, remedy in REMEDIES:
        if match := sign.search(found):
            next_command = remedy.format(**match.groupdict())
    return UsageError(
        f'revisions cannot be tried on the rows of "{path.name}"',
        ident="IUG-105",
        found=found,
        wanted="a whole dump of this project's database, at one of its revisions",
        means="nothing was tried",
        next_command=next_command or MAKE_ONE,
        more="docs/symmetry.md",
    )
