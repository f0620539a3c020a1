"""docs/failures.md: every test that it names exists, every id does, and the list is whole."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, read
from tests.support.failures import read_failures

PAGE = "docs/failures.md"
ID = re.compile(r"IUG-\d{3}")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ASKED = (
    "no rights",
    "no room for a dump",
    "disk full in the dump",
    "lock held by somebody",
    "another walk at work",
    "server killed",
    "client killed",
    "connection cut",
    "clock jumped",
    "standby",
    "pgbouncer in transaction mode",
    "half-applied DDL",
    "catalog drift",
    "wrong database",
    "revision unknown to this version",
    "several heads",
)


def test_every_way_is_in_the_table() -> None:
    """
    No way in which a step can fail is left out, and each line has its parts.
    """
    ways = read_failures()

    assert [asked for asked in ASKED if not any(way.startswith(asked) for way in ways)] == []


def test_every_line_names_a_test_that_exists() -> None:
    """
    The last column of each line holds at least one test, and each is there.
    """
    for failure in read_failures().values():
        tests = TEST.findall(failure.shown)
        assert tests, failure.way
        for path, name in tests:
            assert f"def {name}(" in (ROOT / path).read_text("utf-8"), f"{path}::{name}"


def test_every_id_exists_under_its_exit_code() -> None:
    """
    Each id stands in docs/errors.md, in the table of the exit code that the line gives.
    """
    sections = re.split(r"^## (\d): ", read("docs/errors.md"), flags=re.MULTILINE)
    under = dict(zip(map(int, sections[1::2]), sections[2::2], strict=True))

    for failure in read_failures().values():
        for ident in ID.findall(failure.first):
            assert f"| {ident} |" in under[failure.code], failure.way
