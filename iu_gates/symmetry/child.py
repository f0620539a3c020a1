"""
The program that runs a project's own ``env.py``, one revision at a time.

    python child.py CONFIG SECTION [X-ARGUMENT…]

It reads requests, one JSON object a line, from stdin, and answers each with one line of JSON on
the descriptor that was stdout when it began; whatever the project itself prints goes to stderr.
It lives as long as its stdin, so that a project's modules are imported once and not for each
step, and is killed where a revision hangs.

    {"do": "list", "database": {…}}                       the revisions
    {"do": "up"|"down", "revision": R, "database": {…}}   one step, on that database

An ``env.py`` may take its URL from anywhere: the ini file, the environment, settings, ``-x``.
Where every connection of SQLAlchemy is made, the address is replaced by that of the database
asked for (`do_connect`, SQLAlchemy's own event for this), so a step cannot reach another one;
``PG*`` and the variables named by the caller say the same to whoever connects otherwise, and a
driver that is asked for another database all the same is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

Request = Mapping[str, Any]
PASSED_ON: Final = ("host", "port", "user", "password")
LIBPQ: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}


class ElsewhereError(RuntimeError):
    """The project asked a driver for another database than the one it was given."""


class Target:
    """The database that every connection of this process is led to."""

    def __init__(self) -> None:
        self.address: dict[str, str] = {}
        self.engines: set[Any] = set()

    def lead(self, _dialect: Any, _record: Any, args: list[Any], params: dict[str, Any]) -> None:
        """Replace the address of a connection that SQLAlchemy is about to make."""
        names = {"dbname", "database"} & params.keys() or {"dbname"}
        kept = {
            k: v
            for k, v in params.items()
            if k not in {*PASSED_ON, "dbname", "database", "service", "hostaddr", "dsn"}
        }
        args.clear()
        params.clear()
        params.update(kept)
        params.update({k: v for k, v in self.address.items() if k != "dbname"})
        if "port" in params:
            params["port"] = int(params["port"])
        params.update(dict.fromkeys(names, self.address["dbname"]))

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


def serve(config_file: str, section: str, x_arguments: list[str]) -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    target = Target()
    listen(target)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": True, **handle(request, target, config_file, section, x_arguments)}
        except BaseException as error:  # noqa: BLE001  the project's, and it is what we report
            answer = {"ok": False, **describe(error)}
        finally:
            target.release()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def listen(target: Target) -> None:
    """Stand where SQLAlchemy and the drivers make their connections."""
    from sqlalchemy import event  # noqa: PLC0415  the project's own SQLAlchemy, and costly
    from sqlalchemy.engine import Engine  # noqa: PLC0415

    event.listen(Engine, "do_connect", target.lead)
    event.listen(Engine, "engine_connect", lambda conn: target.engines.add(conn.engine))


def handle(
    request: Request, target: Target, config_file: str, section: str, x_arguments: list[str]
) -> dict[str, Any]:
    """Do what a request asks for."""
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config(config_file, ini_section=section)
    # What `alembic -x` leaves behind, for `context.get_x_argument`.
    x_given = [x.format(**request.get("variables", {})) for x in x_arguments]
    config.cmd_opts = type("Options", (), {"x": x_given, "tag": None, "sql": False})()
    script = ScriptDirectory.from_config(config)
    target.point(request["database"], request.get("environment", {}))
    if url := request.get("url"):
        config.set_main_option("sqlalchemy.url", str(url).replace("%", "%%"))
    if request["do"] == "list":
        # An env.py may say where the versions are: it is run for this too, with no step to go.
        home: dict[str, Any] = {}

        def find_none(_heads: Any, context: Any) -> list[Any]:
            home.update(describe_home(context))
            return []

        run_env(config, script, find_none)
        return {"revisions": list_revisions(script), **home}
    return walk(config, script, request)


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


def walk(config: Any, script: Any, request: Request) -> dict[str, Any]:
    """Go one step, through the project's ``env.py``; report where its version table is."""
    from alembic.runtime.migration import MigrationStep  # noqa: PLC0415

    seen: dict[str, Any] = {}
    is_up = request["do"] == "up"

    def find_steps(_heads: Any, context: Any) -> list[Any]:
        seen.update(describe_home(context))
        revision = script.get_revision(request["revision"])
        make = MigrationStep.upgrade_from_script if is_up else MigrationStep.downgrade_from_script
        return [make(script.revision_map, revision)]

    run_env(config, script, find_steps, destination_rev=request["revision"])
    if not seen:
        message = "env.py ran no migrations"
        raise ElsewhereError(message)
    return seen


def run_env(config: Any, script: Any, find_steps: Any, **options: Any) -> None:
    """Run the project's ``env.py`` as `alembic upgrade` does, to go the steps that are found."""
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415

    with (
        quiet_logging(),
        EnvironmentContext(config, script, fn=find_steps, as_sql=False, tag=None, **options),
    ):
        script.run_env()


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
    ours = Path(__file__).parent
    theirs = [f for f in frames if Path(f.filename).parent != ours]
    libraries = ("alembic", "sqlalchemy", "psycopg", "psycopg2", "asyncpg", "asyncio")
    where = [f for f in theirs if Path(f.filename).parent.name not in libraries] or theirs
    diag = getattr(origin, "diag", None)
    return {
        "kind": type(error).__name__,
        "message": str(origin).strip() or type(error).__name__,
        "sqlstate": getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or "",
        "detail": getattr(diag, "message_detail", None) or "",
        "is_refusal": isinstance(error, NotImplementedError),
        "at": f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else "",
        "frames": [f"{f.filename}:{f.lineno}" for f in where][-12:],
    }


def main() -> None:
    """Run as a program."""
    config_file, section, *x_arguments = sys.argv[1:]
    folder = str(Path(config_file).resolve().parent)
    sys.path.insert(0, folder)
    serve(config_file, section, x_arguments)


if __name__ == "__main__":
    main()
