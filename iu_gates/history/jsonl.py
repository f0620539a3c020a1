"""
A history from a file: one JSON object a line, plain or gzipped, oldest first.
"""

from __future__ import annotations

import gzip
import json
import shlex
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from iu_gates.errors import UsageError
from iu_gates.history.version import MAX_UNIT_BYTES, History, Version, parse_instant, shown

MAX_LINE_BYTES: Final = 1 << 20
MAX_VERSION_SEQ: Final = 2**31 - 1
FORM: Final = '{"unit": "a.txt", "version_seq": 1, "commit": "…", "committed_at": "…", "blob": "…"}'


def read_jsonl(path: Path) -> History:
    """
    Return the history in a file; gzip is known by its first bytes, not by the name.

    ``unit`` and ``version_seq`` are required; ``commit``, ``committed_at`` (ISO 8601) and
    ``blob`` may be null or missing, other keys and empty lines are passed over.

    Raises:
        UsageError: The file cannot be read or is empty, or a line is not of the form,
            repeats a version or goes back to an older one of its unit.
    """
    try:
        versions = tuple(_versions(path))
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f'history file "{shown(path)}" cannot be read',
            found=getattr(error, "strerror", None) or str(error),
            wanted="a .jsonl or .jsonl.gz file",
            next_command=f"ls -l {shlex.quote(shown(path))}",
        ) from error
    if not versions:
        raise UsageError(
            f'history file "{shown(path)}" is empty',
            found="no versions",
            wanted=f"one JSON object a line: {FORM}",
            next_command="iu-gates demo --repo PATH_OF_A_GIT_REPOSITORY",
        )
    return History(shown(Path(path.name)), f"file {shown(path)}", versions)


def _versions(path: Path) -> Iterator[Version]:
    """Yield the versions, each checked by itself and against those before it."""
    newest: dict[str, int] = {}
    with _opened(path) as (lines, is_gzip):
        number = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            try:
                version = _version(line)
                if version is None:
                    continue
                _check_order(version, newest)
            except ValueError as error:
                raise _bad_line(path, number, str(error), is_gzip=is_gzip) from error
            yield version


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedIOBase, bool]]:
    """Open for reading bytes, unpacked, and say whether the file is gzipped."""
    with path.open("rb") as file:
        if file.peek(2)[:2] == b"\x1f\x8b":
            with gzip.open(file) as unpacked:
                yield unpacked, True
        else:
            yield file, False


def _version(line: bytes) -> Version | None:
    """Return the version on a line, None for an empty line; ValueError says what is wrong."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes")
    if not line.strip():
        return None
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at character {error.pos + 1}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError(f"expected an object, got {_named(fields)} instead")  # noqa: TRY004 - it is the line that is wrong
    return _from_fields(fields)


def _from_fields(fields: dict[str, object]) -> Version:
    unit, seq = _text(fields, "unit"), fields.get("version_seq")
    if not unit:
        raise ValueError('expected "unit" to be a text that is not empty')
    if len(unit.encode()) > MAX_UNIT_BYTES:
        raise ValueError(f'"unit" is longer than {MAX_UNIT_BYTES:,} bytes')
    if type(seq) is not int or not 1 <= seq <= MAX_VERSION_SEQ:
        raise ValueError(
            f'expected "version_seq" to be a whole number from 1, got {_named(seq)} instead'
        )
    committed_at = _text(fields, "committed_at")
    if committed_at is not None and parse_instant(committed_at) is None:
        raise ValueError(
            f'expected "committed_at" to be a time in ISO 8601, got "{committed_at}" instead'
        )
    return Version(unit, seq, _text(fields, "commit"), committed_at, _text(fields, "blob"))


def _text(fields: dict[str, object], name: str) -> str | None:
    """Return a field that PostgreSQL can hold as text, None if it is null or missing."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f'expected "{name}" to be a text, got {_named(value)} instead')  # noqa: TRY004 - it is the line that is wrong
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f'"{name}" holds NUL or half a surrogate pair, which PostgreSQL refuses')
    return value


def _named(value: object) -> str:
    """Return a JSON value for a message, cut short."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004


def _check_order(version: Version, newest: dict[str, int]) -> None:
    """Raise ValueError unless the version is newer than those of its unit before it."""
    before = newest.get(version.unit, 0)
    if version.version_seq <= before:
        named = f'version {version.version_seq} of unit "{version.unit}"'
        if version.version_seq == before:
            raise ValueError(f"{named} is there already")
        raise ValueError(f"{named} comes after version {before}; the form is oldest first")
    newest[version.unit] = version.version_seq


def _bad_line(path: Path, number: int, what: str, *, is_gzip: bool) -> UsageError:
    quoted = shlex.quote(shown(path))
    reader = f"zcat {quoted} | sed -n {number}p" if is_gzip else f"sed -n {number}p {quoted}"
    return UsageError(
        f'history file "{shown(path)}", line {number}: {what}',
        wanted=FORM,
        next_command=reader,
        facts={"file": shown(path), "line": number},
    )
