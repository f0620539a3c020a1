"""
Every way in which a backup is none, each with its own id and message.

    IUG-021  pg_dump failed, or was ended          IUG-026  shorter or longer than recorded
    IUG-022  no pg_dump at hand                    IUG-027  altered: another sha256
    IUG-023  pg_dump older than the server         IUG-028  pg_restore cannot read it
    IUG-024  no archive                            IUG-029  it holds nothing
    IUG-025  no manifest, or one we cannot read    IUG-030  no room on the disk
    IUG-032  no pg_restore reads its compression   IUG-031  the directory cannot be used
"""

from __future__ import annotations

import errno
import shlex
from typing import TYPE_CHECKING, Final

from iu_gates.errors import SAME, BackupError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MISSING: Final = "IUG-024"
_AGAIN: Final = "iu-gates backup create"
_NOT_WHOLE: Final = "a failed step could not be undone from it"
_CUT_CONNECTION: Final = (
    "connection to server",
    "could not connect",
    "could not receive data",
    "no connection to the server",
    "server closed the connection",
    "ssl syscall error",
    "terminating connection",
)
_FULL_DISK: Final = ("no space left on device", "disk quota exceeded", "file too large")


def no_tools(server_major: int, looked: Sequence[str], next_command: str) -> BackupError:
    """Return IUG-022: no pair of pg_dump and pg_restore that runs was found."""
    return BackupError(
        "no pg_dump at hand",
        ident="IUG-022",
        found=f"none in {', '.join(looked)}" if looked else "no place to look",
        wanted=f"pg_dump and pg_restore {server_major} or later, in one directory",
        means="without a backup no DDL step runs",
        next_command=next_command,
        facts={"server_major": server_major, "looked": list(looked)},
    )


def old_tools(server_major: int, found: str, directory: Path, next_command: str) -> BackupError:
    """Return IUG-023: pg_dump refuses to dump a server later than itself."""
    return BackupError(
        f"pg_dump {found} is older than the server, which is {server_major}",
        ident="IUG-023",
        found=f"pg_dump {found} in {directory}",
        wanted=f"pg_dump {server_major} or later",
        means="pg_dump refuses to dump a server later than itself, so no DDL step runs",
        next_command=next_command,
        facts={"server_major": server_major, "pg_dump": found},
    )


def no_reader(algorithm: str, looked: Sequence[str]) -> BackupError:
    """Return IUG-032: the archive is compressed in a way that no pg_restore at hand knows."""
    return BackupError(
        f"no pg_restore at hand reads {algorithm}",
        ident="IUG-032",
        found=f"built without it: {', '.join(looked)}",
        wanted=f"a pg_restore that was built with {algorithm}",
        means="the archive may be sound, but nothing could be restored from it here",
        next_command=f"export IU_GATES_BIN_DIR=/path/of/tools/with/{algorithm} && {SAME}",
        facts={"compression": algorithm, "looked": list(looked)},
    )


def dump_failed(returncode: int, last_lines: Sequence[str]) -> BackupError | UnreachableError:
    """Return what pg_dump's end means; `last_lines` are scrubbed of passwords already."""
    text = "\n".join(last_lines)
    facts = {"returncode": returncode, "stderr": list(last_lines)}
    how = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    if any(sign in text.lower() for sign in _CUT_CONNECTION):
        return UnreachableError(
            "pg_dump lost the connection to the database",
            found=text,
            means="no backup was made; nothing else was changed",
            next_command=_AGAIN,
            facts=facts,
        )
    full = any(sign in text.lower() for sign in _FULL_DISK)
    return BackupError(
        "no room left while pg_dump wrote" if full else f"pg_dump ended with {how}",
        ident="IUG-030" if full else "IUG-021",
        found=text or "no message",
        wanted="pg_dump to end with exit code 0",
        means="no backup was made; what it had written is removed",
        next_command=_AGAIN,
        facts=facts,
    )


def missing_archive(path: Path) -> BackupError:
    """Return IUG-024: there is no archive where one is recorded."""
    return BackupError(
        f'archive "{path.name}" is not there',
        ident=MISSING,
        found=f"no file {path}",
        wanted="the archive that its manifest describes",
        means="there is nothing to go back to",
        next_command=_AGAIN,
    )


def broken_manifest(path: Path, reason: str) -> BackupError:
    """Return IUG-025: an archive without a manifest that describes it proves nothing."""
    return BackupError(
        f'manifest "{path.name}" {reason}',
        ident="IUG-025",
        found=f"{path} {reason}",
        wanted="the manifest that was written with the archive",
        means="nothing says of which database and which moment the archive is",
        next_command=_AGAIN,
    )


def other_size(path: Path, found: int, wanted: int) -> BackupError:
    """Return IUG-026: the archive is truncated, or something was added to it."""
    how = "truncated" if found < wanted else "longer than it was written"
    return BackupError(
        f'archive "{path.name}" is {how}',
        ident="IUG-026",
        found=f"{found} bytes",
        wanted=f"{wanted} bytes, as in its manifest",
        means=_NOT_WHOLE,
        next_command=_AGAIN,
        facts={"size_bytes": found, "recorded_size_bytes": wanted},
    )


def other_sha256(path: Path, found: str, wanted: str) -> BackupError:
    """Return IUG-027: the archive has the right size and other bytes."""
    return BackupError(
        f'archive "{path.name}" was altered',
        ident="IUG-027",
        found=f"sha256 {found}",
        wanted=f"sha256 {wanted}, as in its manifest",
        means=_NOT_WHOLE,
        next_command=_AGAIN,
        facts={"sha256": found, "recorded_sha256": wanted},
    )


def unreadable(path: Path, last_lines: Sequence[str]) -> BackupError:
    """Return IUG-028: pg_restore does not get to the end of the archive."""
    return BackupError(
        f'archive "{path.name}" cannot be read by pg_restore',
        ident="IUG-028",
        found="\n".join(last_lines) or "no message",
        wanted="pg_restore to read every block",
        means=_NOT_WHOLE,
        next_command=_AGAIN,
        facts={"stderr": list(last_lines)},
    )


def empty(path: Path, size_bytes: int) -> BackupError:
    """Return IUG-029: no bytes, or no object inside."""
    return BackupError(
        f'archive "{path.name}" is empty',
        ident="IUG-029",
        found=f"{size_bytes} bytes, no object inside",
        wanted="an archive of at least one object",
        means="there is nothing to go back to; is this the database that was meant?",
        next_command=_AGAIN,
        facts={"size_bytes": size_bytes},
    )


def no_room(directory: Path, free_bytes: int, database_bytes: int) -> BackupError:
    """Return IUG-030, before anything is written."""
    return BackupError(
        f'no room for a backup in "{directory}"',
        ident="IUG-030",
        found=f"{free_bytes} bytes free",
        wanted=f"at least {database_bytes // 10} bytes, 10 % of the database's size",
        means="the dump would fill the disk and then fail",
        next_command=f"df -h {shlex.quote(str(directory))}",
        facts={"free_bytes": free_bytes, "database_bytes": database_bytes},
    )


def unusable_directory(directory: Path, cause: OSError) -> BackupError:
    """Return IUG-030 if the disk is full, else IUG-031."""
    full = cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = cause.strerror or type(cause).__name__
    return BackupError(
        f'backups cannot be written to or read from "{directory}"',
        ident="IUG-030" if full else "IUG-031",
        found=f"{reason.lower()}: {cause.filename or directory}",
        wanted="a directory of our own, with room",
        means="no backup was made",
        next_command=f"ls -ld {(place := shlex.quote(str(directory)))}; df -h {place}",
    )


def shared_directory(directory: Path, mode: int) -> BackupError:
    """Return IUG-031: in a directory where others may write, an archive can be swapped."""
    return BackupError(
        f'others may write in "{directory}"',
        ident="IUG-031",
        found=f"mode {mode:04o}",
        wanted="mode 0700",
        means="somebody else could put another archive in the place of ours",
        next_command=f"chmod 700 {shlex.quote(str(directory))}",
    )
