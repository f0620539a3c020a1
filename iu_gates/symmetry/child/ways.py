"""
How a project's ``env.py`` wants to be run.

Some want to be run as their application runs them. What is tried, until one way succeeds, stands in
`WAYS`: as ``alembic`` does; in a worker thread of AnyIO; with ``config.attributes["connection"]``
set, as Alembic's cookbook has it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .address import list_drivers, make_url, read_config
from .caller import Caller, Request
from .target import Target

Way = Callable[[Any, Any], None]
Options = Mapping[str, Any]
"""config, section, driver ("" leaves it to us), url_variables, x (arguments), plain_env."""


class SeveralDatabasesError(RuntimeError):
    """One run of ``env.py`` ran migrations for another database too."""


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
        """Those that may be meant, the likeliest first."""
        return list_drivers(*(self.options[name] for name in ("driver", "config", "section")))

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
        arguments = self.list_arguments(request, url)
        # As the command leaves them, for `context.get_x_argument` and whoever asks what is run.
        sys.argv = ["alembic", *arguments]
        config.cmd_opts = self.command_line.parser.parse_args(arguments)
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        return config

    def list_arguments(self, request: Request, url: str) -> list[str]:
        """Return what `alembic` would be called with."""
        said = [f"--config={self.options['config']}", f"--name={self.options['section']}"]
        said += [f"-x{x.replace('{url}', url)}" for x in self.options["x"]]
        if request["do"] == "list":
            return [*said, "current"]
        command = {"up": "upgrade", "down": "downgrade"}[request["do"]]
        return [*said, command, request["revision"]]

    @functools.cached_property
    def command_line(self) -> Any:
        """Alembic's own."""
        from alembic.config import CommandLine  # noqa: PLC0415

        return CommandLine("alembic")

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


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Keep what ``fileConfig`` in an ``env.py`` sets up from growing with each step."""
    import logging  # noqa: PLC0415

    before = list(logging.root.handlers)
    try:
        yield
    finally:
        logging.root.handlers[:] = before


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


@contextlib.contextmanager
def connect(config: Any) -> Iterator[Any]:
    """Give a connection of SQLAlchemy to the database of the trial."""
    from sqlalchemy import create_engine, pool  # noqa: PLC0415

    engine = create_engine(config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        yield connection


WAYS: Final[tuple[Way, ...]] = (run_as_alembic_does, run_in_worker_thread, run_with_connection)
