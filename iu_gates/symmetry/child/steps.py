"""
The revisions of a project, and steps of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .caller import Caller, Request
from .target import ElsewhereError
from .ways import Ways


class NoDowngradeError(Exception):
    """The revision's file has no such function."""


def look(project: Ways, request: Request) -> dict[str, Any]:
    """Return the revisions, and where the version table is."""
    # An env.py may say where the versions are: it is run for this too, with no step to go.
    home: dict[str, Any] = {}

    def find_none(_heads: Any, context: Any) -> list[Any]:
        home.update(describe_home(context))
        return []

    project.run_env(request, find_none)
    return {"revisions": list_revisions(project.script), **home}


def list_revisions(script: Any) -> list[dict[str, Any]]:
    """Return the revisions, each after those it stands on."""
    found = [
        {
            "name": r.revision,
            "down": list(r._versioned_down_revisions),  # noqa: SLF001  no public spelling
            "needs": sorted(r._all_down_revisions),  # noqa: SLF001
            "labels": sorted(r.branch_labels),
            "text": r.doc,
            "path": str(Path(r.path).resolve()),
        }
        for r in script.walk_revisions()
    ]
    return list(reversed(found))


def walk(project: Ways, request: Request) -> dict[str, Any]:
    """Go one step or more, through the project's ``env.py``; report where its version table is."""
    seen: dict[str, Any] = {}

    def find_steps(_heads: Any, context: Any) -> Iterator[Any]:
        if seen:
            return  # env.py runs migrations for this database once more
        seen.update(describe_home(context))
        each: Request | None = request
        while each is not None:
            yield make_step(project.script, each)
            each = follow(project.caller, context, each, seen) if each.get("stays") else None

    project.run_env(request, find_steps, destination_rev=request["revision"])
    if not seen:
        message = "env.py ran no migrations"
        raise ElsewhereError(message)
    return seen


def make_step(script: Any, request: Request) -> Any:
    """Return Alembic's step."""
    from alembic.runtime.migration import MigrationStep  # noqa: PLC0415
    from alembic.util import load_python_file  # noqa: PLC0415

    revision = script.get_revision(request["revision"])
    # As a new process would have it: a module may keep what its upgrade() made.
    revision.module = load_python_file(*os.path.split(revision.path))
    if request["do"] == "up":
        return MigrationStep.upgrade_from_script(script.revision_map, revision)
    if not hasattr(revision.module, "downgrade"):
        raise NoDowngradeError("it has no downgrade()")
    return MigrationStep.downgrade_from_script(script.revision_map, revision)


def follow(
    caller: Caller, context: Any, request: Request, home: Mapping[str, Any]
) -> Request | None:
    """Commit a step and answer; return the request that goes on from it, if it is one of those."""
    caller.leave_fork()
    connection = context.connection
    if connection.in_transaction() and getattr(context, "_transaction", None) is None:
        return None  # env.py began it, and commits it
    with context.autocommit_block():
        pass  # it begins with a commit
    caller.answer({"ok": True, **home})
    to_come = caller.ask()
    goes_on = to_come is not None and all(
        to_come.get(name) == request[name] for name in ("do", "database")
    )
    return caller.take() if goes_on else None


def describe_home(context: Any) -> dict[str, Any]:
    """Return where the project keeps its version table."""
    schema = context.version_table_schema
    return {
        "version_table": context.version_table,
        "version_table_schema": schema,
        "has_models_there": has_tables_in(context, schema),
    }


def has_tables_in(context: Any, schema: str | None) -> bool:
    """Tell whether the project's models have tables in the schema of the version table."""
    metadata = context.opts.get("target_metadata")
    found = metadata if isinstance(metadata, list | tuple) else [metadata]
    return any(t.schema == schema for m in found if m is not None for t in m.tables.values())
