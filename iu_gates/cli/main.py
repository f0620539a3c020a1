"""The tree of commands, and the entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Final, NoReturn

import typer

from iu_gates import __version__, render
from iu_gates.cli import (
    approval,
    backup,
    checks,
    dead_letter,
    demo,
    failure,
    gates,
    history,
    ledger,
    move,
    route,
    symmetry,
    undo,
    worker,
)
from iu_gates.cli.call import Call, common

Commands = tuple[tuple[str, Callable[..., None]], ...]

COMMANDS: Final[Commands] = (
    ("status", gates.status),
    ("plan", gates.plan),
    ("advance", gates.advance),
    ("approve", approval.approve),
    ("reject", approval.reject),
    ("disable", undo.disable),
    ("rollback", undo.rollback),
    ("prove", gates.prove),
    ("rehearse", gates.rehearse),
    ("audit", checks.audit),
    ("doctor", checks.doctor),
    ("drift", checks.drift),
    ("adopt", gates.adopt),
    ("rebase", move.rebase),
    ("backfill", move.backfill),
    ("symmetry", symmetry.symmetry),
    ("demo", demo.demo),
)
GROUPS: Final[tuple[tuple[str, Callable[..., None], Commands], ...]] = (
    (
        "backup",
        backup.group,
        (
            ("create", backup.create),
            ("verify", backup.verify),
            ("list", backup.list_),
            ("prune", backup.prune),
            ("register", backup.register),
        ),
    ),
    (
        "worker",
        worker.group,
        (("run", worker.run), ("once", worker.once), ("install", worker.install)),
    ),
    (
        "route",
        route.group,
        (
            ("list", route.list_),
            ("show", route.show),
            ("add", route.add),
            ("set", route.set_),
            ("enable", route.enable),
            ("disable", route.disable),
            ("replay", route.replay),
            ("skip-to", route.skip_to),
        ),
    ),
    (
        "dead-letter",
        dead_letter.group,
        (
            ("list", dead_letter.list_),
            ("show", dead_letter.show),
            ("redrive", dead_letter.redrive),
        ),
    ),
    (
        "history",
        history.group,
        (
            ("export", history.export),
            ("verify", history.verify),
            ("prune", history.prune),
            ("purge", history.purge),
        ),
    ),
    (
        "ledger",
        ledger.group,
        (("show", ledger.show), ("verify", ledger.verify), ("export", ledger.export)),
    ),
)


def show_version(wanted: bool) -> None:
    """Show the version and end."""
    if wanted:
        render.write_text(f"iu-gates {__version__}\n")
        raise typer.Exit


@common
def root(
    call: Call,
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """
    Take a PostgreSQL outbox route from dry-run to live through proven gates, and back.

    Exit codes: 0 done, 1 a bug, 2 usage, 3 a gate is not satisfied, 4 refused, 5 the database
    or a tool cannot be reached, 6 someone else holds the lock, 7 off but not drained.
    """


def make_app() -> typer.Typer:
    """Return the tree of commands; help is plain text, for a pipe as for a terminal."""
    app = _typer("iu-gates")
    app.callback()(root)
    for name, command in COMMANDS:
        app.command(name)(command)
    for name, group, commands in GROUPS:
        branch = _typer(name)
        branch.callback()(group)
        for leaf, command in commands:
            branch.command(leaf)(command)
        app.add_typer(branch)
    return app


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; no exception leaves."""
    line = list(arguments) or ["--help"]
    try:
        outcome = app(line, prog_name="iu-gates", standalone_mode=False)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        return failure.report(error, line, as_json=failure.wants_json(line))
    return outcome if isinstance(outcome, int) else 0


def run() -> NoReturn:
    """Run the command line of this process: the entry point."""
    sys.exit(main(sys.argv[1:]))


def _typer(name: str) -> typer.Typer:
    return typer.Typer(
        name=name,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


app: Final = make_app()
