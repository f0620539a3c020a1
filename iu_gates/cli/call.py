# ruff: noqa: PLC0415  the ledger is imported when it is looked at: see iu_gates.cli
"""What every command shares: the common options, and the way its outcome is shown."""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec, TypeVar, get_type_hints

import typer

from iu_gates import config, render
from iu_gates.config import Settings
from iu_gates.errors import IuGatesError, UsageError

GATE_NOT_SATISFIED: Final = 3
P = ParamSpec("P")
T = TypeVar("T")

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help='The database, as a libpq URL or conninfo; "embedded" is the server in the box.'
        " Else IU_GATES_DATABASE_URL, the settings file or libpq's PG* say it.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The settings file; else iu-gates.toml or pyproject.toml in the working directory.",
        show_default=False,
    ),
]
ExpectHead = Annotated[
    str | None,
    typer.Option(
        "--expect-head",
        metavar="SEQ:HASH",
        help="A head of the ledger that you kept: refused (exit 4) before anything is done, if the"
        " ledger does not hold it.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Show the outcome as one JSON object.")]
COMMON: Final = {
    "database_url": DatabaseUrl,
    "config_file": ConfigFile,
    "expect_head": ExpectHead,
    "as_json": AsJson,
}


@dataclass(frozen=True, slots=True)
class Call:
    """The common options of one call, wherever on the line they stood."""

    database_url: str | None = None
    config_file: Path | None = None
    expect_head: str | None = None
    as_json: bool = False

    def refuse_head(self) -> None:
        """Raise `UsageError` if --expect-head was given to a command that reads no ledger."""
        if self.expect_head is not None:
            kept = shlex.quote(self.expect_head)
            raise UsageError(
                "--expect-head has no meaning here: this command reads no ledger",
                means="nothing was done",
                next_command=f"iu-gates ledger verify --expect-head {kept}",
            )

    def settings(self) -> Settings:
        """Return the settings, for a command that needs no database."""
        self.refuse_head()
        return config.load(self.database_url, self.config_file)

    def database_settings(self, *, check_head: bool = True) -> Settings:
        """
        Return the settings, sure that they name a database, and one whose ledger holds the head.

        Args:
            check_head: False for a command that looks at --expect-head itself.

        Raises:
            UsageError: No database is named, or --expect-head cannot be read.
            RefusedError: The ledger does not hold what --expect-head says.
        """
        settings = config.load(self.database_url, self.config_file)
        config.require_url(settings)
        if check_head:
            self.require_head(settings)
        return settings

    def require_head(
        self, settings: Settings, *, chain: bool = True, effect: str = "nothing was done"
    ) -> None:
        """Raise `RefusedError` unless the ledger holds what --expect-head says, if it was given."""
        if self.expect_head is not None:
            from iu_gates import pin

            pin.require(settings, pin.parse(self.expect_head), chain=chain, effect=effect)

    def warn_of_head(self, settings: Settings, effect: str) -> None:
        """As `require_head`, for a command that must never be hindered: say it on stderr."""
        try:
            self.require_head(settings, effect=effect)
        except IuGatesError as error:
            render.write(render.error(error, render.terminal_width()), sys.stderr)

    def show(self, value: T, make_page: Callable[[T, int], render.Page]) -> None:
        """Show an outcome on stdout, as JSON or as a page."""
        if self.as_json:
            self.show_json(value)
        else:
            render.write(make_page(value, render.terminal_width()))

    def show_json(self, value: object) -> None:
        """Show JSON on stdout."""
        render.write_text(render.to_json(value))

    def show_written(
        self, settings: Settings, value: T, make_page: Callable[[T, int], render.Page]
    ) -> None:
        """As `show`, with the head of the ledger below: to be kept, and given to --expect-head."""
        from iu_gates.ledger import fetch_head

        try:
            seq, head = fetch_head(settings)
        except IuGatesError:  # what was done is done, and has to be shown
            seq, head = 0, ""
        if self.as_json:
            self.show_json({**render.jsonify(value), "ledger_seq": seq, "ledger_hash": head})
            return
        page = make_page(value, render.terminal_width())
        if head:
            page.field("ledger", render.head(seq, head))
        render.write(page)

    def say(self, text: str, *, written: Settings | None = None, **fields: object) -> None:
        """
        Show a sentence; as JSON, `fields` and the sentence as "message".

        Args:
            text: The sentence.
            written: Whose ledger was written to; its head is shown too.
            fields: For --json.
        """
        value = {**fields, "message": text}
        if written is None:
            self.show(value, lambda _, width: _sentence(text, width))
        else:
            self.show_written(written, value, lambda _, width: _sentence(text, width))

    def notify(self, gate: str, message: str) -> None:
        """Show a line of progress on stderr; with --json there is none."""
        if not self.as_json:
            render.write(render.notice(gate, message, render.terminal_width()), sys.stderr)

    @contextmanager
    def bar(self) -> Iterator[Callable[[int, int | None], None] | None]:
        """Show the bytes of a backup on the terminal while it is taken; with --json nothing."""
        if self.as_json:
            yield None
            return
        from iu_gates.render.progress import bar

        with bar("pg_dump") as progress:
            yield progress

    def confirm(self, question: str, again: str) -> bool:
        """
        Ask on the terminal, and return whether the answer was yes.

        Args:
            question: Without its question mark.
            again: The command that needs no answer.

        Raises:
            UsageError: There is nobody to ask: no terminal, or --json.
        """
        if self.as_json or not sys.stdin.isatty():
            raise UsageError(
                "there is nobody to ask: no terminal" + (", and --json" if self.as_json else ""),
                ident="IUG-080",
                wanted=f'a terminal to answer "{question}?", or --yes',
                means="nothing was done",
                next_command=again,
            )
        return typer.confirm(question, err=True)


def conclude(*, passed: bool) -> None:
    """End the command with exit code 3 if what it checked has a fault."""
    if not passed:
        raise typer.Exit(GATE_NOT_SATISFIED)


def common(body: Callable[Concatenate[Call, P], None]) -> Callable[..., None]:
    """
    Give a command the common options; its body gets them as a `Call`.

    What stands before the subcommand is kept in typer's context, and what stands after it
    wins. Options of its own follow in the body's signature; one that has the name of a common
    option is the body's own, and says something else.
    """
    shared = {n: a for n, a in COMMON.items() if n not in inspect.signature(body).parameters}

    @functools.wraps(body)
    def command(context: typer.Context, *args: P.args, **options: P.kwargs) -> None:
        given: dict[str, Any] = {name: options.pop(name) for name in shared}
        context.obj = _merged(context.obj or Call(), **given)
        body(context.obj, *args, **options)

    hints = get_type_hints(body, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in list(inspect.signature(body).parameters.values())[1:]
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    ours = [
        inspect.Parameter(n, keyword, default=_default(n), annotation=a) for n, a in shared.items()
    ]
    every = [p.replace(kind=keyword) for p in own] + ours
    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    _describe(command, [context, *every])
    return command


def _describe(command: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """Let typer see these parameters instead of those of the wrapper."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}


def _default(name: str) -> bool | None:
    return False if name == "as_json" else None


def _merged(
    before: Call,
    *,
    database_url: str | None,
    expect_head: str | None,
    as_json: bool,
    config_file: Path | None = None,
) -> Call:
    return Call(
        database_url or before.database_url,
        config_file or before.config_file,
        before.expect_head if expect_head is None else expect_head,
        as_json or before.as_json,
    )


def _sentence(text: str, width: int) -> render.Page:
    page = render.Page(width)
    page.text(text)
    return page
