"""The wheel stands on its own: it carries the migrations and runs in an empty folder."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import iu_gates

ROOT = Path(__file__).parents[2]
BUILT_FROM = ["pyproject.toml", "README.md", "LICENSE", "alembic.ini", "iu_gates", "migrations"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the wheel, built from a copy of the checkout so that nothing is left in it."""
    source = tmp_path_factory.mktemp("the source")
    for name in BUILT_FROM:
        origin = ROOT / name
        copy = shutil.copytree if origin.is_dir() else shutil.copy2
        copy(origin, source / name)
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(target)],
        check=True,
        cwd=source,
        capture_output=True,
    )
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def installed_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Give the interpreter of a new environment with the wheel in it.

    Dependencies come from the present environment's packages, behind the wheel's own in the
    path: this tests our wheel, not the registry. The checkout itself is not in the path.
    """
    home = tmp_path_factory.mktemp("an environment") / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
            *("--disable-pip-version-check", "--no-deps", "--no-index", wheel),
        ],
        check=True,
        capture_output=True,
    )
    packages = next((home / "lib").glob("python*")) / "site-packages"
    # A plain path line: the present environment's own .pth files, ours included, are not read.
    (packages / "dependencies.pth").write_text(f"{site.getsitepackages()[0]}\n")
    return python


def run(command: list[str | Path], cwd: Path) -> str:
    """Run a command far from the checkout and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, check=False, cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_wheel_carries_what_is_no_python(wheel: Path) -> None:
    """
    Migrations, every SQL file and the mark of types are in it, tests are not.
    """
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {"iu_gates/py.typed", "iu_gates/_migrations/env.py"}
    for path in (ROOT / "migrations").rglob("*.sql"):
        wanted.add(f"iu_gates/_migrations/{path.relative_to(ROOT / 'migrations')}")
    for path in (ROOT / "iu_gates").rglob("*.sql"):
        wanted.add(str(path.relative_to(ROOT)))
    assert wanted <= names
    assert not [name for name in names if name.startswith(("tests/", "migrations/"))]


def test_installed_package_is_the_wheels(installed_python: Path, tmp_path: Path) -> None:
    """
    In an empty folder `iu_gates` comes from the new environment, migrations beside it.
    """
    code = (
        "import iu_gates, pathlib; package = pathlib.Path(iu_gates.__file__).parent;"
        " print(package, (package / '_migrations' / 'env.py').exists())"
    )
    printed = run([installed_python, "-c", code], tmp_path)
    assert printed.endswith("iu_gates True")
    assert printed.startswith(str(installed_python.parents[1]))


def test_command_runs_in_an_empty_folder(installed_python: Path, tmp_path: Path) -> None:
    """
    `iu-gates --version` works where there is nothing, as the script and as the module.
    """
    version = iu_gates.__version__
    script = installed_python.parent / "iu-gates"
    assert version in run([script, "--version"], tmp_path)
    assert version in run([installed_python, "-m", "iu_gates", "--version"], tmp_path)
