"""
Fixtures of the acceptance: a site made by somebody else, and the package as a wheel holds it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.site import CMS, Site, open_site
from tests.support.databases import Servers
from tests.support.walk import ROOT

BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "alembic.ini", "iu_gates", "migrations")
MakeSite = Callable[..., Site]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the slow ones of this folder run last, whatever the shuffle."""
    here = Path(__file__).parent
    items.sort(key=lambda i: here in i.path.parents and i.get_closest_marker("slow") is not None)


@pytest.fixture
def make_site(servers: Servers, major: int, tmp_path: Path) -> Iterator[MakeSite]:
    """Give a maker of sites, each with a folder of its own; it takes the SQL of the host."""
    with ExitStack() as sites:

        def make(host_sql: str = CMS) -> Site:
            folder = tmp_path / f"folder {len(list(tmp_path.iterdir()))}"
            return sites.enter_context(open_site(servers.get(major), folder, host_sql))

        yield make


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Give a site on which nothing was done yet, without settings."""
    return make_site()


@pytest.fixture(scope="session")
def unpacked_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with what the wheel holds, built from a copy of the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        origin = ROOT / name
        copy = shutil.copytree if origin.is_dir() else shutil.copy2
        copy(origin, source / name)
    dist = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(dist)],
        check=True,
        cwd=source,
        capture_output=True,
    )
    unpacked = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(next(dist.glob("*.whl"))).extractall(unpacked)
    return unpacked
