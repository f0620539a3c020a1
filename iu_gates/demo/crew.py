"""Who does the work behind the story: the host that writes, the worker that delivers, the bars."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from iu_gates import db, stops, worker
from iu_gates.demo.stage import HOST, OPERATOR, WORKER, Stage
from iu_gates.ending import Ending
from iu_gates.errors import IuGatesError
from iu_gates.history import Version
from iu_gates.hostplay import BackgroundPlayer, replay

PATIENCE_SECONDS: Final = 60.0
LOAD_SECONDS: Final = 8.0
POLL_SECONDS: Final = 0.05


class Crew:
    """The host and the worker of one stage, and what they show on the console."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self.stage = stage
        self.console = console

    def say(self, text: str, style: str = "dim") -> None:
        """Print one line; a terminal may cut it, nothing wraps it."""
        self.console.print(text, style=style, soft_wrap=True)

    def replay(self, title: str, versions: Sequence[Version]) -> None:
        """Let the host write a part of the history, with a bar."""
        with self._bar(title, len(versions)) as update, self._host() as conn:
            replay(conn, versions, on_progress=update)

    @contextmanager
    def load(self, versions: Sequence[Version]) -> Iterator[BackgroundPlayer]:
        """Let the host write in the background, bit by bit; what is left is written at the end."""
        rate = max(len(versions) / LOAD_SECONDS, 0.5)
        player = BackgroundPlayer(self.stage.url(HOST), versions, rate=rate, apart=True)
        with player:
            yield player
        with self._host() as conn:
            replay(conn, player.remaining)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Run a worker in the background; what ended it is raised at the end."""
        stop = Ending()
        failed: list[IuGatesError] = []

        def work() -> None:
            try:
                worker.run(self.stage.settings(WORKER), stop=stop)
            except IuGatesError as error:
                failed.append(error)

        thread = threading.Thread(target=work, name="demo worker", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

    def wait_until_worked_off(self) -> None:
        """Wait until the worker has attempted every event, in whatever mode the route is."""
        with db.connect(self.stage.settings(OPERATOR), "demo") as conn:
            counts = db.fetch_one(conn, db.load("demo_waiting"))
            with self._bar("worker", counts["captured"]) as update:
                deadline = time.monotonic() + PATIENCE_SECONDS
                while counts["waiting"] and time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
                    counts = db.fetch_one(conn, db.load("demo_waiting"))
                    update(counts["captured"] - counts["waiting"])
                update(counts["captured"] - counts["waiting"])
            if counts["waiting"]:
                raise IuGatesError(
                    f"the worker left {counts['waiting']} events waiting",
                    found=str(stops.list_stops(conn)),
                )

    def play_when_live(self, versions: Sequence[Version]) -> threading.Thread:
        """Let the host write `versions` once the route is live; returns the running thread."""

        def play() -> None:
            deadline = time.monotonic() + PATIENCE_SECONDS
            with db.connect(self.stage.settings(OPERATOR), "demo") as conn:
                while time.monotonic() < deadline:
                    if not db.fetch_all(conn, db.load("routes"))[0]["dry_run"]:
                        break
                    time.sleep(POLL_SECONDS)
            with self._host() as conn:
                replay(conn, versions)

        thread = threading.Thread(target=play, name="demo canary", daemon=True)
        thread.start()
        return thread

    def _host(self) -> psycopg.Connection:
        return psycopg.connect(self.stage.url(HOST), autocommit=True)

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        name = TextColumn("  {task.description:<16}")
        columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)
