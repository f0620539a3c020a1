"""What cannot be walked: its own message, exit code and next command; nothing is written."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql

from iu_gates.embedded import Server
from tests.acceptance.conftest import MakeSite
from tests.acceptance.site import Site
from tests.support.cli import Answer, run_command
from tests.support.command import take_picture
from tests.support.failures import assert_as_told
from tests.support.moving import make_standby

OTHER_COLUMNS = """
create schema cms;
create table cms.unit_version (id int primary key, page text not null, edition int not null);
create table cms.event_outbox (id int primary key, message text not null, sent boolean not null);
"""
NO_TABLES = "create schema cms"


class Wrong(NamedTuple):
    """A URL that is wrong, made from a right one; with which code and id it must end."""

    url: Callable[[str], str]
    code: int
    ident: str


WRONG = {
    "scheme": Wrong(lambda url: url.replace("postgresql://", "postgres//"), 2, "IUG-015"),
    "option": Wrong(lambda url: url + "&conect_timeout=3", 2, "IUG-015"),
    "no server": Wrong(lambda _: "postgresql://bob:hunter2@127.0.0.1:1/app", 5, "IUG-050"),
    "no socket": Wrong(lambda _: "postgresql://bob@/app?host=/nowhere", 5, "IUG-050"),
    "no host": Wrong(lambda _: "postgresql://bob@no-such-host.invalid/app", 5, "IUG-051"),
    "no database": Wrong(lambda url: url.replace("/test_", "/no_such_"), 5, "IUG-052"),
    "no login": Wrong(lambda url: url.replace("operator", "nobody"), 5, "IUG-052"),
}


@contextmanager
def unchanged(site: Site) -> Iterator[None]:
    """Fail if catalog, rows or the folder are other ones after the block."""
    before = take_picture(site.database.conninfo), list_files(site.folder)
    yield
    assert before[0].diff(take_picture(site.database.conninfo)) == []
    assert before[1] == list_files(site.folder)


def list_files(folder: Path) -> set[Path]:
    """Return what lies in a folder, at any depth."""
    return set(folder.rglob("*"))


def assert_refused(answer: Answer, code: int, ident: str) -> str:
    """The error has this code and id, one clause and a next command; return the clause."""
    answer.expect(code)
    clauses = [line for line in answer.err.splitlines() if line.startswith("IUG-")]
    assert len(clauses) == 1, answer
    assert clauses[0].startswith(f"{ident} "), answer
    assert answer.next_command, answer
    assert "Traceback" not in answer.err
    return clauses[0]


def test_wrong_url(site: Site) -> None:
    """
    A URL that is none, or names no server, database or login: told apart, no password shown.
    """
    right = site.database.conninfo_as(site.operator)
    site.configure()
    clauses = {}
    with unchanged(site):
        for kind, wrong in WRONG.items():
            answer = run_command(site.folder, "advance", "--database-url", wrong.url(right))
            clauses[kind] = assert_refused(answer, wrong.code, wrong.ident)
            assert "hunter2" not in answer.out + answer.err
        url = WRONG["no server"].url(right)
        as_json = run_command(site.folder, "--json", "status", "--database-url", url).expect(5)
    assert as_json.json["error"] == "IUG-050"
    assert "hunter2" not in as_json.out
    assert len(set(clauses.values())) == len({wrong.ident for wrong in WRONG.values()})


def test_no_url_names_the_choices(tmp_path: Path) -> None:
    """
    With nothing that names a database: exit code 2, every way to name one, no embedded server.
    """
    for command in ("advance", "status", "disable"):
        answer = run_command(tmp_path, command)
        assert_refused(answer, 2, "IUG-012")
        for choice in ("--database-url", "IU_GATES_DATABASE_URL", "iu-gates.toml", "PGHOST"):
            assert choice in answer.err
    assert list_files(tmp_path) == set()


@pytest.mark.long
def test_host_without_the_tables_and_with_others(make_site: MakeSite) -> None:
    """
    No tables, and tables with other columns, are two faults: which, where, and what to set.
    """
    clauses = []
    for host_sql, found in ((NO_TABLES, "there is no such table"), (OTHER_COLUMNS, "columns: id")):
        site = make_site(host_sql)
        site.configure()
        with unchanged(site):
            answer = site.run("advance")
        clauses.append(assert_refused(answer, 3, "IUG-020"))
        assert found in answer.err
        assert "IU_GATES_HOST_" in answer.next_command
        assert not site.run("doctor").expect(3).err
    assert len(set(clauses)) == 2


def test_login_without_the_rights(site: Site) -> None:
    """
    A login that may only read is told, right by right, which grant it needs; nothing is written.
    """
    site.configure()
    site.execute("grant usage on schema cms to {}", site.approver)
    site.execute("grant select on all tables in schema cms to {}", site.approver)
    site.execute("revoke create on database {} from public", site.database.name)
    with unchanged(site):
        answer = site.run("advance", login=site.approver)
    assert_refused(answer, 3, "IUG-020")
    assert "right to make schemas" in answer.err
    for grant in ("grant create", "iu-gates doctor", "grant select, insert"):
        assert grant in answer.err


@pytest.mark.long
def test_database_of_another_site(site: Site) -> None:
    """
    From a machine without the site key, or with another, nothing is walked; reading is allowed.
    """
    site.configure()
    site.run("advance").expect(0)
    with unchanged(site):
        other = site.run("advance", IU_GATES_SITE_KEY="the key of another site")
        missing = site.run("advance", IU_GATES_SITE_KEY_FILE=str(site.folder / "none"))
        back = site.run("rollback", "--to", "008", "--yes", IU_GATES_SITE_KEY="another")
    clauses = {assert_refused(answer, 4, "IUG-041") for answer in (other, missing)}
    assert len(clauses) == 2
    assert_refused(back, 4, "IUG-041")
    assert_as_told("wrong database, another site's", other)
    assert_as_told("no site key on this machine", missing)
    assert missing.next_command.endswith(f" {shlex.quote(str(site.folder / 'none'))}")
    seen = site.run("status", IU_GATES_SITE_KEY="the key of another site").expect(0)
    assert "another site" in seen.out


def test_clone_of_a_database(site: Site) -> None:
    """
    A database made from it with CREATE DATABASE … TEMPLATE is told to be a copy, and is not walked.
    """
    site.configure()
    site.run("advance").expect(0)
    copy = f"{site.database.name}_copy"
    with psycopg.connect(site.database.server.conninfo(), autocommit=True) as conn:
        names = sql.Identifier(copy), sql.Identifier(site.database.name)
        conn.execute(sql.SQL("create database {} template {}").format(*names))
        try:
            url = site.database.server.conninfo(copy, site.operator)
            answer = run_command(site.folder, "advance", "--database-url", url)
        finally:
            conn.execute(sql.SQL("drop database {}").format(sql.Identifier(copy)))
    assert "it is a copy" in assert_refused(answer, 4, "IUG-041")
    assert_as_told("a copy of the database", answer)


@pytest.mark.long_on_each_major
@pytest.mark.slow
def test_standby(own_server: Server, tmp_path: Path) -> None:
    """
    A standby is named as one, and the primary asked for; nothing is written.
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    with psycopg.connect(own_server.conninfo(), autocommit=True) as conn:
        conn.execute(
            "create table unit_version (unit text, version_seq int, unique (unit, version_seq))"
        )
    with make_standby(own_server, tmp_path / "standby") as standby:
        url = standby.conninfo()
        answer = run_command(folder, "advance", "--database-url", url)
        assert_as_told("standby", answer)
        seen = run_command(folder, "status", "--database-url", url).expect(0)
        assert "not installed" in seen.out
        assert run_command(folder, "disable", "--database-url", url).expect(3).err
    assert list_files(folder) == set()
