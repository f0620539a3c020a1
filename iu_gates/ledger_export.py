"""
The ledger as a file that can be checked without us and without PostgreSQL.

One line an entry: its hash, and the text that was hashed, which is a JSON array of its own. So
nothing in a line is there twice, and what is read is what is under the hash. The form, and a
program that checks it, are in ``docs/ledger.md``.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg.rows import TupleRow

from iu_gates import db
from iu_gates.backup import files
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import RefusedError, UsageError
from iu_gates.model import LedgerExport

FETCHED_AT_ONCE: Final = 1000
Write = Callable[[bytes], object]


@dataclass(slots=True)
class _Chain:
    """What was written so far, each entry held against the one before."""

    entries: int = 0
    head: str = "0" * 64
    broken: int | None = None

    def add(self, row: TupleRow) -> bytes:
        """Return the line of an entry."""
        found, text, seq, previous = row
        wanted = hashlib.sha256(text.encode()).hexdigest()
        self.entries += 1
        if (found, previous, seq) != (wanted, self.head, self.entries) and self.broken is None:
            self.broken = seq
        self.head = found
        return f'{{"hash": "{found}", "entry": {text}}}\n'.encode()


def write(settings: Settings, path: Path) -> LedgerExport:
    """
    Write the ledger into a new file, mode 0600, that is whole or not there.

    Raises:
        RefusedError: There is such a file.
        UsageError: It cannot be written.
    """
    path = path.absolute()
    with _translated(path):
        if os.path.lexists(path):
            raise FileExistsError
        with files.open_partial(path.parent) as partial:
            with os.fdopen(partial.fd, "wb", closefd=False) as file:
                made = stream(settings, file.write, path)
            partial.sync()
            os.link(partial.path, path)  # unlike a rename, never over another file
        files.sync_directory(path.parent)
    return made


def stream(settings: Settings, write: Write, path: Path | None = None) -> LedgerExport:
    """Hand the ledger to `write` line by line, of one snapshot and in constant memory."""
    with db.connect(settings, "ledger") as conn:
        db.require_installed(conn)
        chain = _Chain()
        for row in _read(conn):
            write(chain.add(row))
    head = chain.head if chain.entries else ""
    return LedgerExport(str(path) if path else None, chain.entries, head, chain.broken)


def _read(conn: Conn) -> Iterator[TupleRow]:
    with conn.transaction(), conn.cursor(name="ledger_export") as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        yield from cursor.execute(db.load("ledger_export"))


def _another(path: Path) -> str:
    """Return a name beside `path` that is free."""
    names = (f"{path.stem}-{number}{path.suffix}" for number in itertools.count(2))
    return str(next(p for n in names if not (p := path.with_name(n)).exists()))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise RefusedError(
            f'there is a file "{path}" already',
            means="no export is written over another; nothing was done",
            next_command=f"iu-gates ledger export {shlex.quote(_another(path))}",
        ) from error
    except OSError as error:
        raise UsageError(
            f'"{path}" cannot be written: {(error.strerror or str(error)).lower()}',
            means="there is no file of this name",
            next_command=f"ls -ld {shlex.quote(str(path.parent))}",
        ) from error
