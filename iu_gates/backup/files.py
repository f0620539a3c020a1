"""
Files that nobody else can read, that are whole or not there, and leave no litter.

A file is written under the name ``.partial-…`` and held by `flock` for as long as anybody
has it open: our process, or a pg_dump that has outlived it. So "nobody holds the lock" means
"nobody writes this any more", across process ids that are used again and other machines on
the same directory, and then the next backup removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iu_gates.backup import defects

_PREFIX: Final = ".partial-"
_LEAST_FREE: Final = 10
"""Refuse if less than one part in so many of the database's size is free."""


@dataclass(frozen=True, slots=True)
class Partial:
    """A file being written: open, locked, mode 0600."""

    path: Path
    fd: int

    def size(self) -> int:
        """Return how many bytes have been written so far."""
        return os.fstat(self.fd).st_size

    def write(self, text: str) -> None:
        """Write `text` as the content."""
        with os.fdopen(self.fd, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)

    def sync(self) -> None:
        """Return when the content is on the disk."""
        os.fsync(self.fd)


def make_private_directory(directory: Path) -> None:
    """
    Make sure of a directory in which only we can write.

    A new one gets mode 0700. An old one keeps its mode, which is its owner's affair, but if
    others may write there, IUG-031 is raised.
    """
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)  # whatever the umask took away
    mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise defects.shared_directory(directory, mode)


@contextmanager
def open_partial(directory: Path) -> Iterator[Partial]:
    """Give a new temporary file; on leaving, it is gone unless it was renamed."""
    partial = _create(directory)
    try:
        yield partial
    finally:
        partial.path.unlink(missing_ok=True)
        os.close(partial.fd)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that no process writes any more, as far as we may."""
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # held, gone meanwhile, or another user's
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(fd)


def sync_directory(directory: Path) -> None:
    """Return when the names in `directory` are on the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_room(directory: Path, database_bytes: int) -> None:
    """Raise IUG-030 if even a well compressed dump would hardly fit."""
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes * _LEAST_FREE < database_bytes:
        raise defects.no_room(directory, free_bytes, database_bytes)


def _create(directory: Path) -> Partial:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        path = directory / f"{_PREFIX}{secrets.token_hex(8)}"
        fd = os.open(path, flags, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.fchmod(fd, 0o600)  # whatever the umask took away
        if os.fstat(fd).st_nlink:
            return Partial(path, fd)
        os.close(fd)  # another process's `remove_leftovers` came before our lock
