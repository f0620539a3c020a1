"""
What stands against a walk, found before its first step; and against a step, in its transaction.

What the guard would refuse, what would lose history, what has drifted, and a host that does not
meet the contract: all of the path at once, so that nothing is refused half-way (T30, T32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hostnames
import psycopg
import sqlfiles
from alembic.runtime.migration import MigrationInfo
from alembic.util import CommandError

GUARDED = ("080", "090", "100", "081", "082")
NEEDS_BACKUP = ("090", "100")
KEEPS_HISTORY = ("008", "009")
SUBSTRATE = ("008", "009", "060", "090", "100")
NEEDS_HOST = ("060", "090")


class RefusalError(CommandError):
    """The path is refused before its first step; `kind` is "guard", "history" or "host"."""

    def __init__(self, kind: str, summary: str, findings: list[str], remedy: str) -> None:
        super().__init__("\n  ".join([summary, *findings, f"next: {remedy}"]))
        self.kind = kind
        self.summary = summary
        self.findings = findings
        self.remedy = remedy


def find_problems(cursor: Any, names: Mapping[str, Any]) -> list[hostnames.Problem]:
    """Return where the host's tables do not meet the contract under names that are settled."""
    now, problems = hostnames.find(cursor, names)
    return problems or [
        hostnames.Problem(
            f"{names['schema']}.{names['outbox_table']}",
            f"{key.replace('_', ' ')} {now.get(key)}",
            f"{names[key]}, as the steps before found it",
            "iu-gates rollback --to 009",
        )
        for key in ("key_index", "column_types")
        if now.get(key) != names.get(key)
    ]


def require_host(
    raw: psycopg.Connection[Any], names: Mapping[str, Any], revision: str, direction: str
) -> None:
    """Raise, in a step's transaction, if the host's tables are not what its SQL speaks of."""
    if direction != "up" or revision not in NEEDS_HOST:
        return
    cursor = raw.cursor()
    if not find_problems(cursor, names):
        # From here on nobody alters them before this step has ended.
        tables = (names["unit_table"], names["outbox_table"])
        schema = sqlfiles.quote_identifier(names["schema"])
        places = ", ".join(f"{schema}.{sqlfiles.quote_identifier(table)}" for table in tables)
        cursor.execute(f"lock table {places} in access share mode")
    if problems := find_problems(cursor, names):
        raise refused_by_host(problems)


def refused_by_host(problems: Sequence[hostnames.Problem]) -> RefusalError:
    """Return the refusal of a host that does not meet the contract."""
    summary = "the host does not meet the contract; nothing was changed"
    return RefusalError("host", summary, [tell(p) for p in problems], "iu-gates doctor")


def tell(problem: hostnames.Problem) -> str:
    """Return a problem in one line."""
    return f"{problem.name}: {problem.found}; wanted {problem.wanted}; {problem.remedy}"


def require_path(
    cursor: Any,
    steps: Sequence[MigrationInfo],
    problems: Sequence[hostnames.Problem],
) -> None:
    """Raise `RefusalError` for all that would be refused on the way, before the first step."""
    up = [s.up_revision_id or "" for s in steps if s.is_upgrade and not s.is_stamp]
    down = [s.up_revision_id for s in steps if not s.is_upgrade and not s.is_stamp]
    problems = problems if set(up) & set(NEEDS_HOST) else []
    if up or down:
        require_as_left(cursor, "fn_require_recorded")
    # The runtime lane goes down whatever has drifted: that switches off.
    if up or set(down) & set(SUBSTRATE):
        require_as_left(cursor, "fn_require_no_drift")
    for place, revision in enumerate(up):
        findings = list_guarded(cursor, revision, up[:place])
        if findings:
            raise RefusalError(
                "guard",
                f"revision {revision} is refused by the guard; nothing was changed",
                [tell(p) for p in problems] + findings,
                "iu-gates advance",
            )
    if problems:
        raise refused_by_host(problems)
    if tables := list_history(cursor) if set(down) & set(KEEPS_HISTORY) else []:
        raise RefusalError(
            "history",
            "the downgrade is refused while history exists; nothing was changed",
            [f"{name} holds history" for name in tables],
            "iu-gates rollback --to 009",
        )


def require_as_left(cursor: Any, function: str) -> None:
    """Raise `RefusalError` if a function of the database says that something was changed."""
    try:
        cursor.execute(f"select iu_gates.{function}()")
    except psycopg.Error as error:
        if error.sqlstate != "IUG46":
            raise
        raise RefusalError(
            "drift",
            f"{error.diag.message_primary}; nothing was changed",
            (error.diag.message_detail or "").splitlines(),
            error.diag.message_hint or "iu-gates doctor",
        ) from error


def list_guarded(cursor: Any, revision: str, before: Sequence[str]) -> list[str]:
    """Return what the guard has against a revision, if the revisions `before` it go first."""
    if revision not in GUARDED:
        return []
    cursor.execute("select iu_gates.fn_guard_findings(%s), iu_gates.fn_is_scratch()", (revision,))
    findings, is_scratch = cursor.fetchone()
    if before and revision in NEEDS_BACKUP and not is_scratch:
        # The backup has to be newer than every step of an earlier gate (T39).
        findings.append(f'gate "backup": step {before[-1]} of this walk would come after it')
    return list(findings)


def list_history(cursor: Any) -> list[str]:
    """Return the tables of ours that hold history."""
    cursor.execute("select table_name from iu_gates.fn_history() where row_exists")
    return [name for (name,) in cursor.fetchall()]
