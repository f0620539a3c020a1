"""
A project with Alembic migrations, seen from outside: its revisions, and one step of one of them.

The project's ``env.py`` runs in a process of its own (`iu_gates.symmetry.child`), with the
project's folder as its working directory; a step that hangs is ended with that process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from psycopg.conninfo import conninfo_to_dict

from iu_gates.errors import IuGatesError, UsageError
from iu_gates.symmetry import hiding

TAIL_BYTES: Final = 4000
STARTS_WITHIN_SECONDS: Final = 60.0
ENDS_WITHIN_SECONDS: Final = 0.5
LOOKS_EVERY_SECONDS: Final = 1.0


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
            ``postgresql+asyncpg``; "" is the best that `python` has.
        url_variables: Environment variables that get the URL.
        x_arguments: As ``alembic -x``; ``{url}`` stands for the URL.
        step_seconds: A step that takes longer is ended.
        python: The interpreter that has what the project needs.
        plain_env: Do what the plainest ``env.py`` does; the project's own is not run.
    """

    config_file: Path
    section: str = "alembic"
    folder: Path = field(default_factory=Path.cwd)
    driver: str = ""
    url_variables: tuple[str, ...] = ()
    x_arguments: tuple[str, ...] = ()
    step_seconds: float = 300.0
    python: str = sys.executable
    plain_env: bool = False


class Runner:
    """A process of the project; one step at a time. Use it as a context manager."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._process: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the runner
        self._read = tempfile.TemporaryFile()  # noqa: SIM115  as above
        self._rest = b""
        self._is_over = False

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
        self._read.close()

    def list_revisions(self, conninfo: str) -> Listing:
        """
        Return the project's revisions; its ``env.py`` is run, but no step.

        Raises:
            UsageError: ``env.py`` fails, or there are no revisions.
        """
        answer = self._request("list", "", conninfo)
        if isinstance(answer, Failure):
            if answer.kind == "SeveralDatabasesError":
                raise UsageError(
                    answer.message,
                    ident="IUG-090",
                    wanted="an env.py that can be told to migrate one of them alone",
                    means="docs/symmetry.md, Several databases, shows how",
                    next_command="iu-gates symmetry -x db=NAME --database-url embedded",
                )
            raise UsageError(
                f'the migrations of "{self._project.config_file}" cannot be read',
                ident="IUG-090",
                found=str(answer),
                wanted="an alembic.ini whose script_location holds env.py and versions",
                next_command="alembic history",
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
                next_command="alembic history",
            )
        return Listing(sort_by_need(found), _home(answer))

    def abort(self) -> None:
        """End its process, from whatever thread; steps that are under way or to come fail."""
        self._is_over = True
        if (process := self._process) is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    @property
    def reads(self) -> frozenset[str]:
        """What its processes have read so far, as `child.recorder` writes it down."""
        written = os.pread(self._read.fileno(), os.fstat(self._read.fileno()).st_size, 0)
        return frozenset(written.decode("utf-8", "surrogateescape").splitlines())

    def step(
        self, direction: str, revision: str, conninfo: str, *, stays: bool = False
    ) -> Home | Failure:
        """
        Go one step on a database.

        Args:
            direction: "up" or "down".
            revision: Its name.
            conninfo: Of the database.
            stays: ``env.py`` may go on running, and take the next step too if it is of this kind.
        """
        answer = self._request(direction, revision, conninfo, stays=stays)
        return answer if isinstance(answer, Failure) else _home(answer)

    def _request(
        self, what: str, revision: str, conninfo: str, *, stays: bool = False
    ) -> dict[str, Any] | Failure:
        address = {k: str(v) for k, v in conninfo_to_dict(conninfo).items() if v is not None}
        request = {"do": what, "revision": revision, "database": address, "stays": stays}
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
        """Add what the process printed, and take what is secret out of everything."""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - TAIL_BYTES))
        output = self._said.read().decode("utf-8", "replace")
        if size > TAIL_BYTES:
            output = output.partition("\n")[2]  # half a line may be half a secret
        secrets = hiding.list_secrets(password, self._project.config_file, self._project.folder)
        return replace(
            failure,
            message=hiding.hide(failure.message, secrets),
            output=hiding.hide(output, secrets),
        )

    def _start(self) -> subprocess.Popen[bytes]:
        if self._is_over:
            raise BrokenPipeError
        project = self._project
        # By path, and without folders in sys.path: the project's modules may have our names, and
        # those of the standard library.
        program = (
            "import sys; sys.path[:] = filter(None, sys.path); import runpy;"
            " runpy.run_path(sys.argv.pop(1), run_name='__main__')"
        )
        options = {
            "config": str(project.config_file.absolute()),
            "section": project.section,
            "driver": project.driver,
            "url_variables": project.url_variables,
            "x": project.x_arguments,
            "plain_env": project.plain_env,
        }
        self._process = subprocess.Popen(
            [
                project.python,
                "-c",
                program,
                str(Path(__file__).parent / "child" / "start.py"),
                str(self._read.fileno()),
                json.dumps(options),
            ],
            cwd=project.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
            pass_fds=(self._read.fileno(),),
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
            if left <= 0:
                raise TimeoutError
            if not select.select([process.stdout], [], [], min(left, LOOKS_EVERY_SECONDS))[0]:
                # What it started may hold the pipe open after it.
                if process.poll() is not None:
                    raise EOFError
                continue
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
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_WITHIN_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started
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
