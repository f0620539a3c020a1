"""
Time and size of a backup under each compression, on a host of text with captured events.

The host's rows are pieces of real text (the standard library's sources), written while capture
is on, so that host and events are what an installation holds. Every archive is read back whole,
and all of them must hold the same; a compression that this pg_dump cannot do is left out aloud.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from iu_gates import advance, backup, config
from iu_gates.backup import Backup, SnapshotFacts, Tools, compression, find_tools
from iu_gates.embedded import Server, find_installs
from iu_gates.errors import BackupError
from iu_gates.hostplay import make_host

CANDIDATES = ("none", "gzip:1", "gzip:6", "lz4", "zstd:1", "zstd:3", "zstd:9")
USUAL = "gzip:6"
PIECE = 3000
VERSIONS = 4
INSERT = "insert into public.unit_version (unit, version_seq, body) values (%s, %s, %s)"


@dataclass(frozen=True)
class Taken:
    """One backup: how long `pg_dump` and the reading back took, what came of it."""

    dump_s: float
    read_s: float
    size_bytes: int
    content: str


def main(mebibytes: int, runs: int) -> int:
    """Measure, print, and return 1 if archives differ or the default is no gain."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iu-gates-bench-")))
        directory.chmod(0o711)
        major, tools = find_pair()
        url = make_database(stack, directory, major, mebibytes)
        compresses = [c for c in CANDIDATES if is_able(url, directory, tools, c)]
        taken: dict[str, list[Taken]] = {c: [] for c in compresses}
        for _, name in itertools.product(range(runs), compresses):
            taken[name].append(measure(url, directory, tools, name))
        default = compression.choose(tools)
    report(taken, runs, tools)
    return judge(taken, default)


def find_pair() -> tuple[int, Tools]:
    """Return the newest major whose tools know zstd, else the newest at all."""
    pairs = {m: find_tools(m, d) for m, d in find_installs().items()}
    able = [m for m, t in pairs.items() if t.is_able("zstd")]
    major = max(able or pairs)
    return major, pairs[major]


def make_database(stack: ExitStack, directory: Path, major: int, mebibytes: int) -> str:
    """Return the URL of a database at the substrate, filled with text and events."""
    server = Server(directory / "server", major=major)
    server.start()
    stack.callback(server.wipe)
    url = server.conninfo()
    settings = config.build(
        {
            "database_url": url,
            "backup_dir": str(directory / "backups"),
            "bin_dir": str(server.bin_dir),
            "site_key_file": str(directory / "site-key"),
        }
    )
    with psycopg.connect(url, autocommit=True) as conn:
        make_host(conn)
        advance.advance(settings, to="substrate")
        wanted = mebibytes * 2**20
        texts = itertools.cycle(pieces())
        with conn.transaction(), conn.cursor() as cursor:
            written = 0
            for unit in itertools.count():
                rows = [(f"unit {unit}", n + 1, next(texts)) for n in range(VERSIONS)]
                cursor.executemany(INSERT, [(u, n, Jsonb({"text": t})) for u, n, t in rows])
                written += sum(len(t.encode()) for _, _, t in rows)
                if written >= wanted:
                    break
    return url


def pieces() -> Iterator[str]:
    """Give pieces of the standard library's sources."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*/*.py")):
        text = path.read_text("utf-8", errors="replace").replace("\0", "")
        yield from (text[at : at + PIECE] for at in range(0, len(text), PIECE))


def is_able(url: str, directory: Path, tools: Tools, name: str) -> bool:
    """Tell whether the pair can write and read this; say so if not."""
    try:
        remove(take(url, directory, tools, name))
    except BackupError as error:
        print(f"{name:<8} left out: {str(error.found).splitlines()[-1]}")
        return False
    return True


def measure(url: str, directory: Path, tools: Tools, name: str) -> Taken:
    """Take a backup, and look at it."""
    made = take(url, directory, tools, name)
    manifest = made.require_manifest()
    dump = manifest.finished_at - manifest.snapshot_at
    read = manifest.verified_at - manifest.finished_at
    result = Taken(
        dump.total_seconds(), read.total_seconds(), manifest.size_bytes, hash_content(made, tools)
    )
    remove(made)
    return result


def take(url: str, directory: Path, tools: Tools, name: str) -> Backup:
    """Take a backup as `iu-gates backup create` does."""
    return backup.create(
        url, directory / "taken", facts=lambda _: SnapshotFacts(), tools=tools, compress=name
    )


def remove(made: Backup) -> None:
    """Remove an archive and its manifest."""
    for path in (Path(f"{made.path}.json"), made.path):
        path.unlink()


def hash_content(made: Backup, tools: Tools) -> str:
    """Return the hash of the archive as SQL, without the lines that are drawn by lot."""
    command = [str(tools.pg_restore), "--file=-", str(made.path)]
    digest = hashlib.sha256()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            if not line.startswith((b"\\restrict", b"\\unrestrict")):
                digest.update(line)
    return f"{process.returncode} {digest.hexdigest()}"


def medians(taken: list[Taken]) -> tuple[float, float, float]:
    """Return the medians of dump, reading back, and MiB."""
    columns = zip(*((t.dump_s, t.read_s, t.size_bytes / 2**20) for t in taken), strict=True)
    dump, read, size = (statistics.median(column) for column in columns)
    return dump, read, size


def report(taken: dict[str, list[Taken]], runs: int, tools: Tools) -> None:
    """Print one line a compression, and what it is against the usual one."""
    usual = medians(taken[USUAL])
    print(f"pg_dump {tools.version}, {os.cpu_count()} CPUs, medians of {runs}")
    print(f"{'':<8} {'dump':>8} {'read':>8} {'size':>11}   against {USUAL}: time, size")
    for name, each in taken.items():
        dump, read, size = medians(each)
        time_ratio = (dump + read) / (usual[0] + usual[1])
        print(
            f"{name:<8} {dump:6.2f} s {read:6.2f} s {size:7.1f} MiB"
            f"   {time_ratio:16.2f} {size / usual[2]:6.2f}"
        )


def judge(taken: dict[str, list[Taken]], default: str) -> int:
    """Return 1, and say why, if archives differ or the default loses to the usual compression."""
    contents = {t.content for each in taken.values() for t in each}
    if len(contents) != 1 or not next(iter(contents)).startswith("0 "):
        print("the archives do not hold the same, or pg_restore failed")
        return 1
    if default not in taken:
        print(f"the default, {default}, was not measured")
        return 1
    (dump, read, size), usual = medians(taken[default]), medians(taken[USUAL])
    gains = dump + read <= usual[0] + usual[1] and size <= usual[2] * 1.05
    verdict = "no slower and hardly larger" if gains else "NO GAIN"
    print(f"the default here is {default}: {verdict} than {USUAL}; all archives hold the same")
    return int(not gains)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
