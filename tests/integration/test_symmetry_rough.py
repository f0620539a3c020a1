"""`symmetry` on projects that want to be run in their own way, and on revisions that misbehave."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from iu_gates.embedded import Server
from iu_gates.errors import UsageError
from iu_gates.symmetry.check import find_config
from iu_gates.symmetry.child import target as targets
from iu_gates.symmetry.copies import PREFIX, making
from iu_gates.symmetry.hiding import hide
from iu_gates.symmetry.project import Project
from iu_gates.symmetry.trial import Plan, Run, run
from tests.support.databases import Servers
from tests.support.projects import ENV, Rev, chain, make_project

Try = Callable[..., Run]
SECRET = "hunter2-and-more"  # noqa: S105  it is there to be found
TABLE = Rev("a", "create table t (id int primary key)", "drop table t")
LEFT = Rev("b", "create type c as enum ()", "")
WANTED = {"a": "symmetric", "b": "asymmetric"}


@pytest.fixture
def server(servers: Servers, major: int) -> Server:
    """Give a server to make databases on."""
    return servers.get(major)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for a project."""
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def attempt(server: Server, folder: Path) -> Iterator[Try]:
    """Give a function that tries a project, and see to it that nothing stays on the server."""

    def go(*revisions: Rev, env: str = ENV, jobs: int = 1, **options: Any) -> Run:
        ini = make_project(folder, revisions, env)
        given = {"config_file": ini, "folder": folder, "step_seconds": 60, **options}
        with making(server.conninfo()) as copies:
            return run(Project(**given), copies, Plan(jobs=jobs, with_walk=False))

    yield go
    with psycopg.connect(server.conninfo()) as conn:
        query = "select datname from pg_database where starts_with(datname, %s)"
        assert conn.execute(query, (PREFIX,)).fetchall() == []


def outcomes(seen: Run) -> dict[str, str]:
    """Return the outcome of each revision, by its name."""
    return {r.revision.name: r.outcome for r in seen.results}


def by_name(seen: Run, name: str) -> Any:
    """Return the result of a revision."""
    return next(r for r in seen.results if r.revision.name == name)


GIVEN_ENV = """
from alembic import context
connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("no connection set in alembic config")
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""
THREAD_ENV = f"import anyio\nanyio.require_loop()\n{ENV}"
ANYIO = """
import asyncio, contextvars, types
token = contextvars.ContextVar("token")

def run(function, *arguments):
    async def main():
        token.set(asyncio.get_running_loop())
        return await function(*arguments)
    return asyncio.run(main())

def require_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        token.get()
    else:
        raise RuntimeError("this is the loop's own thread")

to_thread = types.SimpleNamespace(run_sync=asyncio.to_thread)
"""
SEVERAL_ENV = ENV.replace(
    "with engine.connect()", "for _ in 'ab':\n  with engine.connect()"
).replace("    run(connection)\n", "      run(connection)\n")
COMMAND_ENV = f"""
import sys
from alembic import context
assert sys.argv[0] == "alembic"
asked = context.config.cmd_opts
assert getattr(asked, "autogenerate", False) is False
# As Galaxy's does, it looks at the command that is run.
assert (asked.cmd[0].__name__, getattr(asked, "revision", None)) in [
    ("current", None), *((c, r) for c in ("upgrade", "downgrade") for r in ("a", "b"))
]
{ENV}
"""
ENVS = {
    "a connection is given to it": GIVEN_ENV,
    "several databases, all of them ours": SEVERAL_ENV,
    "reads the command line": COMMAND_ENV,
}


@pytest.mark.parametrize("env", ENVS.values(), ids=ENVS.keys())
def test_env_that_wants_to_be_run_in_its_own_way(attempt: Try, env: str) -> None:
    """
    What an application gives its env.py is given: Dagster's wants a connection.
    """
    assert outcomes(attempt(*chain(TABLE, LEFT), env=env)) == WANTED


def test_env_that_calls_back_into_an_event_loop(attempt: Try, folder: Path) -> None:
    """
    Prefect's env.py runs in a worker thread of AnyIO alone.
    """
    (folder / "anyio.py").write_text(ANYIO, "utf-8")
    assert outcomes(attempt(*chain(TABLE, LEFT), env=THREAD_ENV)) == WANTED


@pytest.mark.parametrize("jobs", [1, 2])
def test_step_that_fails_is_not_tried_in_another_way(attempt: Try, jobs: int) -> None:
    """
    The first step of a process may fail as any other, as Airflow's first downgrade does.
    """
    fails = Rev("a", "create table t ()", "drop table t; drop index no_such_index")
    assert outcomes(attempt(fails, jobs=jobs)) == {"a": "downgrade fails"}


def test_plain_env_is_run_in_place_of_it(attempt: Try) -> None:
    """
    With --plain-env the project's own is not so much as opened.
    """
    assert outcomes(attempt(*chain(TABLE, LEFT), env="raise SystemExit", plain_env=True)) == WANTED


def test_modules_of_the_project_shadow_nothing(attempt: Try, folder: Path) -> None:
    """
    A project's folder may have modules with the names of the standard library's, as Phoenix's has.
    """
    for name in ("types", "logging", "tokenize"):
        (folder / f"{name}.py").write_text("raise ImportError('not this one')", "utf-8")
    (folder / "its_own.py").write_text("here = True", "utf-8")
    assert outcomes(attempt(*chain(TABLE, LEFT), env=f"import its_own\n{ENV}")) == WANTED


def test_settings_in_pyproject_toml(server: Server, folder: Path) -> None:
    """
    A project without an ini file says where its migrations are in [tool.alembic].
    """
    ini = make_project(folder, chain(TABLE, LEFT))
    ini.unlink()
    text = '[tool.alembic]\nscript_location = "%(here)s/migrations"\n'
    (folder / "pyproject.toml").write_text(text, "utf-8")

    project = Project(find_config(ini), folder=folder)
    with making(server.conninfo()) as copies:
        assert outcomes(run(project, copies, Plan(with_walk=False))) == WANTED


def test_no_settings_at_all(folder: Path) -> None:
    """
    A pyproject.toml of something else is no configuration.
    """
    (folder / "pyproject.toml").write_text("[tool.other]\n", "utf-8")
    with pytest.raises(UsageError, match="no Alembic configuration"):
        find_config(folder / "alembic.ini")


def test_connection_elsewhere_is_led_to_us(attempt: Try) -> None:
    """
    A revision that connects by itself, past SQLAlchemy, gets our database whatever it asks for.
    """
    elsewhere = """
        import psycopg
        for connect in (psycopg.connect, psycopg.Connection.connect):
            with connect("host=production.invalid dbname=precious", connect_timeout=5) as conn:
                assert conn.info.dbname.startswith("iu_gates_symmetry_"), conn.info.dbname
    """
    seen = attempt(*chain(TABLE, Rev("b", elsewhere, elsewhere, python=True)))
    assert outcomes(seen) == {"a": "symmetric", "b": "symmetric"}


def test_pool_of_asyncpg_is_led_too() -> None:
    """
    A pool of asyncpg asks its own module to connect, not the package.
    """
    asked: list[dict[str, Any]] = []

    def connect(**params: Any) -> None:
        asked.append(params)

    module = SimpleNamespace(connect=connect)
    driver = SimpleNamespace(__name__="asyncpg", connect=connect, connection=module)
    target = targets.Target()
    target.address = {"host": "here", "port": "1", "dbname": "trial"}

    targets.lead_driver(driver, target)
    driver.connect("postgresql://production.invalid/precious")
    module.connect("postgresql://production.invalid/precious", timeout=5)

    ours = {"host": "here", "port": 1, "database": "trial"}
    assert asked == [ours, {**ours, "timeout": 5}]


@pytest.mark.parametrize("told", [(), (False,)], ids=["2", "1.4"])
def test_what_sqlalchemy_tells_of_a_connection_is_taken(told: tuple[bool, ...]) -> None:
    """
    The listener takes what SQLAlchemy 2 tells of a new connection, and what 1.4 does.
    """
    target = targets.Target()
    target.note(SimpleNamespace(engine="its engine"), *told)
    assert target.engines == {"its engine"}


MULTIDB_ENV = """
from alembic import context
from sqlalchemy import create_engine
engines = [create_engine(f"postgresql+psycopg://localhost/{name}") for name in ("one", "two")]
connections = [engine.connect() for engine in engines]
transactions = [connection.begin() for connection in connections]
for name, connection in zip(("one", "two"), connections):
    context.configure(connection=connection, upgrade_token=f"{name}_upgrades")
    context.run_migrations()
for transaction in transactions:
    transaction.commit()
"""


@pytest.mark.parametrize(
    "env",
    [MULTIDB_ENV, MULTIDB_ENV.replace("/{name}", "/one"), MULTIDB_ENV.replace("{name}_", "")],
    ids=["both", "token", "address"],
)
def test_env_for_several_databases_is_told_at_once(attempt: Try, folder: Path, env: str) -> None:
    """
    What `alembic init -t multidb` writes would meet itself in one database, and wait for ever.
    """
    with pytest.raises(UsageError, match="for several databases") as caught:
        attempt(TABLE, env=env, step_seconds=20)
    assert caught.value.next_command is not None
    assert "-x db=" in caught.value.next_command

    shutil.rmtree(folder / "migrations")
    env = env.replace('("one", "two")', 'context.get_x_argument(as_dictionary=True)["db"].split()')
    seen = attempt(*chain(TABLE, LEFT), env=env, x_arguments=("db=two",))
    assert outcomes(seen) == WANTED


def test_another_kind_of_database_is_refused(attempt: Try, folder: Path) -> None:
    """
    An env.py that goes to SQLite by default is told so, and writes nothing there.
    """
    env = ENV.replace("engine_from_config, pool", "create_engine")
    env = (
        env.partition("engine = ")[0] + "with create_engine('sqlite:///default.db').connect() as c:"
    )
    env += "\n    run(c)\n"
    with pytest.raises(UsageError) as caught:
        attempt(TABLE, env=env)
    assert "connects to sqlite" in str(caught.value.found)
    assert not (folder / "default.db").exists()


def make_drop(server: Server) -> str:
    """Return a step that drops the database it is tried in."""
    program = str(server.bin_dir / "dropdb")
    return f"""os.system('"{program}" --force "$PGDATABASE"')"""


def test_steps_that_misbehave_end_with_a_verdict_each(
    attempt: Try, server: Server, folder: Path
) -> None:
    """
    sys.exit, a fork, a hang, a dropped database: a verdict each, and the others are judged.
    """
    drop = make_drop(server)
    fork = """
        if (pid := os.fork()) == 0:
            time.sleep(600)
            os._exit(0)
        open("fork", "w").write(str(pid))
    """
    hang = 'op.execute("select pg_sleep(600)")'
    seen = attempt(
        *chain(
            TABLE,
            Rev("exits", "pass", "raise SystemExit(4)", python=True),
            Rev("forks", "pass", fork, python=True),
            Rev("hangs", "pass", hang, python=True),
            Rev("drops", "pass", drop, python=True),
            Rev("last", "create table u ()", ""),
        ),
        jobs=2,
        step_seconds=6,
    )
    assert outcomes(seen) == {
        "a": "symmetric",
        "exits": "downgrade fails",
        "forks": "symmetric",
        "hangs": "downgrade fails",
        "drops": "cannot judge",
        "last": "asymmetric",
    }
    assert "SystemExit: 4" in str(by_name(seen, "exits").failure)
    assert by_name(seen, "hangs").failure.kind == "Timeout"
    assert "lost" in by_name(seen, "drops").why
    wait_until_gone(int((folder / "fork").read_text("utf-8")))


def wait_until_gone(pid: int) -> None:
    """Fail if a process still runs; one that has ended may wait for its new parent."""
    deadline = time.monotonic() + 10
    status = Path(f"/proc/{pid}/status")
    while status.exists() and "State:\tZ" not in status.read_text("utf-8"):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_upgrade_that_hangs_holds_nothing_up(attempt: Try) -> None:
    """
    What an ended upgrade held in the trunk is free again, and what it left is no other's fault.
    """
    hang = """
        with op.get_context().autocommit_block():
            op.execute("create table left_behind ()")
        op.execute("lock table t")
        op.execute("select pg_sleep(600)")
    """
    seen = attempt(
        TABLE,
        Rev("bad", hang, "", ("a",), python=True),
        Rev("good", "alter table t add x int", "alter table t drop x", ("a",)),
        step_seconds=5,
    )
    assert outcomes(seen) == {"a": "symmetric", "bad": "cannot judge", "good": "symmetric"}


def test_upgrade_that_drops_the_trunk(attempt: Try, server: Server) -> None:
    """
    Without a trunk nothing more can be judged, and that is said.
    """
    drop = make_drop(server)
    seen = attempt(*chain(TABLE, Rev("b", drop, "", python=True), Rev("c")))
    assert outcomes(seen) == {"a": "symmetric", "b": "cannot judge", "c": "cannot judge"}


def test_refusal_of_a_library_is_none(attempt: Try) -> None:
    """
    NotImplementedError means a refusal where the project raises it, not where SQLAlchemy does.
    """
    seen = attempt(
        *chain(
            TABLE,
            Rev("refuses", "pass", "raise NotImplementedError", python=True),
            Rev("breaks", "pass", "sa.engine.interfaces.Dialect.do_begin(1, 2)", python=True),
        )
    )
    assert outcomes(seen) == {"a": "symmetric", "refuses": "refuses", "breaks": "downgrade fails"}


def test_revision_without_a_downgrade_is_told_so(server: Server, folder: Path) -> None:
    """
    A file that has no downgrade() at all, as those of OpenStack, is said to have none.
    """
    ini = make_project(folder, chain(TABLE, Rev("b")))
    path = folder / "migrations" / "versions" / "b.py"
    path.write_text(path.read_text("utf-8").partition("def downgrade")[0], "utf-8")
    with making(server.conninfo()) as copies:
        seen = run(Project(ini, folder=folder), copies, Plan(with_walk=False))
    assert outcomes(seen) == {"a": "symmetric", "b": "downgrade fails"}
    assert by_name(seen, "b").failure.message == "it has no downgrade()"


def test_nothing_secret_is_told(
    attempt: Try, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What a step prints or raises is shown without the secrets that its process knows.
    """
    monkeypatch.setenv("SOME_API_TOKEN", SECRET)
    named = {"DB_PASS": "of-db-pass", "DB_PWD": "of-db-pwd", "KEY_PASSPHRASE": "of-phrase"}
    named["ERRORS_DSN"] = "of-the-dsn"
    shown = {"STEPS_PASSED": "of-steps", "COMPASS": "of-needle", "PWD": "of-the-folder"}
    for name, value in {**named, **shown}.items():
        monkeypatch.setenv(name, value)
    (folder / ".env").write_text("export MAIL_PASSWORD='of the dot env'\n", "utf-8")
    tell = f"""
        print("the token is", os.environ["SOME_API_TOKEN"])
        print("to postgresql://me:p%40ss-of-a-url@db.example/app")
        print("with password=plainly-given and more, aws_secret_access_key: 'quoted'")
        print("x" * 5000, "{SECRET}")
        print("{" ".join([*named.values(), *shown.values()])}")
        print("pwd=abcdefgh1 pass=abcdefgh2 passphrase='abcdefgh3' db_pass: abcdefgh4")
        raise RuntimeError("no login with " + os.environ["SOME_API_TOKEN"] + ", of the dot env")
    """
    seen = attempt(*chain(TABLE, Rev("b", "pass", tell, python=True)))
    failure = by_name(seen, "b").failure
    told = f"{failure}\n{failure.message}\n{failure.output}"
    for secret in (SECRET, "p%40ss-of-a-url", "plainly-given", "'quoted'", "of the dot env"):
        assert secret not in told
    for secret in (*named.values(), "abcdefgh"):
        assert secret not in told
    assert all(word in told for word in shown.values())
    harmless = "passed=9 compass=north bypass=no"
    assert hide(harmless, ()) == harmless
    assert "no login with ***" in told
    assert os.environ["SOME_API_TOKEN"] == SECRET
