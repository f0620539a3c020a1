"""
Which revisions to try: a range, or what changed since a git revision.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from iu_gates.errors import UsageError
from iu_gates.symmetry.project import Revision


def between(revisions: Sequence[Revision], text: str) -> frozenset[str]:
    """
    Return the revisions of ``A:B``: A, B, and what lies between; either end may be left out.

    Names may be shortened, as Alembic allows it.

    Raises:
        UsageError: A name is unknown or means several; or A is no ancestor of B.
    """
    first, colon, last = text.partition(":")
    names = [r.name for r in revisions]
    if not colon:
        return frozenset({_find(first, names)})
    below = _ancestors(revisions, _find(last, names)) if last else set(names)
    if not first:
        return frozenset(below)
    start = _find(first, names)
    if start not in below:
        raise UsageError(
            f'"{first}" is no ancestor of "{last}"',
            ident="IUG-088",
            wanted="--revisions A:B, where B follows from A",
            next_command="alembic history",
        )
    needs_start = {r.name for r in revisions if start in _ancestors(revisions, r.name)}
    return frozenset(below & needs_start)


def changed_since(revisions: Sequence[Revision], git_revision: str, folder: Path) -> frozenset[str]:
    """
    Return the revisions whose files differ from those of a git revision, or are not in git yet.

    Raises:
        UsageError: No git here, or no such revision in it.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    changed = _git(folder, "diff", "--name-only", "-z", git_revision, "--", str(top))
    new = _git(top, "ls-files", "--others", "--exclude-standard", "-z")
    paths = {(top / name).resolve() for name in (changed + new).split("\0") if name}
    return frozenset(r.name for r in revisions if r.path in paths)


def _ancestors(revisions: Sequence[Revision], name: str) -> set[str]:
    """Return a revision and all that it needs."""
    needs = {r.name: r.needs for r in revisions}
    found: set[str] = set()
    todo = [name]
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += needs[each]
    return found


def _find(text: str, names: Sequence[str]) -> str:
    if text in names:
        return text
    found = [n for n in names if text and n.startswith(text)]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f'"{text}" is {"no revision" if not found else "several revisions"} of the project',
        ident="IUG-088",
        found=", ".join(found) or None,
        next_command="alembic history",
    )


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607  the user's git
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise UsageError(
            "git cannot say what changed",
            ident="IUG-088",
            found=said.strip(),
            next_command="git diff --name-only REVISION, in the project's folder",
        ) from error
    return done.stdout
