"""Measure `iu-gates symmetry` and pytest-alembic on one project and server, turn by turn."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from iu_gates.embedded import Server
from iu_gates.embedded.installs import read_version

ROOT: Final = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from tests.support.projects import Rev, chain, make_project  # noqa: E402  it writes projects

AIM: Final = 3.0
FAULTY_EVERY: Final = 10
DATABASE: Final = "bench_symmetry"
RESET: Final = "drop schema public cascade; create schema public;"
PACKAGES: Final = ("alembic", "sqlalchemy", "pytest", "pytest-alembic", "mlflow")
ENV: Final = """
from alembic import context
from sqlalchemy import engine_from_config, pool

# As pytest-alembic asks for it in its documentation: it gives a connection of its own.
engine = context.config.attributes.get("connection") or engine_from_config(
    context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
SETUP: Final = """
import sqlalchemy, sys
from mlflow.store.tracking.dbmodels.initial_models import Base
Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
"""


@dataclass(frozen=True)
class Project:
    """A project as both are told of it; `asymmetric` is how many revisions are, if it is known."""

    name: str
    python: str
    config: Path
    scripts: Path
    folder: Path
    driver: str
    setup: str = ""
    asymmetric: int | None = None


@dataclass(frozen=True)
class Measured:
    """How long one took, how many revisions it tried, and how many it found."""

    seconds: float
    tried: int
    found: int


def make_generated(directory: Path, python: str, revisions: int) -> Project:
    """Write a project in which each tenth revision leaves an index behind, or a type."""
    revs = []
    for n in range(revisions):
        up = (
            f"create table t{n} (id int primary key, a text, b int default 3,"
            f" constraint c{n} check (b > 0)); create index i{n} on t{n} (a)"
        )
        down = f"drop table t{n}"
        if n % FAULTY_EVERY == FAULTY_EVERY - 1:
            up += f"; create index j{n} on t{n - 1} (b); create type e{n} as enum ('x')"
            is_even = n // FAULTY_EVERY % 2 == 0
            down += f"; drop index if exists j{n}" if is_even else f"; drop type e{n}"
        revs.append(Rev(f"r{n:04}", up, down))
    config = make_project(directory / "generated", chain(*revs), ENV)
    return Project(
        f"generated, {revisions} revisions",
        python,
        config,
        config.parent / "migrations",
        config.parent,
        "postgresql+psycopg",
        asymmetric=revisions // FAULTY_EVERY,
    )


def make_mlflow(directory: Path, python: str) -> Project:
    """Give the revisions of MLflow's tracking store an env.py that both can run."""
    text = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", text], text=True).strip())
    versions = site / "mlflow" / "store" / "db_migrations" / "versions"
    config = make_project(directory / "mlflow", (), ENV)
    config.write_text(config.read_text("utf-8") + f"version_locations = {versions}\n", "utf-8")
    scripts = config.parent / "migrations"
    return Project("mlflow", python, config, scripts, site, "postgresql+psycopg2", SETUP)


def main(given: argparse.Namespace) -> int:
    """Measure, print, and return 1 if we are slower than the peer."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iu-gates-bench-")))
        directory.chmod(0o711)
        server = Server(directory / "server")
        server.start()
        stack.callback(server.wipe)
        if given.project == "mlflow":
            project = make_mlflow(directory, given.python)
        else:
            project = make_generated(directory, given.python, given.revisions)
        print(f"{project.name}; PostgreSQL {read_version(server.bin_dir)}; {versions(project)}")
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; turn by turn")
        setup = prepare(project, server, directory)
        seen: dict[str, list[Measured]] = {"pytest-alembic": [], f"iu-gates -j {given.jobs}": []}
        theirs, ours = seen.values()
        for _ in range(given.runs):
            theirs.append(run_pytest(project, server, directory, setup))
            ours.append(run_ours(project, server, directory, given.jobs))
            require(project, theirs[-1], ours[-1])
    return report(seen)


def versions(project: Project) -> str:
    """Return the versions of what is compared, in the project's environment."""
    text = (
        "import sys; from importlib.metadata import distributions as d;"
        "found = {x.name.lower(): x.version for x in d()};"
        "print(', '.join(f'{n} {found[n]}' for n in sys.argv[1:] if n in found))"
    )
    return subprocess.check_output([project.python, "-c", text, *PACKAGES], text=True).strip()


def prepare(project: Project, server: Server, directory: Path) -> str:
    """Write the SQL of what the first revision needs, and return it."""
    setup = ""
    if project.setup:
        make_database(server)
        url = make_url(project, server)
        subprocess.run([project.python, "-c", project.setup, url], env=environment(), check=True)
        dump = [str(server.bin_dir / "pg_dump"), "--schema-only", server.conninfo(DATABASE)]
        lines = subprocess.check_output(dump, text=True).splitlines()
        # The schema is given back as it was; the dump's empty search_path is not.
        kept = (x for x in lines if not x.startswith("\\") and "search_path" not in x)
        setup = "\n".join(kept)
    (directory / "setup.sql").write_text(setup, "utf-8")
    return setup


def make_url(project: Project, server: Server) -> str:
    """Return SQLAlchemy's URL of the database."""
    url = server.conninfo(DATABASE).replace("postgresql://", f"{project.driver}://", 1)
    return url.replace("%2F", "/")  # a setting of Alembic's can hold no percent sign


def make_database(server: Server, setup: str = "") -> None:
    """Make the database anew."""
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(f"drop database if exists {DATABASE} with (force)")
        conn.execute(f"create database {DATABASE}")
    with psycopg.connect(server.conninfo(DATABASE), autocommit=True) as conn:
        conn.execute(setup.encode())


def run_pytest(project: Project, server: Server, directory: Path, setup: str) -> Measured:
    """Run pytest-alembic's two tests in a database of their own."""
    make_database(server, setup)
    place, found = directory / "tests", directory / "found"
    place.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("symmetry_tests.py"), place / "test_bench.py")
    found.unlink(missing_ok=True)
    told = {
        "BENCH_URL": make_url(project, server),
        "BENCH_CONFIG": str(project.config),
        "BENCH_SCRIPTS": str(project.scripts),
        "BENCH_RESET": RESET + setup,
        "BENCH_FOUND": str(found),
    }
    line = [project.python, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(place)]
    began = time.perf_counter()
    done = subprocess.run(
        line, cwd=project.folder, env=environment(told), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if not found.exists():
        sys.exit(f"pytest-alembic did not come to its end:\n{done.stdout}{done.stderr}")
    tried, faults = map(int, found.read_text("utf-8").split())
    return Measured(seconds, tried, faults)


def run_ours(project: Project, server: Server, directory: Path, jobs: int) -> Measured:
    """Run `iu-gates symmetry` with nothing in its cache."""
    command = [str(Path(sys.executable).with_name("iu-gates")), "symmetry", "--json"]
    told = ["--config", str(project.config), "--driver", project.driver, "--jobs", str(jobs)]
    told += ["--python", project.python, "--setup-sql", str(directory / "setup.sql"), "--no-cache"]
    began = time.perf_counter()
    done = subprocess.run(
        command + told,
        cwd=project.folder,
        env=environment({"IU_GATES_DATABASE_URL": server.conninfo()}),
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    answer = json.loads(done.stdout or "{}")
    if "revisions" not in answer:
        sys.exit(f"iu-gates did not come to its end:\n{done.stdout}{done.stderr}")
    outcomes = Counter(r["outcome"] for r in answer["revisions"])
    if outcomes["cannot judge"]:
        sys.exit(f"not all could be judged: {outcomes}")
    good = outcomes["symmetric"] + outcomes["refuses"] + outcomes["column order only"]
    return Measured(seconds, outcomes.total(), outcomes.total() - good)


def environment(told: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without what is ours, and with what a command is told."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
    return {**kept, **(told or {})}


def require(project: Project, theirs: Measured, ours: Measured) -> None:
    """Exit unless both tried every revision, and we found what was planted."""
    if theirs.tried != ours.tried:
        sys.exit(f"{theirs.tried} revisions were tried by pytest-alembic, {ours.tried} by us")
    if project.asymmetric not in {None, ours.found}:
        sys.exit(f"{project.asymmetric} faults were planted, we found {ours.found}")


def report(seen: Mapping[str, list[Measured]]) -> int:
    """Print the table and the ratio; return 1 if we are slower: missing the aim is no failure."""
    print(f"{'':<18}{'median s':>10}{'fastest':>10}{'slowest':>10}{'tried':>8}{'found':>8}")
    for name, runs in seen.items():
        taken = [m.seconds for m in runs]
        print(
            f"{name:<18}{statistics.median(taken):10.1f}{min(taken):10.1f}{max(taken):10.1f}"
            f"{runs[-1].tried:8}{runs[-1].found:8}"
        )
    theirs, ours = (statistics.median(m.seconds for m in runs) for runs in seen.values())
    print(f"{theirs / ours:.2f} times as fast, of {len(runs)} turns; the aim is {AIM:.0f}")
    return int(ours > theirs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python")
    parser.add_argument("runs", type=int, nargs="?", default=3)
    parser.add_argument("--project", choices=["generated", "mlflow"], default="generated")
    parser.add_argument("--revisions", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    sys.exit(main(parser.parse_args()))
