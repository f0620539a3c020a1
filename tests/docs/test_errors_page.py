"""docs/errors.md against the code: no id without a line, no line without an id."""

from __future__ import annotations

import re

from iu_gates import errors
from tests.docs.pages import read, read_sources

ID = re.compile(r"IUG-\d{3}")
STATE = re.compile(r"\bIUG\d{2}\b")
ROW = re.compile(r"^\| (IUG-?\d+) \|", re.MULTILINE)
RANGE = re.compile(r"IUG-\d{3} to IUG-\d{3}")


def test_every_id_has_one_line() -> None:
    """
    Each id that the code can raise stands in the tables, once, and nothing else does.
    """
    rows = [row for row in ROW.findall(read("docs/errors.md")) if "-" in row]

    assert sorted(rows) == sorted(set(ID.findall(read_sources(".py", ".sql"))))


def test_every_sqlstate_has_one_line() -> None:
    """
    Each SQLSTATE of ours stands in its table, once, and nothing else does.
    """
    rows = [row for row in ROW.findall(read("docs/errors.md")) if "-" not in row]

    assert sorted(rows) == sorted(set(STATE.findall(read_sources(".py", ".sql"))))


def test_every_class_has_its_exit_code() -> None:
    """
    The id that a class of errors falls back to stands under the heading of its exit code.
    """
    sections = re.split(r"^## (\d): ", read("docs/errors.md"), flags=re.MULTILINE)
    under = dict(zip(map(int, sections[1::2]), sections[2::2], strict=True))
    todo = [errors.IuGatesError]
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        if cls.__module__ == errors.__name__:
            assert f"| {cls.default_ident} |" in under[cls.exit_code]
