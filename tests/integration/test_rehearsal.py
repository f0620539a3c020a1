"""The rehearsal on real servers: restored, walked, compared, dropped; and what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from iu_gates import backups, config, gates, ledger, rehearsal, site
from iu_gates.backup.archive import manifest_path
from iu_gates.embedded import Server
from iu_gates.errors import BackupError, GateError
from iu_gates.model import Finding, RehearsalReport
from tests.support.databases import Servers
from tests.support.engine import wait_until
from tests.support.majors import newest_major
from tests.support.play import PROCESSES, MakeStage, Stage
from tests.support.walk import ROUTE, State, walk_down, walk_to

LEFTOVERS = "select datname from pg_database where datname like 'iu\\_gates\\_rehearsal\\_%'"
CAPTURED = "select count(*) from iu_core.iu_event"
TO_009 = ("009", "down")
FORBID = "alter table public.event_outbox add constraint forbidden check (false) not valid"


@pytest.fixture
def make_stage(make_stage: MakeStage) -> MakeStage:
    """Give a maker of stages, without a waiver."""
    return lambda *given, **values: make_stage(*given, **{"waivers": [], **values})


def rehearse(stage: Stage, **values: Any) -> RehearsalReport:
    """Take a backup and rehearse with it."""
    settings = stage.with_settings(**values)
    backups.create_backup(settings)
    return rehearsal.rehearse(settings)


def list_failed(report: RehearsalReport) -> dict[str, str]:
    """Return what failed, by name."""
    return {check.name: check.found for check in report.checks if not check.passed}


def find(report: RehearsalReport, name: str) -> Finding:
    """Return the check of this name."""
    return next(check for check in report.checks if check.name == name)


def list_scratch(stage: Stage) -> list[str]:
    """Return the scratch databases on the stage's server."""
    return [name for (name,) in stage.fetch(LEFTOVERS)]


def fill(stage: Stage) -> None:
    """Let the host write a few units."""
    for number in range(5):
        stage.write(f"unit {number}", 1, 2, 3)


@pytest.mark.long_on_each_major
def test_rest_of_the_way_is_walked_there_and_back(make_stage: MakeStage) -> None:
    """
    P11, T34, T43: with the real rows in place, each step up is undone, and production is read.
    """
    stage = make_stage(State.RELAXED)
    fill(stage)
    before = (stage.list_steps(), stage.count(), stage.fetch_value(CAPTURED))

    report = rehearse(stage)

    assert list_failed(report) == {}
    walked = [(s.revision, s.direction) for s in report.steps]
    assert walked == [("081", "up"), ("082", "up"), ("082", "down"), ("081", "down"), TO_009]
    assert all(s.held_ms is not None and s.held_ms < s.milliseconds for s in report.steps)
    assert find(report, "catalog after each step down").found == "as before, 2 times"
    assert "iu_core.iu_event 20" in find(report, "history kept at 009").found
    assert (stage.list_steps(), stage.count(), stage.fetch_value(CAPTURED)) == before
    assert stage.fetch_value("select count(*) from public.event_outbox") == 0
    assert list_scratch(stage) == []


def test_rehearsal_is_written_down(make_stage: MakeStage) -> None:
    """
    The entry names the archive as restored, its hash, each step's times and what it is about.
    """
    stage = make_stage(State.RELAXED)
    report = rehearse(stage)

    (entry,) = ledger.list_entries(stage.settings, kind="rehearsal")

    assert entry.subject == ROUTE
    assert entry.facts["passed"] is entry.facts["restored"] is True
    assert entry.facts["archive"] == Path(report.archive).name
    assert entry.facts["sha256"] == report.sha256
    assert entry.facts["longest_held_ms"] == max(s.held_ms or 0 for s in report.steps)
    assert len(entry.facts["states"]) == 3
    facts = gates.rehearsal.collect(stage.conn, stage.settings)
    assert gates.rehearsal.judge(facts, stage.settings).outcome == "pass"


def test_advance_rehearses_once(make_stage: MakeStage) -> None:
    """
    T43: the gate takes a backup where there is none, rehearses, and stands on that entry.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute("select iu_gates.fn_void(array['rehearsal'], 'a test')")

    report = stage.advance().reports[0]

    assert (report.verdict.gate, report.verdict.outcome) == ("rehearsal", "pass")
    (entry,) = ledger.list_entries(stage.settings, kind="rehearsal")
    assert report.verdict.facts["restored"] == entry.facts["archive"]
    stage.conn.execute("select iu_gates.fn_void(array['rehearsal'], 'a test')")
    assert stage.advance().reports[0].verdict.facts["rehearsal_seq"] == entry.seq


@pytest.mark.long
def test_backup_from_before_the_last_steps_will_do(make_stage: MakeStage) -> None:
    """
    They are walked again, and our objects must come out as they stand in production.
    """
    stage = make_stage(State.DRY)
    backups.create_backup(stage.settings)
    walk_to(stage.database.conninfo, "substrate@090", "substrate@100")

    report = rehearsal.rehearse(stage.settings)

    assert list_failed(report) == {}
    ups = [s.revision for s in report.steps if s.direction == "up"]
    assert ups == ["090", "100", "081", "082"]


@pytest.mark.long
def test_early_rehearsal_counts_later(make_stage: MakeStage) -> None:
    """
    One from before 090 and 100 has walked them: it stands as long as they come out the same.
    """
    stage = make_stage(State.DRY)
    rehearse(stage)
    walk_to(stage.database.conninfo, "substrate@090", "substrate@100")

    facts = gates.rehearsal.collect(stage.conn, stage.settings)
    assert gates.rehearsal.judge(facts, stage.settings).outcome == "pass"

    stage.conn.execute("create index by_hand on iu_core.iu_event (payload)")
    facts = gates.rehearsal.collect(stage.conn, stage.settings)
    failures = gates.rehearsal.judge(facts, stage.settings).failures
    assert [f.name for f in failures] == ["catalog"]


def test_backup_from_further_on_is_not_taken(make_stage: MakeStage) -> None:
    """
    What was rolled back since is no rest of the way: there is no backup then, and it is said.
    """
    stage = make_stage(State.RELAXED)
    backups.create_backup(stage.settings)
    walk_down(stage.database.conninfo, "090")

    with pytest.raises(BackupError, match="no backup to rehearse with") as raised:
        rehearsal.rehearse(stage.settings)

    assert raised.value.ident == "IUG-024"
    assert "iu-gates backup create" in (raised.value.next_command or "")


def test_backup_older_than_a_rehearsal_may_be_is_not_taken(make_stage: MakeStage) -> None:
    """
    The data that it holds are not those that the steps will meet.
    """
    with pytest.raises(BackupError, match="no backup to rehearse with"):
        rehearse(make_stage(State.RELAXED), rehearsal_max_age="0 s")


def test_altered_archive_is_never_restored(make_stage: MakeStage) -> None:
    """
    The bytes are looked at before anything is made.
    """
    stage = make_stage(State.RELAXED)
    path = backups.create_backup(stage.settings).path
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")

    with pytest.raises(BackupError) as raised:
        rehearsal.rehearse(stage.settings)

    assert raised.value.ident == "IUG-027"


def test_lost_row_is_found(make_stage: MakeStage) -> None:
    """
    A count that is not the manifest's fails, is named, and the gate does not stand on it.
    """
    stage = make_stage(State.RELAXED)
    fill(stage)
    path = manifest_path(backups.create_backup(stage.settings).path)
    manifest = json.loads(path.read_text())
    manifest["row_counts"]["iu_core.iu_event"] += 1
    path.write_text(json.dumps(manifest))

    report = rehearsal.rehearse(stage.settings)

    assert list_failed(report) == {"rows restored": "iu_core.iu_event: 10, wanted 11"}
    facts = gates.rehearsal.collect(stage.conn, stage.settings)
    assert gates.rehearsal.judge(facts, stage.settings).outcome == "fail"


def test_object_changed_by_hand_is_found(make_stage: MakeStage) -> None:
    """
    What stands in production must be what the steps make; what is another is named.
    """
    stage = make_stage(State.RELAXED)
    backups.create_backup(stage.settings)
    stage.conn.execute("alter table iu_core.iu_event alter column payload set default '{}'")

    failed = list_failed(rehearsal.rehearse(stage.settings))

    assert list(failed) == ["our objects in production"]
    assert "iu_core.iu_event: column payload: default" in failed["our objects in production"]


def test_target_that_refuses_is_found(make_stage: MakeStage) -> None:
    """
    T43: the proof in each state, and the committed load, meet the host's own constraints.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(FORBID)

    failed = list_failed(rehearse(stage))

    assert "dead 10" in failed["synthetic load"]
    assert {name.partition(":")[0] for name in failed} >= {"proof at 100", "proof at 082"}
    assert list_scratch(stage) == []


def test_step_that_fails_is_evidence(make_stage: MakeStage) -> None:
    """
    A step that cannot be walked on this data ends the walk, and is named with why.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(
        """
        create or replace function
        iu_core.fn_iu_route_live(p_route text, p_quota bigint, p_approval_id bigint)
        returns void language plpgsql as $$ begin raise exception 'broken by hand'; end $$
        """
    )

    report = rehearse(stage)

    assert "broken by hand" in list_failed(report)["walk"]
    assert report.steps == ()
    (entry,) = ledger.list_entries(stage.settings, kind="rehearsal")
    assert entry.facts["passed"] is False
    assert list_scratch(stage) == []


def test_triggers_of_the_host_are_switched_off_and_named(make_stage: MakeStage) -> None:
    """
    T41, T42: what they do outside of the database would be done for real.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(
        """
        create function public.call_out() returns trigger language plpgsql
        as $$ begin raise exception 'posted to production'; end $$;
        create trigger call_out after insert on public.event_outbox
        for each row execute function public.call_out();
        """
    )

    report = rehearse(stage)

    assert list_failed(report) == {}
    assert report.not_rehearsed == ("TRIGGER call_out on public.event_outbox",)


def test_what_acts_beyond_the_database_is_left_out(make_stage: MakeStage) -> None:
    """
    T42: subscriptions, publications, event triggers and credentials are named, not restored.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(
        """
        create function public.on_ddl() returns event_trigger language plpgsql
        as $$ begin raise exception 'no ddl'; end $$;
        create publication told for all tables;
        create foreign data wrapper far;
        create server away foreign data wrapper far;
        create user mapping for public server away options (password 'secret');
        create event trigger watch on ddl_command_start execute function public.on_ddl();
        comment on event trigger watch is 'watches';
        """
    )
    backups.create_backup(stage.settings)
    stage.conn.execute("drop event trigger watch")

    report = rehearsal.rehearse(stage.settings)

    assert list_failed(report) == {}
    kinds = {" ".join(text.split()[:2]) for text in report.not_rehearsed}
    assert kinds == {"EVENT TRIGGER", "PUBLICATION -", "USER MAPPING"}
    assert "secret" not in str(report)


def test_archive_of_our_own_objects_is_walked_without_the_rows_of_the_host(
    make_stage: MakeStage,
) -> None:
    """
    Definitions and our rows are restored and walked on; that the host's are not is said.
    """
    stage = make_stage(State.RELAXED)
    fill(stage)

    report = rehearse(stage, backup_kind="own-objects")

    assert list_failed(report) == {}
    assert "ROWS of the host: the archive is of our own objects" in report.not_rehearsed


def test_external_target_is_a_sink_before_the_first_step(make_stage: MakeStage) -> None:
    """
    T42: a rehearsal that walks to live would post to production.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(
        "insert into iu_core.iu_outbound_route (route_name, event_type, target_kind, target_ref)"
        " values ('away', 'iu.version_applied', 'webhook', 'https://example.com')"
    )

    report = rehearse(stage)

    assert list_failed(report) == {}
    assert report.not_rehearsed == ("TARGET of route away",)
    kind = "select target_kind from iu_core.iu_outbound_route where route_name = 'away'"
    assert stage.fetch_value(kind) == "webhook"


@pytest.mark.long_on_each_major
def test_newest_tools_restore_into_any_server(make_stage: MakeStage, servers: Servers) -> None:
    """
    pg_restore of 17 and later sets what older servers do not know: that alone is passed over.
    """
    newest = servers.get(newest_major())
    stage = make_stage(State.RELAXED)
    assert list_failed(rehearse(stage, bin_dir=str(newest.bin_dir))) == {}


def test_login_that_may_make_databases_needs_no_superuser(make_stage: MakeStage) -> None:
    """
    Owners are its own then, and rights are not compared.
    """
    stage = make_stage(State.RELAXED)
    login = stage.make_login()
    stage.conn.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(login)))
    backups.create_backup(stage.settings)
    server = stage.database.server.conninfo("postgres", login)

    report = rehearsal.rehearse(stage.with_settings(rehearsal_url=server))

    assert list_failed(report) == {}
    assert "another login" in find(report, "catalog restored").found
    assert report.place == "the server of rehearsal_url"


def test_operator_rehearses_as_the_owner_of_a_copy(make_stage: MakeStage) -> None:
    """
    It restores everything as its own; the bootstrap gives our objects back to their owner.
    """
    stage = make_stage(State.RELAXED)
    fill(stage)
    login = stage.make_login("iu_gates_operator")
    stage.conn.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(login)))
    backups.create_backup(stage.settings)

    report = rehearsal.rehearse(stage.settings_as(login))

    assert list_failed(report) == {}
    assert report.place == "its own server"
    (entry,) = ledger.list_entries(stage.settings, kind="rehearsal")
    assert entry.actor == login


def test_who_is_in_the_scratch_database_is_named(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What was seen is in the ledger all the same; the command that is named drops it later.
    """
    monkeypatch.setattr("iu_gates.dropping.PATIENCE_SECONDS", 0)
    stage = make_stage(State.RELAXED)
    login = stage.make_login("iu_gates_operator")
    stage.conn.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(login)))
    backups.create_backup(stage.settings)
    settings = stage.settings_as(login)
    with contextlib.ExitStack() as held:

        def enter(text: str) -> None:
            if text.startswith("applies 081"):
                url = stage.database.server.conninfo(*list_scratch(stage))
                held.enter_context(psycopg.connect(url, application_name="a monitor"))

        with pytest.raises(GateError, match="could not be dropped") as raised:
            rehearsal.rehearse(settings, enter)

    assert raised.value.ident == "IUG-086"
    assert "login postgres, a monitor" in str(raised.value.found)
    assert raised.value.next_command == "iu-gates rehearse --clean"
    (entry,) = ledger.list_entries(stage.settings, kind="rehearsal")
    assert entry.facts["failed"] == []
    (gone,) = rehearsal.clean(settings)
    assert (gone.dropped, list_scratch(stage)) == (True, [])


def test_login_that_may_not_make_databases_is_told_the_grant(make_stage: MakeStage) -> None:
    """
    IUG-085 with one command to paste.
    """
    stage = make_stage(State.RELAXED)
    login = stage.make_login()
    url = stage.database.server.conninfo("postgres", login)

    with pytest.raises(GateError, match="may not make databases") as raised:
        rehearse(stage, rehearsal_url=url)

    assert raised.value.ident == "IUG-085"
    assert raised.value.next_command == f'alter role "{login}" createdb'


@pytest.mark.long_on_each_major
def test_another_server_knows_none_of_the_roles(make_stage: MakeStage, own_server: Server) -> None:
    """
    No role of the site's is there, no privilege is restored, and the way is walked all the same.
    """
    stage = make_stage(State.RELAXED)
    fill(stage)

    report = rehearse(stage, rehearsal_url=own_server.conninfo("postgres"))

    assert list_failed(report) == {}
    assert list_scratch(stage) == []
    with psycopg.connect(own_server.conninfo()) as conn:
        assert conn.execute(LEFTOVERS).fetchall() == []


def test_database_itself_is_no_place(make_stage: MakeStage) -> None:
    """
    rehearsal_url names a server's maintenance database, never the one that is rehearsed.
    """
    stage = make_stage(State.RELAXED)

    with pytest.raises(GateError, match="names the database that is to be rehearsed") as raised:
        rehearse(stage, rehearsal_url=stage.database.conninfo)

    assert raised.value.ident == "IUG-085"


def test_full_disk_is_seen_before(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the server's disk can be seen from here, it is looked at.
    """
    stage = make_stage(State.RELAXED)
    backups.create_backup(stage.settings)
    full = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)

    with pytest.raises(GateError, match="no room for a restored copy") as raised:
        rehearsal.rehearse(stage.settings)

    assert raised.value.ident == "IUG-085"
    assert list_scratch(stage) == []


def test_nothing_to_rehearse_before_the_substrate(make_stage: MakeStage) -> None:
    """
    Before 060 there is no way to walk.
    """
    stage = make_stage(State.SUBSTRATE)
    walk_down(stage.database.conninfo, "009")

    with pytest.raises(GateError, match="nothing to rehearse yet"):
        rehearsal.rehearse(stage.settings)


def test_walk_beside_it_is_not_kept_waiting(make_stage: MakeStage) -> None:
    """
    A rehearsal holds no lock in production, that of the walk neither.
    """
    stage = make_stage(State.RELAXED)
    with (
        site.walk_lock(stage.settings, "advance"),
        psycopg.connect(stage.database.conninfo) as held,
    ):
        held.execute("lock table public.unit_version in share row exclusive mode")
        assert list_failed(rehearse(stage)) == {}


@pytest.mark.long
def test_killed_rehearsal_is_cleared_away_by_the_next(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    P8: what it left is dropped, and nothing that lacks our mark or is in use.
    """
    stage = make_stage(State.RELAXED)
    backups.create_backup(stage.settings)
    process = PROCESSES.Process(target=rehearse_and_die, args=(stage.values, "applies 082"))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    (left,) = list_scratch(stage)
    lookalike = "iu_gates_rehearsal_0123456789ab"
    stage.conn.execute(f"create database {lookalike}")
    try:
        wait_until(lambda: is_dropped(stage, left), "the dead session is gone")
        report = rehearsal.rehearse(stage.settings)
        kept = {item.database: item for item in rehearsal.clean(stage.settings)}
        assert list_scratch(stage) == [lookalike]
    finally:
        stage.conn.execute(f"drop database {lookalike}")
    assert list_failed(report) == {}
    assert kept[lookalike].dropped is False
    assert "lacks our mark" in kept[lookalike].reason


def test_running_rehearsal_is_left_alone(make_stage: MakeStage) -> None:
    """
    P8: its session is there, so it is no leftover.
    """
    stage = make_stage(State.RELAXED)
    backups.create_backup(stage.settings)
    seen = []

    def look(text: str) -> None:
        if text.startswith("applies 081"):
            seen.extend(rehearsal.clean(stage.settings))

    assert list_failed(rehearsal.rehearse(stage.settings, look)) == {}
    assert [(left.dropped, left.reason) for left in seen] == [
        (False, "its rehearsal is still going on")
    ]


def is_dropped(stage: Stage, name: str) -> bool:
    """Clean, and tell whether a database is gone."""
    rehearsal.clean(stage.settings)
    return name not in list_scratch(stage)


def rehearse_and_die(values: dict[str, Any], sign: str) -> None:
    """Rehearse, and kill this process at the first text that begins with `sign`."""

    def notify(text: str) -> None:
        if text.startswith(sign):
            os.kill(os.getpid(), signal.SIGKILL)

    rehearsal.rehearse(config.build(values), notify)
