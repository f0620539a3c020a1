"""Who runs the binaries: ourselves, or an unprivileged account when we are root."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iu_gates.errors import UnreachableError

# `nobody` is on every machine; nothing of it is reachable for us that should not be.
CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """
    The account that owns a data directory and runs its server.

    Args:
        uid: Its user id.
        gid: Its primary group.
        is_other: True if processes have to change to it, which only root can.
    """

    uid: int
    gid: int
    is_other: bool

    def own(self, path: Path) -> None:
        """Give `path` to this account; a no-op where it is ours already."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def can(self, test: str, path: Path) -> bool:
        """
        Tell whether this account passes ``test -r|-w|-x`` on `path`.

        Asked of the kernel by a process of that account: modes of parents, ACLs and mounts count.
        """
        if not self.is_other:
            return True
        command = ["/bin/sh", "-c", 'test "$1" "$2"', "sh", test, str(path)]
        return self.run(command).returncode == 0

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """
        Run `command` as this account and return it finished, with its output as text.

        The working directory is ``/``, which every account can enter, and no ``PG*`` variable of
        the caller reaches the command.
        """
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        identity: dict[str, Any] = {}
        if self.is_other:
            identity = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(
            command,
            check=False,
            text=True,
            errors="replace",
            cwd="/",
            env=clean_environment(os.environ),
            **identity,
            **options,
        )


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without libpq's and PostgreSQL's own variables."""
    return {name: value for name, value in environment.items() if not name.startswith("PG")}


def choose_account(data: Path) -> Account:
    """
    Return the account for the data directory `data`.

    An existing directory keeps its owner: the account must not change because a package that
    brings a `postgres` account was installed since.

    Raises:
        UnreachableError: We are root and there is no unprivileged account.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), is_other=False)
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, is_other=True)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, is_other=True)
    raise UnreachableError(
        "no account may run PostgreSQL: it refuses root",
        found="neither an account 'postgres' nor 'nobody'",
        wanted="one unprivileged account",
        next_command="useradd --system postgres",
    )


def is_private_dir(path: Path, uid: int) -> bool:
    """Tell whether `path` is a directory, no link, of `uid` and closed to everybody else."""
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == uid and not state.st_mode & 0o077


def make_open_dir(path: Path) -> None:
    """Make `path` and its missing parents with mode 0755, whatever our umask."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
