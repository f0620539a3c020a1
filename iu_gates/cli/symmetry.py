# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""Upgrade/downgrade symmetry of any Alembic project."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common, conclude
from iu_gates.errors import UsageError

if TYPE_CHECKING:
    from iu_gates.symmetry.check import Options
    from iu_gates.symmetry.formats import Report

HELP: Final = "iu-gates symmetry --help"


def _option(*names: str, metavar: str | None = None, text: str, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, show_default=False, **more)


ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The project's alembic.ini.")
]
Section = Annotated[str, typer.Option("--name", "-n", metavar="SECTION", help="Its section.")]
Revisions = Annotated[
    str | None, _option("--revisions", metavar="A:B", text="Only from A to B; else all.")
]
Since = Annotated[
    str | None,
    _option("--since", metavar="GIT_REV", text="Only revisions whose files changed since then."),
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Databases at the same time.")
]
RowsFrom = Annotated[
    Path | None,
    _option(
        "--rows-from",
        metavar="BACKUP",
        text="Begin with this dump of pg_dump, and try what comes after it on real rows.",
    ),
]
SetupSql = Annotated[
    Path | None,
    _option("--setup-sql", metavar="FILE", text="SQL that makes what the first revision needs."),
]
ExcludeSchema = Annotated[
    list[str] | None, _option("--exclude-schema", metavar="NAME", text="Not compared.")
]
Rows = Annotated[bool, typer.Option("--rows/--no-rows", help="Compare rows too.")]
Walk = Annotated[
    bool, typer.Option("--walk/--no-walk", help="End with the walk to base and up again.")
]
Refuses = Annotated[
    list[str] | None,
    _option(
        "--refuses",
        metavar="REGEX",
        text="A downgrade that fails with such a message refuses by design.",
    ),
]
Baseline = Annotated[
    Path | None, _option("--baseline", metavar="FILE", text="Faults that are known.")
]
WriteBaseline = Annotated[
    Path | None,
    _option(
        "--write-baseline",
        metavar="FILE",
        text="Write the faults there; from then on they are known.",
    ),
]
CacheFolder = Annotated[
    Path | None,
    _option(
        "--cache",
        metavar="FOLDER",
        text="Where verdicts are kept; else in XDG_CACHE_HOME, or ~/.cache.",
    ),
]
UseCache = Annotated[
    bool,
    typer.Option("--use-cache/--no-cache", help="Take the verdicts on what has not changed."),
]
Junit = Annotated[Path | None, _option("--junit", metavar="FILE", text="JUnit XML.")]
Sarif = Annotated[Path | None, _option("--sarif", metavar="FILE", text="SARIF.")]
Markdown = Annotated[Path | None, _option("--markdown", metavar="FILE", text="For a pull request.")]
Github = Annotated[bool, typer.Option("--github", help="Annotations of GitHub Actions on stdout.")]
UrlVariable = Annotated[
    list[str] | None,
    _option(
        "--url-variable",
        metavar="NAME",
        text="Environment variable from which env.py takes its URL; DATABASE_URL gets it too.",
    ),
]
XArgument = Annotated[
    list[str] | None, _option("-x", metavar="NAME=VALUE", text="As alembic -x; {url} is the URL.")
]
Driver = Annotated[
    str | None,
    _option(
        "--driver",
        metavar="NAME",
        text="Such as postgresql+asyncpg; else that of sqlalchemy.url, or what there is.",
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Of one step.")]
Python = Annotated[
    str,
    _option(
        "--python", metavar="FILE", text="The interpreter that has the project; else this one."
    ),
]
PlainEnv = Annotated[
    bool,
    typer.Option("--plain-env", help="Where env.py cannot be run: do as the plainest does."),
]
Clean = Annotated[bool, typer.Option("--clean", help="Drop what killed runs left behind, and end.")]


@common
def symmetry(  # noqa: PLR0917  typer gives every option by name
    call: Call,
    config_file: ConfigFile = Path("alembic.ini"),
    section: Section = "alembic",
    revisions: Revisions = None,
    since: Since = None,
    jobs: Jobs = 2,
    rows_from: RowsFrom = None,
    setup_sql: SetupSql = None,
    exclude_schema: ExcludeSchema = None,
    rows: Rows = True,
    walk: Walk = True,
    refuses: Refuses = None,
    baseline: Baseline = None,
    write_baseline: WriteBaseline = None,
    cache: CacheFolder = None,
    use_cache: UseCache = True,
    junit: Junit = None,
    sarif: Sarif = None,
    markdown: Markdown = None,
    github: Github = False,
    url_variable: UrlVariable = None,
    x: XArgument = None,
    driver: Driver = None,
    timeout: Timeout = 300.0,
    python: Python = "",
    plain_env: PlainEnv = False,
    clean: Clean = False,
) -> None:
    """
    Try each revision of an Alembic project: up, down, up again.

    Exit 3 if one is not symmetric. Each is tried in a copy of a database made for this, through
    the project's own env.py, and catalog and rows are compared. The server is only used to make
    such databases.
    """
    given = dict(locals())
    settings = call.database_settings()
    from iu_gates import db

    conninfo = db.resolve_url(settings)
    if clean:
        _clean(call, conninfo)
        return
    options = _read_options(given, conninfo, settings.bin_dir)
    report = _check(call, options)
    _write_files(report, junit=junit, sarif=sarif, markdown=markdown)
    _show(call, report, github=github)
    conclude(passed=not report.failures)


def _clean(call: Call, conninfo: str) -> None:
    from iu_gates.symmetry import check

    gone = check.clean(conninfo)
    call.say(f"dropped {len(gone)} databases", dropped=gone)


def _read_options(given: dict[str, Any], conninfo: str, bin_dir: Path | None) -> Options:
    """Return what the command line says; `given` are its options by name."""
    from iu_gates.symmetry.cache import Cache
    from iu_gates.symmetry.check import Options, find_config
    from iu_gates.symmetry.project import Project
    from iu_gates.symmetry.trial import Plan

    project = Project(
        find_config(given["config_file"]),
        given["section"],
        folder=Path.cwd(),
        driver=given["driver"] or "",
        url_variables=("DATABASE_URL", *(given["url_variable"] or ())),
        x_arguments=tuple(given["x"] or ()),
        step_seconds=given["timeout"],
        python=given["python"] or sys.executable,
        plain_env=given["plain_env"],
    )
    plan = Plan(
        setup_sql=_read(given["setup_sql"]),
        exclude_schemas=tuple(given["exclude_schema"] or ()),
        with_rows=given["rows"],
        refusals=tuple(_require_pattern(p) for p in given["refuses"] or ()),
        jobs=given["jobs"],
        with_walk=given["walk"],
        cache=Cache(given["cache"] or _find_cache()) if given["use_cache"] else None,
    )
    return Options(
        conninfo,
        project,
        plan,
        given["revisions"],
        given["since"],
        given["baseline"],
        given["write_baseline"],
        given["rows_from"],
        bin_dir,
    )


def _check(call: Call, options: Options) -> Report:
    from iu_gates.render.progress import counter
    from iu_gates.symmetry.check import check

    with _interruptible(), counter("revisions", wanted=not call.as_json) as tick:
        return check(options, tick)


def _write_files(
    report: Report, *, junit: Path | None, sarif: Path | None, markdown: Path | None
) -> None:
    from iu_gates.symmetry import formats

    written = (junit, formats.to_junit), (sarif, formats.to_sarif), (markdown, formats.to_markdown)
    for path, make in written:
        if path:
            try:
                path.write_text(make(report), "utf-8")
            except OSError as error:
                raise UsageError(
                    f'cannot write "{path}": {error.strerror}', next_command=HELP
                ) from error


def _show(call: Call, report: Report, *, github: bool) -> None:
    from iu_gates.symmetry import formats

    if call.as_json:
        call.show_json(formats.to_dict(report))
    elif github:
        render.write_text(formats.to_github(report))
    else:
        from iu_gates.render.symmetry import symmetry as page

        call.show(report, page)


@contextmanager
def _interruptible() -> Iterator[None]:
    """End as by Ctrl-C when a CI job is cancelled, so that what was made is dropped."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _find_cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "iu-gates" / "symmetry"


def _read(path: Path | None) -> str:
    try:
        return path.read_text("utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f'cannot read "{path}": {error}', ident="IUG-089", next_command=HELP
        ) from error


def _require_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"--refuses {pattern!r} is no regular expression: {error}",
            ident="IUG-010",
            next_command=HELP,
        ) from error
    return pattern
