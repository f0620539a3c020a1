"""The host's writers: pgbench at a rate or as fast as it can, and a transaction that stays open."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from iu_gates.embedded.installs import read_version
from worker_parts.place import Place

OPEN_SECONDS: Final = 0.5
ONE: Final = """\
insert into public.unit_version (unit, version_seq, body)
values ('bench ' || :client_id, nextval('bench_seq')::integer, '{"words": "a few"}');
"""
MANY: Final = """\
insert into public.unit_version (unit, version_seq, body)
select 'bench ' || :client_id, nextval('bench_seq')::integer, '{"words": "a few"}'
from generate_series(1, 1000);
"""


@dataclass(frozen=True)
class Written:
    """What pgbench says: transactions, and how many a second."""

    transactions: int
    per_second: float


def prepare(place: Place, database: str) -> None:
    """Make the sequence from which versions are drawn."""
    place.execute("create sequence if not exists bench_seq start 2 cache 1", database)


def write(
    place: Place, database: str, *, seconds: float, clients: int, rate: int = 0, script: str = ONE
) -> Written:
    """Let pgbench write into the host's table, at a rate a second or as fast as it can."""
    path = place.directory / "writer.sql"
    path.write_text(script, "utf-8")
    done = subprocess.run(
        [
            str(place.server.bin_dir / "pgbench"),
            "--no-vacuum",
            f"--client={clients}",
            "--jobs=2",
            f"--time={max(round(seconds), 1)}",
            "--protocol=prepared",
            f"--file={path}",
            *([f"--rate={rate}"] if rate else []),
            place.url(database),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    processed = re.search(r"actually processed: (\d+)", done.stdout)
    speed = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or not processed or not speed:
        sys.exit(f"pgbench failed:\n{done.stdout}{done.stderr}")
    return Written(int(processed[1]), float(speed[1]))


class LongTransactions:
    """A step that holds a transaction with an xid open for half a second, in another database."""

    def __init__(self, place: Place) -> None:
        self._conn: psycopg.Connection[Any] = psycopg.connect(place.url())
        self._conn.execute("create table if not exists bench_long (n integer)")
        self._conn.commit()

    def __call__(self) -> None:
        """Write, wait, commit."""
        self._conn.execute("insert into bench_long values (1)")
        time.sleep(OPEN_SECONDS)
        self._conn.commit()


def describe_server(place: Place) -> str:
    """Return the version and what matters of the settings."""
    names = ("fsync", "synchronous_commit", "wal_sync_method", "full_page_writes", "shared_buffers")
    with place.connect() as conn:
        values = [conn.execute("select current_setting(%s)", (n,)).fetchone() for n in names]
    told = ", ".join(f"{n} {v and v[0]}" for n, v in zip(names, values, strict=True))
    return f"PostgreSQL {read_version(place.server.bin_dir)}; {told}"
