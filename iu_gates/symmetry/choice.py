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
    below = ancestors(revisions, _find(last, names)) if last else set(names)
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
    needs_start = {r.name for r in revisions if start in ancestors(revisions, r.name)}
    return frozenset(below & needs_start)


def changed_since(revisions: Sequence[Revision], git_revision: str, folder: Path) -> frozenset[str]:
    """
    Return the revisions whose files differ from those of a git revision, or are not in git yet.

    What lies in a folder that has the name of a revision's file is that revision's too.

    Raises:
        UsageError: No git here, or no such revision in it.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    changed = _git(top, "diff", "--name-only", "-z", _find_commit(top, git_revision), "--")
    new = _git(top, "ls-files", "--others", "--exclude-standard", "-z")
    paths = {(top / name).resolve() for name in (changed + new).split("\0") if name}
    owned = paths | {parent for path in paths for parent in path.parents}
    return frozenset(r.name for r in revisions if {r.path, r.path.with_suffix("")} & owned)


def ancestors(revisions: Sequence[Revision], name: str) -> set[str]:
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


def _find_commit(folder: Path, git_revision: str) -> str:
    # Told by its number from here on: what looks like an option is no revision.
    asked = ("rev-parse", "--verify", "--end-of-options", f"{git_revision}^{{commit}}")
    try:
        return _git(folder, *asked).strip()
    except UsageError as error:
        is_shallow = _git(folder, "rev-parse", "--is-shallow-repository").strip() == "true"
        error.wanted = "a commit of this clone" + (", which is a shallow one" if is_shallow else "")
        error.next_command = "git fetch --unshallow" if is_shallow else "git branch --all"
        raise


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
            next_command="git status",
        ) from error
    return done.stdout
