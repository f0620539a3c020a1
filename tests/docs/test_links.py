"""What pages point at is there: pages, headings, files, functions, tests, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iu_gates.cli.main import COMMANDS, GROUPS
from tests.docs.pages import (
    BLOCK,
    DOCS,
    PAGES,
    ROOT,
    anchors,
    list_blocks,
    list_links,
    page_id,
    read_sources,
)

MACHINE_PATH = re.compile(r"(?<![\w/.-])/(?:work|root|tmp)\b|\.mirror|\.library")
MENTIONED_PATH = re.compile(r"`((?:iu_gates|migrations|tests|scripts)/[\w./-]+?)(?:::(\w+))?`")
PLACEHOLDERS = {"migrations/objects/x.sql"}
FUNCTION = re.compile(r"\b(fn_\w+)\b")
COMMAND = re.compile(r"\biu-gates ([a-z][a-z-]+)(?: ([a-z][a-z-]+))?")
PROSE = {"gates", "toml"}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_resolve(path: Path) -> None:
    """
    Each link leads to a file that is there, and to a heading of it.
    """
    broken = []
    for target in list_links(path):
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_no_page_names_a_path_of_a_machine(path: Path) -> None:
    """
    No page holds a path that only the machine of its writer has.
    """
    assert MACHINE_PATH.findall(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_and_tests_named_are_there(path: Path) -> None:
    """
    A file of the code that a page names exists, and so does a test in it.
    """
    missing = []
    for name, test in MENTIONED_PATH.findall(path.read_text("utf-8")):
        file = ROOT / name
        if name in PLACEHOLDERS:
            continue
        if not file.exists() or (test and f"def {test}(" not in file.read_text("utf-8")):
            missing.append(f"{name}::{test}" if test else name)

    assert missing == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_functions_named_are_there(path: Path) -> None:
    """
    A function of the database that a page names is made by some SQL file.
    """
    made = set(re.findall(r"function (?:iu_gates\.)?(fn_\w+)\(", read_sources(".sql")))

    assert set(FUNCTION.findall(path.read_text("utf-8"))) <= made


def test_pages_named_in_code_are_there() -> None:
    """
    What an error or a finding sends its reader to exists.
    """
    named = set(re.findall(r"\bdocs/[\w/-]+\.md\b", read_sources(".py", ".sql")))

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_page_is_linked() -> None:
    """
    No page stands alone: each is linked from another one.
    """
    linked = {
        (path.parent / target.partition("#")[0]).resolve()
        for path in PAGES
        for target in list_links(path)
    }
    pages = [path for path in PAGES if path.is_relative_to(DOCS)]

    assert [page_id(path) for path in pages if path.resolve() not in linked] == []


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_commands_to_paste_exist(path: Path) -> None:
    """
    A command in a block to paste is one that there is.
    """
    plain = {name for name, _ in COMMANDS}
    groups = {name: {leaf for leaf, _ in leaves} for name, _, leaves in GROUPS}
    text = path.read_text("utf-8")
    inline = re.findall(r"`(iu-gates [^`]+)`", BLOCK.sub("", text))
    shell = [body for language, body in list_blocks(text) if language in ("sh", "ini", "sql", "")]
    unknown = [
        f"{command} {leaf}".strip()
        for line in [*inline, *shell]
        for command, leaf in COMMAND.findall(line)
        if command not in PROSE and command not in plain and leaf not in groups.get(command, ())
    ]

    assert unknown == []
