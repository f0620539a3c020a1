"""
A git repository's own history: each file a unit, each commit that changed it a version.

The order is that of ``git log --reverse --no-merges``, which is what ``history-psycopg``
in our data holds too. Both sides of a merge are walked, and the merge itself changes
nothing, so no change counts twice. A deletion has no content and makes no version; a
file that comes back goes on with its numbers.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from sys import intern
from typing import IO, Final

from iu_gates.errors import UsageError
from iu_gates.history.version import (
    MAX_UNIT_BYTES,
    History,
    Version,
    parse_instant,
    shown,
)

OVERRIDES: Final = ("safe.directory=*", "log.showRoot=true", "log.showSignature=false")
LOG: Final = (
    "log",
    "--reverse",
    "--no-merges",
    "--raw",
    "-z",
    "--no-renames",
    "--no-abbrev",
    "--no-relative",
    "-O/dev/null",
    "--format=tformat:%H %cI",
    "HEAD",
    "--",
)
FOREIGN_VARIABLES: Final = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_COMMON_DIR",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    }
)
"""Set inside a git hook, they would turn our git to the hook's repository."""


def read_repository(path: Path) -> History:
    r"""
    Return the history of the git repository that `path` is in.

    Names of files are text for PostgreSQL: a backslash is doubled, a byte that is not
    UTF-8 becomes ``\xff``, and a name above 1,000 bytes is cut and ends in its sha256.

    Raises:
        UsageError: There is no git, no repository, no commit, or git cannot read it.
    """
    top = toplevel(path)
    if top is None:
        raise _unusable(path, "is not a git repository", "git log -1")
    if not _says(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        raise _unusable(path, "has no commits", "git commit")
    versions = tuple(_log(top))
    commits = len({version.commit for version in versions})
    description = f"git repository {shown(top)}, {commits:,} commits"
    if _says(top, "rev-parse", "--is-shallow-repository") == "true":
        description += " (a shallow clone: what is older is not there)"
    return History(shown(Path(top.name or top)), description, versions)


def toplevel(path: Path) -> Path | None:
    """
    Return the root of the repository that `path` is in, or None.

    Raises:
        UsageError: There is no git to ask.
    """
    if not path.is_dir():
        return None
    found = _says(path, "rev-parse", "--show-toplevel") or _says(
        path, "rev-parse", "--absolute-git-dir"
    )
    return Path(found) if found else None


def _log(top: Path) -> Iterator[Version]:
    """Yield the versions while git writes them."""
    with tempfile.TemporaryFile() as complaints:
        process = _git(top, *LOG, stderr=complaints)
        with process, process.stdout as stdout:  # type: ignore[union-attr]
            yield from parse_log(_tokens(stdout))
        if process.returncode:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip()
            raise _unusable(top, "cannot be read", "git fsck", found=said[-500:])


def parse_log(tokens: Iterable[bytes]) -> Iterator[Version]:
    """
    Yield the versions in the output of `LOG`, cut at its NULs.

    A commit is one token, ``HASH TIME``. Each of its changes is two: ``:MODE MODE BLOB
    BLOB LETTER`` and the name, which is taken unseen, as it may look like anything.
    """
    counted: Counter[str] = Counter()
    commit, committed_at = "", None
    stream = iter(tokens)
    for token in stream:
        entry = token.removeprefix(b"\n")
        if not entry.startswith(b":"):
            commit, _, time = entry.decode("ascii").partition(" ")
            committed_at = time if parse_instant(time) else None
            continue
        unit = unit_name(next(stream, b""))
        _, _, _, blob, letter = entry.decode("ascii").split(" ")
        if letter != "D":
            counted[unit] += 1
            yield Version(intern(unit), counted[unit], commit, committed_at, blob)


def unit_name(name: bytes) -> str:
    """Return the name of a file as text; two different names are never the same text."""
    text = name.replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")
    if len(text.encode()) <= MAX_UNIT_BYTES:
        return text
    digest = hashlib.sha256(name).hexdigest()
    return text.encode()[: MAX_UNIT_BYTES - 80].decode(errors="ignore") + "…" + digest


def _tokens(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what stands before each NUL."""
    rest = b""
    while chunk := stream.read(1 << 16):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def _says(path: Path, *arguments: str) -> str:
    """Return the one line that git answers; nothing if it refuses."""
    with _git(path, *arguments, stderr=subprocess.DEVNULL) as process:
        answer = os.fsdecode(process.communicate()[0])
    return answer.removesuffix("\n") if process.returncode == 0 else ""


def _git(path: Path, *arguments: str, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
    settings = [word for override in OVERRIDES for word in ("-c", override)]
    environment = {k: v for k, v in os.environ.items() if k not in FOREIGN_VARIABLES}
    environment |= {
        "GIT_CONFIG_GLOBAL": str(Path(__file__).with_name("gitconfig")),
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    try:
        return subprocess.Popen(
            ["git", "-C", str(path), *settings, *arguments],  # noqa: S607 - the user's git
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
        )
    except OSError as error:
        raise UsageError(
            "git cannot be run",
            found=error.strerror,
            wanted='the command "git" on the PATH',
            next_command="apt-get install git",
        ) from error


def _unusable(path: Path, what: str, command: str, found: str | None = None) -> UsageError:
    here = command.replace("git", f"git -C {shlex.quote(shown(path))}", 1)
    return UsageError(
        f'"{shown(path)}" {what}',
        found=found,
        wanted="a git repository with commits",
        next_command=here,
    )
