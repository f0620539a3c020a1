"""
Upgrade/downgrade symmetry of a project's revisions, each tried by itself.

A trunk database only ever goes forward. After each step it is copied (CREATE DATABASE …
TEMPLATE) and the revision is tried in the copy: down, look; up again, look. So

    S0  the trunk before the revision      S2  the copy after the downgrade
    S1  the trunk after it                 S3  the copy after the second upgrade

and S0 = S2, S1 = S3 is symmetry. One bad revision leaves its copy bad and nothing else, so that
all faults are found in one run. Copies are tried side by side while the trunk goes on.

The last trial walks one copy of the trunk from its heads to base and up again: what only
appears when revisions are undone together.

Rows count as the catalog does. Where they differ, the copy goes down and up once more: what
comes out otherwise each time is noise (`now()`, random numbers, sequences), and is named as what
could not be compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import LifoQueue
from typing import Any, Final, Self

import psycopg
from psycopg import sql

from iu_gates.errors import UsageError
from iu_gates.symmetry.copies import Copies
from iu_gates.symmetry.project import Failure, Home, Project, Revision, Runner
from iu_gates.symmetry.rows import row_digests
from iu_gates.symmetry.snapshot import Snapshot, snapshot
from iu_gates.symmetry.verdict import Noise, Picture, Result, Trial, compare_rows, judge

NOTHING: Final = Picture(Snapshot({}), {})
WALK_NAME: Final = "base ← heads"
Notify = Callable[[int, int, str], None]
"""Called with how many revisions are through, how many there are, and the newest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What to try, and how.

    Attributes:
        choose: Picks the revisions to try from all; None is all. The trunk goes through the
            others as well, up to the last that is tried.
        setup_sql: Run in the trunk before the first revision.
        exclude_schemas: Left out of the comparison.
        with_rows: Compare rows too.
        refusals: See `verdict.judge`.
        jobs: Copies tried at the same time.
        with_walk: End with the walk to base and up again.
    """

    choose: Callable[[Sequence[Revision]], frozenset[str]] | None = None
    setup_sql: str = ""
    exclude_schemas: tuple[str, ...] = ()
    with_rows: bool = True
    refusals: tuple[str, ...] = ()
    jobs: int = 1
    with_walk: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """
    The outcome of one run.

    Attributes:
        results: One for each revision that was to be tried, in the order of the trunk.
        walk: Of the walk to base and up again; None if it was not gone.
        left_out: Schemas that were not compared.
        server_version: As libpq has it.
        seconds: Of the whole run.
    """

    results: tuple[Result, ...]
    walk: Result | None
    left_out: tuple[str, ...]
    server_version: int
    seconds: float

    @property
    def passed(self) -> bool:
        """True if every revision passed, and the walk did."""
        return all(r.passed for r in self.results) and (self.walk is None or self.walk.passed)


def run(
    project: Project,
    copies: Copies,
    plan: Plan,
    notify: Notify = lambda _done, _all, _name: None,
) -> Run:
    """
    Try a project's revisions.

    Args:
        project: Whose.
        copies: Where databases can be made.
        plan: What to try.
        notify: Called after each revision.

    Raises:
        UsageError: The migrations cannot be read, the setup's SQL fails, or a name is unknown.
    """
    began = time.monotonic()
    with _Trunk(project, copies, plan) as trunk:
        results = trunk.try_all(notify)
        walk = trunk.walk() if plan.with_walk and trunk.applied else None
        seconds = time.monotonic() - began
        return Run(results, walk, trunk.left_out, copies.server_version, seconds)


class _Trunk:
    """The database that goes forward, and the workers that try copies of it."""

    def __init__(self, project: Project, copies: Copies, plan: Plan) -> None:
        self.project = project
        self.copies = copies
        self.plan = plan
        self.left_out = plan.exclude_schemas
        self.applied: list[Revision] = []
        self._stack = ExitStack()
        self._idle: LifoQueue[Runner] = LifoQueue()

    def __enter__(self) -> Self:
        try:
            self._runner = self._stack.enter_context(Runner(self.project))
            self.conninfo = self.copies.make()
            self._set_up()
            listing = self._runner.list_revisions(self.conninfo)
            self.revisions = listing.revisions
            names = frozenset(r.name for r in self.revisions)
            self.wanted = self.plan.choose(self.revisions) if self.plan.choose else names
            self._leave_out(listing.home)
            self._first = self._look(self.conninfo)
            if self.plan.jobs == 1:
                self._idle.put(self._runner)
            else:
                for _ in range(self.plan.jobs):
                    self._idle.put(self._stack.enter_context(Runner(self.project)))
            self._pool = self._stack.enter_context(ThreadPoolExecutor(self.plan.jobs))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def try_all(self, notify: Notify) -> tuple[Result, ...]:
        """Take the trunk through every revision, and return the verdicts."""
        pending: list[Future[Result]] = []
        before = self._first
        for revision in self._as_far_as_wanted():
            done = self._step_up(revision)
            if isinstance(done, Result):
                # One that is not to be tried, but cannot be passed, keeps others from their trial.
                pending.append(_known(done))
                continue
            self.applied.append(revision)
            after = self._look(self.conninfo)
            if revision.name in self.wanted:
                copy = self.copies.make(self.conninfo)
                trial = self._pool.submit(self._try, revision, before, after, copy)
                pending.append(trial)
                if self.plan.jobs == 1:
                    # Then the trunk's own process tries the copy, one thing at a time.
                    trial.exception()
            before = after
        return tuple(self._gather(pending, notify))

    def _as_far_as_wanted(self) -> tuple[Revision, ...]:
        places = [n for n, r in enumerate(self.revisions) if r.name in self.wanted]
        return self.revisions[: places[-1] + 1] if places else ()

    def walk(self) -> Result:
        """Undo all that was applied in a copy, in the opposite order, and apply it again."""
        began = time.monotonic()
        revision = Revision(WALK_NAME, (), (), (), "all of them, together", Path())
        copy = self.copies.make(self.conninfo)
        try:
            result = self._walk(revision, copy)
        finally:
            self.copies.drop(copy)
        return replace(result, seconds=time.monotonic() - began)

    def _walk(self, revision: Revision, copy: str) -> Result:
        after = self._look(copy)
        for direction, order in (("down", self.applied[::-1]), ("up", self.applied)):
            for each in order:
                done = self._runner.step(direction, each.name, copy)
                if isinstance(done, Failure):
                    return _judge_broken_walk(revision, each, direction, done, self.plan)
            if direction == "down":
                back = self._look(copy)
        # Rows that revisions put in come anew, with new numbers and times: of them only those
        # that were there before all revisions are looked at.
        again = Picture(self._look(copy).catalog, {})
        return judge(revision, Trial(self._first, after, back, again))

    def _step_up(self, revision: Revision) -> Home | Result:
        missing = sorted(set(revision.needs) - {r.name for r in self.applied})
        if missing:
            why = f"it stands on {', '.join(missing)}, which cannot be applied"
            return Result(revision, "cannot judge", why)
        done = self._runner.step("up", revision.name, self.conninfo)
        if isinstance(done, Failure):
            return Result(revision, "cannot judge", "its upgrade fails", failure=done)
        if not self._has_moved(done, revision):
            why = (
                "env.py says that it applied it, but in another database than it was given; "
                "--url-variable or -x can tell it which"
            )
            return Result(revision, "cannot judge", why)
        return done

    def _has_moved(self, home: Home, revision: Revision) -> bool:
        """Tell whether the version table of the trunk has this revision now."""
        name = [n for n in (home.schema, home.table) if n]
        query = sql.SQL("select 1 from {} where version_num = {}").format(
            sql.Identifier(*name), sql.Literal(revision.name)
        )
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            try:
                return conn.execute(query).fetchone() is not None
            except psycopg.errors.UndefinedTable:
                return False

    def _leave_out(self, home: Home) -> None:
        """
        Leave the version table out of every picture.

        Its schema too, if ``env.py`` names one, and no model of the project has a table there.
        """
        query = """
            select n.nspname, format('%%I.%%I', n.nspname, c.relname)
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where c.oid = to_regclass(%s)
        """
        name = sql.Identifier(*filter(None, (home.schema, home.table)))
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            row = conn.execute(query, (name.as_string(conn),)).fetchone()
        schema, table = row or (home.schema or "public", f"{home.schema or 'public'}.{home.table}")
        self._version_table = table
        if home.schema not in (None, "public") and not home.has_models:
            self.left_out = (*self.left_out, schema)

    def _look(self, conninfo: str) -> Picture:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            catalog = snapshot(conn, exclude_schemas=self.left_out)
            rows = row_digests(conn, self.left_out) if self.plan.with_rows else {}
        return _without_table(Picture(catalog, rows), self._version_table)

    def _try(self, revision: Revision, before: Picture, after: Picture, copy: str) -> Result:
        """Try a revision in a copy of the trunk, and drop the copy."""
        began = time.monotonic()
        runner = self._idle.get()
        try:
            trial = self._see(runner, revision, before, after, copy)
        except psycopg.OperationalError as error:
            why = f"its database was lost: {' '.join(str(error).split())}"
            return Result(revision, "cannot judge", why)
        finally:
            self._idle.put(runner)
            self.copies.drop(copy)
        result = judge(revision, trial, self.plan.refusals)
        return replace(result, seconds=time.monotonic() - began)

    def _see(
        self, runner: Runner, revision: Revision, before: Picture, after: Picture, copy: str
    ) -> Trial:
        down = runner.step("down", revision.name, copy)
        if isinstance(down, Failure):
            kept = self._look(copy) if down.kind not in ("Died", "Timeout") else None
            return Trial(before, after, down_failure=down, kept=kept)
        back = self._look(copy)
        up = runner.step("up", revision.name, copy)
        if isinstance(up, Failure):
            return Trial(before, after, back, again_failure=up)
        again = self._look(copy)
        trial = Trial(before, after, back, again)
        if compare_rows(before, back) or compare_rows(after, again):
            return replace(trial, noise=self._hear_noise(runner, revision, copy, trial))
        return trial

    def _hear_noise(self, runner: Runner, revision: Revision, copy: str, trial: Trial) -> Noise:
        """Go down and up once more, and return the columns that come out otherwise each time."""
        noise: set[tuple[str, str]] = set()
        for direction, seen in (("down", trial.back), ("up", trial.again)):
            if isinstance(runner.step(direction, revision.name, copy), Failure):
                break
            assert seen is not None  # noqa: S101  both steps succeeded before
            found = compare_rows(seen, self._look(copy))
            noise |= {(f.table, c) for f in found for c in f.columns or ("",)}
        return frozenset(noise)

    def _gather(self, pending: list[Future[Result]], notify: Notify) -> Iterator[Result]:
        for number, future in enumerate(pending, 1):
            result = future.result()
            notify(number, len(pending), result.revision.name)
            yield result

    def _set_up(self) -> None:
        if not self.plan.setup_sql:
            return
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            try:
                conn.execute(self.plan.setup_sql.encode())
            except psycopg.Error as error:
                raise UsageError(
                    "the setup's SQL fails",
                    ident="IUG-089",
                    found=str(error).strip(),
                    next_command="psql -f, on an empty database, to see where",
                ) from error


def _judge_broken_walk(
    walk: Revision, at: Revision, direction: str, failure: Failure, plan: Plan
) -> Result:
    if direction == "up":
        why = f"the second upgrade fails at {at.name}"
        return Result(walk, "not repeatable", why, failure=failure)
    result = judge(at, Trial(NOTHING, NOTHING, down_failure=failure), plan.refusals)
    return Result(walk, result.outcome, f"at {at.name}", failure=failure)


def _known(result: Result) -> Future[Result]:
    future: Future[Result] = Future()
    future.set_result(result)
    return future


def _without_table(picture: Picture, table: str) -> Picture:
    """Leave the version table out, with its columns, constraints, indexes and privileges."""
    kept = {
        (kind, name): attributes
        for (kind, name), attributes in picture.catalog.objects.items()
        if not _is_of(table, kind, name, attributes)
    }
    rows = {name: digest for name, digest in picture.rows.items() if name != table}
    return Picture(Snapshot(kept), rows)


def _is_of(table: str, kind: str, name: str, attributes: Mapping[str, Any]) -> bool:
    if kind == "index":
        return f" ON {table} " in attributes["definition"]
    own = name.split(" ", 1)[-1] if kind in ("comment", "privilege") else name
    return own == table or own.startswith(f"{table}.")
