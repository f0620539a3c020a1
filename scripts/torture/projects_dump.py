"""
The independent check: plain Alembic commands, and `pg_dump` before and after each.

Shares no code with iu_gates. Each revision goes up, down and up again in one database, `work`; a
copy made after the first upgrade takes its place for the next. What is compared are dumps with
`--schema-only`, entry by entry in the order of their names, and `--data-only --inserts`, sorted.
`pg_dump` shows no more than a restore needs: not the columns' attribute numbers, not whether an
index is valid, not what belongs to the database itself (its settings, its privileges).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

WORK: Final = "projects_work"
AFTER: Final = "projects_after"
COMMAND: Final = Path(__file__).with_name("projects_command.py")
ENTRY: Final = re.compile(r"^-- (?:Data for )?Name: ", re.MULTILINE)


@dataclass(frozen=True)
class Dump:
    """A database as `pg_dump` shows it."""

    schema: tuple[str, ...]
    data: tuple[str, ...]

    def without_order(self) -> list[str]:
        """Return the schema with the lines of each entry sorted: the order of columns is gone."""
        lines = (sorted(line.rstrip(",") for line in e.splitlines()) for e in self.schema)
        return sorted("\n".join(each) for each in lines)

    def describe_change(self, other: Dump) -> list[str]:
        """Return the entries that are not in both."""
        gone = [f"- {e}" for e in self.schema if e not in other.schema]
        return gone + [f"+ {e}" for e in other.schema if e not in self.schema]


@dataclass(frozen=True)
class Seen:
    """What was seen of a revision: our words for verdicts, and the entries that differ."""

    revision: str
    verdict: str
    why: str = ""
    changes: tuple[str, ...] = ()


class Postgres:
    """A server, by its own programs."""

    def __init__(self, url: str, bin_dir: Path) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self.host = query["host"][0]
        self.port = query["port"][0]
        self.user = parts.username or "postgres"
        self._bin = bin_dir
        self._environment = {**os.environ, "PGHOST": self.host, "PGPORT": self.port}
        self._environment["PGUSER"] = self.user

    def run(self, program: str, *arguments: str, text: str | None = None) -> str:
        """Run a program and return what it prints."""
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            env=self._environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def url(self, driver: str, database: str) -> str:
        """Return SQLAlchemy's URL of a database."""
        return f"{driver}://{self.user}@/{database}?host={self.host}&port={self.port}"

    def copy(self, origin: str, copy: str) -> None:
        """Copy a database, without whoever is in it."""
        self.end_sessions(origin)
        self.run("createdb", "--template", origin, copy)

    def replace(self, name: str, by: str) -> None:
        """Put a database in the place of another."""
        self.run("dropdb", "--if-exists", "--force", name)
        self.run("psql", "-qXd", "postgres", "-c", f"alter database {by} rename to {name}")

    def end_sessions(self, name: str) -> None:
        """End the sessions that pools keep open."""
        query = "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        query += " where datname = :'name'"
        self.run("psql", "-qX", "-d", "postgres", "-v", f"name={name}", text=query)

    def dump(self, name: str = WORK) -> Dump:
        """Return a database as `pg_dump` shows it, but for its version table."""
        hidden = "--exclude-table=*.alembic_version*"
        schema = self.run("pg_dump", "--schema-only", hidden, name)
        data = self.run("pg_dump", "--data-only", "--inserts", hidden, name)
        rows = (line for line in data.splitlines() if line.startswith(("INSERT", "SELECT")))
        return Dump(tuple(sorted(_entries(schema))), tuple(sorted(rows)))


def _entries(text: str) -> Iterator[str]:
    for part in ENTRY.split(text)[1:]:
        lines = (x for x in part.splitlines() if x and not x.startswith(("--", "\\", "SET ")))
        yield "\n".join(lines)


class Alembic:
    """The project's own process; started again where it has died."""

    def __init__(self, python: str, config: Path, folder: Path, how: str) -> None:
        self._line = [python, str(COMMAND), str(config)]
        self._folder = folder
        self._how = how
        self.process: subprocess.Popen[str] | None = None

    def start(self, url: str, variables: Mapping[str, str]) -> None:
        """Start it on a database."""
        self.process = subprocess.Popen(
            [*self._line, url, self._how],
            cwd=self._folder,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def say(self, line: str) -> Any:
        """Run a command and return its answer."""
        if self.process is None or not self.process.stdin or not self.process.stdout:
            raise RuntimeError("it was not started")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def working(postgres: Postgres, setup: str) -> Iterator[None]:
    """Make the database `work`, and drop what is left at the end."""
    postgres.run("dropdb", "--if-exists", "--force", WORK)
    postgres.run("dropdb", "--if-exists", "--force", AFTER)
    postgres.run("createdb", "--template", "template0", WORK)
    postgres.run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", WORK, text=setup)
    try:
        yield
    finally:
        postgres.run("dropdb", "--if-exists", "--force", WORK)
        postgres.run("dropdb", "--if-exists", "--force", AFTER)


def check(postgres: Postgres, alembic: Alembic) -> Iterator[Seen]:
    """Yield what is seen of each revision, from the first on, until one cannot be applied."""
    before = postgres.dump()
    for revision, down in alembic.say("history"):
        if "error" in (failed := alembic.say(f"upgrade {revision}")):
            yield Seen(revision, "cannot judge", failed["message"])
            return
        after = postgres.dump()
        postgres.copy(WORK, AFTER)
        target = f"{revision}-1" if isinstance(down, list) else down or "base"
        yield go_back(postgres, alembic, (revision, target), before, after)
        postgres.replace(WORK, AFTER)
        before = after


def go_back(
    postgres: Postgres, alembic: Alembic, step: tuple[str, str], before: Dump, after: Dump
) -> Seen:
    """Take a revision down and up again, and say what became of the dumps."""
    revision, target = step
    if "error" in (failed := alembic.say(f"downgrade {target}")):
        is_refusal = failed["error"] == "NotImplementedError"
        verdict = "refuses" if is_refusal else "downgrade fails"
        return Seen(revision, verdict, failed["message"])
    back = postgres.dump()
    if before.without_order() != back.without_order():
        return Seen(revision, "asymmetric", "", tuple(before.describe_change(back)))
    if "error" in (failed := alembic.say(f"upgrade {revision}")):
        return Seen(revision, "not repeatable", failed["message"])
    return judge(revision, before, after, back, postgres.dump())


def judge(revision: str, before: Dump, after: Dump, back: Dump, again: Dump) -> Seen:
    """Say what differs in the dumps of a revision that went all its way."""
    if after.without_order() != again.without_order():
        return Seen(revision, "not repeatable", "", tuple(after.describe_change(again)))
    if before.data != back.data or after.data != again.data:
        return Seen(revision, "rows differ")
    if before.schema != back.schema or after.schema != again.schema:
        return Seen(revision, "column order only")
    return Seen(revision, "symmetric")
