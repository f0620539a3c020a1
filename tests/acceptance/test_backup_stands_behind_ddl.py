"""No step of DDL without a backup: no pg_dump, an old one, an archive that is gone or altered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iu_gates.embedded import find_installs
from tests.acceptance.newcomer import Newcomer
from tests.acceptance.site import Site
from tests.support.cli import Answer
from tests.support.command import take_catalog

MEND = "iu-gates backup create && iu-gates advance"


@contextmanager
def no_pg_dump(site: Site) -> Iterator[None]:
    """Look for pg_dump in a directory without one, and nowhere else."""
    (site.folder / "no tools here").mkdir(exist_ok=True)
    site.configure(limits='bin_dir = "no tools here"')
    try:
        yield
    finally:
        site.configure()


@contextmanager
def old_pg_dump(site: Site) -> Iterator[None]:
    """Use a pg_dump that is older than the server."""
    oldest, bin_dir = list(find_installs().items())[-1]
    assert oldest < site.database.major, "one PostgreSQL alone cannot show this"
    site.configure(limits=f'bin_dir = "{bin_dir}"')
    try:
        yield
    finally:
        site.configure()


@contextmanager
def removed(site: Site) -> Iterator[None]:
    """Remove the archive that the ledger names."""
    archive = newest_archive(site)
    aside = archive.with_suffix(".aside")
    archive.rename(aside)
    yield
    aside.rename(archive)


@contextmanager
def flipped(site: Site) -> Iterator[None]:
    """Flip one byte in the middle of the archive."""
    archive = newest_archive(site)
    whole = archive.read_bytes()
    middle = len(whole) // 2
    archive.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :])
    yield
    archive.write_bytes(whole)


def newest_archive(site: Site) -> Path:
    """Return the archive that was taken last."""
    return max((site.folder / "backups").glob("*.dump"), key=lambda p: p.stat().st_mtime_ns)


def assert_no_step(site: Site, gate: str) -> Answer:
    """Call `advance`: exit code 3, a next command, and neither catalog nor revision moved."""
    before, heads = take_catalog(site.database.conninfo), site.list_heads()
    refused = site.run("advance").expect(3)
    assert f'gate "{gate}"' in refused.err or "pg_dump" in refused.err
    assert refused.next_command, refused
    assert before.diff(take_catalog(site.database.conninfo)) == []
    assert site.list_heads() == heads
    return refused


def test_no_first_step_without_pg_dump(site: Site) -> None:
    """
    Without `pg_dump`, or with an older one, the gate "backup" is not passed; each says its own.
    """
    site.configure()
    site.run("advance").expect(0)
    with no_pg_dump(site):
        missing = assert_no_step(site, "backup")
    with old_pg_dump(site):
        old = assert_no_step(site, "backup")
    assert "IUG-022" in missing.err
    assert "IUG-023" in old.err
    for answer in (missing, old):
        assert "apt-get install postgresql-client-" in answer.next_command
    assert not list((site.folder / "backups").glob("*.dump"))


@pytest.mark.long
def test_no_first_step_behind_a_spoilt_archive(site: Site) -> None:
    """
    An archive that is gone or altered stops the first step; what the error names gets on.
    """
    site.configure()
    site.run("advance").expect(0)
    site.run("advance").expect(0)
    with removed(site):
        assert assert_no_step(site, "backup").next_command == MEND
    with flipped(site):
        assert assert_no_step(site, "backup").next_command == MEND
        site.run("backup", "verify").expect(3)
        site.run("backup", "create").expect(0)
    site.run("advance").expect(0)
    assert site.list_heads() == ["060"]


@pytest.mark.long
@pytest.mark.slow
def test_no_later_step_without_its_own_backup(site: Site) -> None:
    """
    Before 090 the same four hold: each stops it, and with all mended it goes through.
    """
    Newcomer(site, settled=True).advance("--to", "dry_run")
    for spoil in (no_pg_dump, old_pg_dump, removed, flipped):
        with spoil(site):
            refused = assert_no_step(site, "backup")
        assert "backup" in refused.next_command or "apt-get" in refused.next_command
    site.run("advance").expect(0)
    assert site.list_heads() == ["080", "090"]
