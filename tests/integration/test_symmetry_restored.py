"""`--rows-from`: revisions tried on a restored backup."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from iu_gates.errors import UsageError
from iu_gates.symmetry.cache import Cache
from iu_gates.symmetry.copies import making
from iu_gates.symmetry.project import Project, Runner
from iu_gates.symmetry.restored import find_backup
from iu_gates.symmetry.trial import Plan, Run, run
from tests.support.databases import Database
from tests.support.projects import Rev, chain, make_project

FILLED = "insert into person (name) values ('Ada'), ('Grace'), (null)"
PROJECT = chain(
    Rev("a", "create table person (id serial primary key, name text)", "drop table person"),
    Rev("b", "create index person_name on person (name)", "drop index person_name"),
    Rev(
        "c",
        "alter table person add shown text; update person set shown = name",
        "alter table person drop shown",
    ),
    Rev(
        "d",
        "update person set name = '' where name is null;alter table person alter name set not null",
        "alter table person alter name drop not null",
    ),
    Rev("e", "alter table person add constraint e check (id < 1000)", ""),
)
Dump = Callable[..., Path]
Try = Callable[[Path], Run]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Give a project whose fourth revision loses something where there are rows."""
    ini = make_project(tmp_path / "project", PROJECT)
    return Project(ini, folder=ini.parent, step_seconds=60)


@pytest.fixture
def dump(empty_database: Database, project: Project, tmp_path: Path) -> Dump:
    """Give a maker of dumps of the project's database, at a revision, with rows."""
    conninfo = empty_database.conninfo
    with Runner(project) as runner:
        for name in "ab":
            runner.step("up", name, conninfo)
    with psycopg.connect(conninfo) as conn:
        conn.execute(FILLED)

    def make(name: str, *options: str) -> Path:
        path = tmp_path / name
        program = str(empty_database.bin_dir / "pg_dump")
        command = [program, *options, f"--file={path}", conninfo]
        subprocess.run(command, check=True)
        return path

    return make


@pytest.fixture
def attempt(empty_database: Database, project: Project) -> Try:
    """Give a function that tries the project on a backup."""

    def go(path: Path) -> Run:
        with making(empty_database.server.conninfo()) as copies:
            backup = find_backup(path, copies.server_version, empty_database.bin_dir)
            return run(project, copies, Plan(restored=backup))

    return go


@pytest.mark.parametrize(
    "options",
    [
        ("-Fc",),
        pytest.param(("-Fd",), marks=pytest.mark.long),
        pytest.param(("-Ft",), marks=pytest.mark.long),
        ("-Fp",),
        pytest.param(("-Fc", "--compress=gzip:1"), marks=pytest.mark.long),
    ],
)
def test_what_comes_after_the_backup_is_tried_on_its_rows(
    dump: Dump, attempt: Try, options: tuple[str, ...]
) -> None:
    """
    Every format is read; what an empty table would not show is found, the rest is not flagged.
    """
    seen = attempt(dump("a backup", *options))

    assert seen.restored == ("a", "b")
    assert {r.revision.name: r.outcome for r in seen.results} == {
        "c": "symmetric",
        "d": "rows differ",
        "e": "asymmetric",
    }
    (lost,) = seen.results[1].rows
    assert (lost.table, lost.before, lost.columns) == ("public.person", 3, ("name",))
    assert seen.walk is not None
    assert seen.walk.outcome == "symmetric", "it goes through what the backup held, to base"


@pytest.mark.long_on_each_major
def test_newest_tools_restore_into_any_server(
    dump: Dump, attempt: Try, empty_database: Database
) -> None:
    """
    A custom archive goes into each major.
    """
    assert attempt(dump("backup", "-Fc")).restored == ("a", "b"), empty_database.major


def test_what_is_no_backup_of_this_project_is_told(
    dump: Dump, attempt: Try, tmp_path: Path, empty_database: Database
) -> None:
    """
    Truncated, foreign, empty, missing, of another project, leaving its database: each says why.
    """
    custom, plain = dump("custom", "-Fc").read_bytes(), dump("plain", "-Fp").read_text()
    dump("no version", "-Fc", "--exclude-table=alembic_version")
    for name, content in {
        "cut head": custom[:200],
        "cut": custom[: len(custom) * 2 // 3],
        "empty": b"",
        "foreign": b"PK\x03\x04 a zip",
        "bent": custom[:3000] + bytes(500) + custom[3500:],
        "leaves": plain.replace("SET check", "\\connect postgres\nSET check", 1).encode(),
        "wrong SQL": plain.replace("CREATE TABLE", "CREATE TABLEX", 1).encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
    with psycopg.connect(empty_database.conninfo) as conn:
        conn.execute("update alembic_version set version_num = 'zz'")
    dump("other", "-Fc")
    (tmp_path / "folder").mkdir()

    said = {}
    for name in (
        *("cut head", "cut", "empty", "foreign", "bent", "leaves", "wrong SQL", "other"),
        *("no version", "folder", "missing"),
    ):
        with pytest.raises(UsageError, match=f'the rows of "{name}"') as caught:
            attempt(tmp_path / name)
        assert caught.value.next_command, name
        assert caught.value.ident == "IUG-105"
        said[name] = str(caught.value.found)
    assert "No such file" in said["missing"]
    assert "toc.dat" in said["folder"]
    assert 'a command of psql: "\\connect postgres"' in said["leaves"]
    assert "zz, which is no revision" in said["other"]
    assert 'no revision in its version table "alembic_version"' in said["no version"]
    assert "syntax error" in said["wrong SQL"]
    assert said["foreign"] == said["empty"] == "it does not begin as what pg_dump writes"


@pytest.mark.long
def test_changed_revision_of_the_backup_voids_the_walk(
    dump: Dump, project: Project, empty_database: Database, tmp_path: Path
) -> None:
    """
    The walk goes through what the backup held: its verdict holds for that text too.
    """
    path = dump("backup", "-Fc")

    def attempt() -> Run:
        with making(empty_database.server.conninfo()) as copies:
            backup = find_backup(path, copies.server_version, empty_database.bin_dir)
            cache = Cache(tmp_path / "cache")
            return run(project, copies, Plan(restored=backup, cache=cache))

    attempt()
    assert "base ← heads" in attempt().cached
    held = project.folder / "migrations" / "versions" / "b.py"
    held.write_text(held.read_text("utf-8").replace("drop index", "drop index if exists"), "utf-8")
    assert "base ← heads" not in attempt().cached


def test_role_that_the_server_lacks_is_named(dump: Dump, attempt: Try, tmp_path: Path) -> None:
    """
    Owners are restored: the next command makes the one that is missing.
    """
    text = dump("plain", "-Fp").read_text().replace("OWNER TO postgres", "OWNER TO nobody_here")
    (tmp_path / "owned").write_text(text)
    with pytest.raises(UsageError) as caught:
        attempt(tmp_path / "owned")
    assert caught.value.next_command == 'create role "nobody_here" nologin'
