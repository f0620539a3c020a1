"""`symmetry` on projects with planted faults: each is found, each by itself, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates.embedded import Server
from iu_gates.errors import UsageError
from iu_gates.symmetry import advice
from iu_gates.symmetry.copies import PREFIX, making
from iu_gates.symmetry.project import Project
from iu_gates.symmetry.trial import Plan, Run, run
from tests.support.databases import Servers
from tests.support.projects import ENV, Rev, chain, make_project

Try = Callable[..., Run]
TABLE = Rev("a_table", "create table t (id int primary key, note text)", "drop table t")


@pytest.fixture
def server(servers: Servers, major: int) -> Server:
    """Give a server to make databases on."""
    return servers.get(major)


@pytest.fixture
def attempt(server: Server, tmp_path: Path) -> Iterator[Try]:
    """Give a function that writes a project, tries it, and returns the run."""

    def go(
        *revisions: Rev,
        env: str = ENV,
        plan: Plan | None = None,
        settings: str = "",
        **options: Any,
    ) -> Run:
        ini = make_project(tmp_path / "project", revisions, env)
        ini.write_text(ini.read_text("utf-8") + settings, "utf-8")
        project = Project(ini, folder=ini.parent, **{"step_seconds": 60, **options})
        with making(server.conninfo()) as copies:
            return run(project, copies, plan or Plan())

    yield go
    assert list_databases(server) == []


def list_databases(server: Server) -> list[str]:
    """Return the databases that a run has left behind."""
    with psycopg.connect(server.conninfo()) as conn:
        query = "select datname from pg_database where starts_with(datname, %s)"
        return [name for (name,) in conn.execute(query, (PREFIX,)).fetchall()]


def outcomes(seen: Run) -> dict[str, str]:
    """Return the outcome of each revision, by its name."""
    return {r.revision.name: r.outcome for r in seen.results}


@pytest.mark.long_on_each_major
def test_exact_inverses_are_symmetric(attempt: Try) -> None:
    """
    What is undone is not flagged, whatever it is: table, type, function, index, privilege.
    """
    seen = attempt(
        *chain(
            TABLE,
            Rev("b_type", "create type c as enum ('x', 'y')", "drop type c"),
            Rev("c_index", "create index t_note on t (note)", "drop index t_note"),
            Rev(
                "d_function",
                "create function f() returns int language sql return 1",
                "drop function f()",
            ),
            Rev("e_grant", "grant select on t to public", "revoke select on t from public"),
            Rev("f_nothing"),
        )
    )
    assert set(outcomes(seen).values()) == {"symmetric"}
    assert seen.walk is not None
    assert seen.walk.outcome == "symmetric"


FAULTS = {
    "type left": ("create type c as enum ('x')", "", "type public.c: is new", "drop type public.c"),
    "index left": (
        "create index i on t (note)",
        "",
        "index public.i: is new",
        "drop_index(op.f('i'))",
    ),
    "table left": ("create table u ()", "", "table public.u: is new", "drop_table('u')"),
    "column left": (
        "alter table t add column more int default 3",
        "",
        "column public.t.more: is new",
        "drop_column('t', 'more')",
    ),
    "not null left": (
        "alter table t alter column note set not null",
        "",
        "column public.t.note: not null",
        "alter column note drop not null",
    ),
    "default lost": (
        "alter table t alter column kind drop default",
        "",
        "column public.t.kind: default",
        "alter column kind set default 'plain'::text",
    ),
    "comment left": ("comment on table t is 'x'", "", "comment table public.t: is new", ""),
    "grant left": ("grant insert on t to public", "", "privilege table public.t", ""),
    "trigger off": (
        "alter table t disable trigger tr",
        "",
        "trigger public.t.tr: enabled",
        "",
    ),
    "sequence left": (
        "create sequence s",
        "",
        "sequence public.s: is new",
        "drop sequence public.s",
    ),
    "check left": (
        "alter table t add constraint ck check (id > 0)",
        "",
        "constraint public.t.ck: is new",
        "drop_constraint(op.f('ck'), 't')",
    ),
    "label left": ("alter type old add value 'z'", "", "type public.old: labels", ""),
}


def test_planted_faults_are_found_each_by_itself(attempt: Try) -> None:
    """
    Each fault is named with its object and with the line that is lacking, and taints no other.
    """
    first = Rev(
        "a",
        "create table t (id int primary key, note text, kind text default 'plain');"
        "create type old as enum ('x');"
        "create function tf() returns trigger language plpgsql as 'begin return new; end';"
        "create trigger tr before insert on t for each row execute function tf()",
        "drop table t; drop function tf(); drop type old",
    )
    names = {f"b{n:02}": fault for n, fault in enumerate(FAULTS.values())}
    planted = [Rev(name, up, down) for name, (up, down, _, _) in names.items()]
    last = Rev("z", "create table later ()", "drop table later")

    seen = attempt(*chain(first, *planted, last))

    assert outcomes(seen) == {
        "a": "symmetric",
        **dict.fromkeys(names, "asymmetric"),
        "z": "symmetric",
    }
    for result in seen.results[1:-1]:
        _, _, finding, line = names[result.revision.name]
        assert finding in str(result.differences[0])
        assert line in advice.line(result.differences[0])
        assert len(result.differences) == 1 or finding.startswith(("table", "constraint"))


HALF = """
with op.get_context().autocommit_block():
    op.execute("drop table h")
raise NotImplementedError
"""


def test_every_verdict(attempt: Try) -> None:
    """
    Each outcome on a revision that deserves it, all in one run.
    """
    seen = attempt(
        *chain(
            TABLE,
            Rev("fails", "create table f ()", "drop table nothing_like_it"),
            Rev("refuses", "pass", 'raise NotImplementedError("history is kept")', python=True),
            Rev("by_message", "", "do $$ begin raise 'never go back'; end $$"),
            Rev(
                "by_state",
                "",
                "do $$ begin raise 'no' using errcode = 'IUG40'; end $$",
            ),
            Rev("half", 'op.execute("create table h ()")', HALF, python=True),
            Rev("seed", "insert into t values (1, 'seed')", ""),
            Rev("order", "alter table t drop column note", "alter table t add column note text"),
        ),
        plan=Plan(refusals=("never go",)),
    )
    assert outcomes(seen) == {
        "a_table": "symmetric",
        "fails": "downgrade fails",
        "refuses": "refuses",
        "by_message": "refuses",
        "by_state": "refuses",
        "half": "downgrade fails",
        "seed": "not repeatable",
        "order": "rows differ",
    }


def test_column_order_alone_is_said_and_passes(attempt: Try) -> None:
    """
    A column that is dropped and added again comes last; it is no failure.
    """
    table = Rev("a", "create table t (one int, two int)", "drop table t")
    again = Rev("b", "alter table t drop column one", "alter table t add column one int")
    seen = attempt(*chain(table, again))
    assert outcomes(seen) == {"a": "symmetric", "b": "column order only"}
    assert seen.passed


def test_rows_that_a_downgrade_loses_are_found_and_noise_is_not(attempt: Try) -> None:
    """
    A lost row is a finding; `now()` and random values, made anew by each step, are not.
    """
    seen = attempt(
        *chain(
            Rev(
                "a",
                "create table t (id serial, at timestamptz, note text);"
                "insert into t (at, note) select now(), 'x' from generate_series(1, 3)",
                "drop table t",
            ),
            Rev("touch", "update t set at = clock_timestamp()", "update t set at = now()"),
            Rev("lose", "update t set note = upper(note)", "update t set note = 'lost'"),
            Rev("delete", "select 1", "delete from t where id = 2"),
        )
    )
    assert outcomes(seen) == {
        "a": "symmetric",
        "touch": "symmetric",
        "lose": "rows differ",
        "delete": "rows differ",
    }
    by_name = {r.revision.name: r for r in seen.results}
    assert by_name["touch"].noise == ("public.t.at",)
    assert str(by_name["lose"].rows[0]) == "rows of public.t: 3, but with another content in note"
    assert str(by_name["delete"].rows[0]) == "rows of public.t: 3 → 2"


def test_what_shows_only_together_is_found_by_the_walk(attempt: Try) -> None:
    """
    Two revisions, each symmetric alone, that leave something when both are undone.
    """
    leaves = "do $$ begin if (select is_called from s) then create type c as enum ('x'); end if;"
    seen = attempt(
        *chain(
            Rev("a", "create table t ()", f"{leaves} drop table t; end $$"),
            Rev("b", "", "select nextval('s')"),
        ),
        plan=Plan(setup_sql="create sequence s"),
    )
    assert outcomes(seen) == {"a": "symmetric", "b": "symmetric"}
    assert seen.walk is not None
    assert seen.walk.outcome == "asymmetric"
    assert "type public.c: is new" in [str(d) for d in seen.walk.differences]


def test_several_version_locations(attempt: Try, tmp_path: Path) -> None:
    """
    Two folders with a head each, the second needing the first: all is tried, and walked.
    """
    more = tmp_path / "more"
    more.mkdir()
    other = Rev("other", "create index i on t (id)", "drop index i", depends_on=("a_table",))
    (more / "other.py").write_text(other.text(), "utf-8")
    left = Rev("left", "create type c as enum ('x')", "", ("other",))
    (more / "left.py").write_text(left.text(), "utf-8")
    where = f"version_locations = %(here)s/migrations/versions{os.pathsep}{more}\n"
    seen = attempt(TABLE, settings=where)
    assert outcomes(seen) == {"a_table": "symmetric", "other": "symmetric", "left": "asymmetric"}
    assert seen.walk is not None
    assert seen.walk.outcome == "not repeatable"


def test_branches_merges_and_dependencies(attempt: Try) -> None:
    """
    Two branches, a dependency between them, a merge and a second base: each revision is tried.
    """
    seen = attempt(
        Rev("root", "create table t (id int)", "drop table t"),
        Rev("left", "alter table t add l int", "alter table t drop l", ("root",), labels=("l",)),
        Rev("right", "alter table t add r int", "alter table t drop r", ("root",), ("left",)),
        Rev("merge", "create index on t (l, r)", "drop index t_l_r_idx", ("left", "right")),
        Rev("other", "create table o ()", "drop table o", labels=("second",)),
        Rev("tail", "comment on table o is 'x'", "comment on table o is null", ("other",)),
    )
    assert len(seen.results) == 6
    assert set(outcomes(seen).values()) == {"symmetric"}
    assert seen.walk is not None
    assert seen.walk.outcome == "symmetric"


def test_concurrent_index_and_autocommit_block(attempt: Try) -> None:
    """
    What cannot run in a transaction runs, up and down.
    """
    block = "with op.get_context().autocommit_block():\n    op.execute({!r})"
    up = block.format("create index concurrently i on t (id)")
    down = block.format("drop index concurrently i")
    seen = attempt(*chain(TABLE, Rev("b", up, down, python=True)))
    assert set(outcomes(seen).values()) == {"symmetric"}


ASYNC_ENV = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = async_engine_from_config(
        context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""
ENVIRON_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
engine = create_engine(os.environ["MY_DATABASE"])
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
X_ENV = ENVIRON_ENV.replace(
    'os.environ["MY_DATABASE"]', 'context.get_x_argument(as_dictionary=True)["db"]'
)
HARD_ENV = ENVIRON_ENV.replace(
    'os.environ["MY_DATABASE"]', '"postgresql+psycopg://nobody@production.invalid/precious"'
)
POOLED_ENV = ENV.replace(", poolclass=pool.NullPool", ", pool_size=3")
BEGUN_ENV = ENV.replace("engine.connect()", "engine.begin()").replace(
    "    with context.begin_transaction():\n        context.", "    context."
)
APART_ENV = ENV.replace("connection=connection)", "connection, transaction_per_migration=True)")
SCHEMA_ENV = ENV.replace(
    "context.configure(connection=connection)",
    'connection.exec_driver_sql("create schema if not exists own"); connection.commit()\n'
    '    context.configure(connection=connection, version_table_schema="own",'
    ' version_table="versions")',
)
ENVS = {
    "async": (ASYNC_ENV, {}),
    "from the environment": (ENVIRON_ENV, {"url_variables": ("MY_DATABASE",)}),
    "from -x": (X_ENV, {"x_arguments": ("db={url}",)}),
    "written in stone": (HARD_ENV, {}),
    "with a pool": (POOLED_ENV, {}),
    "with a transaction of its own": (BEGUN_ENV, {}),
    "with a transaction for each": (APART_ENV, {}),
    "version table in a schema of its own": (SCHEMA_ENV, {}),
}
ENVS_IN_SHORT = ("async", "from the environment", "version table in a schema of its own")


@pytest.mark.parametrize(
    ("env", "options"),
    [
        pytest.param(*env, id=name, marks=() if name in ENVS_IN_SHORT else pytest.mark.long)
        for name, env in ENVS.items()
    ],
)
def test_every_kind_of_env(attempt: Try, env: str, options: dict[str, Any]) -> None:
    """
    The project's own env.py is run, and led to our database wherever it takes its URL from.
    """
    seen = attempt(*chain(TABLE, Rev("b", "create type c as enum ()", "")), env=env, **options)
    assert outcomes(seen) == {"a_table": "symmetric", "b": "asymmetric"}
    assert [d.identity for r in seen.results for d in r.differences] == ["public.c"]
    assert seen.walk is not None
    assert (seen.walk.outcome, seen.walk.why) == ("not repeatable", "the second upgrade fails at b")


def test_broken_env_is_a_usage_error(attempt: Try) -> None:
    """
    An env.py that fails is told with its exception, before anything is tried.
    """
    with pytest.raises(UsageError, match="cannot be read") as caught:
        attempt(TABLE, env="import nothing_like_it")
    assert "nothing_like_it" in str(caught.value.found)


def test_step_that_hangs_is_ended(attempt: Try) -> None:
    """
    A downgrade that takes longer than allowed is one revision's verdict, not the run's end.
    """
    hang = Rev("b", "pass", "time.sleep(600)", python=True)
    seen = attempt(*chain(TABLE, hang, Rev("c")), step_seconds=5, plan=Plan(with_walk=False))
    assert outcomes(seen) == {"a_table": "symmetric", "b": "downgrade fails", "c": "symmetric"}
    assert seen.results[1].failure is not None
    assert seen.results[1].failure.kind == "Timeout"


def test_process_that_dies_is_one_verdict(attempt: Try) -> None:
    """
    A downgrade that ends its process does not end the run.
    """
    die = Rev("b", "pass", "os._exit(3)", python=True)
    seen = attempt(*chain(TABLE, die, Rev("c")), plan=Plan(with_walk=False))
    assert outcomes(seen) == {"a_table": "symmetric", "b": "downgrade fails", "c": "symmetric"}
    assert "status 3" in str(seen.results[1].failure)


def test_upgrade_that_fails_stops_what_stands_on_it(attempt: Try) -> None:
    """
    What cannot be applied cannot be judged, nor what follows from it; another branch can.
    """
    seen = attempt(
        TABLE,
        Rev("bad", "create extension no_such_extension", "", ("a_table",)),
        Rev("after", "", "", ("bad",)),
        Rev("beside", "create table b ()", "drop table b", ("a_table",)),
    )
    assert outcomes(seen) == {
        "a_table": "symmetric",
        "bad": "cannot judge",
        "after": "cannot judge",
        "beside": "symmetric",
    }


def test_setup_sql(attempt: Try) -> None:
    """
    The setup's SQL makes what a revision needs.
    """
    alter = Rev("a", "alter table given add x int", "alter table given drop x")
    seen = attempt(alter, plan=Plan(setup_sql="create table given ()"))
    assert outcomes(seen) == {"a": "symmetric"}
