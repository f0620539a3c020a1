"""Taking backups of real databases: what is in them, and how they lie on the disk."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from iu_gates.backup import (
    Backup,
    LedgerFacts,
    Manifest,
    SnapshotFacts,
    create,
    creation,
    find_tools,
    judge_manifest,
    list_backups,
    read_identity,
    verify,
)
from iu_gates.backup.manifest import parse_manifest
from iu_gates.backup.process import child_connection
from iu_gates.errors import BackupError, IuGatesError, UnreachableError, UsageError
from tests.support.databases import Database

Facts = Callable[[psycopg.Connection[Any]], SnapshotFacts]
PHRASE = "Geheim/ 100%'wort"


def mode(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def count_notes(conn: psycopg.Connection[Any]) -> SnapshotFacts:
    """Return facts as a caller would collect them."""
    row = conn.execute("select count(*) from note").fetchone()
    assert row is not None
    return SnapshotFacts(7, ("substrate@060",), "f00d", {"public.note": row[0]}, "a" * 64)


@pytest.fixture(autouse=True)
def note(conn: psycopg.Connection) -> None:
    """Make a table to lose."""
    conn.execute("create table note as select 'before' as said")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Name a directory that is not there yet, with what paths may have in them."""
    return tmp_path / "100% back'ups"


@pytest.fixture
def make_backup(database: Database, directory: Path) -> Callable[..., Backup]:
    """Give a maker of backups of `database`."""

    def make(**changed: Any) -> Backup:
        arguments: dict[str, Any] = {"facts": count_notes, "bin_dir": database.bin_dir}
        conninfo = changed.pop("conninfo", database.conninfo)
        return create(conninfo, directory, **arguments | changed)

    return make


def described(backup: Backup) -> Manifest:
    """Return the manifest."""
    return backup.require_manifest()


def script(backup: Backup, database: Database) -> str:
    """Return the archive as SQL."""
    command = [str(database.bin_dir / "pg_restore"), "--file=-", str(backup.path)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.every_major
def test_backup_describes_itself(
    make_backup: Callable[..., Backup], conn: psycopg.Connection, directory: Path, major: int
) -> None:
    """
    The manifest has identity, facts, sizes and versions, and is what lies beside the archive.
    """
    backup = make_backup()

    manifest = described(backup)
    assert manifest.identity == read_identity(conn)
    assert manifest.identity.server_major == major
    assert manifest.facts == SnapshotFacts(
        7, ("substrate@060",), "f00d", {"public.note": 1}, "a" * 64
    )
    assert manifest.size_bytes == backup.path.stat().st_size
    assert manifest.entries >= 1
    assert manifest.snapshot_at <= manifest.finished_at <= manifest.verified_at
    assert manifest.tools["pg_dump"].startswith(str(major))
    text = Path(f"{backup.path}.json").read_text(encoding="utf-8")
    assert parse_manifest(text) == manifest
    assert list_backups(directory) == [backup]
    assert verify(backup).path == backup.path


def test_nothing_else_is_left_and_nobody_else_can_read(
    make_backup: Callable[..., Backup], directory: Path
) -> None:
    """
    Two files of mode 0600 in a directory of mode 0700, whatever the umask.
    """
    old = os.umask(0)
    try:
        backup = make_backup()
    finally:
        os.umask(old)

    names = {path.name: mode(path) for path in directory.iterdir()}
    assert names == {backup.path.name: 0o600, f"{backup.path.name}.json": 0o600}
    assert mode(directory) == 0o700


def test_archive_can_be_restored(
    make_backup: Callable[..., Backup], database: Database, empty_database: Database
) -> None:
    """
    What was dumped comes back in another database.
    """
    backup = make_backup()

    command = [str(database.bin_dir / "pg_restore"), "--exit-on-error"]
    target = f"--dbname={empty_database.conninfo}"
    subprocess.run([*command, target, str(backup.path)], check=True)

    with psycopg.connect(empty_database.conninfo) as restored:
        assert restored.execute("select said from note").fetchall() == [("before",)]


@pytest.mark.long_on_each_major
def test_facts_and_dump_share_one_snapshot(
    make_backup: Callable[..., Backup], other_conn: psycopg.Connection, database: Database
) -> None:
    """
    T39: a row committed before `snapshot_at` is in the archive, one committed later is not.

    The later one is committed while the facts are read, and is not counted either.
    """
    before = other_conn.execute("select clock_timestamp()").fetchone()
    after = None

    def commit_and_count(conn: psycopg.Connection[Any]) -> SnapshotFacts:
        nonlocal after
        other_conn.execute("insert into note values ('after')")
        after = other_conn.execute("select clock_timestamp()").fetchone()
        return count_notes(conn)

    backup = make_backup(facts=commit_and_count)

    text = script(backup, database)
    assert "before" in text
    assert "after" not in text
    assert described(backup).facts.row_counts == {"public.note": 1}
    assert before is not None
    assert after is not None
    assert before[0] < described(backup).snapshot_at < after[0]


def test_snapshot_claims_no_more_than_it_holds(make_backup: Callable[..., Backup]) -> None:
    """
    T39: `snapshot_at` is the time of BEGIN, which no slowness can move behind the snapshot.
    """
    began: list[Any] = []

    def clock(conn: psycopg.Connection[Any]) -> SnapshotFacts:
        began.extend(conn.execute("select transaction_timestamp()").fetchall())
        return SnapshotFacts()

    assert [(described(make_backup(facts=clock)).snapshot_at,)] == began


def test_manifest_stands_before_the_judge(
    make_backup: Callable[..., Backup], conn: psycopg.Connection
) -> None:
    """
    A backup just taken of this database passes all ten findings.
    """
    backup = make_backup()

    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    findings = judge_manifest(
        described(backup),
        identity=read_identity(conn),
        ledger=LedgerFacts(min_seq=7, hash_at_head="a" * 64),
        now=row[0],
        max_age=timedelta(minutes=60),
    )
    assert [finding.passed for finding in findings] == [True] * 10


@pytest.fixture
def weird(database: Database) -> Iterator[str]:
    """Give the name of a database that breaks careless quoting."""
    name = "we\"ird 100% 'x' \\ =é"
    identifier = sql.Identifier(name)
    with psycopg.connect(database.server.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(identifier))
        yield name
        admin.execute(sql.SQL("drop database {} with (force)").format(identifier))


def test_any_database_name_works(
    make_backup: Callable[..., Backup], weird: str, database: Database
) -> None:
    """
    Quotes, spaces, per cent and equals signs: the manifest has the name, the file a safe one.
    """
    conninfo = database.server.conninfo(weird)
    with psycopg.connect(conninfo) as conn:
        conn.execute("create table note as select 'weird' as said")

    backup = make_backup(conninfo=conninfo)

    manifest = described(backup)
    assert manifest.identity.database_name == weird
    assert manifest.archive.startswith(f"we_ird_100_x-{manifest.snapshot_at:%Y%m%dT%H%M%SZ}-")
    assert "weird" in script(backup, database)


def test_environment_and_service_do_not_lead_astray(
    make_backup: Callable[..., Backup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    pg_dump reaches the database of the connection, whatever PG* variables and services say.
    """
    service = tmp_path / "service.conf"
    service.write_text("[other]\ndbname=template1\nhost=/nowhere\nport=1\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    monkeypatch.setenv("PGSERVICE", "other")
    monkeypatch.setenv("PGDATABASE", "template1")
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")

    assert described(make_backup()).facts.row_counts == {"public.note": 1}


def test_pg_dump_goes_to_the_host_that_answered(
    make_backup: Callable[..., Backup], database: Database
) -> None:
    """
    Of several hosts the one that exported the snapshot is dumped; keepalives are kept.
    """
    host = database.server.socket_dir
    with psycopg.connect(database.conninfo) as conn:
        port = conn.info.port
    conninfo = make_conninfo(
        dbname=database.name,
        user="postgres",
        host=f"/nowhere,{host}",
        port=f"{port},{port}",
        keepalives_idle=30,
    )

    with psycopg.connect(conninfo) as conn:
        child = child_connection(conn)

    assert child.environment[b"PGHOST"] == str(host).encode()
    assert child.environment[b"PGPORT"] == str(port).encode()
    assert child.arguments == ("--dbname=keepalives_idle=30",)
    assert described(make_backup(conninfo=conninfo)).entries >= 1


def test_progress_shows_bytes_and_estimate(make_backup: Callable[..., Backup]) -> None:
    """
    The last call has the archive's size; the estimate is the database's, so above it.
    """
    seen: list[tuple[int, int | None]] = []

    backup = make_backup(progress=lambda size, estimate: seen.append((size, estimate)))

    size, estimate = seen[-1]
    assert size == described(backup).size_bytes
    assert estimate is not None
    assert estimate > size


def test_compression_is_handed_to_pg_dump(
    make_backup: Callable[..., Backup], conn: psycopg.Connection
) -> None:
    """
    None at all makes a larger archive than the default.
    """
    conn.execute("insert into note select repeat('x', 1000) from generate_series(1, 1000)")

    plain, default = make_backup(compress="0"), make_backup()

    assert described(plain).size_bytes > 10 * described(default).size_bytes


def test_newest_snapshot_comes_first(make_backup: Callable[..., Backup], directory: Path) -> None:
    """
    The list is ordered by snapshot, not by name or by time of the file.
    """
    older, newer = make_backup(), make_backup()
    os.utime(newer.path, (0, 0))

    assert list_backups(directory) == [newer, older]


# ------------------------------------------------------------------ refusals before a dump


def refused(make_backup: Callable[..., Backup], directory: Path, **changed: Any) -> IuGatesError:
    """Return the error with which no backup was made; assert that nothing is left."""
    with pytest.raises(IuGatesError) as caught:
        make_backup(**changed)

    assert not directory.exists() or list(directory.iterdir()) == []
    assert list_backups(directory) == []
    return caught.value


def test_older_pg_dump_is_refused(
    make_backup: Callable[..., Backup], directory: Path, major: int
) -> None:
    """
    With the tools of 16 alone a server of 18 is not dumped: IUG-023 names both.
    """
    bin_dir = find_tools(16).pg_dump.parent
    assert find_tools(16).major < major, "this test needs older tools than the newest server"

    error = refused(make_backup, directory, bin_dir=bin_dir)

    assert (error.ident, error.exit_code) == ("IUG-023", 3)
    assert error.facts["server_major"] == major
    given = refused(make_backup, directory, bin_dir=None, tools=find_tools(16))
    assert given.ident == "IUG-023"


def test_no_pg_dump_is_refused(
    make_backup: Callable[..., Backup], directory: Path, tmp_path: Path, major: int
) -> None:
    """
    Without pg_dump: IUG-022, exit code 3, and the command that installs it.
    """
    error = refused(make_backup, directory, bin_dir=tmp_path)

    assert (error.ident, error.exit_code) == ("IUG-022", 3)
    assert error.next_command == f"apt-get install postgresql-client-{major}"


def test_empty_database_is_no_backup(
    make_backup: Callable[..., Backup], directory: Path, empty_database: Database
) -> None:
    """
    An archive that holds nothing protects nothing, so it is refused as it is made.
    """
    error = refused(
        make_backup,
        directory,
        conninfo=empty_database.conninfo,
        facts=lambda _: SnapshotFacts(),
    )

    assert error.ident == "IUG-029"


def test_unreachable_database_says_so(
    make_backup: Callable[..., Backup], directory: Path, database: Database
) -> None:
    """
    A wrong name exits 5, and the password is not in the error.
    """
    conninfo = make_conninfo(database.conninfo, dbname="nowhere", password=PHRASE)

    error = refused(make_backup, directory, conninfo=conninfo)

    assert isinstance(error, UnreachableError)
    assert PHRASE not in str(error.as_dict())


def test_connection_string_that_libpq_cannot_read_is_not_shown(
    make_backup: Callable[..., Backup], directory: Path
) -> None:
    """
    The error of libpq would quote the part it stumbles over, which may be the password.
    """
    error = refused(make_backup, directory, conninfo=f"host=db {PHRASE}")

    assert isinstance(error, UsageError)
    assert error.__cause__ is None
    assert "Geheim" not in str(error.as_dict())


def test_shared_directory_is_refused(make_backup: Callable[..., Backup], directory: Path) -> None:
    """
    Where others may write no archive is put.
    """
    directory.mkdir()
    directory.chmod(0o777)

    assert refused(make_backup, directory).ident == "IUG-031"


def test_directory_that_is_none_is_refused(
    make_backup: Callable[..., Backup], tmp_path: Path, database: Database
) -> None:
    """
    A file in the directory's place: IUG-031, for taking and for listing.
    """
    place = tmp_path / "file"
    place.touch()

    with pytest.raises(BackupError) as taking:
        create(database.conninfo, place, facts=count_notes, bin_dir=database.bin_dir)
    with pytest.raises(BackupError) as listing:
        list_backups(place)

    assert (taking.value.ident, listing.value.ident) == ("IUG-031", "IUG-031")


def test_error_of_the_facts_is_the_callers_own(
    make_backup: Callable[..., Backup], directory: Path
) -> None:
    """
    What the callback raises comes out as it is, and nothing is left.
    """

    def wrong(conn: psycopg.Connection[Any]) -> SnapshotFacts:
        conn.execute("select * from no_such_table")
        return SnapshotFacts()

    with pytest.raises(psycopg.errors.UndefinedTable):
        make_backup(facts=wrong)

    assert list(directory.iterdir()) == []


def test_cancelled_facts_do_not_pass_for_a_lost_connection(
    make_backup: Callable[..., Backup], directory: Path
) -> None:
    """
    A timeout is among psycopg's operational errors; the database is there all the same.
    """

    def slow(conn: psycopg.Connection[Any]) -> SnapshotFacts:
        conn.execute("set local statement_timeout = '10ms'")
        conn.execute("select pg_sleep(60)")
        return SnapshotFacts()

    with pytest.raises(psycopg.errors.QueryCanceled):
        make_backup(facts=slow)

    assert list(directory.iterdir()) == []


def test_archive_whose_manifest_cannot_get_its_name_is_taken_away(tmp_path: Path) -> None:
    """
    The manifest's name is the commit; if it fails, no archive stays.
    """
    place, partial, description = (tmp_path / name for name in ("a.dump", "b", "c"))
    partial.touch()
    description.touch()
    (tmp_path / "a.dump.json").mkdir()

    with pytest.raises(IsADirectoryError):
        creation._publish(partial, description, place)

    assert not place.exists()


def test_facts_that_end_the_transaction_are_a_bug(
    make_backup: Callable[..., Backup], directory: Path
) -> None:
    """
    After a commit in the callback there is no snapshot any more; that is no backup either.
    """

    def commits(conn: psycopg.Connection[Any]) -> SnapshotFacts:
        conn.commit()
        return SnapshotFacts()

    with pytest.raises(RuntimeError, match="inside the transaction"):
        make_backup(facts=commits)

    assert list(directory.iterdir()) == []
