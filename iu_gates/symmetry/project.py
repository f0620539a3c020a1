"""
A project with Alembic migrations, seen from outside: its revisions, and one step of one of them.

The project's ``env.py`` runs in a process of its own (`iu_gates.symmetry.child`), with the
project's folder as its working directory; a step that hangs is ended with that process.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus

from psycopg.conninfo import conninfo_to_dict

from iu_gates.errors import IuGatesError, UsageError

TAIL_BYTES: Final = 4000
STARTS_WITHIN_SECONDS: Final = 60.0
ENDS_WITHIN_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Revision:
    """
    One revision of a project.

    Attributes:
        name: Its identifier.
        down: Those that it follows; two or more make it a merge.
        needs: `down`, and those that it depends on.
        labels: Its branch labels.
        text: The first line of its docstring.
        path: Its file.
    """

    name: str
    down: tuple[str, ...]
    needs: tuple[str, ...]
    labels: tuple[str, ...]
    text: str
    path: Path


@dataclass(frozen=True, slots=True)
class Failure:
    """
    Why a step failed, as the project's process told it.

    Attributes:
        kind: The exception's class; "Timeout" and "Died" are ours.
        message: Its text, without the password of the database.
        sqlstate: "" if the database did not raise it.
        at: File and line in the project.
        is_refusal: True for `NotImplementedError`.
        output: The end of what the process had printed.
    """

    kind: str
    message: str
    sqlstate: str = ""
    at: str = ""
    is_refusal: bool = False
    output: str = ""

    def __str__(self) -> str:
        """Return one line."""
        first = self.message.splitlines()[0] if self.message else ""
        state = f" ({self.sqlstate})" if self.sqlstate else ""
        return f"{self.kind}: {first}{state}" + (f" at {self.at}" if self.at else "")


@dataclass(frozen=True, slots=True)
class Home:
    """
    Where a project keeps its version table.

    Attributes:
        table: Its name.
        schema: As ``env.py`` gives it; None leaves it to the search path.
        has_models: True if models of the project have tables in that schema.
    """

    table: str
    schema: str | None
    has_models: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """The revisions of a project, each after those that it needs, and its version table."""

    revisions: tuple[Revision, ...]
    home: Home


@dataclass(frozen=True, slots=True)
class Project:
    """
    Where a project's migrations are, and how its ``env.py`` wants to be told a URL.

    Attributes:
        config_file: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
        section: Of the ini file.
        folder: The working directory of its process.
        driver: SQLAlchemy's name of dialect and driver in the URL, such as
            ``postgresql+asyncpg``.
        url_variables: Environment variables that get the URL.
        x_arguments: As ``alembic -x``; ``{url}`` stands for the URL.
        step_seconds: A step that takes longer is ended.
        python: The interpreter that has what the project needs.
    """

    config_file: Path
    section: str = "alembic"
    folder: Path = field(default_factory=Path.cwd)
    driver: str = "postgresql+psycopg"
    url_variables: tuple[str, ...] = ()
    x_arguments: tuple[str, ...] = ()
    step_seconds: float = 300.0
    python: str = sys.executable


class Runner:
    """A process of the project; one step at a time. Use it as a context manager."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the runner
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._said.close()

    def list_revisions(self, conninfo: str) -> Listing:
        """
        Return the project's revisions; its ``env.py`` is run, but no step.

        Raises:
            UsageError: ``env.py`` fails, or there are no revisions.
        """
        answer = self._request("list", "", conninfo)
        if isinstance(answer, Failure):
            raise UsageError(
                f'the migrations of "{self._project.config_file}" cannot be read',
                ident="IUG-090",
                found=str(answer),
                wanted="an alembic.ini whose script_location holds env.py and versions",
                next_command="alembic history, in that folder and environment",
                facts={"output": answer.output},
            )
        found = [
            Revision(
                r["name"],
                tuple(r["down"]),
                tuple(r["needs"]),
                tuple(r["labels"]),
                r["text"] or "",
                Path(r["path"]),
            )
            for r in answer["revisions"]
        ]
        if not found:
            raise UsageError(
                f'"{self._project.config_file}" leads to no revision',
                ident="IUG-090",
                wanted="a script_location with versions in it",
                next_command="alembic history, in that folder and environment",
            )
        return Listing(sort_by_need(found), _home(answer))

    def step(self, direction: str, revision: str, conninfo: str) -> Home | Failure:
        """Go one step on a database; `direction` is "up" or "down"."""
        answer = self._request(direction, revision, conninfo)
        return answer if isinstance(answer, Failure) else _home(answer)

    def _request(self, what: str, revision: str, conninfo: str) -> dict[str, Any] | Failure:
        address = {k: str(v) for k, v in conninfo_to_dict(conninfo).items() if v is not None}
        url = make_url(self._project.driver, address)
        request = {
            "do": what,
            "revision": revision,
            "database": address,
            "url": url,
            "variables": {"url": url},
            "environment": dict.fromkeys(self._project.url_variables, url),
        }
        return self._ask(request, self._project.step_seconds, address.get("password", ""))

    def _ask(
        self, request: Mapping[str, Any], seconds: float, password: str
    ) -> dict[str, Any] | Failure:
        self._said.seek(0)
        self._said.truncate()
        try:
            process = self._process or self._start()
            assert process.stdin is not None  # noqa: S101  it was opened as a pipe
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = self._read_line(process, seconds)
        except (BrokenPipeError, EOFError):
            status = self._end()
            return self._scrubbed(
                Failure("Died", f"its process ended with status {status}"), password
            )
        except TimeoutError:
            self._end()
            return self._scrubbed(Failure("Timeout", f"no answer within {seconds:.0f} s"), password)
        answer: dict[str, Any] = json.loads(line)
        if answer["ok"]:
            return answer
        message = answer["message"] + (f"\n{answer['detail']}" if answer["detail"] else "")
        failure = Failure(
            answer["kind"], message, answer["sqlstate"], answer["at"], answer["is_refusal"]
        )
        return self._scrubbed(failure, password)

    def _scrubbed(self, failure: Failure, password: str) -> Failure:
        """Add what the process printed, and take the password out of everything."""
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - TAIL_BYTES))
        output = self._said.read().decode("utf-8", "replace")

        # As it is, and as a URL has it: SQLAlchemy and libpq quote it each in their own way.
        forms = {password, quote(password, safe=""), quote_plus(password), quote(password)} - {""}

        def hide(text: str) -> str:
            for form in sorted(forms, key=len, reverse=True):
                text = text.replace(form, "***")
            return text

        return Failure(
            failure.kind,
            hide(failure.message),
            failure.sqlstate,
            failure.at,
            failure.is_refusal,
            hide(output),
        )

    def _start(self) -> subprocess.Popen[bytes]:
        project = self._project
        # By path, and without its folder in sys.path: the project's modules may have our names.
        program = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
        self._process = subprocess.Popen(
            [
                project.python,
                "-c",
                program,
                str(Path(__file__).with_name("child.py")),
                str(project.config_file.absolute()),
                project.section,
                *project.x_arguments,
            ],
            cwd=project.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
        )
        self._rest = b""
        # Its own start is no part of a step's time.
        self._read_line(self._process, STARTS_WITHIN_SECONDS)
        return self._process

    def _read_line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert process.stdout is not None  # noqa: S101  it was opened as a pipe
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise TimeoutError
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                raise EOFError
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _end(self) -> int | None:
        """End the process and return its status; None if there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        try:
            return process.wait(ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _home(answer: Mapping[str, Any]) -> Home:
    return Home(answer["version_table"], answer["version_table_schema"], answer["has_models_there"])


def sort_by_need(revisions: Sequence[Revision]) -> tuple[Revision, ...]:
    """Return the revisions, each after all that it needs; otherwise as they come."""
    left = {r.name: r for r in revisions}
    done: dict[str, Revision] = {}
    while left:
        ready = [r for r in left.values() if not set(r.needs) & left.keys()]
        if not ready:
            raise IuGatesError(f"revisions need one another in a circle: {', '.join(left)}")
        done[ready[0].name] = left.pop(ready[0].name)
    return tuple(done.values())


def make_url(driver: str, address: Mapping[str, str]) -> str:
    """Return SQLAlchemy's URL of a database; a unix socket's folder goes into the query."""
    from sqlalchemy.engine import URL  # noqa: PLC0415  costs a tenth of a second

    host = address.get("host", "")
    is_socket = host.startswith("/")
    url = URL.create(
        driver,
        username=address.get("user"),
        password=address.get("password"),
        host=None if is_socket else host or None,
        port=int(address["port"]) if "port" in address and not is_socket else None,
        database=address.get("dbname"),
        query={"host": host, **({"port": address["port"]} if "port" in address else {})}
        if is_socket
        else {},
    )
    return url.render_as_string(hide_password=False)
