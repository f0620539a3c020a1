"""`symmetry` run after run: rows told from noise, jobs, sessions that are in the way, leftovers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates.embedded import Server
from iu_gates.symmetry.copies import PREFIX, Copies, making, name_of
from iu_gates.symmetry.project import Project
from iu_gates.symmetry.trial import Plan, Run, run
from tests.support.databases import Servers
from tests.support.projects import Rev, chain, make_project

Try = Callable[..., Run]


@pytest.fixture
def server(servers: Servers, major: int) -> Server:
    """Give a server to make databases on."""
    return servers.get(major)


@pytest.fixture
def attempt(server: Server, tmp_path: Path) -> Iterator[Try]:
    """Give a function that tries revisions, a project of its own each time."""

    def go(*revisions: Rev, login: str = "postgres", **options: Any) -> Run:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        ini = make_project(folder, revisions)
        project = Project(ini, folder=folder, step_seconds=60)
        with making(server.conninfo("postgres", login)) as copies:
            return run(project, copies, Plan(**options))

    yield go
    assert list_databases(server) == []


def list_databases(server: Server) -> list[str]:
    """Return the databases of runs, by name."""
    with psycopg.connect(server.conninfo()) as conn:
        query = "select datname from pg_database where starts_with(datname, %s) order by 1"
        return [name for (name,) in conn.execute(query, (PREFIX,))]


def outcomes(seen: Run) -> dict[str, str]:
    """Return the outcome of each revision, by its name."""
    return {r.revision.name: r.outcome for r in seen.results}


ROWS = chain(
    Rev(
        "a",
        "create table t (id serial primary key, n int, at timestamptz, key uuid);"
        "insert into t (n, at, key)"
        " select g, clock_timestamp(), gen_random_uuid() from generate_series(1, 9) as g",
        "drop table t",
    ),
    Rev("one_more", "", "delete from t where id = (select max(id) from t)"),
    Rev("one_less", "", "update t set n = n - 1"),
    Rev("again", "delete from t where n > 7", "insert into t (n) values (8), (9)"),
    Rev("touch", "update t set at = clock_timestamp()", "update t set at = clock_timestamp()"),
    Rev("overwrite", "update t set at = clock_timestamp()", ""),
    Rev("seed", "insert into t (n, at) values (99, now())", "delete from t where n = 99"),
    Rev("chance", "update t set key = gen_random_uuid()", "update t set key = gen_random_uuid()"),
)


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.long), 3])
def test_real_loss_is_told_from_noise(attempt: Try, jobs: int) -> None:
    """
    Times, random numbers and sequences are noise; what takes more each time is not.

    Nor is a value that an upgrade overwrites, and that the downgrade leaves.
    """
    seen = attempt(*ROWS, jobs=jobs)

    assert outcomes(seen) == {
        "a": "symmetric",
        "one_more": "rows differ",
        "one_less": "rows differ",
        "again": "rows differ",
        "touch": "symmetric",
        "overwrite": "rows differ",
        "seed": "symmetric",
        "chance": "symmetric",
    }
    by_name = {r.revision.name: r for r in seen.results}
    assert [f.columns for f in by_name["overwrite"].rows] == [("at",)]
    assert by_name["again"].rows[0].columns == ("at", "key"), "not the numbers of a sequence"
    assert by_name["chance"].noise == ("public.t.key",)


def test_walk_counts_the_rows_that_come_again(attempt: Try) -> None:
    """
    Seeds that are there after the first way up and not after the second are found.
    """
    once = "insert into t select 1 where nextval('s') = 1"
    table = Rev("a", "create table t (id int)", "drop table t")
    seen = attempt(*chain(table, Rev("b", once, "delete from t")), setup_sql="create sequence s")
    assert seen.walk is not None
    assert seen.walk.outcome == "rows differ"


FAULTS = chain(
    Rev(
        "role",
        "create role of_symmetry; create table t (id int)",
        "drop table t; drop role of_symmetry",
    ),
    Rev("grant", "grant select on t to of_symmetry", "revoke select on t from of_symmetry"),
    Rev("left", "create type c as enum ('x')", ""),
    Rev("refuses", "", "do $$ begin raise 'no' using errcode = 'IUG40'; end $$"),
    Rev("fails", "", "drop table nothing_like_it"),
    Rev("table", "create table u ()", "drop table u"),
)


@pytest.mark.long
def test_number_of_jobs_changes_nothing(attempt: Try, server: Server) -> None:
    """
    The same verdicts with one to four copies at a time, a role that comes and goes included.
    """
    found = []
    for jobs in (1, 2, 4):
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute("drop role if exists of_symmetry")
        seen = attempt(*FAULTS, jobs=jobs)
        found.append([_settled(r) for r in (*seen.results, seen.walk)])
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute("drop role of_symmetry")
    assert found[0] == found[1] == found[2]
    assert [outcome for _, outcome, *_ in found[0]][-4:-1] == [
        "refuses",
        "downgrade fails",
        "symmetric",
    ]


def _settled(result: Any) -> Any:
    return (result.revision.name, result.outcome, result.differences, result.rows)


def test_session_that_is_in_the_way_is_ended(attempt: Try) -> None:
    """
    A revision that leaves a session of its own in the database does not keep it from being copied.
    """
    lines = "import psycopg\nglobals()['conn'] = psycopg.connect()\nop.execute('select 1')"
    seen = attempt(*chain(Rev("a", lines, "pass", python=True), Rev("b")))
    assert outcomes(seen) == {"a": "symmetric", "b": "symmetric"}


HOLDS = {
    "a subscription": "create subscription s connection 'host=nowhere.invalid' publication p"
    " with (connect = false)",
    "a prepared transaction": "begin; create table p (); prepare transaction 'of_symmetry'",
    "a template": "alter database {name} is_template true",
}


def test_run_drops_what_can_be_dropped_only_otherwise(server: Server) -> None:
    """
    Whatever a revision leaves in its database, the run drops it at its end.
    """
    for why, statement in HOLDS.items():
        with making(server.conninfo()) as copies:
            made = copies.make()
            with psycopg.connect(made, autocommit=True) as conn:
                conn.execute(statement.format(name=name_of(made)).encode())
        assert list_databases(server) == [], why


def test_leftovers_are_those_of_runs_that_are_over(server: Server) -> None:
    """
    A living run keeps what it made; what a dead one made goes, whatever a revision did to it.

    A name that somebody made up is none of ours.
    """
    living, dead = Copies(server.conninfo()), Copies(server.conninfo())
    kept, left = living.make(), dead.make()
    told = dead.make(left)
    assert dead._keeper is not None
    dead._keeper.close()
    foreign = f"{PREFIX}0123456789abcdef_1"
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(f"create database {foreign}")
        conn.execute(f"comment on database {name_of(told)} is 'by a revision'")
        conn.execute(f"alter database {name_of(told)} set application_name to 'theirs'")
        conn.execute(f"create database {PREFIX}notes")
        try:
            with psycopg.connect(left):
                assert Copies(server.conninfo()).drop_leftovers() == [name_of(left), name_of(told)]
            assert list_databases(server) == sorted([foreign, f"{PREFIX}notes", name_of(kept)])
        finally:
            conn.execute(f"drop database {foreign}")
            conn.execute(f"drop database {PREFIX}notes")
            living.drop_all()


def test_comment_and_settings_of_a_copy_are_its_own(attempt: Try) -> None:
    """
    A revision may comment on its database, and name its sessions, and take both back.
    """
    says = "do $$ begin execute format('{}', current_database()); end $$"
    seen = attempt(
        *chain(
            Rev(
                "comment",
                says.format("comment on database %I is ''hey''"),
                says.format("comment on database %I is null"),
            ),
            Rev(
                "name",
                says.format("alter database %I set application_name = ''theirs''"),
                says.format("alter database %I reset application_name"),
            ),
            Rev("left", says.format("comment on database %I is ''ho''"), ""),
        )
    )
    assert outcomes(seen) == {"comment": "symmetric", "name": "symmetric", "left": "asymmetric"}
    assert [(d.before, d.after) for d in seen.results[2].differences] == [("hey", "ho")]


def test_login_without_superuser_needs_createdb_alone(attempt: Try, server: Server) -> None:
    """
    Autovacuum and sessions of others are none of its business.
    """
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute("create role plain login createdb")
        try:
            seen = attempt(*ROWS[:2], login="plain")
            assert outcomes(seen) == {"a": "symmetric", "one_more": "rows differ"}
        finally:
            conn.execute("drop role plain")
