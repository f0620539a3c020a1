"""The table of docs/failures.md, and whether a command said what its line says."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tests.support.cli import Answer
from tests.support.walk import ROOT

PAGE: Final = ROOT / "docs" / "failures.md"
ROW: Final = re.compile(
    r"^\| ([^|]+) \| `([^|`]+)` \| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE
)


class Failure(NamedTuple):
    """
    One line of the table.

    Attributes:
        way: What goes wrong.
        first: The first line of the error, `…` for what differs.
        code: The exit code.
        left: The state left.
        then: The next command, `…` as in `first`.
        shown: The tests that show it.
    """

    way: str
    first: str
    code: int
    left: str
    then: str
    shown: str


def read_failures() -> dict[str, Failure]:
    """Return the lines of the table by the way in which something fails."""
    rows = ROW.findall(PAGE.read_text("utf-8"))
    found = [Failure(way, first, int(code), *rest) for way, first, code, *rest in rows]
    return {failure.way: failure for failure in found}


def assert_as_told(way: str, answer: Answer) -> None:
    """First line of the error, exit code and next command are those of the table."""
    told = read_failures()[way]
    clauses = [line for line in answer.err.splitlines() if line.startswith("IUG-")]
    if told.code == 0:
        clauses = answer.out.splitlines()[:1]
    assert len(clauses) == 1, answer
    assert _pattern(told.first).fullmatch(clauses[0]), f"{told.first}\n{answer}"
    assert answer.code == told.code, answer
    assert _pattern(told.then.strip("`")).fullmatch(answer.next_command), f"{told.then}\n{answer}"
    assert "Traceback" not in answer.err


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("…"))))
