"""
The one door for SQL files.

Files are plain SQL and may hold ``%``, ``:=``, ``::`` and JSON. Names that differ from one
installation to the next are written as psql variables, ``:"iu_schema"`` (an identifier),
``:'iu_schema'`` (a literal) or ``:iu_extra_columns`` (text), and only those that are known
are replaced, so a file can also be run by ``psql -v``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alembic import context, op
from hostnames import quote_identifier, quote_literal, render

__all__ = ["execute", "quote_identifier", "quote_literal", "read_folder", "render", "run"]

HERE = Path(__file__).parent


def read_folder(folder: Path, variables: Mapping[str, str]) -> list[str]:
    """Return the rendered text of each SQL file of a folder, in the order of their names."""
    return [render(path.read_text("utf-8"), variables) for path in sorted(folder.glob("*.sql"))]


def execute(text: str) -> None:
    """Run a text of one or more statements in the transaction of the step, or print it."""
    if context.is_offline_mode():
        context.get_context().impl.static_output(text)
        return
    cursor = op.get_bind().connection.cursor()
    try:
        cursor.execute(text)
    finally:
        cursor.close()


def run(step: str, direction: str) -> None:
    """
    Run the files of ``versions/<step>/<direction>/`` in the order of their names.

    Before them, in the same transaction, what was looked at before the walk is looked at again.
    """
    revision = step.partition("_")[0]
    for check in context.config.attributes.get("iu_checks", ()):
        check(revision, direction)
    execute(f"select iu_gates.fn_require_step('{revision}', '{direction}');")
    variables = context.config.attributes["iu_variables"]
    for text in read_folder(HERE / "versions" / step / direction, variables):
        execute(text)
