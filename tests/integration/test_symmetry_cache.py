"""Verdicts from the cache: what saves a trial, and what must never be hidden by it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates.embedded import Server
from iu_gates.symmetry import cache as caches
from iu_gates.symmetry import ground
from iu_gates.symmetry.cache import Cache, Chain
from iu_gates.symmetry.copies import making
from iu_gates.symmetry.project import Failure, Project, Revision
from iu_gates.symmetry.snapshot import Snapshot
from iu_gates.symmetry.trial import Plan, Run, run
from iu_gates.symmetry.verdict import Picture, Result
from tests.support.databases import Servers
from tests.support.projects import ENV, Rev, chain, make_project

PROJECT = chain(
    Rev("a", "create table a (id int)", "drop table a"),
    Rev(
        "b",
        'import helper, os\nop.execute(open("sql/b.sql").read())',
        'import os\nop.execute("drop table b" if os.environ.get("MODE") != "keep" else "select 1")',
        python=True,
    ),
    Rev("c", "create type c as enum ('x')", ""),
)
ALL = ["a", "b", "c", "base ← heads"]


@pytest.fixture
def server(servers: Servers, major: int) -> Server:
    """Give a server to make databases on."""
    return servers.get(major)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Give a project that reads SQL, a helper and a variable besides its revisions."""
    folder = tmp_path / "project"
    ini = make_project(folder, PROJECT, ENV)
    (folder / "sql").mkdir()
    (folder / "sql" / "b.sql").write_text("create table b (id int)")
    (folder / "helper.py").write_text("WORD = 'x'\n")
    (folder / "migrations" / "beside.txt").write_text("nothing reads it")
    for path in folder.rglob("*"):
        _age(path)
    return Project(ini, folder=folder, step_seconds=60)


@pytest.fixture
def attempt(server: Server, project: Project, tmp_path: Path) -> Callable[[], Run]:
    """Give a function that tries the project with a cache."""

    def go() -> Run:
        with making(server.conninfo()) as copies:
            return run(project, copies, Plan(cache=Cache(tmp_path / "cache")))

    return go


def _age(path: Path) -> None:
    """Let a file be older than any run: what changes meanwhile is not kept."""
    os.utime(path, (time.time() - 10, time.time() - 10))


def test_unchanged_revisions_are_not_tried_again(
    attempt: Callable[[], Run], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A second run has the same verdicts from the cache; what a revision reads, and it alone, voids.
    """
    first = attempt()
    assert first.cached == ()

    second = attempt()

    assert list(second.cached) == ALL
    strip = [(replace(r, seconds=0.0), replace(s, seconds=0.0)) for r, s in _pairs(first, second)]
    assert all(one == other for one, other in strip)

    (project.folder / "README").write_text("nothing reads it")
    assert list(attempt().cached) == ALL

    monkeypatch.setenv("MODE", "keep")
    changed = attempt()
    assert list(changed.cached) == ["a"], "its process had not asked for it then"
    assert changed.results[1].outcome == "asymmetric"


def _pairs(one: Run, other: Run) -> list[tuple[Result, Result]]:
    assert one.walk is not None
    assert other.walk is not None
    return list(zip((*one.results, one.walk), (*other.results, other.walk), strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("helper.py", "WORD = 'y'\n", marks=pytest.mark.long),
        pytest.param("sql/b.sql", "create table b (id bigint)", marks=pytest.mark.long),
        ("migrations/versions/b.py", None),
        pytest.param("migrations/env.py", None, marks=pytest.mark.long),
        ("migrations/beside.txt", "now something might"),
    ],
)
def test_change_of_a_file_is_never_hidden(
    attempt: Callable[[], Run], project: Project, name: str, text: str | None
) -> None:
    """
    A file that was read, however, or that lies beside the revisions, voids what came of it.
    """
    attempt()
    path = project.folder / name
    path.write_text(f"{path.read_text()}\n# changed\n" if text is None else text)
    _age(path)

    cached = attempt().cached

    assert list(cached) == ([] if "env" in name or "beside" in name else ["a"])


def test_names_in_a_folder_that_was_listed_count(
    attempt: Callable[[], Run], project: Project
) -> None:
    """
    A revision that goes through a folder depends on what is in it; an import goes through many.
    """
    (version,) = project.folder.rglob("b.py")
    lists = "import pathlib, helper, os; assert list(pathlib.Path('sql').glob('*'))"
    version.write_text(version.read_text().replace("import helper, os", lists))
    _age(version)
    attempt()
    assert list(attempt().cached) == ALL

    (project.folder / "beside.txt").write_text("a new name where modules are looked for")
    (project.folder / "sql" / "__pycache__").mkdir()
    assert list(attempt().cached) == ALL

    (project.folder / "sql" / "c.sql").write_text("select 1")
    assert list(attempt().cached) == ["a"]


GROUND = {"tool": 1, "server": 1}
REVISION = Revision("r", (), (), (), "", Path("r.py"))
BEFORE, AFTER = Picture(Snapshot({}), {}), Picture(Snapshot({("table", "t"): {}}), {})
SEEN = Result(REVISION, "symmetric")


def find(
    cache: Cache,
    folder: Path,
    facts: Mapping[str, Any] = GROUND,
    texts: Mapping[str, str] | None = None,
    pictures: tuple[Picture, Picture] = (BEFORE, AFTER),
    *,
    keep: bool = False,
) -> Result | None:
    """Look for the verdict on the last of two revisions; keep one there."""
    revisions = []
    for name, text in {"p": "parent", "r": "itself", **(texts or {})}.items():
        (folder / f"{name}.py").write_text(text)
        _age(folder / f"{name}.py")
        revisions.append(Revision(name, (), (), (), "", folder / f"{name}.py"))
    links = Chain(cache, facts, Project(folder / "alembic.ini", folder=folder), revisions)
    for revision in revisions[:2]:
        links.add(revision)
    place = links.place(revisions[1], *pictures)
    if keep:
        place.keep(SEEN, ["V SOME_NAME"])
    return place.find(REVISION)


def test_every_part_of_the_key_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Another ground, text, parent, catalog or variable is another key; the same one is found.
    """
    cache = Cache(tmp_path / "cache")
    assert find(cache, tmp_path, keep=True) == SEEN
    assert find(cache, tmp_path) == SEEN
    assert find(cache, tmp_path, texts={"later": "not in the trunk yet"}) == SEEN

    assert find(cache, tmp_path, {**GROUND, "server": 2}) is None
    assert find(cache, tmp_path, texts={"r": "other"}) is None
    assert find(cache, tmp_path, texts={"p": "other"}) is None
    assert find(cache, tmp_path, pictures=(AFTER, AFTER)) is None
    assert find(cache, tmp_path, pictures=(BEFORE, BEFORE)) is None
    monkeypatch.setenv("SOME_NAME", "other")
    assert find(cache, tmp_path) is None


def test_what_is_broken_or_cannot_be_written_counts_as_missing(tmp_path: Path) -> None:
    """
    A cut, empty or strange entry is no verdict, and a folder that is a file keeps none.
    """
    cache = Cache(tmp_path / "cache")
    find(cache, tmp_path, keep=True)
    (entry,) = (tmp_path / "cache").glob("??/*.json")
    whole = entry.read_text()
    for text in ("", whole[:-9], "[]", "{}", '{"inputs": {}, "result": {}}', "\x00"):
        entry.write_text(text)
        assert find(cache, tmp_path) is None
    entry.write_text(whole)
    assert find(cache, tmp_path) == SEEN

    (tmp_path / "file").write_text("")
    assert find(Cache(tmp_path / "file"), tmp_path, keep=True) is None


@pytest.mark.parametrize(
    ("result", "reads"),
    [
        (Result(REVISION, "cannot judge", "why"), ()),
        (Result(REVISION, "downgrade fails", failure=Failure("Timeout", "")), ()),
        (Result(REVISION, "downgrade fails", failure=Failure("Died", "")), ()),
        (SEEN, ("X",)),
        (SEEN, ("F {new}",)),
        (SEEN, ("D other-names {new}",)),
    ],
)
def test_what_may_come_out_otherwise_is_not_kept(
    tmp_path: Path, result: Result, reads: tuple[str, ...]
) -> None:
    """
    No verdict of a time-out or a process, and none on files that were written meanwhile.
    """
    cache = Cache(tmp_path / "cache")
    links = Chain(cache, GROUND, Project(tmp_path / "alembic.ini", folder=tmp_path), ())
    new = tmp_path / "new"
    new.write_text("")
    os.utime(new, (time.time() + 10, time.time() + 10))
    place = links.place(REVISION, BEFORE, AFTER)
    place.keep(result, [line.format(new=new) for line in reads])
    assert place.find(REVISION) is None


def test_ground_has_tool_server_interpreter_and_options(
    server: Server, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each of what all verdicts stand on changes the ground.
    """
    versions = project.folder / "migrations" / "versions"
    revisions = [Revision(n, (), (), (), "", versions / f"{n}.py") for n in "abc"]
    other = tmp_path / "other.ini"
    other.write_text("[alembic]\n")

    def collect(options: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        with psycopg.connect(server.conninfo()) as conn:
            there = replace(project, **changes)
            return ground.collect(conn, there, revisions, options or {})

    same = collect()
    assert collect() == same
    changed: list[dict[str, Any]] = [
        collect(section="other"),
        collect(driver="postgresql+asyncpg"),
        collect(url_variables=("OTHER",)),
        collect(x_arguments=("a=b",)),
        collect(plain_env=True),
        collect(config_file=other),
        collect({"setup": "create table t ()"}),
    ]
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute("create role of_symmetry_cache")
        try:
            changed.append(collect())
        finally:
            conn.execute("drop role of_symmetry_cache")
    for name, value in (("__version__", "9"), ("INSTALLED", "print(1)")):
        with monkeypatch.context() as patch:
            patch.setattr(ground, name, value)
            changed.append(collect())
    with monkeypatch.context() as patch:
        patch.setenv("PGOPTIONS", "-c search_path=other")
        changed.append(collect())
    assert all(found != same for found in changed)
    assert f"alembic {version('alembic')}" in same["python"]
    assert sys.version in same["python"]


def test_long_unused_entries_go(tmp_path: Path) -> None:
    """
    What nobody asked for in two months is removed; what was, stays.
    """
    cache = Cache(tmp_path)
    cache.write("aa1", {})
    cache.write("bb1", {})
    old = time.time() - (caches.UNUSED_DAYS + 1) * 86400
    for path in tmp_path.glob("??/*"):
        os.utime(path, (old, old))
    assert cache.read("aa1") == {}
    cache.forget()
    assert [path.name for path in tmp_path.glob("??/*")] == ["aa1.json"]
