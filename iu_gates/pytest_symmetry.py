"""
``pytest --symmetry``: one test a revision, and one for the walk to base and up again.

Loaded by pytest wherever iu-gates is installed, so it imports nothing of the rest until it is asked
for. Settings in pytest's ini file, under the names of the options without their dashes:

    symmetry_database_url   as --symmetry-database-url; else IU_GATES_DATABASE_URL
    symmetry_config         as --symmetry-config; else alembic.ini
    symmetry_setup_sql      a file of SQL that makes what the first revision needs
    symmetry_baseline       a file of known faults; what it excuses is an expected failure
    symmetry_url_variable   environment variables from which env.py takes its URL, one a line

All revisions are tried when the first of the tests runs, in one go; each test then says what was
found of its own. Under pytest-xdist one of the processes tries them, and the others wait for it.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from iu_gates.symmetry.formats import Report
    from iu_gates.symmetry.verdict import Result

WALK: Final = "walk to base and up again"
TEXTS: Final = {
    "database_url": "The server on which databases are made to try revisions in.",
    "config": "The project's alembic.ini.",
    "setup_sql": "SQL that makes what the first revision needs.",
    "baseline": "Faults that are known.",
}
REPORT: Final = pytest.StashKey["Report"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --symmetry and what goes with it."""
    group = parser.getgroup("symmetry", "upgrade/downgrade symmetry of Alembic revisions")
    group.addoption("--symmetry", action="store_true", help="Try each revision: up, down, up.")
    for name, text in TEXTS.items():
        group.addoption(f"--symmetry-{name.replace('_', '-')}", help=text, default=None)
        parser.addini(f"symmetry_{name}", text)
    parser.addini("symmetry_url_variable", "Variables for env.py.", type="linelist")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the tests, after those of the project."""
    if config.getoption("--symmetry"):
        collector = Revisions.from_parent(session, name="symmetry")
        items.extend(collector.collect())


class Revisions(pytest.Collector):
    """The revisions of the project, as tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield one test a revision, and one for the walk."""
        from iu_gates.symmetry.copies import making  # noqa: PLC0415  see above
        from iu_gates.symmetry.project import Runner  # noqa: PLC0415

        with _told_by_pytest():
            options = read_options(self.config)
            with making(options.conninfo) as copies, Runner(options.project) as runner:
                listing = runner.list_revisions(copies.make())
        for revision in listing.revisions:
            yield RevisionItem.from_parent(self, name=revision.name)
        yield RevisionItem.from_parent(self, name=WALK)


class RevisionItem(pytest.Item):
    """The test of one revision."""

    def runtest(self) -> None:
        """Fail with what was found of the revision."""
        from iu_gates.symmetry import formats  # noqa: PLC0415  see above

        report = self._report()
        result = self._find(report)
        if known := report.known(result):
            pytest.xfail(f"{result.outcome}, known: {known.reason}")
        if not result.passed:
            raise AsymmetryError("\n".join([result.outcome, *formats.lines(result)]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the findings, without a traceback through this file."""
        if isinstance(excinfo.value, AsymmetryError | pytest.UsageError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the revision in the report."""
        return self.path, None, f"symmetry: {self.name}"

    def _find(self, report: Report) -> Result:
        by_name = {r.revision.name: r for r in report.run.results}
        if self.name == WALK:
            assert report.run.walk is not None  # noqa: S101  it is always gone here
            return report.run.walk
        return by_name[self.name]

    def _report(self) -> Report:
        stash = self.session.stash
        if REPORT not in stash:
            stash[REPORT] = _try_once(self.config)
        return stash[REPORT]


def _try_once(config: pytest.Config) -> Report:
    """Try the revisions; of several processes of pytest-xdist the first does it for all."""
    if not hasattr(config, "workerinput"):
        return _try(config)
    # The folder that the workers of one run share; private, and removed by pytest.
    folder: Path = config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]  # noqa: SLF001
    with (folder / "iu-gates-symmetry").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if written := file.read():
            return pickle.loads(written)  # type: ignore[no-any-return]  # noqa: S301  our own
        report = _try(config)
        file.write(pickle.dumps(report))
        return report


def _try(config: pytest.Config) -> Report:
    from iu_gates.symmetry.check import check  # noqa: PLC0415  see above

    with _told_by_pytest():
        return check(read_options(config))


@contextmanager
def _told_by_pytest() -> Iterator[None]:
    """Raise our errors, which are about settings here, as pytest's own for that."""
    from iu_gates.errors import IuGatesError  # noqa: PLC0415  see above

    try:
        yield
    except IuGatesError as error:
        said = [f"{error.ident} {error.summary}"]
        said += [f"found: {error.found}"] if error.found else []
        said += [f"next: {error.next_command}"] if error.next_command else []
        raise pytest.UsageError("; ".join(said)) from error


class AsymmetryError(Exception):
    """A revision is not symmetric; the text says what was found."""


def read_options(config: pytest.Config) -> Any:
    """Return what the options and the ini file say."""
    from iu_gates import config as settings  # noqa: PLC0415  see above
    from iu_gates import db  # noqa: PLC0415
    from iu_gates.errors import UsageError  # noqa: PLC0415
    from iu_gates.symmetry import check  # noqa: PLC0415
    from iu_gates.symmetry.project import Project  # noqa: PLC0415
    from iu_gates.symmetry.trial import Plan  # noqa: PLC0415

    root = config.rootpath

    def read(name: str) -> str | None:
        given: str | None = config.getoption(f"--symmetry-{name.replace('_', '-')}")
        return given or config.getini(f"symmetry_{name}") or None

    url = read("database_url") or os.environ.get("IU_GATES_DATABASE_URL")
    file = root / (read("config") or "alembic.ini")
    setup, baseline = read("setup_sql"), read("baseline")
    conninfo = db.resolve_url(settings.load(url, cwd=root))
    project = Project(
        check.find_config(file),
        folder=root,
        url_variables=("DATABASE_URL", *config.getini("symmetry_url_variable")),
    )
    try:
        setup_sql = (root / setup).read_text("utf-8") if setup else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f'cannot read "{setup}": {error}',
            ident="IUG-089",
            next_command="iu-gates symmetry --help",
        ) from error
    plan = Plan(setup_sql=setup_sql, jobs=2)
    return check.Options(conninfo, project, plan, baseline=root / baseline if baseline else None)
