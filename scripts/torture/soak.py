"""Minutes of life with crashes, held against a model in the end; see scripts/torture/soak."""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import psycopg
from psycopg import sql
from soak_ground import LONGEST, SECOND, Look, go_live, prepare, run, walk
from soak_hosts import UNITS, Elsewhere, Scene, Writer
from soak_model import PREFIX, Model, Version
from soak_rest import OPEN_DEAD, describe_left, has_rest, hold_against, show_table
from soak_workers import KINDS, Workers
from stage import Failure, Stage, open_server, open_stage, poll

from iu_gates import disable
from iu_gates.config import ROUTE
from iu_gates.errors import IuGatesError, NotDrainedError

POISONED: Final = UNITS[:2]
"""Of these some versions are refused now and then."""
WRITERS: Final = 8
ELSEWHERE: Final = "elsewhere"
SETTINGS: Final = {
    "max_connections": 60,
    "max_prepared_transactions": 20,
    "log_min_messages": "fatal",
}
END_SESSIONS: Final = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = 'iu-gates worker' limit %s
"""
LATE: Final = "select count(*) from iu_core.iu_route_attempt where attempted_at > %s"
AGAIN: Final = "select count(*) from iu_core.iu_route_attempt where status = 'duplicate'"
DEAD: Final = "select route_name, subject, version_seq from iu_core.iu_route_dead_letter"
MARK: Final = "select coalesce(max(id), 0) from public.event_outbox"


class Soak:
    """
    One soak on one database.

    Args:
        stage: Live, with its host at rest.
        seconds: How long.
        chance: Chooses what happens and when.
    """

    def __init__(self, stage: Stage, seconds: float, chance: random.Random) -> None:
        self.stage = stage
        self.chance = chance
        self.scene = Scene(stage.url(), Model())
        self.workers = Workers(stage)
        self.done: Counter[str] = Counter()
        self.dead: set[tuple[str, Version]] = set()
        self.resumed: list[float] = []
        self.prune: subprocess.Popen[str] | None = None
        self.last = ""
        self._began = time.monotonic()
        self._until = self._began + seconds
        self._next_line = self._began + 10

    def play(self, seed: int) -> None:
        """Let it live until the time is over, then let it come to rest."""
        halves = [True, False]
        self.chance.shuffle(halves)
        self._serve(prepares=halves[0])
        hosts = [Writer(self.scene, n, f"{seed} {n}") for n in range(WRITERS)]
        elsewhere = Elsewhere(self.scene, self.stage.server.conninfo(ELSEWHERE), f"{seed} else")
        for thread in (*hosts, elsewhere):
            thread.start()
        try:
            self.workers.see_to()
            self._live_until((self._began + self._until) / 2)
            self._do(self.disable_and_advance)
            self._serve(prepares=halves[1])
            self._live_until(self._until)
            self._do(self.disable_and_advance)
        finally:
            self.scene.over.set()
            for thread in (*hosts, elsewhere):
                thread.join()

    def _live_until(self, end: float) -> None:
        acts: tuple[tuple[int, Callable[[], None]], ...] = (
            (6, self.kill_worker),
            (4, self.end_worker),
            (5, self.pause_worker),
            (5, self.end_sessions),
            (4, self.crash_server),
            (5, self.poison),
            (4, self.start_prune),
            (2, self.audit),
            (1, self.disable_and_advance),
        )
        while time.monotonic() < end:
            self._rest(self.chance.uniform(0.2, 3))
            ((_, act),) = self.chance.choices(acts, [weight for weight, _ in acts])
            self._do(act)

    def _do(self, act: Callable[[], None]) -> None:
        """Do one thing; after it every route goes on."""
        self.last = act.__name__.replace("_", " ")
        self.done[self.last] += 1
        act()
        self.workers.see_to()
        began, mark = time.monotonic(), self._fetch(MARK)
        poll(lambda: self._fetch(MARK) > mark, f"deliveries after: {self.last}", 30)
        self.resumed.append(time.monotonic() - began)
        if self.scene.error:
            raise Failure(f"a writer failed: {self.scene.error!r}")

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if now > self._next_line:
                self._next_line += 10
                self._say_line()
            self.scene.over.wait(0.1)

    def _say_line(self) -> None:
        written = self.scene.model.count_written()
        counts = self.stage.fetch(
            "select count(*), (select count(*) from iu_core.iu_event) from public.event_outbox"
        )
        print(
            f"{time.monotonic() - self._began:5.0f} s  {written} rows committed,"
            f" {counts[0][0]} delivered, {counts[0][1]} events kept, {sum(self.done.values())}"
            f" acts, the last: {self.last}",
            flush=True,
        )
        self._look()

    def _look(self) -> None:
        """Note the dead letters; find what was delivered twice. A prune takes both away."""
        for route, *version in self.stage.fetch(DEAD):
            self.dead.add((route, Version(*version)))
        if twice := self._fetch(AGAIN):
            raise Failure(f"{twice} attempts found their key in the target already")

    def _fetch(self, query: str, *parameters: object) -> Any:
        return self.stage.fetch(query, *parameters)[0][0]

    # ------------------------------------------------------------ what happens

    def kill_worker(self) -> None:
        """SIGKILL."""
        self.workers.kill(self.chance.randrange(len(KINDS)))

    def end_worker(self) -> None:
        """SIGTERM."""
        self.workers.end(self.chance.randrange(len(KINDS)))

    def pause_worker(self) -> None:
        """SIGSTOP, and later SIGCONT: the others go on meanwhile."""
        number = self.chance.randrange(len(KINDS))
        self.workers.pause(number)
        mark = self._fetch(MARK)
        poll(lambda: self._fetch(MARK) > mark, "deliveries while one worker is stopped", 30)
        self._rest(self.chance.uniform(0.5, 4))
        self.workers.go_on(number)

    def end_sessions(self) -> None:
        """pg_terminate_backend, of one session of the workers or of all."""
        self.stage.fetch(END_SESSIONS, self.chance.choice((1, 100)))

    def crash_server(self) -> None:
        """An immediate stop, or SIGKILL of all its processes."""
        server = self.stage.server
        if self.chance.random() < 0.5 and server.pid:  # noqa: PLR2004
            os.kill(server.pid, signal.SIGQUIT)
            poll(lambda: not server.is_running(), "the server ends")
        else:
            server.kill()
        server.start()

    def poison(self) -> None:
        """The target refuses some versions of two units for a while; then they are redriven."""
        query = "insert into public.refused select unnest(%s::text[]) on conflict do nothing"
        with self.stage.connect() as conn:
            conn.execute(query, (list(POISONED),))
        self._rest(self.chance.uniform(1, 4))
        self.heal()

    def heal(self) -> None:
        """Let the target take everything, and put back what had been given up on."""
        with self.stage.connect() as conn:
            conn.execute("truncate public.refused")
        poll(self._put_back, "no dead letter is open", LONGEST)

    def _put_back(self) -> bool:
        """Redrive what is open; again where the worker gave up on another one meanwhile."""
        self._look()
        if not self.stage.fetch(OPEN_DEAD):
            return bool(self._fetch("select count(*) from iu_core.iu_route_parked") == 0)
        process = self.stage.start(["-m", "iu_gates", "dead-letter", "redrive", "--all", "--yes"])
        said = process.communicate(timeout=LONGEST)[0]
        if process.returncode and not ("IUG-106" in said or "comes before" in said):
            raise Failure(f"dead-letter redrive ended with {process.returncode}: {said}")
        return False

    def start_prune(self) -> None:
        """Prune what is some seconds old, while all goes on."""
        if self.prune is None or self._end_prune(wait=False):
            self._look()
            line = ("history", "prune", "--older-than", "3 s", "--batch", "300", "--yes")
            self.prune = self.stage.start(["-m", "iu_gates", *line])

    def _end_prune(self, *, wait: bool) -> bool:
        """Tell whether no prune is at work; it may be refused, or lose its server."""
        if self.prune is None or (self.prune.poll() is None and not wait):
            return self.prune is None
        said = self.prune.communicate(timeout=LONGEST)[0]
        if self.prune.returncode not in {0, 4, 5}:
            raise Failure(f"history prune ended with {self.prune.returncode}: {said}")
        self.done[f"prune, exit {self.prune.returncode}"] += 1
        self.prune = None
        return True

    def audit(self) -> None:
        """No fault, in the middle of it all."""
        run(self.stage, "audit")

    def disable_and_advance(self) -> None:
        """Off: from "drained" on nothing comes. Then on again, by the gates."""
        look = Look(self.stage)
        deadline = time.monotonic() + LONGEST
        while True:
            try:
                disable.disable(self.stage.settings, reason="the soak", notify=look.hear)
            except NotDrainedError:
                if time.monotonic() > deadline:
                    raise
            else:
                break
        written = self.scene.model.count_written()
        poll(lambda: self.scene.model.count_written() > written + 50, "the host writes on")
        if self._fetch(MARK) != look.mark or self._fetch(LATE, look.at):
            raise Failure('something was delivered after "off and drained"')
        walk(self.stage, "live", self.workers.see_to)
        # A disable of everything leaves further routes dry, and what comes then is held.
        go_live(self.stage)

    def _serve(self, *, prepares: bool) -> None:
        """Start the server with prepared transactions, and so without a bell, or the other way."""
        self.scene.may_prepare.clear()
        self.finish_prepared()
        server = self.stage.server
        server.stop()
        server.settings["max_prepared_transactions"] = 20 if prepares else 0
        server.start()
        if prepares:
            self.scene.may_prepare.set()

    def finish_prepared(self) -> None:
        """End every prepared transaction, those too that are about to be prepared."""
        with self.stage.connect() as conn:

            def none_is_left() -> bool:
                while self.scene.finish_prepared(conn, self.chance):
                    pass
                return self._fetch("select count(*) from pg_prepared_xacts") == 0

            poll(none_is_left, "no transaction is prepared")
            self.scene.over.wait(0.3)
            poll(none_is_left, "no transaction is prepared")

    # ------------------------------------------------------------ in the end

    def settle(self) -> dict[str, int]:
        """Let everything end, and hold it against the model; return what each route delivered."""
        self.finish_prepared()
        self.workers.see_to()
        self._end_prune(wait=True)
        self.heal()
        try:
            poll(lambda: has_rest(self.stage), "everything is delivered", LONGEST)
        except Failure as error:
            raise Failure(f"{error}; {describe_left(self.stage)}") from None
        self._look()
        for line in (("audit",), ("ledger", "verify"), ("status",)):
            run(self.stage, *line)
        there = self.stage.fetch(
            "select unit, version_seq from public.unit_version where starts_with(unit, %s)", PREFIX
        )
        committed = self.scene.model.resolve({Version(*row) for row in there})
        return {
            route: hold_against(self.stage, committed, route, self.dead)
            for route in (ROUTE, SECOND)
        }


def main(arguments: argparse.Namespace) -> int:
    """Soak for so many minutes; 1 if something did not hold."""
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}, {arguments.minutes:g} minutes", flush=True)
    with ExitStack() as stack:
        server, directory = stack.enter_context(open_server(arguments.major, SETTINGS))
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(ELSEWHERE)))
        with open_stage(server, "soak", directory / "soak") as stage:
            chance = random.Random(seed)  # noqa: S311  it keeps no secret
            soak = None
            try:
                prepare(stage)
                soak = Soak(stage, arguments.minutes * 60, chance)
                soak.play(seed)
                delivered = soak.settle()
            except (Failure, IuGatesError, psycopg.Error, subprocess.TimeoutExpired) as error:
                print(f"\nFAILED after {soak.last if soak else 'nothing'}: {error}")
                print(
                    f"  repeat   scripts/torture/soak --minutes {arguments.minutes:g} --seed {seed}"
                )
                return 1
            finally:
                if soak:
                    soak.workers.close()
                    # A database with a prepared transaction cannot be dropped.
                    server.start()
                    soak.finish_prepared()
    show_table(soak.scene.model, soak.done, soak.resumed, len(soak.dead), delivered)
    print(f"every promise held, PostgreSQL {server.major}, seed {seed}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/torture/soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--major", type=int)
    sys.exit(main(parser.parse_args()))
