"""
The whole of `iu-gates symmetry`: a project, a server, a choice of revisions, a baseline.
"""

from __future__ import annotations

import configparser
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from iu_gates.errors import UsageError
from iu_gates.symmetry import baseline as baselines
from iu_gates.symmetry import choice
from iu_gates.symmetry.baseline import Baseline
from iu_gates.symmetry.copies import Copies, making
from iu_gates.symmetry.formats import Report
from iu_gates.symmetry.project import Project
from iu_gates.symmetry.trial import Notify, Plan, run

PLACEHOLDER = "postgresql+psycopg"


@dataclass(frozen=True, slots=True)
class Options:
    """
    What the command line says.

    Attributes:
        conninfo: Of the server on which databases are made.
        project: Whose revisions.
        plan: How to try them; `choose` is set from the two below.
        revisions: ``A:B``.
        since: A git revision.
        baseline: File of known faults.
        write_baseline: File to write them to.
    """

    conninfo: str
    project: Project
    plan: Plan = field(default_factory=Plan)
    revisions: str | None = None
    since: str | None = None
    baseline: Path | None = None
    write_baseline: Path | None = None


def check(options: Options, notify: Notify = lambda _done, _all, _name: None) -> Report:
    """Try the revisions and hold them against the baseline; see `trial.run` for what it raises."""
    known = baselines.read(options.baseline) if options.baseline else Baseline({})
    with making(options.conninfo) as copies:
        seen = run(options.project, copies, _chosen(options), notify)
    report = Report(seen, known, options.project.folder.resolve())
    if options.write_baseline:
        path = options.write_baseline
        before = baselines.read(path) if path.exists() else known
        baselines.write(path, report.results(), before)
        report = Report(seen, baselines.read(path), report.root)
    return report


def clean(conninfo: str) -> list[str]:
    """Drop the databases that killed runs left behind, and return their names."""
    return Copies(conninfo).drop_leftovers()


def read_driver(config_file: Path, section: str) -> str:
    """
    Return SQLAlchemy's name of dialect and driver, as the project's URL has it.

    Raises:
        UsageError: There is no such file.
    """
    if not config_file.is_file():
        raise UsageError(
            f'no Alembic configuration "{config_file}"',
            ident="IUG-090",
            wanted="an alembic.ini, or a pyproject.toml with [tool.alembic]",
            next_command="iu-gates symmetry --config path/to/alembic.ini",
        )
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(config_file, encoding="utf-8")
    except configparser.Error:
        return PLACEHOLDER
    scheme = parser.get(section, "sqlalchemy.url", fallback="").partition(":")[0]
    return scheme if scheme.startswith("postgresql") else PLACEHOLDER


def _chosen(options: Options) -> Plan:

    if options.revisions and options.since:
        raise UsageError(
            "--revisions and --since are two ways to say one thing",
            ident="IUG-010",
            next_command="iu-gates symmetry --help",
        )
    if options.revisions:
        choose = partial(choice.between, text=options.revisions)
        return replace(options.plan, choose=choose, with_walk=False)
    if options.since:
        folder = options.project.config_file.absolute().parent
        choose = partial(choice.changed_since, git_revision=options.since, folder=folder)
        return replace(options.plan, choose=choose, with_walk=False)
    return options.plan
