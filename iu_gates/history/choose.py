"""
Which history the demo plays.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from iu_gates.errors import UsageError
from iu_gates.history.generated import generate
from iu_gates.history.jsonl import read_jsonl
from iu_gates.history.parts import MIN_APPLIED, too_short
from iu_gates.history.repository import read_repository, toplevel
from iu_gates.history.version import History, shown


def choose(repo: Path | None, file: Path | None, cwd: Path) -> History:
    """
    Return the history to play: the file's, else the repository's, else one by default.

    By default it is that of the git repository that `cwd` is in, else of the checkout
    that this code runs from. Where that cannot be had, or is too short for the demo, it
    is a generated one, and its description says why.

    Raises:
        UsageError: What was named cannot be read or is too short.
    """
    if file is not None:
        return _long_enough(read_jsonl(file))
    if repo is not None:
        return _long_enough(read_repository(repo))
    try:
        return _by_default(cwd)
    except UsageError as error:
        generated = generate()
        why = "; ".join(filter(None, (error.summary, error.found)))
        return dataclasses.replace(generated, description=f"{generated.description} ({why})")


def _by_default(cwd: Path) -> History:
    found = toplevel(cwd) or checkout()
    if found is None:
        raise UsageError(
            f'"{shown(cwd)}" is not in a git repository',
            next_command="iu-gates demo --repo PATH_OF_A_GIT_REPOSITORY",
        )
    return _long_enough(read_repository(found))


def checkout() -> Path | None:
    """Return the root of the checkout that this code runs from, None if installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / ".git").exists() else None


def _long_enough(history: History) -> History:
    if history.applied < MIN_APPLIED:
        raise too_short(history)
    return history
