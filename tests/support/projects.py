"""
Small Alembic projects, written for a test.

    make_project(folder, revisions, …)   writes alembic.ini, env.py and the versions
    Rev                                  one revision: its SQL up and down
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

ENV = """
from alembic import context
from sqlalchemy import engine_from_config, pool

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

engine = engine_from_config(
    context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool
)
with engine.connect() as connection:
    run(connection)
"""
"""What `alembic init` writes, without what a test does not need."""


@dataclass(frozen=True)
class Rev:
    """
    One revision.

    Args:
        name: Its identifier.
        up: SQL, or with ``python`` lines of Python.
        down: The same.
        after: Revisions that it follows.
        depends_on: Revisions that it needs otherwise.
        labels: Branch labels.
        python: True if `up` and `down` are Python.
    """

    name: str
    up: str = ""
    down: str = ""
    after: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    python: bool = False

    def text(self) -> str:
        """Return the revision's file."""
        after = {0: None, 1: self.after[0] if self.after else None}.get(len(self.after), self.after)
        return "\n".join(
            [
                f'"""{self.name}."""',
                "import os, random, time",
                "import sqlalchemy as sa",
                "from alembic import op",
                f"revision = {self.name!r}",
                f"down_revision = {after!r}",
                f"depends_on = {self.depends_on or None!r}",
                f"branch_labels = {self.labels or None!r}",
                "def upgrade():",
                self._body(self.up),
                "def downgrade():",
                self._body(self.down),
            ]
        )

    def _body(self, text: str) -> str:
        lines = dedent(text).strip() if self.python else f"op.execute(sa.text({text!r}))"
        return indent(lines if text else "pass", "    ")


def chain(*revisions: Rev) -> tuple[Rev, ...]:
    """Return the revisions, each following the one before."""
    found: list[Rev] = []
    for each in revisions:
        after = (found[-1].name,) if found else ()
        found.append(
            Rev(each.name, each.up, each.down, after, each.depends_on, each.labels, each.python)
        )
    return tuple(found)


def make_project(
    folder: Path,
    revisions: tuple[Rev, ...],
    env: str = ENV,
    url: str = "driver://user:pass@localhost/dbname",
) -> Path:
    """Write a project and return the path of its ``alembic.ini``."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "migrations" / "env.py").write_text(env, "utf-8")
    (folder / "migrations" / "script.py.mako").write_text("", "utf-8")
    for each in revisions:
        (versions / f"{each.name}.py").write_text(each.text(), "utf-8")
    ini = folder / "alembic.ini"
    ini.write_text(
        "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
        f"sqlalchemy.url = {url}\n",
        "utf-8",
    )
    return ini
