"""Read an export back whole: every block decompressed, every line parsed, counted and hashed."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from iu_gates.errors import RefusedError
from iu_gates.export import manifest as manifests
from iu_gates.export.manifest import Manifest, TableState


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was read back whole."""

    path: Path
    manifest: Manifest

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest's fields and where it is."""
        return {"path": str(self.path), **self.manifest.as_dict()}


@dataclass(slots=True)
class Tally:
    """What is counted over the lines of one table."""

    rows: int = 0
    content: int = 0
    hash: Any = field(default_factory=hashlib.sha256)

    def add(self, line: bytes) -> None:
        """Count one line, given without its line break."""
        self.rows += 1
        self.content += int(hashlib.sha256(line).hexdigest()[:15], 16)
        self.hash.update(line)
        self.hash.update(b"\n")

    def state(self, columns: dict[str, str]) -> TableState:
        """Return what was counted."""
        return TableState(self.rows, str(self.content), self.hash.hexdigest(), columns)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as it was read: its bytes, and its lines by table."""

    sha256: str
    size_bytes: int
    tallies: dict[str, Tally]


def verify(path: Path) -> Export:
    """
    Return an export, read back whole and found to be what its manifest says.

    Raises:
        RefusedError: IUG-082; it is not there, not whole, or was altered.
    """
    try:
        manifest = manifests.parse(manifests.manifest_path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise not_whole(path, f"its manifest cannot be used: {error}") from error
    reading = read(path)
    if (reading.size_bytes, reading.sha256) != (manifest.size_bytes, manifest.sha256):
        raise not_whole(
            path,
            f"{reading.size_bytes} bytes, sha256 {reading.sha256}",
            f"{manifest.size_bytes} bytes, sha256 {manifest.sha256}",
        )
    for name, wanted in manifest.tables.items():
        found = reading.tallies.pop(name, Tally()).state(dict(wanted.columns))
        if found != wanted:
            raise not_whole(path, f"{name}: {found.rows} rows", f"{wanted.rows} rows, as written")
    if reading.tallies:
        raise not_whole(path, f"lines of {', '.join(reading.tallies)}, which the manifest lacks")
    return Export(path, manifest)


def read(path: Path) -> Reading:
    """
    Read a file to its end, a block at a time.

    Raises:
        RefusedError: IUG-082; it cannot be read, is no whole zstd file, or holds a line that
            is none of ours.
    """
    tallies: dict[str, Tally] = {}
    try:
        with path.open("rb") as file:
            source = _Hashed(file)
            for line in _lines(source):
                tallies.setdefault(_table_of(line), Tally()).add(line)
            return Reading(source.hash.hexdigest(), source.size_bytes, tallies)
    except (OSError, ValueError, zstandard.ZstdError) as error:
        raise not_whole(path, str(error)) from error


def not_whole(path: Path, found: str, wanted: str | None = None) -> RefusedError:
    """Return IUG-082 for a file that is no export, or not the one that was written."""
    return RefusedError(
        f'"{path}" is no whole export',
        ident="IUG-082",
        found=found,
        wanted=wanted,
        means="nothing may be purged on the strength of it",
        next_command=f"iu-gates history export {shlex.quote(str(path.parent))}/",
        more="docs/history.md",
    )


class _Hashed(io.RawIOBase):
    """A file that counts and hashes the bytes that are read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self.hash = hashlib.sha256()
        self.size_bytes = 0
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.hash.update(data)
        self.size_bytes += len(data)
        return len(data)


def _lines(source: _Hashed) -> Iterator[bytes]:
    """Yield the lines of the one frame that a file is, without their line breaks."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    while data := source.read(1 << 16):
        if frame.eof:
            message = "there is something behind its end"
            raise ValueError(message)
        *whole, rest = (rest + frame.decompress(data)).split(b"\n")
        yield from whole
    if not frame.eof or frame.unused_data or rest:
        message = "it was cut off, or goes on behind its end"
        raise ValueError(message)


def _table_of(line: bytes) -> str:
    fields = json.loads(line)
    if not (
        isinstance(fields, dict)
        and fields.keys() == {"table", "row"}
        and isinstance(fields["row"], dict)
    ):
        message = "a line is no row of a table"
        raise ValueError(message)
    return str(fields["table"])
