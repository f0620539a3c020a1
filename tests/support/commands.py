"""
The commands that the source names to a user, and whether they can be pasted.

A string counts that is given as `next_command` or `remedy`, by that name or in that place, or
that a constant or variable of such a name holds; and in SQL each ``hint`` that begins with our
name. What stands in braces is put in as "nine", or as 9 where only that will do.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pglast
import typer

from iu_gates.cli.main import make_app
from iu_gates.errors import AS_ANOTHER, SAME

ROOT = Path(__file__).parents[2]
NAMES = {"hint", "mend", "next_command", "remedy", "ways_on"}
CONSTANTS = {"ADOPT", "ELSEWHERE", "GIVE", "MEND", "NEXT", "REGISTER", "REMEDY", "WORKER"}
TABLES = {"CAUSES", "REMEDIES"}
"""Tables with a command at the end of each row."""

PLACES = {
    "Adoption": 3,
    "Finding": 4,
    "Problem": 3,
    "RefusalError": 3,
    "_judge_none": 2,
    "_refused": 1,
    "as_finding": 1,
    "confirm": 1,
}
"""Functions that take a command without its name, and where."""

FILLED = {
    "AS_ANOTHER": AS_ANOTHER,
    "AGAIN": "iu-gates backup create",
    "SAME": SAME,
    "choice": "approve",
    "context.command_path if context else 'iu-gates'": "iu-gates status",
    "option": "--moved",
    "unit.kind.replace('_', '-')": "cron",
    "scope": " --route nine",
    "_name_command(result.route)": "iu-gates disable",
    "_grant('pg_read_all_data', login)": "grant nine to nine",
}
"""What stands in braces and is more than a name."""

SHELL = {
    "alembic",
    "apt-get",
    "chmod",
    "df",
    "export",
    "git",
    "install",
    "ls",
    "pg_dump",
    "pg_isready",
    "pip",
    "psql",
    "tail",
    "unset",
    "useradd",
}
"""Programs that a user is told to run, ours aside."""

SQL = {"alter", "create", "drop", "grant", "select", "set", "update"}
BRACES = re.compile(r"\{\w*\}")
HINT = re.compile(r"\bhint = (?:format\()?'((?:[^']|'')*)'")
ENDS = {"&&", "||", ";", "|"}
PROSE = re.compile(r"[,.:;]$|,\s")


def list_commands(path: Path) -> Iterator[tuple[int, str]]:
    """Give line and text of each command that a module names."""
    constants = _read_constants(path)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        for value in _list_values(node):
            yield from ((value.lineno, text) for text in _list_texts(value, constants) if text)


def _read_constants(path: Path) -> dict[str, object]:
    """Return what a module of the package holds by name; the migrations cannot be imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return vars(importlib.import_module(".".join(parts))) if parts[0] == "iu_gates" else {}


def list_hints(path: Path) -> Iterator[str]:
    """Give the hints of an SQL file that are meant to be typed."""
    hints = (hint.replace("''", "'") for hint in HINT.findall(path.read_text("utf-8")))
    return (hint.replace("%s", "nine") for hint in hints if hint.startswith("iu-gates"))


def find_fault(command: str) -> str | None:
    """Return why a command cannot be pasted; None if it can."""
    fault = _find_fault(BRACES.sub("nine", command))
    return fault and _find_fault(BRACES.sub("9", command).replace("nine", "9")) and fault


def _find_fault(text: str) -> str | None:
    if text.partition(" ")[0] in SQL:
        return _find_sql_fault(text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError as error:
        return str(error)
    while ">" in words:
        del words[words.index(">") : words.index(">") + 2]
    parts = itertools.groupby(words, ENDS.__contains__)
    faults = (_find_fault_of_one(list(part)) for is_end, part in parts if not is_end)
    return next(filter(None, faults), None)


def _find_sql_fault(text: str) -> str | None:
    try:
        pglast.parse_sql(text)
    except pglast.parser.ParseError as error:
        return str(error)
    return None


def _find_fault_of_one(words: Sequence[str]) -> str | None:
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words[0] == SAME:
        return None if len(words) == 1 else "words after the command that was typed"
    if words[0] == "iu-gates":
        return _find_parsers_fault(words[1:])
    if words[0] not in SHELL:
        return f'"{words[0]}" is no program that a user is told to run'
    return next((f'"{word}" is prose' for word in words if PROSE.search(word)), None)


@cache
def _make_parser() -> Any:
    return typer.main.get_command(make_app())


def _find_parsers_fault(words: Sequence[str]) -> str | None:
    """Return what our own parser has against a line; nothing is run."""
    is_help = "--help" in words
    left = [word for word in words if word != "--help"]
    command: Any = _make_parser()
    name: str | None = "iu-gates"
    try:
        while hasattr(command, "resolve_command"):
            if not left:
                return None if is_help else f"{name}: no command"
            context = command.make_context(name, left)
            name, command, left = command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
        command.make_context(name, left, resilient_parsing=is_help)
    except Exception as error:  # noqa: BLE001  whatever it has against it
        return f"{type(error).__name__}: {error}"
    return None


def _list_values(node: ast.AST) -> Iterator[ast.expr]:
    """Give the expressions of a node that hold a command."""
    if isinstance(node, ast.Call):
        yield from (keyword.value for keyword in node.keywords if keyword.arg in NAMES)
        place = PLACES.get(getattr(node.func, "attr", getattr(node.func, "id", "")), len(node.args))
        yield from node.args[place : place + 1]
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {getattr(target, "id", "").lstrip("_") for target in targets}
        if names & (NAMES | CONSTANTS):
            yield node.value
        elif names & TABLES and isinstance(node.value, ast.Tuple):
            yield from (row.elts[-1] for row in node.value.elts if isinstance(row, ast.Tuple))


def _list_texts(value: ast.expr, constants: Mapping[str, object]) -> Iterator[str]:
    """Give each text that an expression may come to; none for what is made elsewhere."""
    parts: list[ast.expr] = []
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(map(_fill, value.values))
    elif isinstance(value, ast.Name) and isinstance(constant := constants.get(value.id), str):
        yield constant
    elif isinstance(value, ast.IfExp):
        parts = [value.body, value.orelse]
    elif isinstance(value, ast.BoolOp):
        parts = value.values
    elif isinstance(value, ast.Tuple | ast.List):
        parts = value.elts
    for part in parts:
        yield from _list_texts(part, constants)


def _fill(part: ast.expr) -> str:
    if not isinstance(part, ast.FormattedValue):
        return str(part.value) if isinstance(part, ast.Constant) else "nine"
    text = ast.unparse(part.value)
    return FILLED.get(text, FILLED.get(text.rpartition(".")[2], "nine"))
