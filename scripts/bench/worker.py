"""The whole of `scripts/bench/worker`: sections chosen, run on one server, told and drawn."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from worker_parts import cost, goals, history, latency, load, routes, throughput  # noqa: E402
from worker_parts.place import SETTINGS, Place  # noqa: E402
from worker_parts.queues import list_queues  # noqa: E402
from worker_parts.result import Results  # noqa: E402

import iu_gates  # noqa: E402


@dataclass(frozen=True)
class Sizes:
    """
    How much is run.

    Attributes:
        events: That wait in throughput and routes; slow queues are given a share of them.
        rounds: How often each is run, in turn.
        seconds: Of a run that goes by time.
        history: Rows of history in each table.
        snapshot_seconds: How long a snapshot is held.
    """

    events: int
    rounds: int
    seconds: float
    history: tuple[int, ...]
    snapshot_seconds: float


WHOLE: Final = Sizes(100_000, 5, 10, (10_000, 1_000_000), 15)
QUICK: Final = Sizes(20_000, 2, 3, (10_000, 100_000), 6)
LARGE: Final = 10_000_000
LONG_SECONDS: Final = 60


def list_sections(
    place: Place, results: Results, sizes: Sizes, options: argparse.Namespace
) -> dict[str, Callable[[], None]]:
    """Return what can be run, by name."""
    every = list_queues(options.cache, options.pgmq_sql, options.pgque_sql)
    queues = [] if options.alone else every
    rounds, seconds = sizes.rounds, sizes.seconds
    return {
        "throughput": lambda: throughput.measure(place, results, queues, rounds),
        "latency": lambda: latency.measure(place, results, seconds=seconds, rounds=rounds),
        "host": lambda: cost.measure_host(place, results, seconds=seconds / 2, rounds=rounds),
        "history": lambda: history.measure_history(
            place, results, sizes.history, batches=20, rounds=rounds
        ),
        "snapshot": lambda: history.measure_snapshot(
            place, results, seconds=sizes.snapshot_seconds, rounds=min(rounds, 3)
        ),
        "routes": lambda: routes.measure_side(place, results, rounds=min(rounds, 3)),
        "many": lambda: routes.measure_many(place, results, seconds=seconds, rounds=min(rounds, 3)),
        "idle": lambda: cost.measure_idle(place, results, seconds=seconds),
    }


TITLES: Final = {
    throughput.SECTION: throughput.TITLE,
    "cpu": "CPU of the server's backend for one event",
    latency.SECTION: latency.TITLE,
    cost.HOST: cost.HOST_TITLE,
    history.HISTORY: history.HISTORY_TITLE,
    history.SNAPSHOT: history.SNAPSHOT_TITLE,
    routes.SIDE: routes.SIDE_TITLE,
    routes.MANY: routes.MANY_TITLE,
    cost.IDLE: cost.IDLE_TITLE,
}


def main(options: argparse.Namespace) -> int:
    """Build, measure, tell, draw."""
    began = time.monotonic()
    sizes = choose_sizes(options)
    results = Results()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iu-gates-bench-")))
        directory.chmod(0o711)
        place = Place(directory, sizes.events, options.content)
        place.server.start()
        stack.callback(place.server.wipe)
        facts = describe(place, sizes)
        for line in facts.values():
            print(line, flush=True)
        place.build()
        sections = list_sections(place, results, sizes, options)
        try:
            for name in options.only or list(sections):
                sections[name]()
        except KeyboardInterrupt:
            print("interrupted: what was measured until then", file=sys.stderr)
    facts["ended"] = (
        f"{(time.monotonic() - began) / 60:.0f} minutes; load average at the end {load_average()}"
    )
    tell(results, facts["ended"])
    write(results, facts, options)
    return 0


def choose_sizes(options: argparse.Namespace) -> Sizes:
    """Return the sizes that the options ask for."""
    sizes = QUICK if options.quick else WHOLE
    past = (*sizes.history, LARGE) if options.large else sizes.history
    return Sizes(
        options.events or sizes.events,
        options.rounds or sizes.rounds,
        sizes.seconds,
        past,
        LONG_SECONDS if options.long else sizes.snapshot_seconds,
    )


def describe(place: Place, sizes: Sizes) -> dict[str, str]:
    """Return what was measured, on what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "what": f"iu-gates {iu_gates.__version__}, {dt.date.today()}",  # noqa: DTZ011
        "server": load.describe_server(place),
        "settings": ", ".join(f"{k} {v}" for k, v in SETTINGS.items()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB;"
        f" Python {platform.python_version()}; load average at the start {load_average()}",
        "content": f"{place.content} content in the payload, the same bytes for everyone",
        "sizes": f"{sizes.events:,} events, {sizes.rounds} rounds, each thing in turn in a round;"
        " median, lowest and highest of the rounds; a ratio is the median of the rounds' ratios",
    }


def load_average() -> str:
    """Return how busy the machine is, ourselves included."""
    return f"{os.getloadavg()[0]:.1f}"


def tell(results: Results, ended: str) -> None:
    """Print the tables, where another queue is faster, and the goals."""
    for section, title in TITLES.items():
        if table := results.render(section, title):
            print(f"\n{table}")
    print()
    for line in goals.list_faster(results):
        print(line)
    for line in goals.judge(results):
        print(line)
    print(ended)


def write(results: Results, facts: dict[str, str], options: argparse.Namespace) -> None:
    """Write the JSON, and the plot where matplotlib could be installed."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.json or options.out / "bench-worker.json"
    document: dict[str, Any] = {"facts": facts, "rows": results.list_all()}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    python = options.cache / "bin/python"
    done = subprocess.run(
        [
            str(python if python.exists() else sys.executable),
            str(Path(__file__).parent / "worker_parts/plot.py"),
            str(path),
            str(options.out / "bench-worker"),
        ],
        check=False,
    )
    drawn = ", bench-worker.png and .svg" if not done.returncode else "; no plot"
    print(f"written: {path.name}{drawn}")


def parse() -> argparse.Namespace:
    """Return the options."""
    names = ("throughput", "latency", "host", "history", "snapshot", "routes", "many", "idle")
    parser = argparse.ArgumentParser(prog="scripts/bench/worker")
    parser.add_argument("--quick", action="store_true", help="small sizes, about 3 minutes")
    parser.add_argument("--large", action="store_true", help="10 million rows of history too")
    parser.add_argument("--long", action="store_true", help="hold a snapshot for a minute")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        metavar="SECTION,…",
        help=f"of {', '.join(names)}",
    )
    parser.add_argument(
        "--content",
        choices=("structured", "binary"),
        default="structured",
        help="what stands in the payload, host.content_mode: the event as CloudEvents, or its data",
    )
    parser.add_argument("--alone", action="store_true", help="without the other queues")
    parser.add_argument("--events", type=int, metavar="N", help="events that wait")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is run")
    parser.add_argument("--pgmq-sql", type=Path, metavar="FILE", help="PGMQ's pgmq.sql")
    parser.add_argument("--pgque-sql", type=Path, metavar="FILE", help="PgQue's pgque.sql")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench", metavar="FOLDER")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--cache", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.only or ()) - set(names):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main(parse()))
