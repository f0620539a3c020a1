"""What the house promises of itself and no tool of ours checks."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIGRATIONS = sorted((ROOT / "migrations").rglob("*.py"))
SCRIPTS = [ROOT / "scripts" / name for name in ("demo", "setup", "test")] + [ROOT / ".ci" / "run"]


def imported_names(path: Path) -> set[str]:
    """Return the top packages that the file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_migrations_import_nothing_of_ours(path: Path) -> None:
    """
    A migration runs unchanged under any later version of the package.
    """
    assert "iu_gates" not in imported_names(path)


def test_every_package_says_so() -> None:
    """
    Without ``__init__.py`` the check of the arrows does not see a folder, and passes.
    """
    folders = {path.parent for path in (ROOT / "iu_gates").rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_strict(path: Path) -> None:
    """
    Each script can be run, and stops at its first failure.
    """
    assert path.stat().st_mode & 0o111
    assert "\nset -euo pipefail\n" in path.read_text(encoding="utf-8")


def test_alembic_ini_has_no_url() -> None:
    """
    Where to connect comes from the environment, never from a file in the repository.
    """
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "alembic.ini", encoding="utf-8")
    assert "sqlalchemy.url" not in settings["alembic"]


def test_constraints_are_plain_pins() -> None:
    """
    Every pin is name==version: no addresses, no hashes, nothing of one machine.
    """
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [
        line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)
    ] == []


def test_every_dependency_is_pinned() -> None:
    """
    What pyproject.toml asks for, constraints.txt pins.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *chain.from_iterable(project["optional-dependencies"].values()),
    ]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    names = [re.split(r"[\[<>=~! ]", line, maxsplit=1)[0].lower() for line in wanted]
    assert [name for name in names if f"\n{name}==" not in pinned] == []
