"""
What every verdict of a run depends on: the part of the cache's key that is the same for all.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg

from iu_gates import __version__
from iu_gates.symmetry.project import Project, Revision

HERE: Final = Path(__file__).parent
SERVER: Final = HERE / "queries" / "server" / "ground.sql"
INSTALLED: Final = """
import sys
sys.path[:] = filter(None, sys.path)  # a project's folder may have a module called "types"
from importlib.metadata import distributions
print(sys.version)
print(sorted({f"{d.name} {d.version}" for d in distributions()}))
"""
NOT_OURS: Final = ("__pycache__", "node_modules")


def collect(
    conn: psycopg.Connection[Any],
    project: Project,
    revisions: Sequence[Revision],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """
    Return the ground as JSON values, by name.

    Args:
        conn: To the server.
        project: Whose revisions.
        revisions: All of them.
        options: Of the run, as far as a verdict depends on them.
    """
    row = conn.execute(SERVER.read_bytes()).fetchone()
    return {
        "tool": [__version__, _hash_files(HERE, _list_code())],
        "server": row[0] if row else None,
        "libpq": os.environ.get("PGOPTIONS"),
        "python": _describe_python(project),
        "configuration": _hash(project.config_file),
        "section": project.section,
        "driver": project.driver,
        "url variables": list(project.url_variables),
        "x": list(project.x_arguments),
        "plain env": project.plain_env,
        "migrations": [
            _hash_files(home, _list_beside(home, {r.path for r in revisions}))
            for home in list_homes(revisions)
        ],
        **options,
    }


def _hash_files(folder: Path, paths: Iterator[Path]) -> str:
    """Return one SHA-256 of files: of their names and of what is in them."""
    found = hashlib.sha256()
    for path in sorted(paths):
        line = f"{path.relative_to(folder)} {_hash(path)}\n"
        found.update(line.encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _describe_python(project: Project) -> str:
    """Return the version of the project's interpreter, and of every package in it."""
    done = subprocess.run(
        [project.python, "-c", INSTALLED],
        cwd=project.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _list_code() -> Iterator[Path]:
    return (path for path in HERE.rglob("*") if path.suffix in (".py", ".sql"))


def list_beside(revisions: Sequence[Revision]) -> Iterator[Path]:
    """Yield the files of the migrations folders that are no revisions: SQL, helpers, data."""
    paths = {r.path for r in revisions}
    for home in list_homes(revisions):
        yield from _list_beside(home, paths)


def list_homes(revisions: Sequence[Revision]) -> list[Path]:
    """Return the folders of the migrations."""
    return sorted({_find_home(r.path.parent) for r in revisions})


def _list_beside(folder: Path, revisions: set[Path]) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(p in NOT_OURS or p.startswith(".") for p in parts)
        if path not in revisions and not hidden and path.is_file():
            yield path


def _find_home(versions: Path) -> Path:
    """Return the folder of ``env.py`` that revisions belong to, or their own."""
    above = (versions, versions.parent, versions.parent.parent)
    return next((folder for folder in above if (folder / "env.py").is_file()), versions)
