"""
Plain Alembic commands, one a line on stdin, for one project and one database.

    python projects_command.py CONFIG URL HOW        in the project's environment

HOW is "plain", "thread" (in a worker thread of AnyIO) or "connection" (given to env.py). A line is
`history`, `upgrade REVISION` or `downgrade REVISION`; the answer is one line of JSON.
"""

# ruff: noqa: PLC0415  the project's own Alembic, imported when it is asked for
from __future__ import annotations

import json
import os
import sys
from typing import Any


def main(file: str, url: str, how: str) -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.argv = ["alembic"]
    for line in sys.stdin:
        name, _, revision = line.strip().partition(" ")
        try:
            answer: Any = do(file, url, how, name, revision)
        except BaseException as error:  # noqa: BLE001  the project's, and it is the answer
            origin = getattr(error, "orig", None) or error
            answer = {"error": type(error).__name__, "message": str(origin).strip()[:300]}
        print(json.dumps(answer), file=answers, flush=True)


def do(file: str, url: str, how: str, name: str, revision: str) -> Any:
    """Run one command."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(file)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    if name == "history":
        script = ScriptDirectory.from_config(config)
        return [[r.revision, r.down_revision] for r in script.walk_revisions()][::-1]
    run = {"upgrade": command.upgrade, "downgrade": command.downgrade}[name]
    if how == "thread":
        import anyio

        anyio.run(anyio.to_thread.run_sync, run, config, revision)
    elif how == "connection":
        from sqlalchemy import create_engine, pool

        with create_engine(url, poolclass=pool.NullPool).connect() as connection:
            config.attributes["connection"] = connection
            run(config, revision)
            connection.commit()
    else:
        run(config, revision)
    return {}


if __name__ == "__main__":
    main(*sys.argv[1:])
