"""A server's data and socket directory: where they lie, made whole or not at all, removed."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import tempfile
from pathlib import Path

from iu_gates.embedded.account import Account, choose_account, is_private_dir, make_open_dir
from iu_gates.errors import UnreachableError

# Data whose asked-for place the server's account cannot reach (below root's home, say).
PLACED_DIR = Path("/var/lib/iu-gates/placed")
SHORT_DIR = "/tmp"  # noqa: S108 - short, and everybody's; the directory in it is closed


def place_data(directory: Path) -> tuple[Path, Account]:
    """
    Return where the data of the server in `directory` lies, and who owns it.

    That is ``directory/data``, or, where the account cannot pass the directories above it, a
    place under ``/var/lib/iu-gates`` to which ``directory/data`` is then a symbolic link.
    Nobody's permissions are opened. The data need not exist yet.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data = directory / "data"
    account = choose_account(data)
    if data.is_symlink():
        return data.readlink(), account
    if account.can("-x", directory):
        return data, account
    digest = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    make_open_dir(PLACED_DIR)
    placed = PLACED_DIR / digest
    data.symlink_to(placed)
    return placed, account


def init_data(bin_dir: Path, data: Path, account: Account) -> None:
    """
    Make the data directory: UTF-8, locale C.UTF-8 (C where the system has none), trust.

    It is made beside its place and renamed into it, so a crash in between leaves nothing that
    looks like a database. `--no-sync`: what it would protect can be made again.

    Raises:
        UnreachableError: ``initdb`` failed; `found` holds its last lines.
    """
    fresh = data.with_name(f"{data.name}.new")
    output = ""
    for locale in ("C.UTF-8", "C"):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        account.own(fresh)
        done = account.run(
            [
                str(bin_dir / "initdb"),
                f"--pgdata={fresh}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                f"--locale={locale}",
                "--no-sync",
                "--no-instructions",
            ]
        )
        if done.returncode == 0:
            fresh.rename(data)
            return
        output = done.stdout
    raise UnreachableError(
        "the embedded server's data could not be made",
        found=output.strip()[-2000:],
        wanted=f"'initdb' to succeed in '{data.parent}'",
        next_command=f"df -h {shlex.quote(str(data.parent))}",
    )


def remove_data(directory: Path) -> None:
    """Remove the data of the server in `directory`, wherever it lies; it must not run."""
    data = directory / "data"
    if data.is_symlink():
        shutil.rmtree(data.readlink(), ignore_errors=True)
        data.unlink()
    elif data.exists():
        shutil.rmtree(data)


def require_socket_dir(directory: Path, account: Account) -> Path:
    """
    Return the socket directory recorded in ``directory/socket_dir``, or make and record one.

    A recorded one is kept only if it is still a directory of the account's own, closed to
    others: ``/tmp`` is emptied at boot, and anybody may make that name again.
    """
    record = directory / "socket_dir"
    if record.exists() and is_private_dir(Path(record.read_text()), account.uid):
        return Path(record.read_text())
    made = Path(tempfile.mkdtemp(prefix="iug-", dir=SHORT_DIR))
    account.own(made)
    record.write_text(str(made))
    return made
