"""
pg_restore into a database: what all who restore have in common.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from iu_gates.backup import defects, process
from iu_gates.backup.tools import Tools

ENTRY: Final = re.compile(r"\d+; \d+ \d+ (?P<entry>.+)")
NEWER_SETTING: Final = 'unrecognized configuration parameter "transaction_timeout"'
"""What pg_restore 17 and newer asks of any server, and servers before 17 do not know."""
KNOWS_NEWER_SETTING: Final = 17
WORTH_JOBS_BYTES: Final = 64 * 2**20
MOST_JOBS: Final = 4


def run_restore(
    tools: Tools,
    conn: psycopg.Connection[Any],
    archive: Path,
    options: Sequence[str],
    size_bytes: int,
) -> list[str] | None:
    """
    Restore an archive, or a part of it, into the database of a session.

    Returns:
        None, or what pg_restore said if it did not end well.
    """
    child = process.child_connection(conn)
    # The one setting that an older server does not know is passed over, and nothing else.
    newer = tools.restore_major >= KNOWS_NEWER_SETTING > conn.info.server_version // 10_000
    jobs = min(MOST_JOBS, os.cpu_count() or 1) if size_bytes >= WORTH_JOBS_BYTES else 1
    command = [
        str(tools.pg_restore),
        *options,
        f"--dbname={conn.info.dbname}",
        *child.arguments,
        "--no-password",
        *([] if newer else ["--exit-on-error", f"--jobs={jobs}"]),
        str(archive),
    ]
    with Path(os.devnull).open("wb") as nowhere:
        returncode, said = process.run_dump(command, child, nowhere.fileno(), lambda: None)
    if returncode == 0 or (newer and is_only_newer_setting(said)):
        return None
    return said


def is_only_newer_setting(said: list[str]) -> bool:
    """Tell whether pg_restore said nothing but that an old server lacks a setting of its own."""
    errors = [line for line in said if "error:" in line]
    return (
        len(errors) == 1
        and NEWER_SETTING in errors[0]
        and any(line.endswith("errors ignored on restore: 1") for line in said)
    )


@contextmanager
def choosing(
    tools: Tools, archive: Path, leave_out: Callable[[str], bool]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give a file with the entries to restore, for ``--use-list``, and those left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "entries"
        with path.open("wb") as file:
            said = process.read_archive(tools.pg_restore, ["--list", str(archive)], file)
        if said is not None:
            raise defects.unreadable(archive, said)
        kept, left_out = [], []
        for line in path.read_text("utf-8", errors="surrogateescape").splitlines(keepends=True):
            match = ENTRY.match(line)
            if match and leave_out(match["entry"]):
                left_out.append(match["entry"].strip())
            else:
                kept.append(line)
        path.write_text("".join(kept), "utf-8", errors="surrogateescape")
        yield path, tuple(left_out)
