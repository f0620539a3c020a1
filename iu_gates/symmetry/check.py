"""
The whole of `iu-gates symmetry`: a project, a server, a choice of revisions, a baseline.
"""

from __future__ import annotations

import tomllib
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
from iu_gates.symmetry.restored import find_backup
from iu_gates.symmetry.trial import Notify, Plan, run


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
        rows_from: A backup to begin with.
        bin_dir: Where to look for what reads it.
    """

    conninfo: str
    project: Project
    plan: Plan = field(default_factory=Plan)
    revisions: str | None = None
    since: str | None = None
    baseline: Path | None = None
    write_baseline: Path | None = None
    rows_from: Path | None = None
    bin_dir: Path | None = None


def check(options: Options, notify: Notify = lambda _done, _all, _name: None) -> Report:
    """Try the revisions and hold them against the baseline; see `trial.run` for what it raises."""
    known = baselines.read(options.baseline) if options.baseline else Baseline({})
    plan = _chosen(options)
    with making(options.conninfo) as copies:
        if options.rows_from:
            found = find_backup(options.rows_from, copies.server_version, options.bin_dir)
            plan = replace(plan, restored=found)
        seen = run(options.project, copies, plan, notify)
    if plan.cache:
        plan.cache.forget()
    report = Report(seen, known, options.project.folder.resolve())
    if options.write_baseline:
        path = options.write_baseline
        before = baselines.read(path) if path.exists() else known
        is_whole = plan.choose is None and plan.restored is None and plan.with_walk
        baselines.write(path, report.results(), before, is_whole=is_whole)
        report = Report(seen, baselines.read(path), report.root)
    return report


def clean(conninfo: str) -> list[str]:
    """Drop the databases that killed runs left behind, and return their names."""
    return Copies(conninfo).drop_leftovers()


def find_config(config_file: Path) -> Path:
    """
    Return the project's configuration: this file, or a ``pyproject.toml`` beside it.

    Raises:
        UsageError: There is neither.
    """
    beside = config_file.with_name("pyproject.toml")
    if config_file.is_file():
        return config_file
    if beside.is_file() and "alembic" in tomllib.loads(beside.read_text("utf-8")).get("tool", {}):
        return beside
    raise UsageError(
        f'no Alembic configuration "{config_file}"',
        ident="IUG-090",
        wanted="an alembic.ini, or a pyproject.toml with [tool.alembic]",
        next_command="iu-gates symmetry --config path/to/alembic.ini",
    )


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
