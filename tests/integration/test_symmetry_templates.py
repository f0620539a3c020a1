"""`symmetry` on what `alembic init` writes, with each of its templates, as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from iu_gates.embedded import Server
from iu_gates.errors import UsageError
from iu_gates.symmetry.check import find_config
from iu_gates.symmetry.copies import making
from iu_gates.symmetry.project import Project
from iu_gates.symmetry.trial import Plan, Run, run
from tests.support.databases import Servers

SEVERAL = "multidb"
TEMPLATES = sorted(path.name for path in Path(Config().get_template_directory()).iterdir())
STEPS = {
    "a": ("create table t (id int primary key)", "drop table t"),
    "b": ("create type c as enum ()", "select 1"),
}
WANTED = {"a": "symmetric", "b": "asymmetric"}
GATHERED = 'db_names = config.get_main_option("databases", "")'
CHOSEN = """chosen = context.get_x_argument(as_dictionary=True).get("db")
db_names = chosen or config.get_main_option("databases", "")"""
"""As docs/symmetry.md has it."""


@pytest.fixture
def server(servers: Servers, major: int) -> Server:
    """Give a server to make databases on."""
    return servers.get(major)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder to work in, as `alembic init` does."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_project(folder: Path, template: str) -> Path:
    """Write a project with a template, and two revisions as its own mako writes them."""
    ini = folder / "alembic.ini"
    config = Config(ini, toml_file=folder / "pyproject.toml")
    command.init(config, "migrations", template=template)
    for name, (up, down) in STEPS.items():
        command.revision(config, name, rev_id=name)
        (path,) = (folder / "migrations" / "versions").glob(f"{name}_*.py")
        path.write_text(write_steps(path.read_text("utf-8"), up, down), "utf-8")
    return ini


def write_steps(text: str, up: str, down: str) -> str:
    """Put statements where the template says "pass": below `upgrade…` or `downgrade…`."""
    lines = text.splitlines()
    direction = ""
    for number, line in enumerate(lines):
        if line.startswith("def "):
            direction = down if line.startswith("def downgrade") else up
        if line.strip() == "pass":
            lines[number] = line.replace("pass", f"op.execute({direction!r})")
    return "\n".join(lines) + "\n"


def attempt(server: Server, folder: Path, **options: Any) -> dict[str, str]:
    """Try the project, and return the outcomes."""
    project = Project(
        find_config(folder / "alembic.ini"), folder=folder, step_seconds=30, **options
    )
    with making(server.conninfo()) as copies:
        seen: Run = run(project, copies, Plan())
    return {r.revision.name: r.outcome for r in seen.results}


@pytest.mark.parametrize("template", [t for t in TEMPLATES if t != SEVERAL])
def test_what_alembic_init_writes(server: Server, folder: Path, template: str) -> None:
    """
    A new project needs nothing but its two revisions: no file of the template is touched.
    """
    write_project(folder, template)
    assert attempt(server, folder) == WANTED


def test_template_for_several_databases(server: Server, folder: Path) -> None:
    """
    As it is written it is refused at once; with the two lines of the docs each is tried alone.
    """
    ini = write_project(folder, SEVERAL)
    env = folder / "migrations" / "env.py"
    for url in ("driver://user:pass@localhost/dbname", "driver://user:pass@localhost/dbname2"):
        assert url in ini.read_text("utf-8")
    written = ini.read_text("utf-8").replace("driver://", "postgresql+psycopg://")
    ini.write_text(written, "utf-8")
    with pytest.raises(UsageError, match="for several databases") as caught:
        attempt(server, folder)
    assert caught.value.ident == "IUG-090"

    assert GATHERED in env.read_text("utf-8")
    env.write_text(env.read_text("utf-8").replace(GATHERED, CHOSEN), "utf-8")
    (second,) = (folder / "migrations" / "versions").glob("b_*.py")
    text = second.read_text("utf-8")
    start = text.index("def downgrade_engine2")
    mended = text[start:].replace("select 1", "drop type c")
    second.write_text(text[:start] + mended, "utf-8")
    assert attempt(server, folder, x_arguments=("db=engine1",)) == WANTED
    assert attempt(server, folder, x_arguments=("db=engine2",)) == {
        "a": "symmetric",
        "b": "symmetric",
    }
