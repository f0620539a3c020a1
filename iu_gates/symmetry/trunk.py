"""
The databases of one run that only go forward: what is shared out to them, and the walk at the end.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import psycopg

from iu_gates.errors import UsageError
from iu_gates.symmetry import choice, ground
from iu_gates.symmetry.bench import (
    Bench,
    cannot_read,
    judge_broken_walk,
    judge_walk,
    name_walk,
)
from iu_gates.symmetry.cache import Chain
from iu_gates.symmetry.copies import Copies
from iu_gates.symmetry.lane import GivenUpError, Lane
from iu_gates.symmetry.plan import Notify, Plan
from iu_gates.symmetry.project import Failure, Home, Project, Revision, Runner
from iu_gates.symmetry.restored import Restored, require_known
from iu_gates.symmetry.reuse import Kept, says_outside
from iu_gates.symmetry.verdict import Noise, Picture, Result
from iu_gates.symmetry.view import find_view, list_recorded

FEWEST: Final = 8
"""Revisions for which one more lane is worth its beginning."""
PASSING: Final = 0.15
"""What it takes to pass a revision, where to try it is 1; trials take longer to the end."""


class Trunk:
    """The trunk of one run; use it as a context manager."""

    def __init__(self, project: Project, copies: Copies, plan: Plan, notify: Notify) -> None:
        self.project = project
        self.copies = copies
        self.plan = plan
        self.restored: tuple[Revision, ...] = ()
        self._cached: list[str] = []
        self._stack = ExitStack()
        self._runners: list[Runner] = []
        self._helpers: dict[Lane, Future[None]] = {}
        self._found: dict[str, Result] = {}
        self._lock = threading.Lock()
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
        self.view = find_view(
            self.conninfo, listing.home, plan.exclude_schemas, with_rows=plan.with_rows
        )
        self._stack.callback(self.view.sessions.close_all)
        self._first = self._look_first()
        self._chain = self._find_chain()
        self._walker = self._main = self._make_lane(self.conninfo, self._runner, is_first=True)
        self._pool = self._stack.enter_context(ThreadPoolExecutor(plan.jobs))

    def _look_first(self) -> Picture:
        try:
            return self.view.look(self.conninfo)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            raise UsageError(
                "what is there before the first revision cannot be read",
                ident="IUG-089",
                found=str(error).strip(),
                wanted="rows that the login can see, or --no-rows",
                next_command="iu-gates symmetry --no-rows",
            ) from error

    def _make_lane(self, conninfo: str, runner: Runner, *, is_first: bool) -> Lane:
        kept = Kept(self.copies, self.view.sessions)
        self._stack.callback(kept.close)
        return Lane(
            conninfo,
            runner,
            Bench(self.copies, self.view, self.plan.refusals, kept),
            self._chain.fork() if self._chain else None,
            self._first,
            list(self.restored),
            # What is not looked at may not be as it was.
            is_whole=self.plan.with_rows and not self.plan.exclude_schemas,
            add=self._add,
            list_reads=self._list_reads,
            end_others=self._end_helpers if is_first else None,
        )

    def _add_runner(self) -> Runner:
        self._runners.append(self._stack.enter_context(Runner(self.project)))
        return self._runners[-1]

    def _take_over(self, home: Home, restored: Restored) -> None:
        """Take the revisions of the backup as applied."""
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            recorded = list_recorded(conn, home)
        require_known(restored, recorded, home, self.revisions)
        below = set().union(*(choice.ancestors(self.revisions, name) for name in recorded))
        self.restored = tuple(r for r in self.revisions if r.name in below)

    def _find_chain(self) -> Chain | None:
        plan = self.plan
        if plan.cache is None:
            return None
        with closing(self.copies.connect()) as conn:
            options = {
                "setup": plan.setup_sql,
                "left out": self.view.left_out,
                "rows": plan.with_rows,
                "refuses": plan.refusals,
                "backup": plan.restored.sha256 if plan.restored else "",
            }
            found = ground.collect(conn, self.project, self.revisions, options)
        chain = Chain(plan.cache, found, self.project, self.revisions)
        for revision in self.restored:
            chain.add(revision)
        return chain

    @property
    def is_there(self) -> bool:
        """True if something was applied, and the database was not lost."""
        return bool(self._walker.applied) and not self._walker.lost_at

    @property
    def left_out(self) -> tuple[str, ...]:
        """Schemas that are not compared."""
        return self.view.left_out

    @property
    def cached(self) -> list[str]:
        """Revisions, and the walk, whose verdict was found in the cache."""
        lanes = (self._main, *self._helpers)
        names = {name for lane in lanes for name in lane.cached}
        return [r.name for r in self.revisions if r.name in names] + self._cached

    @property
    def _taken(self) -> frozenset[str]:
        return frozenset(r.name for r in self.restored)

    def try_all(self) -> tuple[Result, ...]:
        """Take the trunk through every revision, and return the verdicts."""
        for revision in self.restored:
            if revision.name in self.wanted:
                why = "the backup holds it already: what was before it cannot be seen"
                self._add(Result(revision, "cannot judge", why))
        todo = tuple(r for r in self._as_far_as_wanted() if r.name not in self._taken)
        blocks = self._share_out(todo)
        self._begin_helpers(blocks)
        self._main.try_all(blocks[0], self.wanted)
        if not self._has_helped():
            self._main.try_all(todo[len(blocks[0]) :], self.wanted - self._found.keys())
        elif self._helpers:
            self._walker = [*self._helpers][-1]
        for lane in (self._main, *self._helpers):
            lane.bench.kept.drop()  # it would keep the walk from dropping a role
        return tuple(self._found[r.name] for r in self.revisions if r.name in self._found)

    def _share_out(self, todo: tuple[Revision, ...]) -> list[tuple[Revision, ...]]:
        """Return what each lane tries, the first one's first."""
        lanes = min(self.plan.jobs, max(1, len(self.wanted & {r.name for r in todo}) // FEWEST))
        if lanes > 1 and any(map(says_outside, self._list_texts())):
            lanes = 1
        shares = [(1 - PASSING) ** n for n in range(lanes)]
        ends = [round(len(todo) * s / sum(shares)) for s in itertools.accumulate(shares)]
        return [todo[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    def _list_texts(self) -> Iterator[Path]:
        """Yield what revisions are written in, as far as it is known before they run."""
        yield from (r.path for r in self.revisions)
        yield from ground.list_beside(self.revisions)
        yield from (Path(line[2:]) for line in self._list_reads() if line.startswith("F "))

    def _begin_helpers(self, blocks: Sequence[tuple[Revision, ...]]) -> None:
        for number, block in enumerate(blocks[1:], start=1):
            before = tuple(itertools.chain(*blocks[:number]))
            conninfo = self.copies.make(self.conninfo)
            lane = self._make_lane(conninfo, self._add_runner(), is_first=False)
            self._helpers[lane] = self._pool.submit(self._help, lane, before, block)

    def _help(self, lane: Lane, before: tuple[Revision, ...], block: tuple[Revision, ...]) -> None:
        lane.pass_by(before)
        lane.try_all(block, self.wanted)

    def _has_helped(self) -> bool:
        """Wait for the other lanes, and tell whether all of them came to their end."""
        errors = [future.exception() for future in self._helpers.values()]
        for error in filter(None, errors):
            if not isinstance(error, GivenUpError | psycopg.Error):
                raise error
        return not any(errors) and not any(lane.is_gone for lane in self._helpers)

    def _end_helpers(self) -> None:
        """Wait for the other lanes, and drop their databases."""
        wait(self._helpers.values())
        for lane in self._helpers:
            if not lane.is_gone:
                lane.is_gone = True
                lane.bench.kept.drop()
                self.view.sessions.close(lane.conninfo)
                self.copies.drop(lane.conninfo)

    def _as_far_as_wanted(self) -> tuple[Revision, ...]:
        places = [n for n, r in enumerate(self.revisions) if r.name in self.wanted]
        return self.revisions[: places[-1] + 1] if places else ()

    def walk(self, results: Sequence[Result]) -> Result:
        """Undo all that was applied, in the opposite order, and apply it again."""
        began = time.monotonic()
        try:
            result = self._find_walk(results)
        except psycopg.Error as error:
            result = cannot_read(name_walk(), error)
        return replace(result, seconds=time.monotonic() - began)

    def _find_walk(self, results: Sequence[Result]) -> Result:
        walk, after = name_walk(), self.view.look(self._walker.conninfo)
        chain = self._walker.chain
        place = chain.place(walk, self._first, after) if chain else None
        if place and (known := place.find(walk)):
            self._cached.append(walk.name)
            return known
        # In the trunk itself: nobody needs it any more, and a copy would leave it the roles.
        result = self._walk(after, _find_noise(results))
        if place:
            place.keep(result, self._list_reads())
        return result

    def _walk(self, after: Picture, noise: Noise) -> Result:
        lane, view = self._walker, self.view
        for direction, order in (("down", lane.applied[::-1]), ("up", lane.applied)):
            for each in order:
                stays = each is not order[-1]  # in one run of env.py, as Alembic goes
                done = lane.runner.step(direction, each.name, lane.conninfo, stays=stays)
                if isinstance(done, Failure):
                    return judge_broken_walk(each, direction, done, self.plan.refusals)
            if direction == "down":
                back = view.look(lane.conninfo)
        again = view.look(lane.conninfo)
        if self.restored:
            # What was before the backup's revisions is not known, and their rows are gone.
            after, again = replace(after, rows={}), replace(again, rows={})
            return judge_walk(back, after, back, again, noise)
        return judge_walk(self._first, after, back, again, noise)

    def _list_reads(self) -> frozenset[str]:
        return frozenset().union(*(runner.reads for runner in self._runners))

    def _add(self, result: Result) -> None:
        with self._lock:
            self._found[result.revision.name] = result
            done = next(self._done)
        self._notify(done, len(self.wanted), result.revision.name)

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
