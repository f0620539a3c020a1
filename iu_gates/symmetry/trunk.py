"""
The database that only goes forward, and the workers that try copies of it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import replace
from queue import LifoQueue
from typing import Final, Self

import psycopg

from iu_gates.errors import UsageError
from iu_gates.symmetry import choice, ground
from iu_gates.symmetry.bench import Bench, Case, judge_broken_walk, judge_walk, name_walk
from iu_gates.symmetry.cache import Chain
from iu_gates.symmetry.copies import Copies, end_sessions, name_of
from iu_gates.symmetry.plan import Notify, Plan
from iu_gates.symmetry.project import Failure, Home, Project, Revision, Runner
from iu_gates.symmetry.restored import Restored, require_known
from iu_gates.symmetry.verdict import Noise, Picture, Result
from iu_gates.symmetry.view import find_view, list_recorded

SHARED: Final = """
    select coalesce(string_agg(s, ',' order by s), '') from (
        select 'role ' || r::text from pg_roles as r
        union all select 'tablespace ' || t::text from pg_tablespace as t
        union all select 'setting ' || s::text from pg_db_role_setting as s where s.setdatabase = 0
    ) as shared (s)
"""


class Trunk:
    """The trunk of one run; use it as a context manager."""

    def __init__(self, project: Project, copies: Copies, plan: Plan, notify: Notify) -> None:
        self.project = project
        self.copies = copies
        self.plan = plan
        self.applied: list[Revision] = []
        self.restored: tuple[Revision, ...] = ()
        self.cached: list[str] = []
        self._lost_at = ""
        self._stack = ExitStack()
        self._runners: list[Runner] = []
        self._idle: LifoQueue[Runner] = LifoQueue()
        self._pending: list[Future[Result]] = []
        self._notify = notify
        self._done = itertools.count(1)

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None:
            # What still runs may hang: its process is ended, and so its thread.
            self._pool.shutdown(wait=False, cancel_futures=True)
            for runner in self._runners:
                runner.abort()
        self._stack.close()

    def _begin(self) -> None:
        plan = self.plan
        self._runner = self._add_runner()
        self.conninfo = self.copies.make()
        self._set_up()
        if plan.restored:
            plan.restored.restore(self.conninfo)
        listing = self._runner.list_revisions(self.conninfo)
        self.revisions = listing.revisions
        if plan.restored:
            self._take_over(listing.home, plan.restored)
        names = frozenset(r.name for r in self.revisions)
        self.wanted = plan.choose(self.revisions) if plan.choose else names - self._taken
        view = find_view(
            self.conninfo, listing.home, plan.exclude_schemas, with_rows=plan.with_rows
        )
        self.bench = Bench(self.copies, view, plan.refusals)
        self._first = view.look(self.conninfo)
        self._chain = self._find_chain()
        runners = [self._add_runner() for _ in range(plan.jobs)] if plan.jobs > 1 else []
        for runner in runners or [self._runner]:
            self._idle.put(runner)
        self._pool = self._stack.enter_context(ThreadPoolExecutor(plan.jobs))

    def _add_runner(self) -> Runner:
        self._runners.append(self._stack.enter_context(Runner(self.project)))
        return self._runners[-1]

    def _take_over(self, home: Home, restored: Restored) -> None:
        """Take the revisions of the backup as applied."""
        recorded = list_recorded(self.conninfo, home)
        require_known(restored, recorded, home, self.revisions)
        below = set().union(*(choice.ancestors(self.revisions, name) for name in recorded))
        self.restored = tuple(r for r in self.revisions if r.name in below)
        self.applied.extend(self.restored)

    def _find_chain(self) -> Chain | None:
        plan = self.plan
        if plan.cache is None:
            return None
        with closing(self.copies.connect()) as conn:
            options = {
                "setup": plan.setup_sql,
                "left out": self.bench.view.left_out,
                "rows": plan.with_rows,
                "refuses": plan.refusals,
                "backup": plan.restored.sha256 if plan.restored else "",
            }
            found = ground.collect(conn, self.project, self.revisions, options)
        return Chain(plan.cache, found, self.project, self.revisions)

    @property
    def is_there(self) -> bool:
        """True if something was applied, and the database was not lost."""
        return bool(self.applied) and not self._lost_at

    @property
    def _taken(self) -> frozenset[str]:
        return frozenset(r.name for r in self.restored)

    def try_all(self) -> tuple[Result, ...]:
        """Take the trunk through every revision, and return the verdicts."""
        before, shared = self._first, self._see_shared()
        for revision in self._as_far_as_wanted():
            if revision.name in self._taken:
                if revision.name in self.wanted:
                    why = "the backup holds it already: what was before it cannot be seen"
                    self._add(Result(revision, "cannot judge", why))
                continue
            if self._lost_at:
                why = f"the database was lost at {self._lost_at}"
                self._add(Result(revision, "cannot judge", why))
                continue
            try:
                before = self._go_on(revision, before)
            except psycopg.OperationalError as error:
                self._lost_at = revision.name
                why = f"its database was lost: {' '.join(str(error).split())}"
                self._add(Result(revision, "cannot judge", why))
                continue
            # With one job the trunk's own process tries the copy, one thing at a time.
            if self.plan.jobs == 1 or shared != (shared := self._see_shared()):
                wait(self._pending)
        return tuple(future.result() for future in self._pending)

    def _go_on(self, revision: Revision, before: Picture) -> Picture:
        """Take the trunk through a revision, begin its trial, and return what is there then."""
        done = self._step_up(revision)
        if isinstance(done, Result):
            # One that is not to be tried, but cannot be passed, keeps others from their trial.
            before = self._settle() if done.failure else before
            self._add(done)
            return before
        self.applied.append(revision)
        after = self.bench.view.look(self.conninfo)
        if self._chain:
            self._chain.add(revision)
        if revision.name in self.wanted:
            self._submit(revision, before, after)
        return after

    def _settle(self) -> Picture:
        """End what a failed upgrade still runs, and return what it left."""
        with closing(self.copies.connect()) as conn:
            end_sessions(conn, name_of(self.conninfo))
        return self.bench.view.look(self.conninfo)

    def _submit(self, revision: Revision, before: Picture, after: Picture) -> None:
        """Begin the trial of the revision that the trunk has just come to, or find its verdict."""
        place = self._chain.place(revision, before, after) if self._chain else None
        if place and (known := place.find(revision)):
            self.cached.append(revision.name)
            self._add(known)
            return
        self._wait_for_room()
        try:
            case = self._copy(revision, before, after)
        except psycopg.errors.ObjectInUse as error:
            why = f"its database cannot be copied: {' '.join(str(error).split())}"
            self._add(Result(revision, "cannot judge", why))
            return

        def attempt() -> Result:
            runner = self._idle.get()
            try:
                result = self.bench.try_out(case, runner)
            finally:
                self._idle.put(runner)
            if place:
                place.keep(result, self._list_reads())
            return result

        self._follow(self._pool.submit(attempt), revision)

    def _wait_for_room(self) -> None:
        """Wait until no copy waits for its turn: the trunk is faster than the trials."""
        left = {future for future in self._pending if not future.done()}
        while len(left) > self.plan.jobs:
            left = wait(left, return_when=FIRST_COMPLETED).not_done

    def _copy(self, revision: Revision, before: Picture, after: Picture) -> Case:
        copy, control = self.copies.make(self.conninfo), None
        if self.plan.jobs > 1 and any(digest.rows for digest in after.rows.values()):
            # The trunk goes on meanwhile: later there is nothing to make one from.
            control = self.copies.make(self.conninfo)
        return Case(revision, before, after, copy, self.conninfo, control)

    def _as_far_as_wanted(self) -> tuple[Revision, ...]:
        places = [n for n, r in enumerate(self.revisions) if r.name in self.wanted]
        return self.revisions[: places[-1] + 1] if places else ()

    def walk(self, results: Sequence[Result]) -> Result:
        """Undo all that was applied, in the opposite order, and apply it again."""
        began = time.monotonic()
        view, walk = self.bench.view, name_walk()
        after = view.look(self.conninfo)
        place = self._chain.place(walk, self._first, after) if self._chain else None
        if place and (known := place.find(walk)):
            self.cached.append(walk.name)
            return known
        # In the trunk itself: nobody needs it any more, and a copy would leave it the roles.
        result = self._walk(after, _find_noise(results))
        result = replace(result, seconds=time.monotonic() - began)
        if place:
            place.keep(result, self._list_reads())
        return result

    def _walk(self, after: Picture, noise: Noise) -> Result:
        view = self.bench.view
        for direction, order in (("down", self.applied[::-1]), ("up", self.applied)):
            for each in order:
                done = self._runner.step(direction, each.name, self.conninfo)
                if isinstance(done, Failure):
                    return judge_broken_walk(each, direction, done, self.plan.refusals)
            if direction == "down":
                back = view.look(self.conninfo)
        again = view.look(self.conninfo)
        if self.restored:
            # What was before the backup's revisions is not known, and their rows are gone.
            after, again = replace(after, rows={}), replace(again, rows={})
            return judge_walk(back, after, back, again, noise)
        return judge_walk(self._first, after, back, again, noise)

    def _step_up(self, revision: Revision) -> Home | Result:
        missing = sorted(set(revision.needs) - {r.name for r in self.applied})
        if missing:
            why = f"it stands on {', '.join(missing)}, which cannot be applied"
            return Result(revision, "cannot judge", why)
        done = self._runner.step("up", revision.name, self.conninfo)
        if isinstance(done, Failure):
            return Result(revision, "cannot judge", "its upgrade fails", failure=done)
        if revision.name not in list_recorded(self.conninfo, done):
            why = (
                "env.py says that it applied it, but in another database than it was given; "
                "--url-variable or -x can tell it which"
            )
            return Result(revision, "cannot judge", why)
        return done

    def _see_shared(self) -> str:
        """Return what belongs to the whole server, to be compared."""
        if self.plan.jobs == 1:
            return ""
        with closing(self.copies.connect()) as conn:
            row = conn.execute(SHARED).fetchone()
            return str(row[0]) if row else ""

    def _list_reads(self) -> frozenset[str]:
        return frozenset().union(*(runner.reads for runner in self._runners))

    def _add(self, result: Result) -> None:
        future: Future[Result] = Future()
        future.set_result(result)
        self._follow(future, result.revision)

    def _follow(self, future: Future[Result], revision: Revision) -> None:
        def tell(_future: object) -> None:
            self._notify(next(self._done), len(self.wanted), revision.name)

        self._pending.append(future)
        future.add_done_callback(tell)

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
                    next_command="psql --file=SETUP.sql EMPTY_DATABASE",
                ) from error


def _find_noise(results: Sequence[Result]) -> Noise:
    """Return the tables whose number of rows comes out otherwise each time, by trials' noise."""
    return frozenset((name, "") for result in results for name in result.noise)
