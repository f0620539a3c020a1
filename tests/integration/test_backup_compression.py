"""Which compression is taken: asked of the real programs, with pairs that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates import config
from iu_gates.backup import Backup, SnapshotFacts, Tools, compression, create, find_tools, verify
from iu_gates.embedded import find_installs
from iu_gates.errors import BackupError
from iu_gates.rehearsal.place import Place
from iu_gates.rehearsal.restore import restore
from tests.support.databases import Database, Servers, cloned_database


@pytest.fixture
def able() -> Tools:
    """Give a pair that knows zstd; the packages of 17 bring one."""
    pairs = (find_tools(major, directory) for major, directory in find_installs().items())
    return next(pair for pair in pairs if pair.is_able("zstd"))


@pytest.fixture
def unable() -> Tools:
    """Give a pair of a later major that does not know zstd; the packages of 18 bring one."""
    pairs = (find_tools(major, directory) for major, directory in find_installs().items())
    return next(pair for pair in pairs if pair.major > 17 and not pair.is_able("zstd"))


@pytest.fixture
def make_pair(tmp_path: Path) -> Callable[..., Path]:
    """Give a maker of directories with a pg_dump of one pair and a pg_restore of another."""

    def make(pg_dump: Tools, pg_restore: Tools) -> Path:
        directory = tmp_path / "mixed"
        directory.mkdir()
        (directory / "pg_dump").symlink_to(pg_dump.pg_dump)
        (directory / "pg_restore").symlink_to(pg_restore.pg_restore)
        return directory

    return make


@pytest.fixture
def take(tmp_path: Path, conn: psycopg.Connection, database: Database) -> Callable[..., Backup]:
    """Give a maker of backups of a table that compresses well."""
    conn.execute("create table note as select repeat('x', 1000) from generate_series(1, 1000)")

    def make(**changed: Any) -> Backup:
        return create(database.conninfo, tmp_path / "b", facts=lambda _: SnapshotFacts(), **changed)

    return make


def test_each_pair_is_asked() -> None:
    """
    Of the pairs at hand some know zstd and some do not; all know gzip and nothing at all.
    """
    pairs = [find_tools(major, directory) for major, directory in find_installs().items()]

    assert {pair.is_able("zstd") for pair in pairs} == {True, False}
    assert all(pair.can_read("gzip") and pair.can_read("none") for pair in pairs)


def test_best_is_taken_where_both_ends_have_it(able: Tools, unable: Tools) -> None:
    """
    It is zstd where pg_dump writes and pg_restore reads it, else gzip.
    """
    assert compression.choose(able) == "zstd:3"
    assert compression.choose(unable) == "gzip:6"


@pytest.mark.parametrize("swapped", [False, True])
def test_pair_of_which_one_half_knows_it_takes_gzip(
    able: Tools, unable: Tools, make_pair: Callable[..., Path], *, swapped: bool
) -> None:
    """
    An archive that could not be read back is not written in the first place.
    """
    pair = (unable, able) if swapped else (able, unable)

    assert compression.choose(find_tools(17, make_pair(*pair))) == "gzip:6"


def test_rehearsal_takes_tools_that_read_the_archive(
    take: Callable[..., Backup], unable: Tools, database: Database
) -> None:
    """
    A pg_restore that does not know the compression is not tried: the error says what to set.
    """
    made = take(bin_dir=database.bin_dir)
    other = replace(made, manifest=replace(made.require_manifest(), compression="zstd:3"))
    settings = config.build({"bin_dir": str(unable.pg_dump.parent)})
    place = Place(
        "", "", is_same_server=True, is_superuser=True, major=0, login="", data_directory=None
    )
    with psycopg.connect(database.conninfo) as scratch, pytest.raises(BackupError) as raised:
        restore(scratch, place, other, settings)

    assert raised.value.ident == "IUG-032"


@pytest.mark.every_major
def test_every_server_gets_a_backup_that_reads_back(
    take: Callable[..., Backup], database: Database
) -> None:
    """
    With its own tools, on each major; the manifest says what was taken.
    """
    made = take(bin_dir=database.bin_dir)

    said = made.require_manifest().compression
    assert said == compression.choose(find_tools(database.major, database.bin_dir))
    assert verify(made).require_manifest().entries >= 1
    assert made.path.stat().st_size < 100_000


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("compress", ["none", "gzip:1", "gzip", "9", "0"])
def test_settings_win(take: Callable[..., Backup], database: Database, compress: str) -> None:
    """
    What the settings say is handed to pg_dump, in the words that its version knows.
    """
    made = take(bin_dir=database.bin_dir, compress=compress)

    is_plain = compress in ("none", "0")
    assert (made.path.stat().st_size > 900_000) == is_plain
    assert made.require_manifest().compression == compress


def test_compression_that_pg_dump_lacks_is_refused_in_its_words(
    take: Callable[..., Backup], unable: Tools
) -> None:
    """
    IUG-021, with what pg_dump said; nothing is put in its place.
    """
    with pytest.raises(BackupError) as caught:
        take(tools=unable, compress="zstd:3")

    assert caught.value.ident == "IUG-021"
    assert "zstd" in str(caught.value.found).lower()


def test_archive_is_read_by_a_pg_restore_that_can(
    able: Tools, unable: Tools, servers: Servers, tmp_path: Path
) -> None:
    """
    IUG-032 with tools that cannot; left to itself, verify finds the ones that can.
    """
    with cloned_database(servers.get(able.major)) as database:
        with psycopg.connect(database.conninfo) as conn:
            conn.execute("create table note as select 1 as n")
        made = create(database.conninfo, tmp_path, facts=lambda _: SnapshotFacts(), tools=able)

    assert verify(made).require_manifest().compression == "zstd:3"
    with pytest.raises(BackupError) as caught:
        verify(made, bin_dir=unable.pg_dump.parent)
    assert caught.value.ident == "IUG-032"
    assert "zstd" in caught.value.summary
