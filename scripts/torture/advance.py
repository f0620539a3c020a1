"""Rounds of kills on the way up to live and back; see scripts/torture/advance."""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg
from checks import Checks, walk_clean
from stage import Failure, Stage, open_server, open_stage, poll

from iu_gates.embedded import Server
from iu_gates.symmetry import Snapshot

VICTIM: Final = str(Path(__file__).with_name("victim.py"))
TARGETS: Final = ("client", "client", "client", "server", "quit", "session")
WHENS: Final = ("before", "during", "after")
LONGEST: Final = 120.0
"""No command takes as many seconds, on a busy machine neither."""
MOST_STATEMENTS: Final = {"advance": 160, "rollback": 90, "disable": 30, "rehearse": 120}
MOST_SECONDS: Final = {"advance": 4.0, "rollback": 2.5, "disable": 1.2, "rehearse": 4.0}
PARTIAL: Final = ("080", "090", "100", "060", "009")
UP: Final = ("advance", "--to", "live")
SETTINGS: Final = {"max_connections": 40, "log_min_messages": "fatal"}


class Torture:
    """
    The rounds.

    Args:
        rounds: How many kills.
        chance: Chooses everything that is chosen.
        server: It is killed too.
        clean: The catalogs of a clean walk.
    """

    def __init__(
        self, rounds: int, chance: random.Random, server: Server, clean: dict[str, Snapshot]
    ) -> None:
        self.left = rounds
        self.chance = chance
        self.server = server
        self.clean = clean
        self.killed: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.last = "nothing yet"
        self.said = ""

    def story(self, stage: Stage) -> None:
        """Walk one database: up and to base without history; then to live, down, and up again."""
        self.stage, self.checks = stage, Checks(stage, self.clean)
        if self.chance.random() < 0.5:  # noqa: PLR2004  every other
            self.until_done("advance", "--to", "substrate")
            self.until_done("rollback", "--to", "base", "--yes")
            self.checks.at_rest()
        stage.host.at_work.set()
        for _ in range(2):
            self.until_done(*UP)
            self.at_live()
            self.down()
        self.until_done(*UP)
        self.at_live()
        self.settle()

    def until_done(self, *line: str) -> None:
        """Run a command, killed again and again, until it ends with 0."""
        for _ in range(200):
            if self.run(line):
                return
        raise Failure(f"{line} never ends with 0")

    def run(self, line: tuple[str, ...]) -> bool:
        """Run a command once, killed or not; tell whether it is done."""
        self.stage.see_to_worker()
        is_round = self.left > 0 and self.chance.random() < 0.85  # noqa: PLR2004
        began = time.monotonic()
        code = self.kill(line) if is_round else self.let_run(line)
        self.last += f", exit {code} after {time.monotonic() - began:.1f} s"
        self.server.start()
        if code is None:
            return False
        if code == 0:
            return True
        self.mend(line, code)
        return False

    def let_run(self, line: tuple[str, ...]) -> int:
        """Run a command to its end."""
        self.last = " ".join(line)
        process = self.stage.start(["-m", "iu_gates", *line])
        self.said = process.communicate(timeout=LONGEST)[0]
        return process.returncode

    def kill(self, line: tuple[str, ...]) -> int | None:
        """Run a command and strike; None if it was killed, or lost its server or session."""
        target, word = self.chance.choice(TARGETS), line[0]
        if self.chance.random() < 0.5:  # noqa: PLR2004  by the clock, or at a statement
            seconds = self.chance.uniform(0.2, MOST_SECONDS[word])
            code, struck = self.kill_at(line, target, seconds)
        else:
            nth = self.chance.randint(1, MOST_STATEMENTS[word])
            code, struck = self.kill_in(line, target, nth, self.chance.choice(WHENS))
        if not struck:
            return code
        self.left -= 1
        self.killed[f"{word} {target}"] += 1
        self.codes[f"{target} {code}"] += 1
        self.server.start()
        if target == "client" and code == -signal.SIGKILL:
            code = None
        elif code not in {0, 3, 5, 6, 7}:
            raise Failure(f"exit {code}")
        if self.chance.random() < 0.15:  # noqa: PLR2004
            self.stage.kill_worker()
        if self.chance.random() < 0.7:  # noqa: PLR2004  else the next call comes at once
            self.checks.after_kill()
        return code if code == 0 else None

    def kill_in(self, line: tuple[str, ...], target: str, nth: int, when: str) -> tuple[int, bool]:
        """Strike at the nth statement; return the exit code and whether it came to that."""
        mark = self.stage.folder / "mark"
        mark.unlink(missing_ok=True)
        self.last = f"{' '.join(line)}: {target} {when} statement {nth}"
        trap = [VICTIM, target, str(nth), when, str(self.server.pid), str(mark)]
        process = self.stage.start([*trap, *line])
        self.said = process.communicate(timeout=LONGEST)[0]
        struck = mark.exists()
        if struck:
            self.last = f"{' '.join(line)}: {mark.read_text()}"
        return process.returncode, struck

    def kill_at(self, line: tuple[str, ...], target: str, seconds: float) -> tuple[int, bool]:
        """Strike after so many seconds."""
        self.last = f"{' '.join(line)}: {target} after {seconds:.2f} s"
        process = self.stage.start(["-m", "iu_gates", *line])
        try:
            self.said = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.strike(process, target)
            self.said = process.communicate(timeout=LONGEST)[0]
            return process.returncode, True
        return process.returncode, False

    def strike(self, process: subprocess.Popen[str], target: str) -> None:
        """Hit a process, the server, or the sessions of the process."""
        if target == "client":
            process.kill()
        elif target == "server":
            self.server.kill()
        elif target == "quit" and self.server.pid:
            os.kill(self.server.pid, signal.SIGQUIT)
            poll(lambda: not self.server.is_running(), "the server ends")
        else:
            self.stage.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name ~ '^(iu-gates (advance|rollback|disable)|pg_dump)'"
                " and datname = current_database()"
            )

    def mend(self, line: tuple[str, ...], code: int) -> None:
        """Do what the command asked for; fail if it is nothing that comes with the load."""
        if code == 3 and "iu-gates approve" in self.said:  # noqa: PLR2004
            self.stage.approve()
        elif code == 3 and "iu-gates rehearse" in self.said and line[0] == "advance":  # noqa: PLR2004
            self.until_done("rehearse")
        elif code in {3, 6, 7} and self.is_wait():
            return
        else:
            raise Failure(f"{' '.join(line)} ended with {code}")

    def is_wait(self) -> bool:
        """Tell whether a refusal is one that another call, or the load, mends."""
        signs = (
            "it waits for this",
            "still in hand",
            "at work",
            "could not have its locks",
            "a lock could not be had",
            "iu-gates backup create && iu-gates advance",
            "moved this lane meanwhile",
        )
        return any(sign in self.said for sign in signs)

    def at_live(self) -> None:
        """Everything stands as it should at live."""
        self.checks.at_rest()
        heads = self.stage.fetch("select version_num from iu_gates.alembic_version")
        if heads != [("082",)]:
            raise Failure(f"at live the lanes stand at {heads}")

    def down(self) -> None:
        """Go down by one of the ways."""
        way = self.chance.choice(("disable", "disable", "route", "route", *PARTIAL))
        if way not in {"disable", "route"}:
            self.until_done("rollback", "--to", way, "--yes")
            self.checks.at_rest()
            return
        route = ["--route", "iu.version_applied.workflow"] if way == "route" else []
        self.until_done("disable", *route)
        delivered = self.checks.count_delivered()
        self.checks.at_rest()
        if self.checks.count_delivered() != delivered:
            raise Failure('something was delivered after "off and drained"')

    def settle(self) -> None:
        """Let the host rest and the worker finish; then every count must be right."""
        self.stage.host.end()
        self.stage.see_to_worker()
        query = """
            select count(*) from iu_core.iu_event as e where not exists (
                select from iu_core.iu_route_attempt as a
                where a.event_id = e.event_id and a.status <> 'held')
        """
        poll(lambda: self.stage.fetch(query) == [(0,)], "the worker has nothing left")
        for line in (("audit",), ("ledger", "verify"), ("status",)):
            if self.let_run(line) != 0:
                raise Failure(f"{' '.join(line)} finds something")


def main(arguments: argparse.Namespace) -> int:
    """Torture until the rounds are used up; 1 if something did not hold."""
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}, {arguments.rounds} rounds", flush=True)
    repeat = f"scripts/torture/advance {arguments.rounds} --seed {seed}"
    began = time.monotonic()
    with ExitStack() as stack:
        server, directory = stack.enter_context(open_server(arguments.major, SETTINGS))
        with open_stage(server, "clean", directory / "clean") as stage:
            clean = walk_clean(stage)
        chance = random.Random(seed)  # noqa: S311  it keeps no secret
        torture = Torture(arguments.rounds, chance, server, clean)
        try:
            rounds(torture, directory)
        except (Failure, psycopg.Error, subprocess.TimeoutExpired) as error:
            done = arguments.rounds - torture.left
            print(f"\nFAILED in round {done}: {error}\n  command  {torture.last}")
            print(f"  said     {torture.said.strip()}\n  repeat   {repeat}")
            return 1
    taken = time.monotonic() - began
    print(f"killed   {dict(sorted(torture.killed.items()))}")
    print(f"ended    {dict(sorted(torture.codes.items()))}")
    print(
        f"{arguments.rounds} rounds clean in {taken:.0f} s,"
        f" {taken / arguments.rounds:.2f} s a round,"
        f" PostgreSQL {server.major}, seed {seed}"
    )
    return 0


def rounds(torture: Torture, directory: Path) -> None:
    """Walk one database after the other until all rounds were used."""
    number = 0
    while torture.left > 0:
        number += 1
        before, began = torture.left, time.monotonic()
        with open_stage(torture.server, f"story_{number}", directory / f"story {number}") as stage:
            torture.story(stage)
        print(
            f"story {number}: {before - torture.left} kills, all right,"
            f" {time.monotonic() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/torture/advance")
    parser.add_argument("rounds", nargs="?", type=int, default=200, metavar="ROUNDS")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--major", type=int)
    sys.exit(main(parser.parse_args()))
