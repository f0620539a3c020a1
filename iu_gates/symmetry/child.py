"""
The program that runs a project's own ``env.py``, one revision at a time.

    python child.py OPTIONS                               a JSON object, see `Options`

It reads requests, one JSON object a line, from stdin, and answers each with one line of JSON on
the descriptor that was stdout when it began; whatever the project itself prints goes to stderr.
It lives as long as its stdin, so that a project's modules are imported once and not for each
step, and is killed where a revision hangs.

    {"do": "list", "database": {…}}                       the revisions
    {"do": "up"|"down", "revision": R, "database": {…}}   one step, on that database

With ``"stays": true`` a step is committed and answered while ``env.py`` still runs, and the next
one goes in the same run and session of it, as those of ``alembic upgrade`` do, if it is in the same
direction and database. Where the transaction is not Alembic's to commit, each has its own run.

An ``env.py`` may take its URL from anywhere: the ini file, the environment, settings, ``-x``.
Where a connection is made, by SQLAlchemy (`do_connect`, its own event for this) or by a driver
itself, the address is replaced by that of the database asked for, so a step cannot reach another
one; ``PG*`` and the variables named by the caller say the same. A database that is no PostgreSQL
is refused.

Some want to be run as their application runs them. What is tried, until one way succeeds, stands in
`WAYS`: as ``alembic`` does; in a worker thread of AnyIO; with ``config.attributes["connection"]``
set, as Alembic's cookbook has it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Request = Mapping[str, Any]
Way = Callable[[Any, Any], None]
Options = Mapping[str, Any]
"""config, section, driver ("" leaves it to us), url_variables, x (arguments), plain_env."""

PASSED_ON: Final = ("host", "port", "user", "password")
ADDRESS: Final = {*PASSED_ON, "dbname", "database", "service", "hostaddr", "dsn", "conninfo"}
LIBPQ: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "hostaddr": "PGHOSTADDR",
    "service": "PGSERVICE",
}
DIALECT: Final = "postgresql"
DRIVERS: Final = ("psycopg", "psycopg2", "asyncpg")
"""The first can do both, with and without asyncio."""


class ElsewhereError(RuntimeError):
    """The project asked a driver for another database than the one it was given."""


class SeveralDatabasesError(RuntimeError):
    """One run of ``env.py`` ran migrations for another database too."""


class Target:
    """The database that every connection of this process is led to."""

    def __init__(self) -> None:
        self.address: dict[str, str] = {}
        self.engines: set[Any] = set()

    def lead(self, dialect: Any, _record: Any, args: list[Any], params: dict[str, Any]) -> None:
        """Replace the address of a connection that SQLAlchemy is about to make."""
        if dialect.name != "postgresql":
            message = f"it connects to {dialect.name}; --url-variable or -x can give it our URL"
            raise ElsewhereError(message)
        is_libpq = dialect.driver.startswith("psycopg")
        args.clear()
        led = self.leads(params, is_libpq=is_libpq)
        params.clear()
        params.update(led)

    def leads(self, params: Mapping[str, Any], *, is_libpq: bool) -> dict[str, Any]:
        """Return a driver's parameters with our address in place of theirs."""
        kept = {k: v for k, v in params.items() if k not in ADDRESS}
        if is_libpq:
            return {**kept, **self.address}
        ours: dict[str, Any] = {k: self.address[k] for k in PASSED_ON if k in self.address}
        if "port" in ours:
            kept["port"] = int(ours.pop("port"))
        if "sslmode" in self.address:
            kept["ssl"] = self.address["sslmode"]
        return {**kept, **ours, "database": self.address["dbname"]}

    def point(self, address: Mapping[str, str], variables: Mapping[str, str]) -> None:
        """Lead what comes from now on to this database."""
        self.address = dict(address)
        for name, variable in LIBPQ.items():
            if name in address:
                os.environ[variable] = address[name]
            else:
                os.environ.pop(variable, None)
        os.environ.update(variables)

    def release(self) -> None:
        """Close what pools keep open: nobody may copy a database with a session in it."""
        for engine in self.engines:
            engine.dispose()
        self.engines.clear()


class Caller:
    """Who asks: one request at a time, and one answer to each."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._next: Request | None = None
        self._is_owed = False
        self._process = os.getpid()
        os.dup2(2, 1)

    def ask(self) -> Request | None:
        """Return the next request, without taking it; None at the end."""
        if self._next is None:
            line = sys.stdin.readline()
            self._next = json.loads(line) if line else None
        return self._next

    def take(self) -> Request:
        """Take the request that was asked for."""
        assert self._next is not None  # noqa: S101  it was looked at before
        request, self._next = self._next, None
        self._is_owed = True
        return request

    def say(self, line: str) -> None:
        """Write one line."""
        self._answers.write(line + "\n")
        self._answers.flush()

    def leave_fork(self) -> None:
        """End a fork that a revision made, and left to itself."""
        if os.getpid() != self._process:
            os._exit(0)

    def answer(self, answer: Mapping[str, Any]) -> None:
        """Answer the request that was taken, unless that is done."""
        self.leave_fork()
        if self._is_owed:
            self._is_owed = False
            self.say(json.dumps(answer))


def serve(options: Options) -> None:
    """Answer requests until stdin ends."""
    caller = Caller()
    target = Target()
    listen(target)
    project = Ways(options, target, caller)
    caller.say("ready")
    while caller.ask() is not None:
        try:
            answer = {"ok": True, **handle(caller.take(), target, project)}
        except BaseException as error:  # noqa: BLE001  the project's, and it is what we report
            answer = {"ok": False, **describe(error)}
        finally:
            caller.leave_fork()
            target.release()
        caller.answer(answer)


def listen(target: Target) -> None:
    """Stand where SQLAlchemy and the drivers make their connections."""
    from sqlalchemy import event  # noqa: PLC0415  the project's own SQLAlchemy, and costly
    from sqlalchemy.engine import Engine  # noqa: PLC0415

    event.listen(Engine, "do_connect", target.lead)
    event.listen(Engine, "engine_connect", lambda conn: target.engines.add(conn.engine))
    for name in filter(is_there, DRIVERS):
        lead_driver(importlib.import_module(name), target)


def lead_driver(driver: Any, target: Target) -> None:
    """Lead what connects through a driver itself, past SQLAlchemy."""
    is_libpq = driver.__name__ != "asyncpg"

    def led(connect: Callable[..., Any]) -> Callable[..., Any]:
        def go(*_address: Any, **params: Any) -> Any:
            return connect(**target.leads(params, is_libpq=is_libpq))

        return go

    for name in ("Connection", "AsyncConnection") if driver.__name__ == "psycopg" else ():
        kind = getattr(driver, name)
        kind.connect = led(kind.connect)
    driver.connect = led(driver.connect)
    if not is_libpq:
        driver.connection.connect = driver.connect  # what its pools call


def is_there(module: str) -> bool:
    """Tell whether the project's interpreter has a module."""
    return importlib.util.find_spec(module) is not None


def handle(request: Request, target: Target, project: Ways) -> dict[str, Any]:
    """Do what a request asks for."""
    while True:
        target.point(request["database"], project.variables(request["database"]))
        try:
            return walk(project, request) if request["do"] != "list" else look(project, request)
        except Exception as error:
            if not project.takes_another_driver(error):
                raise


def look(project: Ways, request: Request) -> dict[str, Any]:
    """Return the revisions, and where the version table is."""
    # An env.py may say where the versions are: it is run for this too, with no step to go.
    home: dict[str, Any] = {}

    def find_none(_heads: Any, context: Any) -> list[Any]:
        home.update(describe_home(context))
        return []

    project.run_env(request, find_none)
    return {"revisions": list_revisions(project.script), **home}


class Ways:
    """How the project wants to be run; the first way that succeeds is kept."""

    def __init__(self, options: Options, target: Target, caller: Caller) -> None:
        self.options = options
        self.target = target
        self.caller = caller
        self.was_asked = False
        self.ways: tuple[Way, ...] = (run_plain_env,) if options["plain_env"] else WAYS

    def variables(self, address: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables that are to hold the URL."""
        return dict.fromkeys(self.options["url_variables"], make_url(self.driver, address))

    @property
    def driver(self) -> str:
        """The dialect and driver in the URL."""
        return self.drivers[0]

    @functools.cached_property
    def drivers(self) -> list[str]:
        """The given one; or that of the ini file, SQLAlchemy's default, and what is there."""
        if self.options["driver"]:
            return [self.options["driver"]]
        section = self.options["section"]
        parser = read_config(self.options["config"], section).file_config
        written = parser.get(section, "sqlalchemy.url", raw=True, fallback="").partition(":")[0]
        names = dict.fromkeys((written, DIALECT, *(f"{DIALECT}+{name}" for name in DRIVERS)))
        return [n for n in names if n.startswith(DIALECT) and can_load(n)] or [DIALECT]

    def takes_another_driver(self, error: Exception) -> bool:
        """Take the next driver, if the project has just said that it wants one with asyncio."""
        is_said = "async" in str(error) and "driver" in str(error)
        wants = is_said and len(self.drivers) > 1 and not self.was_asked
        if wants:
            self.drivers.pop(0)
        return wants

    @functools.cached_property
    def script(self) -> Any:
        """The project's revisions: read once, their modules for each step anew."""
        from alembic.script import ScriptDirectory  # noqa: PLC0415

        config = read_config(self.options["config"], self.options["section"])
        return ScriptDirectory.from_config(config)

    def configure(self, request: Request) -> Any:
        """Return Alembic's configuration, with our URL in it."""
        config = read_config(self.options["config"], self.options["section"])
        url = make_url(self.driver, request["database"])
        command = {"list": "current", "up": "upgrade", "down": "downgrade"}[request["do"]]
        sys.argv = ["alembic", command, request.get("revision", "")]
        # What `alembic -x` leaves behind, for `context.get_x_argument`, and the rest of a command.
        config.cmd_opts = argparse.Namespace(
            x=[x.replace("{url}", url) for x in self.options["x"]],
            config=[self.options["config"]],
            name=self.options["section"],
            raiseerr=False,
            sql=False,
            tag=None,
        )
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        return config

    def run_env(self, request: Request, find_steps: Any, **options: Any) -> None:
        """
        Run ``env.py`` to go the steps that are found.

        Another way is tried only where this one did not come so far as to ask for the steps: a step
        that failed has failed.
        """
        first: Exception | None = None
        self.was_asked = False

        def ask(heads: Any, context: Any) -> Any:
            self.was_asked = True
            return find_steps(heads, context)

        for way in self.ways:
            try:
                run_env(way, self.configure(request), self.script, ask, **options)
            except Exception as error:
                if self.was_asked:
                    self.ways = (way,)
                    raise
                first = first or error
            else:
                self.ways = (way,)
                return
        if first is not None:
            raise first


def run_as_alembic_does(_config: Any, script: Any) -> None:
    """Run ``env.py`` here."""
    script.run_env()


def run_in_worker_thread(_config: Any, script: Any) -> None:
    """Run ``env.py`` where it can call back into an event loop of AnyIO, as Prefect's does."""
    anyio = importlib.import_module("anyio")  # the project's own, if it has it
    anyio.run(anyio.to_thread.run_sync, script.run_env)


def run_with_connection(config: Any, script: Any) -> None:
    """Run ``env.py`` with a connection given to it, as Dagster's wants."""
    with connect(config) as connection:
        config.attributes["connection"] = connection
        script.run_env()
        connection.commit()


def run_plain_env(config: Any, _script: Any) -> None:
    """Do what the plainest ``env.py`` does, in place of the project's."""
    from alembic import context  # noqa: PLC0415

    with connect(config) as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


WAYS: Final[tuple[Way, ...]] = (run_as_alembic_does, run_in_worker_thread, run_with_connection)


@contextlib.contextmanager
def connect(config: Any) -> Iterator[Any]:
    """Give a connection of SQLAlchemy to the database of the trial."""
    from sqlalchemy import create_engine, pool  # noqa: PLC0415

    engine = create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        yield connection


def can_load(driver: str) -> bool:
    """Tell whether SQLAlchemy finds a driver here."""
    from sqlalchemy import exc, make_url  # noqa: PLC0415

    try:
        make_url(f"{driver}://").get_dialect().import_dbapi()
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError):
        return False
    return True


def read_config(file: str, section: str) -> Any:
    """Return Alembic's configuration of an ini file, or of a ``pyproject.toml``, or of both."""
    from alembic.config import Config  # noqa: PLC0415

    if "toml_file" not in inspect.signature(Config).parameters:
        return Config(file, ini_section=section)
    if Path(file).suffix == ".toml":
        return Config(toml_file=file, ini_section=section)
    return Config(file, toml_file="pyproject.toml", ini_section=section)


def make_url(driver: str, address: Mapping[str, str]) -> str:
    """Return SQLAlchemy's URL of a database; a unix socket's folder goes into the query."""
    from sqlalchemy.engine import URL  # noqa: PLC0415

    host, port = address.get("host", ""), address.get("port")
    is_socket = host.startswith("/")
    url = URL.create(
        driver,
        username=address.get("user"),
        password=address.get("password"),
        host=None if is_socket else host or None,
        port=int(port) if port and not is_socket else None,
        database=address.get("dbname"),
        query={"host": host, **({"port": port} if port else {})} if is_socket else {},
    )
    return url.render_as_string(hide_password=False)


def list_revisions(script: Any) -> list[dict[str, Any]]:
    """Return the revisions, each after those it stands on."""
    found = [
        {
            "name": r.revision,
            "down": list(r._versioned_down_revisions),  # noqa: SLF001  no public spelling
            "needs": sorted(r._all_down_revisions),  # noqa: SLF001
            "labels": sorted(r.branch_labels),
            "text": r.doc,
            "path": str(Path(r.path).resolve()),
        }
        for r in script.walk_revisions()
    ]
    return list(reversed(found))


def walk(project: Ways, request: Request) -> dict[str, Any]:
    """Go one step or more, through the project's ``env.py``; report where its version table is."""
    seen: dict[str, Any] = {}

    def find_steps(_heads: Any, context: Any) -> Iterator[Any]:
        if seen:
            return  # env.py runs migrations for this database once more
        seen.update(describe_home(context))
        each: Request | None = request
        while each is not None:
            yield make_step(project.script, each)
            each = follow(project.caller, context, each, seen) if each.get("stays") else None

    project.run_env(request, find_steps, destination_rev=request["revision"])
    if not seen:
        message = "env.py ran no migrations"
        raise ElsewhereError(message)
    return seen


def make_step(script: Any, request: Request) -> Any:
    """Return Alembic's step."""
    from alembic.runtime.migration import MigrationStep  # noqa: PLC0415
    from alembic.util import load_python_file  # noqa: PLC0415

    revision = script.get_revision(request["revision"])
    # As a new process would have it: a module may keep what its upgrade() made.
    revision.module = load_python_file(*os.path.split(revision.path))
    if request["do"] == "up":
        return MigrationStep.upgrade_from_script(script.revision_map, revision)
    return MigrationStep.downgrade_from_script(script.revision_map, revision)


def follow(
    caller: Caller, context: Any, request: Request, home: Mapping[str, Any]
) -> Request | None:
    """Commit a step and answer; return the request that goes on from it, if it is one of those."""
    caller.leave_fork()
    connection = context.connection
    if connection.in_transaction() and getattr(context, "_transaction", None) is None:
        return None  # env.py began it, and commits it
    with context.autocommit_block():
        pass  # it begins with a commit
    caller.answer({"ok": True, **home})
    to_come = caller.ask()
    goes_on = to_come is not None and all(
        to_come.get(name) == request[name] for name in ("do", "database")
    )
    return caller.take() if goes_on else None


def run_env(way: Way, config: Any, script: Any, find_steps: Any, **options: Any) -> None:
    """Run the project's ``env.py`` as `alembic upgrade` does, to go the steps that are found."""
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415

    environment = EnvironmentContext(
        config, script, fn=find_steps, as_sql=False, tag=None, **options
    )
    keep_to_one_database(environment)
    with quiet_logging(), environment:
        way(config, script)


def keep_to_one_database(environment: Any) -> None:
    """Refuse migrations of a second database: all are led to one, where they would meet."""
    purposes: set[Any] = set()
    go = environment.run_migrations

    def run_migrations(**options: Any) -> None:
        context = environment.get_context()
        url = context.connection.engine.url
        purposes.add((url.host, url.port, url.database, context.opts.get("upgrade_token")))
        if len(purposes) > 1:
            message = "env.py runs migrations for several databases"
            raise SeveralDatabasesError(message)
        go(**options)

    environment.run_migrations = run_migrations


def describe_home(context: Any) -> dict[str, Any]:
    """Return where the project keeps its version table."""
    schema = context.version_table_schema
    return {
        "version_table": context.version_table,
        "version_table_schema": schema,
        "has_models_there": has_tables_in(context, schema),
    }


def has_tables_in(context: Any, schema: str | None) -> bool:
    """Tell whether the project's models have tables in the schema of the version table."""
    metadata = context.opts.get("target_metadata")
    found = metadata if isinstance(metadata, list | tuple) else [metadata]
    return any(t.schema == schema for m in found if m is not None for t in m.tables.values())


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Keep what ``fileConfig`` in an ``env.py`` sets up from growing with each step."""
    import logging  # noqa: PLC0415

    before = list(logging.root.handlers)
    try:
        yield
    finally:
        logging.root.handlers[:] = before


def describe(error: BaseException) -> dict[str, Any]:
    """Return what a reader needs to know of an exception."""
    origin = getattr(error, "orig", None) or error
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if Path(f.filename) != Path(__file__)]
    where = [f for f in theirs if not is_of_library(f.filename)] or theirs
    diag = getattr(origin, "diag", None)
    by_design = isinstance(error, NotImplementedError) and theirs[-1:] == where[-1:]
    return {
        "kind": type(error).__name__,
        "message": str(origin).strip() or type(error).__name__,
        "sqlstate": getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or "",
        "detail": getattr(diag, "message_detail", None) or "",
        "is_refusal": by_design,
        "at": f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else "",
    }


def is_of_library(file: str) -> bool:
    """Tell whether a file is none of the project's, but below it."""
    modules = (sys.modules.get(name) for name in ("alembic", "sqlalchemy", "anyio", *DRIVERS))
    folders = [Path(m.__file__).parent for m in modules if m is not None and m.__file__]
    path = Path(file)
    is_stdlib = path.is_relative_to(Path(os.__file__).parent) and "site-packages" not in path.parts
    return (
        is_stdlib or file.startswith("<") or any(path.is_relative_to(folder) for folder in folders)
    )


def main() -> None:
    """Run as a program."""
    options = json.loads(sys.argv[1])
    # After all else: a project's folder may have a module called "logging".
    sys.path += [str(Path(options["config"]).resolve().parent), str(Path.cwd())]
    serve(options)


if __name__ == "__main__":
    main()
