"""Try public projects in both ways, compare verdict by verdict, print the table."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from projects_dump import WORK, Alembic, Postgres, Seen, check, working

from iu_gates.embedded import Server

ROOT: Final = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from tests.support.projects import make_project  # noqa: E402  it writes projects


@dataclass(frozen=True)
class Recipe:
    """
    How a project is run.

    Attributes:
        package: Its name on PyPI.
        config: Its alembic.ini, in site-packages.
        folder: The working directory, in site-packages.
        versions: In place of `config`: its versions, to be run with the plainest env.py.
        driver: In the URL.
        how: See `projects_command`.
        variables: Environment variables that hold the URL.
        environment: Others.
        setup: Python that makes what the first revision needs, with an `engine` at hand.
        options: Of `iu-gates symmetry`.
    """

    package: str
    config: str = ""
    folder: str = ""
    versions: str = ""
    driver: str = "postgresql+psycopg"
    how: str = "plain"
    variables: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    setup: str = ""
    options: tuple[str, ...] = ()


RECIPES: Final = {
    r.package: r
    for r in (
        Recipe("optuna", "optuna/storages/_rdb/alembic.ini", "optuna/storages/_rdb"),
        Recipe(
            "mlflow",
            "mlflow/store/db_migrations/alembic.ini",
            driver="postgresql+psycopg2",
            setup="from mlflow.store.tracking.dbmodels.initial_models import Base;"
            "Base.metadata.create_all(engine)",
        ),
        Recipe("dagster", "dagster_postgres/alembic/alembic.ini", how="connection"),
        Recipe(
            "prefect",
            "prefect/server/database/alembic.ini",
            driver="postgresql+asyncpg",
            how="thread",
            variables=("PREFECT_API_DATABASE_CONNECTION_URL",),
        ),
        Recipe(
            "arize-phoenix", "phoenix/db/alembic.ini", "phoenix/db", driver="postgresql+asyncpg"
        ),
        Recipe(
            "apache-airflow-core",
            "airflow/alembic.ini",
            variables=("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",),
            driver="postgresql+psycopg2",
        ),
        Recipe(
            "dstack",
            "dstack/_internal/server/alembic.ini",
            "dstack/_internal/server",
            driver="postgresql+asyncpg",
            variables=("DSTACK_DATABASE_URL",),
        ),
        Recipe("ckan", "ckan/migration/alembic.ini", driver="postgresql+psycopg2"),
        Recipe("octavia", versions="octavia/db/migration/alembic_migrations/versions"),
        Recipe("jupyterhub", versions="jupyterhub/alembic/versions"),
        Recipe(
            "apache_superset",
            versions="superset/migrations/versions",
            driver="postgresql+psycopg2",
            environment={"SUPERSET_SECRET_KEY": "a key for migrations alone, and for a trial"},
        ),
        Recipe(
            "galaxy-data",
            "galaxy/model/migrations/alembic.ini",
            driver="postgresql+psycopg2",
            options=("-x", "gxy_url={url}", "-x", "tsi_url={url}"),
            setup="import galaxy.model; galaxy.model.Base.metadata.create_all(engine)",
        ),
    )
}


def main(python: str, names: list[str], major: int | None, keep: Path | None) -> int:
    """Try each project that is there; return 1 if a verdict differs."""
    differ = 0
    with tempfile.TemporaryDirectory(prefix="iu-gates-projects-") as folder:
        directory = Path(folder)
        directory.chmod(0o711)
        server = Server(directory / "server", major=major, settings={"fsync": "off"})
        server.start()
        try:
            for name in names or RECIPES:
                if site := find_site(python, name):
                    trial = Trial(RECIPES[name], python, site[0], server)
                    differ += try_project(trial, site[1], keep or directory)
        finally:
            server.wipe()
    return int(differ > 0)


def find_site(python: str, package: str) -> tuple[Path, str] | None:
    """Return site-packages and the package's version; None if it is not installed there."""
    text = (
        "import sys, json, sysconfig; from importlib.metadata import version;"
        "print(json.dumps([sysconfig.get_path('purelib'), version(sys.argv[1])]))"
    )
    done = subprocess.run(
        [python, "-c", text, package], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return None
    site, version = json.loads(done.stdout)
    return Path(site), version


@dataclass(frozen=True)
class Trial:
    """A project as it is installed, and where it is tried."""

    recipe: Recipe
    python: str
    site: Path
    server: Server
    setup: str = ""
    plain: Path | None = None

    @property
    def config(self) -> Path:
        """Its alembic.ini, or one that names its versions."""
        return self.plain or self.site / self.recipe.config

    @property
    def folder(self) -> Path:
        """Its working directory."""
        return self.site / self.recipe.folder

    @property
    def postgres(self) -> Postgres:
        """The server, for the check."""
        return Postgres(self.server.conninfo(), self.server.bin_dir)


def try_project(trial: Trial, version: str, directory: Path) -> int:
    """Try a project in both ways, print its line and the differences; return how many."""
    trial = replace(trial, setup=make_setup(trial), plain=make_plain(trial, directory))
    ours = run_ours(trial, directory)
    theirs = run_check(trial)
    keep = {"ours": ours, "check": [asdict(s) for s in theirs]}
    (directory / f"{trial.recipe.package}.json").write_text(json.dumps(keep, indent=1), "utf-8")
    return report(trial.recipe, version, ours, theirs)


def environment(recipe: Recipe) -> dict[str, str]:
    """Return the environment of the project, with nothing of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
    home = tempfile.gettempdir()
    return {**kept, "AIRFLOW_HOME": f"{home}/airflow", **recipe.environment}


def make_plain(trial: Trial, directory: Path) -> Path | None:
    """Write the plainest env.py for a project's versions, and return its alembic.ini."""
    if not trial.recipe.versions:
        return None
    folder = Path(tempfile.mkdtemp(dir=directory))
    config = make_project(folder, ())
    versions = trial.site / trial.recipe.versions
    config.write_text(config.read_text("utf-8") + f"version_locations = {versions}\n", "utf-8")
    return config


def make_setup(trial: Trial) -> str:
    """Return the SQL of what the first revision needs."""
    recipe, postgres = trial.recipe, trial.postgres
    if not recipe.setup:
        return ""
    with working(postgres, ""):
        url = postgres.url(recipe.driver, WORK)
        text = f"import sqlalchemy; engine = sqlalchemy.create_engine({url!r}); {recipe.setup}"
        subprocess.run([trial.python, "-c", text], env=environment(recipe), check=True)
        dump = postgres.run("pg_dump", "--schema-only", WORK)
    return "\n".join(x for x in dump.splitlines() if not x.startswith("\\"))


def run_ours(trial: Trial, directory: Path) -> Any:
    """Return what `iu-gates symmetry` says."""
    recipe = trial.recipe
    file = directory / f"{recipe.package}.sql"
    file.write_text(trial.setup, "utf-8")
    command = Path(sys.executable).with_name("iu-gates")
    line = [
        str(command),
        "symmetry",
        "--json",
        "--no-cache",
        "--config",
        str(trial.config),
        "--setup-sql",
    ]
    line += [str(file), "--python", trial.python, "--driver", recipe.driver, *recipe.options]
    line += [x for v in recipe.variables for x in ("--url-variable", v)]
    done = subprocess.run(
        line,
        cwd=trial.folder,
        env={**environment(recipe), "IU_GATES_DATABASE_URL": trial.server.conninfo()},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout or "{}")
    if "revisions" not in found:
        sys.exit(f"{recipe.package}: {done.stdout}{done.stderr}")
    return found


def run_check(trial: Trial) -> list[Seen]:
    """Return what plain Alembic and `pg_dump` say."""
    recipe, postgres = trial.recipe, trial.postgres
    url = postgres.url(recipe.driver, WORK)
    with working(postgres, trial.setup):
        alembic = Alembic(trial.python, trial.config, trial.folder, recipe.how)
        alembic.start(url, {**environment(recipe), **dict.fromkeys(recipe.variables, url)})
        try:
            return list(check(postgres, alembic))
        finally:
            alembic.end()


def report(recipe: Recipe, version: str, ours: Any, theirs: list[Seen]) -> int:
    """Print the line of the table, and where the two differ."""
    revisions = {r["revision"]: r for r in ours["revisions"]}
    counts = Counter(r["outcome"] for r in revisions.values())
    walk = ours["walk"]["outcome"] if ours["walk"] else "not gone"
    today = datetime.now(UTC).date()
    shown = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
    print(f"| {recipe.package} | {version} | {len(revisions)} | {shown} | {walk} | {today} |")
    differ = 0
    for seen in theirs:
        our = revisions[seen.revision]["outcome"]
        if our != seen.verdict:
            differ += 1
            print(f"  {seen.revision}: we say {our}, the check {seen.verdict} {seen.why}")
            for change in seen.changes:
                print("    " + change.replace("\n", "\n    "))
    print(f"  {len(theirs)} revisions in both, {differ} verdicts differ", flush=True)
    return differ or int(not theirs)  # a check that saw nothing has not agreed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--major", type=int)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    sys.exit(main(given.python, given.names, given.major, given.keep))
