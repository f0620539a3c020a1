"""
Every error that a user can meet, as values.

An error carries fields (what was found, what was wanted, what it means, which command
comes next); `iu_gates.render` makes the text and `--json` gives the same fields. The class
decides the exit code, the id is stable and is looked up in ``docs/errors.md``.

    IuGatesError            1   a bug, or something nobody foresaw
    ├── UsageError          2   the call or the settings are wrong
    ├── GateError           3   a gate is not satisfied
    ├── RefusedError        4   it would lose something
    ├── UnreachableError    5   the database or a tool cannot be reached
    ├── LockHeldError       6   someone else holds the lock
    └── NotDrainedError     7   off, but not drained
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

SAME: Final = "!!"
"""The command that was typed, once more, as a shell has it; `iu_gates.cli` puts its words there."""

AS_ANOTHER: Final = "--database-url postgresql://another-login@host/database"
"""For what the login that walks may not do itself."""


class IuGatesError(Exception):
    """
    An error in the form that users meet.

    Args:
        summary: One clause, lower case, no full stop; names quoted, numbers with units.
        ident: The stable id, ``IUG-`` and three digits.
        found: What is there.
        wanted: What was expected instead.
        means: Why it matters.
        next_command: One command to paste, with the caller's own names.
        more: A page of the docs, relative to the project's root.
        facts: Further fields for ``--json``; never a secret.
    """

    exit_code: ClassVar[int] = 1
    default_ident: ClassVar[str] = "IUG-001"

    def __init__(
        self,
        summary: str,
        *,
        ident: str | None = None,
        found: str | None = None,
        wanted: str | None = None,
        means: str | None = None,
        next_command: str | None = None,
        more: str | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.ident = ident or self.default_ident
        self.found = found
        self.wanted = wanted
        self.means = means
        self.next_command = next_command
        self.more = more
        self.facts = facts or {}

    def as_dict(self) -> dict[str, Any]:
        """Return the fields under the names that ``--json`` uses."""
        return {
            "error": self.ident,
            "summary": self.summary,
            "found": self.found,
            "wanted": self.wanted,
            "means": self.means,
            "next": self.next_command,
            "more": self.more,
            "exit_code": self.exit_code,
            "facts": self.facts,
        }


class UsageError(IuGatesError):
    """The call or the settings are wrong; nothing was done."""

    exit_code = 2
    default_ident = "IUG-010"


class GateError(IuGatesError):
    """A gate is not satisfied; nothing was changed past it."""

    exit_code = 3
    default_ident = "IUG-020"


class BackupError(GateError):
    """No backup that may stand behind the next DDL step."""

    default_ident = "IUG-021"


class RefusedError(IuGatesError):
    """Refused, because it would lose something or because the database forbids it."""

    exit_code = 4
    default_ident = "IUG-040"


class UnreachableError(IuGatesError):
    """The database or a tool that is needed cannot be reached or used."""

    exit_code = 5
    default_ident = "IUG-050"


class LockHeldError(IuGatesError):
    """Someone else holds the lock; the holder is named."""

    exit_code = 6
    default_ident = "IUG-060"


class NotDrainedError(IuGatesError):
    """The switch is off and committed, but batches are still in hand."""

    exit_code = 7
    default_ident = "IUG-070"
