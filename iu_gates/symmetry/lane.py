"""
One database that only goes forward, through revisions one after the other, and a trial of each.

Several lanes share out the revisions of a run: each goes its way from the same beginning, passes
what others try without a look, and tries what is its own. Only the first may meet what is out of
the ordinary; another one gives up there, and what it has not tried the first tries after its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from iu_gates.dropping import end_sessions
from iu_gates.symmetry.bench import Bench, Case, cannot_copy, cannot_read, holds_elsewhere
from iu_gates.symmetry.cache import Chain
from iu_gates.symmetry.copies import name_of
from iu_gates.symmetry.project import Failure, Home, Revision, Runner
from iu_gates.symmetry.reuse import says_outside, see_sequences
from iu_gates.symmetry.verdict import Picture, Result
from iu_gates.symmetry.view import list_recorded

SHARED: Final = """
    select coalesce(string_agg(s, ',' order by s), '') from (
        select 'role ' || r::text from pg_roles as r
        union all select 'tablespace ' || t::text from pg_tablespace as t
        union all select 'setting ' || s::text from pg_db_role_setting as s where s.setdatabase = 0
        union all select 'member ' || m::text from pg_auth_members as m
        union all select 'parameter ' || p::text from pg_parameter_acl as p
        union all select 'slot ' || slot_name from pg_replication_slots where not temporary
        union all select 'origin ' || roname from pg_replication_origin
        union all select 'subscription ' || subname from pg_subscription
    ) as shared (s)
"""


class GivenUpError(Exception):
    """A lane met what only the first one may meet."""


@dataclass(slots=True, eq=False)
class Lane:
    """
    One lane.

    Attributes:
        conninfo: Of its database.
        runner: Goes its steps, and those in the copies too: one thing at a time.
        bench: With a kept copy of its own.
        chain: Of its own; None without a cache.
        before: What is in the database now; None where that was not looked at.
        applied: Revisions that the database has.
        is_whole: True if nothing is left out of the pictures.
        add: Takes a verdict.
        list_reads: Tells what all processes have read.
        end_others: Ends the other lanes, and drops their databases; None if this is not the first.
        cached: Revisions whose verdict was in the cache.
        lost_at: The revision at which the database was lost.
        is_gone: True if the database was dropped.
    """

    conninfo: str
    runner: Runner
    bench: Bench
    chain: Chain | None
    before: Picture | None
    applied: list[Revision]
    is_whole: bool
    add: Callable[[Result], None]
    list_reads: Callable[[], frozenset[str]]
    end_others: Callable[[], None] | None
    cached: list[str] = field(default_factory=list)
    lost_at: str = ""
    is_gone: bool = False
    _shared: str = ""
    _is_alone: bool = False

    def pass_by(self, revisions: Sequence[Revision]) -> None:
        """Go forward through what others try, in one run of ``env.py``, as Alembic goes."""
        self._shared = self._see_shared()
        for revision in revisions:
            stays = revision is not revisions[-1]
            if isinstance(self._step_up(revision, stays=stays), Result):
                raise GivenUpError
            self._go_past(revision)
        if self._shared != self._see_shared():
            raise GivenUpError
        self.before = None

    def try_all(self, revisions: Iterable[Revision], wanted: frozenset[str]) -> None:
        """Go forward through revisions, and try those that are wanted."""
        self._shared = self._see_shared()
        for revision in revisions:
            if self.lost_at:
                why = f"the database was lost at {self.lost_at}"
                self.add(Result(revision, "cannot judge", why))
                continue
            try:
                self._go_on(revision, is_wanted=revision.name in wanted)
            except psycopg.Error as error:
                self._require_first()
                self.before = None
                if isinstance(error, psycopg.OperationalError):
                    self.lost_at = revision.name
                self.add(cannot_read(revision, error))

    def _go_on(self, revision: Revision, *, is_wanted: bool) -> None:
        """Go through a revision, and try it if it is wanted."""
        before = self._look_before() if is_wanted else None
        self.before = None
        if says_outside(revision.path):
            self._clear()
        done = self._step_up(revision)
        if isinstance(done, Result) and holds_elsewhere(done.failure):
            self._clear()
            done = self._step_up(revision)
        if isinstance(done, Result):
            # One that is not to be tried, but cannot be passed, keeps others from their trial.
            self._require_first()
            self.add(done)
            if done.failure:
                self._end_sessions()
            return
        self._go_past(revision)
        self._look_outside(revision)
        if is_wanted:
            self.before = self.bench.view.look(self.conninfo)
            self._try(revision, before, self.before)
        if self._is_alone:
            self._shared = self._see_shared()  # its trial may have made a role anew

    def _go_past(self, revision: Revision) -> None:
        self.applied.append(revision)
        if self.chain:
            self.chain.add(revision)

    def _look_before(self) -> Picture | None:
        """Return what is there; None if it cannot be read."""
        if self.before is None:
            try:
                return self.bench.view.look(self.conninfo)
            except psycopg.OperationalError:
                raise
            except psycopg.Error:
                return None
        return self.before

    def _step_up(self, revision: Revision, *, stays: bool = False) -> Home | Result:
        missing = sorted(set(revision.needs) - {r.name for r in self.applied})
        if missing:
            why = f"it stands on {', '.join(missing)}, which cannot be applied"
            return Result(revision, "cannot judge", why)
        done = self.runner.step("up", revision.name, self.conninfo, stays=stays)
        if isinstance(done, Failure):
            return Result(revision, "cannot judge", "its upgrade fails", failure=done)
        with self.bench.view.sessions.use(self.conninfo) as conn:
            recorded = list_recorded(conn, done)
        if revision.name not in recorded:
            why = (
                "env.py says that it applied it, but in another database than it was given; "
                "--url-variable or -x can tell it which"
            )
            return Result(revision, "cannot judge", why)
        return done

    def _try(self, revision: Revision, before: Picture | None, after: Picture) -> None:
        """Try the revision that the lane has just come to, or find its verdict."""
        if before is None:
            self.add(Result(revision, "cannot judge", "what was before it cannot be read"))
            return
        if before.subscriptions != after.subscriptions:
            why = (
                "it changes a subscription, and a copy of a database has none: the walk alone"
                " tries it"
            )
            self.add(Result(revision, "cannot judge", why))
            return
        before, after = before.without_subscriptions(), after.without_subscriptions()
        place = self.chain.place(revision, before, after) if self.chain else None
        if place and (known := place.find(revision)):
            self.cached.append(revision.name)
            self.add(known)
            return
        try:
            case = self._copy(revision, before, after)
        except psycopg.errors.ObjectInUse as error:
            self.add(cannot_copy(revision, error))
            return
        result = self.bench.try_out(case, self.runner)
        if place:
            place.keep(result, self.list_reads())
        self.add(result)
        self.bench.kept.settle()

    def _copy(self, revision: Revision, before: Picture, after: Picture) -> Case:
        """Return a case with a kept copy, or with a fresh one."""
        bench, trunk, at = self.bench, self.conninfo, len(self.applied)
        with bench.view.sessions.use(trunk) as conn:
            sequences = see_sequences(conn)
        if kept := bench.kept.take(at):
            with bench.copies.session() as conn:
                for there in (trunk, kept[1]):  # what revisions left there holds locks
                    end_sessions(conn, name_of(there), bench.view.sessions.pids(there))
            ups = tuple(r.name for r in self.applied[kept[0] :])
            return Case(revision, before, after, at, kept[1], trunk, sequences, ups)
        copy = bench.copies.make(trunk)
        can_be_kept = self.is_whole and not self._is_alone
        return Case(revision, before, after, at, copy, trunk, sequences, can_be_kept=can_be_kept)

    def _look_outside(self, revision: Revision) -> None:
        """Find out whether the revision changes what belongs to the whole server."""
        before, self._shared = self._shared, self._see_shared()
        self._is_alone = before != self._shared or says_outside(revision.path)
        if self._is_alone:
            self._clear()

    def _clear(self) -> None:
        """See to it that nothing else of the run is on the server."""
        self._require_first()
        self.bench.kept.drop()
        if self.end_others:
            self.end_others()

    def _end_sessions(self) -> None:
        """End what a failed upgrade still runs."""
        self.bench.kept.drop()
        with self.bench.copies.session() as conn:
            end_sessions(conn, name_of(self.conninfo))

    def _require_first(self) -> None:
        if self.end_others is None:
            raise GivenUpError

    def _see_shared(self) -> str:
        """Return what belongs to the whole server, to be compared."""
        with self.bench.copies.session() as conn:
            row = conn.execute(SHARED).fetchone()
            return str(row[0]) if row else ""
