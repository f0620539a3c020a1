"""Archives of our objects alone: beside what they count, what they hold, that they come back."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates import backups, gates, ledger
from iu_gates.backup import REGISTER, Backup
from iu_gates.errors import GateError, RefusedError, UsageError
from iu_gates.model import Verdict
from iu_gates.rollback import rollback
from tests.docs.pages import marked_block, read
from tests.support.databases import Database
from tests.support.play import MakeStage, Stage
from tests.support.walk import HOST, State

DAY = timedelta(days=1)


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """Give a database at 080 whose settings ask for archives of our objects."""
    return make_stage(State.DRY, backup_kind="own-objects")


def now() -> datetime:
    """Return the time of this machine, which is the server's too."""
    return datetime.now(UTC)


def register(stage: Stage, **changed: Any) -> None:
    """Register a backup of the site's own that will do, but for what is changed."""
    told: dict[str, Any] = {
        "ident": "20261123-020000F",
        "tool": "pgbackrest",
        "taken_at": now() - timedelta(hours=1),
        "restore_tested_at": now() - 3 * DAY,
    }
    backups.register(stage.settings, **told | changed)


def judge(stage: Stage) -> Verdict:
    """Return the gate's verdict on the newest archive."""
    facts = gates.backup.collect(stage.conn, stage.settings)
    return gates.backup.judge(facts, stage.settings)


def list_archives(stage: Stage) -> list[Backup]:
    """Return what lies in the backup directory."""
    return backups.list_backups(stage.settings)


# ------------------------------------------------------------------ beside what it counts


REFUSED: list[tuple[str, dict[str, Any] | None, str]] = [
    ("unregistered", None, "site backup"),
    ("too old", {"taken_at": now() - 2 * DAY}, "age of the site backup"),
    ("never restored", {"restore_tested_at": None}, "restore test of the site"),
    ("restored long ago", {"restore_tested_at": now() - 31 * DAY}, "restore test of the site"),
]


@pytest.mark.parametrize(("_", "told", "name"), REFUSED, ids=[r[0] for r in REFUSED])
def test_advance_takes_no_step_without_the_sites_backup(
    stage: Stage, _: str, told: dict[str, Any] | None, name: str
) -> None:
    """
    Exit code 3, the finding's name, the command that registers one; nothing was applied.

    Tried again it takes no further archive, because that would mend nothing.
    """
    if told is not None:
        register(stage, **told)
    before = stage.list_steps()

    for _again in range(2):
        with pytest.raises(GateError) as raised:
            stage.advance()
        assert raised.value.exit_code == 3
        assert f"{name}:" in raised.value.summary
        assert raised.value.next_command == REGISTER

    assert stage.list_steps() == before
    assert len(list_archives(stage)) == 1
    assert [f.name for f in judge(stage).failures] == [name]


def test_advance_goes_on_beside_a_registered_backup(stage: Stage) -> None:
    """
    Once it is registered the same command goes on, with the archive that is there.

    The verdict runs out with the first of what it stands on.
    """
    with pytest.raises(GateError):
        stage.advance()
    register(stage, taken_at=now() - DAY + timedelta(minutes=5))

    stage.walk("seam")

    assert "090" in stage.list_revisions()
    assert len(list_archives(stage)) == 1
    facts = ledger.fetch_newest(stage.conn, "verdict", "backup")["facts"]
    assert facts["facts"]["kind"] == "own-objects"
    left = datetime.fromisoformat(facts["expires_at"]) - now()
    assert timedelta(0) < left <= timedelta(minutes=5)


def test_substrate_is_not_begun_without_the_sites_backup(make_stage: MakeStage) -> None:
    """
    Nor is the first step of all, which the guard in the database does not look at.
    """
    stage = make_stage(backup_kind="own-objects")

    with pytest.raises(GateError) as raised:
        stage.walk("substrate")

    assert raised.value.next_command == REGISTER
    assert stage.list_steps() == []
    register(stage)
    assert stage.walk("substrate")[-1] == "substrate"


def test_rollback_undoes_nothing_without_the_sites_backup(make_stage: MakeStage) -> None:
    """
    It is refused before its first step, and what was on is on again.
    """
    stage = make_stage(State.LIVE, backup_kind="own-objects")
    before = stage.list_revisions()

    with pytest.raises(GateError) as raised:
        rollback(stage.settings, "090")

    assert raised.value.next_command == REGISTER
    assert stage.list_revisions() == before
    assert stage.status().stops == ()
    register(stage)
    assert rollback(stage.settings, "090").undone


def test_registration_is_the_word_of_a_login(stage: Stage) -> None:
    """
    The ledger has who said it (session_user), of which database, and what.
    """
    register(stage, note="nightly")

    entry = ledger.fetch_newest(stage.conn, "backup", "site")

    assert entry["actor"] == "postgres"
    assert (entry["facts"]["id"], entry["facts"]["note"]) == ("20261123-020000F", "nightly")
    assert entry["facts"]["database"]["database_name"] == stage.database.name


def test_login_without_a_role_registers_nothing(stage: Stage) -> None:
    """
    An auditor may read; what counts for a gate is said by who may walk.
    """
    auditor = stage.make_settings_of("iu_gates_auditor")

    with pytest.raises(RefusedError):
        backups.register(
            auditor, ident="x", tool="other", taken_at=now() - DAY, restore_tested_at=None
        )

    assert ledger.fetch_newest(stage.conn, "backup", "site") == {}


@pytest.mark.parametrize("option", ["taken_at", "restore_tested_at"])
def test_future_is_not_registered(stage: Stage, option: str) -> None:
    """
    IUG-091, usage; and an entry that says so all the same does not pass the gate.
    """
    with pytest.raises(UsageError) as raised:
        register(stage, **{option: now() + DAY})
    assert raised.value.ident == "IUG-091"

    register(stage)
    entry = ledger.fetch_newest(stage.conn, "backup", "site")["facts"]
    ledger.append(stage.conn, "backup", "site", entry | {option: (now() + DAY).isoformat()})
    backups.create_backup(stage.settings)
    (finding,) = judge(stage).failures
    assert "ahead of the server's clock" in finding.found


def test_registration_does_not_count_in_a_copy(stage: Stage) -> None:
    """
    The ledger of a clone brings the entry along; the backup it speaks of is not the clone's.
    """
    register(stage)
    entry = ledger.fetch_newest(stage.conn, "backup", "site")["facts"]
    entry["database"]["database_oid"] += 1
    ledger.append(stage.conn, "backup", "site", entry)
    backups.create_backup(stage.settings)

    assert [f.name for f in judge(stage).failures] == ["site backup"]


def test_settings_that_ask_for_full_do_not_take_less(stage: Stage) -> None:
    """
    An archive of our objects is not passed off as a full one, registered backup or not.
    """
    register(stage)
    backups.create_backup(stage.settings)
    settings = stage.with_settings(backup_kind="full")

    verdict = gates.backup.judge(gates.backup.collect(stage.conn, settings), settings)

    assert [f.name for f in verdict.failures] == ["kind"]


# ------------------------------------------------------------------ what it holds


@pytest.fixture
def make_archive(stage: Stage) -> Callable[[], Backup]:
    """Give a maker of archives of a database with rows of ours, of the host and of others."""

    def make() -> Backup:
        stage.write("unit a", 1, 2, 3)
        stage.conn.execute('create schema "an other\'s ""schema"""')
        stage.conn.execute(
            'create table "an other\'s ""schema""".secret as select \'dear\' as word'
        )
        stage.conn.execute("create materialized view public.seen as select 'dear' as word")
        stage.conn.execute("select lo_from_bytea(0, 'dear')")
        return backups.create_backup(stage.settings)

    return make


def restore(backup: Backup, database: Database, *arguments: str) -> str:
    """Run pg_restore and return what it said on stdout."""
    command = [str(database.bin_dir / "pg_restore"), *arguments, str(backup.path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.long_on_each_major
def test_archive_holds_every_definition_and_our_rows_alone(
    make_archive: Callable[[], Backup], stage: Stage
) -> None:
    """
    No row, no value of a sequence, no large object of anybody else is in it.
    """
    backup = make_archive()

    text = restore(backup, stage.database, "--file=-")

    assert backup.require_manifest().kind == "own-objects"
    assert "CREATE TABLE public.unit_version" in text
    assert 'CREATE TABLE "an other\'s ""schema""".secret' in text
    assert "iu_unit_version_capture" in text
    copied = set(re.findall(r"^COPY (\S+) ", text, re.MULTILINE))
    assert {name.partition(".")[0] for name in copied} == {"iu_core", "iu_gates"}
    assert "iu_core.iu_event" in copied
    assert "dear" not in text.replace("'dear'::text AS word", "")
    assert "unit_version_id_seq', " not in text


@pytest.mark.long_on_each_major
def test_our_objects_come_back_beside_the_hosts(
    make_archive: Callable[[], Backup], stage: Stage, empty_database: Database, tmp_path: Path
) -> None:
    """
    With the commands of docs/runbooks/restore.md, in a database with the host's tables and rows.

    The host's rows are left alone; ours are back, and what is written then is captured.
    """
    backup = make_archive()
    events = stage.fetch("select * from iu_core.iu_event order by event_id")
    chain = stage.fetch_value("select hash from iu_gates.ledger where seq = %s", _seq(backup))
    with psycopg.connect(empty_database.conninfo) as host:
        host.execute(HOST)
        host.execute("insert into public.unit_version (unit, version_seq) values ('b', 1)")

    script = marked_block(read("docs/runbooks/restore.md"), "own-objects")
    told = {
        "ARCHIVE": str(backup.path),
        "TARGET": empty_database.conninfo,
        "PATH": f"{empty_database.bin_dir}:/usr/bin:/bin",
    }
    done = subprocess.run(
        ["/bin/sh", "-euc", script],
        env=told,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        back = conn.execute("select * from iu_core.iu_event order by event_id").fetchall()
        assert back == events
        assert len(back) == 2
        head = conn.execute("select hash from iu_gates.ledger order by seq desc limit 1").fetchone()
        assert head == (chain,)
        assert conn.execute("select * from iu_gates.fn_ledger_verify()").fetchall() == []
        assert conn.execute("select unit from public.unit_version").fetchall() == [("b",)]
        conn.execute("insert into public.unit_version (unit, version_seq) values ('b', 2)")
        assert conn.execute("select count(*) from iu_core.iu_event").fetchone() == (3,)


def _seq(backup: Backup) -> int | None:
    return backup.require_manifest().facts.ledger_seq


def test_estimate_is_of_what_is_dumped(stage: Stage) -> None:
    """
    A large table of the host counts neither for the bar nor for the room on the disk.
    """
    stage.conn.execute(
        "create table public.large as"
        " select repeat(n::text, 99) as word from generate_series(1, 99999) as n"
    )
    seen: list[int | None] = []

    @contextmanager
    def bar() -> Iterator[backups.Progress]:
        yield lambda _done, total: seen.append(total)

    backups.create_backup(stage.settings, bar)
    backups.create_backup(stage.with_settings(backup_kind="full"), bar)

    assert seen[0] is not None
    assert seen[-1] is not None
    assert seen[0] * 5 < seen[-1]
