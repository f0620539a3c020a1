"""Every SQL file is read by PostgreSQL's own parser."""

from __future__ import annotations

import re
from pathlib import Path

import pglast
import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for top in ("iu_gates", "migrations") for path in (ROOT / top).rglob("*.sql"))

# Placeholders: psql's :"name", :'name' and :iu_name (see migrations/sqlfiles.py), psycopg's
# %(name)s.
IDENTIFIER = re.compile(r'(?<!:):"(\w+)"')
LITERAL = re.compile(r"(?<!:):'(\w+)'")
TEXT = re.compile(r"(?<!:):(iu_\w+)")
TYPE = "_type"  # a text variable that names a type; others are further columns, or nothing
PARAMETER = re.compile(r"%\((\w+)\)[sbt]")


def fill(text: str) -> str:
    """
    Return `text` as the server would get it, with something plain for each placeholder.

    psycopg reads ``%%`` as one sign, but only in a text with parameters.
    """
    text = LITERAL.sub(r"'\1'", IDENTIFIER.sub(r'"\1"', text))
    text = TEXT.sub(lambda match: "text" if match[1].endswith(TYPE) else "", text)
    return PARAMETER.sub("NULL", text).replace("%%", "%") if PARAMETER.search(text) else text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_parses(path: Path) -> None:
    """
    The file is valid SQL, and holds at least one statement.

    The bodies of functions are strings to this parser; the tests that run the migrations
    compile them.
    """
    assert pglast.parse_sql(fill(path.read_text(encoding="utf-8")))


def test_placeholders_are_filled() -> None:
    """
    Casts and assignments are left alone, placeholders become names and literals.
    """
    text = """select :"schema".f(x::"t", :'text', %(number)s, a[:n]) :iu_rest where a %% 2 = 1"""
    filled = """select "schema".f(x::"t", 'text', NULL, a[:n])  where a % 2 = 1"""
    assert fill(text) == filled
    assert fill("raise '%%'") == "raise '%%'"
