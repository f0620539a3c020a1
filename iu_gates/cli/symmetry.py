# ruff: noqa: PLC0415  a use case is imported when its command is called: see iu_gates.cli
"""Upgrade/downgrade symmetry of any Alembic project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from iu_gates import render
from iu_gates.cli.call import Call, common, conclude
from iu_gates.errors import UsageError


@common
def symmetry(  # noqa: PLR0917  typer gives every option by name
    call: Call,
    config_file: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="The project's alembic.ini.")
    ] = Path("alembic.ini"),
    section: Annotated[
        str, typer.Option("--name", "-n", metavar="SECTION", help="Its section.")
    ] = "alembic",
    revisions: Annotated[
        str | None,
        typer.Option(
            "--revisions", metavar="A:B", help="Only from A to B; else all.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="GIT_REV",
            help="Only revisions whose files changed since then.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Databases at the same time.")
    ] = 2,
    setup_sql: Annotated[
        Path | None,
        typer.Option(
            "--setup-sql",
            metavar="FILE",
            help="SQL that makes what the first revision needs.",
            show_default=False,
        ),
    ] = None,
    exclude_schema: Annotated[
        list[str] | None,
        typer.Option("--exclude-schema", metavar="NAME", help="Not compared.", show_default=False),
    ] = None,
    rows: Annotated[bool, typer.Option("--rows/--no-rows", help="Compare rows too.")] = True,
    walk: Annotated[
        bool, typer.Option("--walk/--no-walk", help="End with the walk to base and up again.")
    ] = True,
    refuses: Annotated[
        list[str] | None,
        typer.Option(
            "--refuses",
            metavar="REGEX",
            help="A downgrade that fails with such a message refuses by design.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="FILE", help="Faults that are known.", show_default=False
        ),
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option(
            "--write-baseline",
            metavar="FILE",
            help="Write the faults there; from then on they are known.",
            show_default=False,
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="JUnit XML.", show_default=False)
    ] = None,
    sarif: Annotated[
        Path | None, typer.Option("--sarif", metavar="FILE", help="SARIF.", show_default=False)
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="For a pull request.", show_default=False),
    ] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Annotations of GitHub Actions on stdout.")
    ] = False,
    url_variable: Annotated[
        list[str] | None,
        typer.Option(
            "--url-variable",
            metavar="NAME",
            help="Environment variable from which env.py takes its URL; DATABASE_URL gets it too.",
            show_default=False,
        ),
    ] = None,
    x: Annotated[
        list[str] | None,
        typer.Option(
            "-x", metavar="NAME=VALUE", help="As alembic -x; {url} is the URL.", show_default=False
        ),
    ] = None,
    driver: Annotated[
        str | None,
        typer.Option(
            "--driver",
            metavar="NAME",
            help="Such as postgresql+asyncpg; else that of sqlalchemy.url, or psycopg.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Of one step.")
    ] = 300.0,
    clean: Annotated[
        bool, typer.Option("--clean", help="Drop what killed runs left behind, and end.")
    ] = False,
) -> None:
    """
    Try each revision of an Alembic project: up, down, up again.

    Exit 3 if one is not symmetric. Each is tried in a copy of a database made for this, through
    the project's own env.py, and catalog and rows are compared. The server is only used to make
    such databases.
    """
    settings = call.database_settings()
    from iu_gates import db
    from iu_gates.symmetry import check as checks
    from iu_gates.symmetry import formats
    from iu_gates.symmetry.project import Project
    from iu_gates.symmetry.trial import Plan

    conninfo = db.resolve_url(settings)
    if clean:
        gone = checks.clean(conninfo)
        call.say(f"dropped {len(gone)} databases", dropped=gone)
        return
    for pattern in refuses or ():
        _require_pattern(pattern)
    project = Project(
        config_file,
        section,
        folder=Path.cwd(),
        driver=driver or checks.read_driver(config_file, section),
        url_variables=("DATABASE_URL", *(url_variable or ())),
        x_arguments=tuple(x or ()),
        step_seconds=timeout,
    )
    plan = Plan(
        setup_sql=_read(setup_sql),
        exclude_schemas=tuple(exclude_schema or ()),
        with_rows=rows,
        refusals=tuple(refuses or ()),
        jobs=jobs,
        with_walk=walk,
    )
    options = checks.Options(conninfo, project, plan, revisions, since, baseline, write_baseline)
    from iu_gates.render.progress import counter

    with counter("revisions", wanted=not call.as_json) as tick:
        report = checks.check(options, tick)
    written = (junit, formats.to_junit), (sarif, formats.to_sarif), (markdown, formats.to_markdown)
    for path, make in written:
        if path:
            path.write_text(make(report), "utf-8")
    if call.as_json:
        call.show_json(formats.to_dict(report))
    elif github:
        render.write_text(formats.to_github(report))
    else:
        from iu_gates.render.symmetry import symmetry as page

        call.show(report, page)
    conclude(passed=not report.failures)


def _read(path: Path | None) -> str:
    try:
        return path.read_text("utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'cannot read "{path}": {error}', ident="IUG-089") from error


def _require_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"--refuses {pattern!r} is no regular expression: {error}", ident="IUG-010"
        ) from error
