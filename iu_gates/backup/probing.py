"""
What a pg_dump and a pg_restore were built with, which neither says without being made to.

pg_dump is called with a contradiction, which it refuses, but only after it has looked at the
compression; pg_restore is shown an archive that holds nothing.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PLAIN_LEVELS_UNTIL: Final = 15
"""Up to this major pg_dump takes a level of gzip, and nothing by name."""

_ALGORITHMS: Final = {"none": 0, "gzip": 1, "lz4": 2, "zstd": 3}
_CONTRADICTION: Final = ("--format=custom", "--jobs=2")
_ANSWERS_WITHIN_S: Final = 20


def can_write(pg_dump: Path, algorithm: str) -> bool:
    """Tell whether pg_dump writes archives of this algorithm."""
    said = _call([str(pg_dump), *_CONTRADICTION, f"--compress={algorithm}"])
    return b"compress" not in said.stderr


def can_read(pg_restore: Path, major: int, algorithm: str) -> bool:
    """Tell whether pg_restore, of this major, reads archives of this algorithm."""
    if algorithm == "none":
        return True
    if major <= PLAIN_LEVELS_UNTIL:
        return algorithm == "gzip"
    said = _call([str(pg_restore), "--list"], _empty_archive(algorithm))
    return said.returncode == 0 and not said.stderr


def _empty_archive(algorithm: str) -> bytes:
    """Return a custom-format archive as pg_dump 16 writes it: a head, a date, no entries."""
    version, sizes, custom = b"\1\x0f\0", b"\4\x08", b"\1"
    head = b"PGDMP" + version + sizes + custom + bytes([_ALGORITHMS[algorithm]])
    return head + bytes(5 * (7 + 3 + 1))  # the date's seven, three texts, the count: all zero


def _call(command: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        input=given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
        timeout=_ANSWERS_WITHIN_S,
    )
