"""The writers of `scripts/bench/locks`: pgbench, and one whose transactions stay open."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from iu_gates.embedded import Server

CLIENTS: Final = 4
RATE: Final = 400
OPEN_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 2.0
LONG: Final = "bench long"
SCRIPT: Final = """\
begin;
insert into public.unit_version (unit, version_seq, body)
values ('bench ' || :client_id, nextval('bench_seq')::integer, '{"words": "a few"}');
insert into public.event_outbox (event_type, subject, payload, idempotency_key)
values ('host.own', 'bench', '{}', 'bench ' || gen_random_uuid());
commit;
"""
OPTIONS: Final = (
    "--no-vacuum",
    f"--client={CLIENTS}",
    "--jobs=2",
    f"--rate={RATE}",
    "--time=3600",
    "--log",
    "--log-prefix=log",
    "--protocol=prepared",
)
LONG_ROW: Final = (
    "insert into public.unit_version (unit, version_seq)"
    " values ('bench long', nextval('bench_seq')::integer)"
)
WAITED: Final = re.compile(
    r"^(\S+ \S+) \S+ \[([^\]]*)\] LOG:  process \d+ acquired (\w+) on (\w+)"
    r"[^\n]* after ([\d.]+) ms",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Write:
    """A transaction of a writer: when it was due, and how many milliseconds it took from then."""

    at: float
    ms: float


@dataclass
class Load:
    """
    Writers while they write, and what they say of it afterwards.

    Attributes:
        writes: Every transaction of pgbench.
        long_written: Transactions of the writer that keeps them open.
        failed: Transactions that did not succeed, of either.
    """

    writes: list[Write] = field(default_factory=list)
    long_written: int = 0
    failed: int = 0

    def between(self, began: float, ended: float) -> list[Write]:
        """Return the transactions that were due in this time."""
        return [w for w in self.writes if began <= w.at <= ended]


class LongWriter(threading.Thread):
    """Writes a row every few seconds, and leaves its transaction open for two."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self.failed = 0
        self._url = url
        self._over = threading.Event()

    def run(self) -> None:
        """Write until `end`."""
        with psycopg.connect(self._url, application_name=LONG) as conn:
            while not self._over.wait(PAUSE_SECONDS):
                try:
                    conn.execute(LONG_ROW)
                    self._over.wait(OPEN_SECONDS)
                    conn.commit()
                    self.written += 1
                except psycopg.Error:
                    self.failed += 1
                    conn.rollback()

    def end(self) -> None:
        """Stop after the transaction in hand."""
        self._over.set()
        self.join()


@contextmanager
def writing(server: Server, url: str, folder: Path, *, has_long: bool) -> Iterator[Load]:
    """Let the writers write while the block runs; the load is filled in when it is left."""
    folder.mkdir()
    script = folder / "writer.sql"
    script.write_text(SCRIPT, "utf-8")
    load = Load()
    long_writer = LongWriter(url) if has_long else None
    process = subprocess.Popen(
        [str(server.bin_dir / "pgbench"), *OPTIONS, f"--file={script}", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    if long_writer:
        long_writer.start()
    try:
        yield load
    finally:
        if long_writer:
            long_writer.end()
            load.long_written, load.failed = long_writer.written, long_writer.failed
        process.send_signal(signal.SIGALRM)  # to pgbench: the time is over
        said, errors = process.communicate()
        load.writes = read_log(folder)
        load.failed += count_failed(said, errors, len(load.writes))


def count_failed(said: str, errors: str, logged: int) -> int:
    """Return how many transactions failed; exit if pgbench did not count what it logged."""
    processed = re.search(r"actually processed: (\d+)", said)
    failed = re.search(r"failed transactions: (\d+)", said)
    if processed is None or failed is None or int(processed[1]) != logged:
        sys.exit(f"pgbench and its log disagree, {logged} lines:\n{said}\n{errors}")
    return int(failed[1]) + errors.count("aborted")


def read_log(folder: Path) -> list[Write]:
    """Return the transactions that pgbench logged; with a rate, their time counts from when due."""
    writes = []
    for path in folder.glob("log.*"):
        for line in path.read_text("utf-8").splitlines():
            fields = line.split()
            if len(fields) < 6 or not fields[2].isdigit():  # noqa: PLR2004  cut off by the end
                continue
            us, ended = int(fields[2]), int(fields[4]) + int(fields[5]) / 1e6
            writes.append(Write(ended - us / 1e6, us / 1e3))
    return writes


def read_waits(log: str) -> list[tuple[str, str, str, float]]:
    """Return application, lock mode, kind of lock and milliseconds of each wait in a log."""
    return [(app, mode, kind, float(ms)) for _, app, mode, kind, ms in WAITED.findall(log)]
