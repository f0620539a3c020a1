"""Medians of `iu-gates status` and `alembic current` on one database, over interleaved runs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from iu_gates.embedded import Server
from iu_gates.hostplay import make_host

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "iu-gates status": ["iu_gates", "status"],
    "iu-gates status --json": ["iu_gates", "status", "--json"],
    "alembic current": ["alembic", "current"],
}
LIMIT = 2.0


def main(runs: int) -> int:
    """Measure, print, and return 1 if `status` costs more than it may."""
    with ExitStack() as stack:
        url = os.environ.get("IU_GATES_DATABASE_URL") or make_database(stack)
        seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(runs + 1):
            for name, module in COMMANDS.items():
                seconds[name].append(measure(module, url))
    medians = {name: statistics.median(taken[1:]) for name, taken in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<24} {median * 1000:6.0f} ms, median of {runs}")
    ratio = medians["iu-gates status"] / medians["alembic current"]
    print(f"{'ratio':<24} {ratio:6.2f}, the limit is {LIMIT:.0f}")
    return int(ratio > LIMIT)


def make_database(stack: ExitStack) -> str:
    """Return the URL of a database that was walked to the substrate, on a server of our own."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iu-gates-bench-")))
    directory.chmod(0o711)
    server = Server(directory / "server")
    server.start()
    stack.callback(server.wipe)
    url = server.conninfo()
    with psycopg.connect(url, autocommit=True) as conn:
        make_host(conn)
    told = {"IU_GATES_BACKUP_DIR": str(directory / "backups")}
    run(["iu_gates", "advance", "--to", "substrate"], url, **told)
    return url


def measure(module: list[str], url: str) -> float:
    """Return how long a command takes, from its start to its end."""
    began = time.perf_counter()
    run(module, url)
    return time.perf_counter() - began


def run(module: list[str], url: str, **variables: str) -> None:
    """Run a Python module in the checkout, on this database and with no other setting."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
    told = {"IU_GATES_DATABASE_URL": url, "IU_GATES_SITE_KEY": "the bench", **variables}
    line = [sys.executable, "-m", *module]
    done = subprocess.run(line, check=False, cwd=ROOT, env=inherited | told, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(module)} failed:\n{done.stderr.decode()}")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
