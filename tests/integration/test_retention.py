"""`history prune`: what is old and done with goes while the route goes on (P7, P12)."""

from __future__ import annotations

import shlex
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from iu_gates import audit, backfill, db, doctor, export, gates, ledger, retention
from iu_gates.config import Settings
from iu_gates.errors import LockHeldError, RefusedError, UsageError
from iu_gates.model import Finding, PruneResult
from iu_gates.status import fetch_status
from tests.support.cli import run_command
from tests.support.engine import wait_until
from tests.support.moving import list_outbox, work
from tests.support.play import ROUTE, MakeStage, Stage
from tests.support.walk import SITE_KEY, State

ALL = timedelta(0)
TABLES = ("iu_event", "iu_route_attempt", "iu_route_dead_letter", "iu_route_redrive")


FILL = (
    """
    insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)
    select s.system_identifier, 'iu.version_applied', 'history', n, '{}'
    from generate_series(%(there)s::bigint + 1, %(last)s) as n cross join pg_control_system() as s
    """,
    """
    insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)
    select %(route)s, event_id, 'sent', event_id::text from iu_core.iu_event
    where version_seq > %(there)s
    """,
    """
    insert into iu_core.iu_route_cursor
    (route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq)
    select %(route)s, 'delivery', system_identifier,
           nextval('iu_core.iu_route_cursor_cursor_no_seq'), pg_current_snapshot(),
           pg_current_xact_id(), iu_core.fn_iu_event_seq()
    from pg_control_system()
    """,
)


@pytest.fixture
def live(make_stage: MakeStage, tmp_path: Path) -> Stage:
    """Give a live stage that exports into a directory of its own."""
    stage = make_stage(State.LIVE)
    stage.values["history_dir"] = str(tmp_path / "exports")
    return stage


def prune(stage: Stage, **options: Any) -> PruneResult:
    """Prune all that may go, in small batches, unless the options say otherwise."""
    return retention.prune(stage.settings, **{"older_than": ALL, "batch": 3, **options})


def write_export(stage: Stage, upto: int | None) -> export.Export:
    """Export what is about the events up to one, into a file of its own."""
    file = Path(stage.values["history_dir"]) / f"{uuid.uuid4()}.zst"
    return export.write(stage.settings, file, upto=upto)


def count(stage: Stage) -> dict[str, int]:
    """Return the rows of the tables that a prune takes from."""
    return {n: stage.fetch_value(f"select count(*) from iu_core.{n}") for n in TABLES}


def list_units(stage: Stage) -> list[tuple[str, int]]:
    """Return the events that there are, by unit and version, in the order of capture."""
    return stage.fetch("select subject, version_seq from iu_core.iu_event order by event_id")


def assert_sound(stage: Stage) -> dict[str, int]:
    """Nothing is missed, skipped, repeated, reordered or unexplained; return the counts."""
    (report,) = audit.audit(stage.settings, ROUTE)
    assert report.passed, report.findings
    return dict(report.counts)


def poison(stage: Stage, subject: str) -> None:
    """Let the target refuse a unit, at the first try for good."""
    stage.conn.execute("update iu_core.iu_outbound_route set max_tries = 1, trip_seconds = 1")
    stage.conn.execute(
        f"""
        create or replace function public.fn_poison() returns trigger language plpgsql as $$
        begin if new.subject = '{subject}' then raise 'no' using errcode = '22000'; end if;
        return new; end $$;
        create or replace trigger poison before insert on public.event_outbox
        for each row execute function public.fn_poison();
        """
    )


def heal(stage: Stage) -> None:
    """Let the target take everything again."""
    stage.conn.execute("drop trigger poison on public.event_outbox")


def prune_what_is_done_with(stage: Stage) -> int:
    """Prune what is a fifth of a second old, or the part of it that the worker has reached."""
    options: dict[str, Any] = {"older_than": timedelta(seconds=0.2), "batch": 20}
    with suppress(RefusedError):
        return prune(stage, **options).removed.get("iu_event", 0)
    return 0


def wait_until_gone_by(stage: Stage, events: int) -> None:
    """Return once so many events may go: no failure of theirs counts for a trip any more."""
    wait_until(
        lambda: retention.preview(stage.settings, older_than=ALL).events == events,
        f"{events} events may go",
    )


def find_check(settings: Settings) -> Finding:
    """Return what `doctor` says of the history."""
    return next(c for c in doctor.doctor(settings).checks if c.name == "history")


@pytest.mark.long_on_each_major
def test_what_is_delivered_goes_into_an_export_and_out_of_the_history(live: Stage) -> None:
    """
    P7: removed is what was delivered; the export holds each row of it; the ledger tells of it.
    """
    live.write("a", 1, 2, 3, 4, 5)
    live.write("b", 2, 3)
    work(live.conn)
    live.write("a", 6)
    before = count(live)
    kept_for = live.fetch_value("select max(event_id) from iu_core.iu_event")

    done = prune(live, before=kept_for)

    assert done.removed == {"iu_event": 6, "iu_route_attempt": 6, "iu_route_dead_letter": 0}
    assert list_units(live) == [("a", 6)]
    found = export.verify(Path(done.file or ""))
    assert found.manifest.upto == done.upto == kept_for - 1
    assert found.manifest.tables["iu_event"].rows == 6
    assert found.manifest.tables["iu_route_attempt"].rows == before["iu_route_attempt"] == 6
    assert "iu_route_cursor" not in found.manifest.tables
    entries = ledger.list_entries(live.settings, kind="retention")
    assert [e.subject for e in entries] == ["begun", "done"]
    assert entries[1].facts["export"] == done.export == found.manifest.digest
    assert (entries[1].facts["events"], entries[1].facts["batches"]) == (6, 2)
    assert entries[1].facts["begun_by"] == live.fetch_value("select session_user")
    known = live.fetch("select subject, versions::text from iu_gates.pruned_event order by 1")
    assert known == [("a", "{[2,6)}"), ("b", "{[2,4)}")]
    counts = assert_sound(live)
    assert (counts["host"], counts["pruned"], counts["captured"]) == (7, 6, 1)
    assert ledger.verify(live.settings) == []
    assert live.status().drift == ()
    assert prune(live, before=kept_for).prune_no is None


def test_route_goes_on_while_it_is_pruned(live: Stage) -> None:
    """
    P1, P2, P3: under live load, prune after prune; each host row is in the target once, in order.
    """
    pruned = 0
    with live.host(pause=0.002) as host, live.worker():
        while host.written < 400:
            pruned += prune_what_is_done_with(live)
    assert pruned > 100
    work(live.conn)
    counts = assert_sound(live)
    assert counts["pruned"] == pruned
    written = live.fetch_value("select count(*) from public.unit_version where version_seq > 1")
    outbox = list_outbox(live.conn)
    assert len(outbox) == len(set(outbox)) == written
    for unit in {s for s, _ in outbox}:
        versions = [v for s, v in outbox if s == unit]
        assert versions == sorted(versions)


def test_what_is_not_delivered_is_refused(live: Stage) -> None:
    """
    P7: an event that waits, or is held, stops a prune: exit 4, named, with the bound that would go.
    """
    live.write("unit", 2, 3)
    work(live.conn)
    live.write("unit", 4)

    with pytest.raises(RefusedError, match=r"event \d+ is not delivered by route") as raised:
        prune(live)

    assert (raised.value.ident, raised.value.exit_code) == ("IUG-125", 4)
    assert "unit version 4" in (raised.value.found or "")
    held = raised.value.facts["event_id"]
    assert raised.value.next_command == f"iu-gates history prune --before {held}"
    assert count(live)["iu_event"] == 3
    assert ledger.fetch_newest(live.conn, "refusal")["facts"]["id"] == "IUG-125"
    # Its own batch would have seen it too, whatever the command had looked at.
    whole = write_export(live, None)
    number = live.fetch_value("select iu_gates.fn_prune_begin(%s, %s)", whole.manifest.digest, held)
    with pytest.raises(psycopg.Error, match="is not done with") as refused:
        live.conn.execute(
            "insert into iu_gates.prune_batch (prune_no, asked) values (%s, 10)", (number,)
        )
    assert refused.value.sqlstate == "IUG40"
    assert count(live)["iu_event"] == 3
    assert prune(live, before=held).removed["iu_event"] == 2


def test_what_was_passed_over_is_never_hidden(live: Stage) -> None:
    """
    P1, P7: an event that the cursor passed without an attempt is a fault; no prune takes it away.
    """
    live.write("unit", 2, 3, 4)
    work(live.conn)
    live.conn.execute("alter table iu_core.iu_route_attempt disable trigger user")
    live.conn.execute("delete from iu_core.iu_route_attempt where event_id = 2")
    live.conn.execute("alter table iu_core.iu_route_attempt enable trigger user")

    with pytest.raises(RefusedError, match="event 2 was passed over on route") as raised:
        prune(live)

    assert raised.value.next_command == "iu-gates history prune --before 2"
    assert count(live)["iu_event"] == 3


def test_dead_letters_stay_until_they_are_redriven(live: Stage) -> None:
    """
    P7: an event given up on stays, those around it go; redriven and delivered it goes too.
    """
    live.write("good", 2)
    poison(live, "bad")
    live.write("bad", 2)
    live.write("good", 3)
    work(live.conn)

    done = prune(live)

    assert (done.removed["iu_event"], done.kept) == (2, 1)
    assert list_units(live) == [("bad", 2)]
    assert_sound(live)
    heal(live)
    live.conn.execute(
        "select iu_core.fn_iu_route_redrive(array(select dead_letter_id"
        " from iu_core.iu_route_dead_letter), '{}')"
    )
    assert prune(live).prune_no is None  # it waits for its second try
    work(live.conn)
    wait_until_gone_by(live, 1)
    assert prune(live).removed["iu_route_dead_letter"] == 1
    assert set(count(live).values()) == {0}
    assert_sound(live)
    assert len(list_outbox(live.conn)) == 3


def test_dead_letter_stays_though_its_route_takes_it_no_more(live: Stage) -> None:
    """
    P7: an event given up on stays, also where the route's definition was changed since.
    """
    poison(live, "bad")
    live.write("bad", 2)
    live.write("good", 2)
    work(live.conn)
    live.conn.execute("select iu_core.fn_iu_route_dry(%s)", (ROUTE,))
    live.conn.execute(
        "update iu_core.iu_outbound_route set approval_id = null, approval_granted_at = null,"
        " approval_expires_at = null, event_filter = %s",
        (Jsonb({"subject": "good"}),),
    )

    done = prune(live)

    assert (done.removed["iu_event"], done.kept) == (1, 1)
    assert list_units(live) == [("bad", 2)]
    assert count(live)["iu_route_dead_letter"] == 1


def test_evidence_is_that_of_the_route_as_it_is(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    Dry-run attempts that were pruned count for the gate, but not for a route that came after them.
    """
    dry = make_stage(State.DRY)
    dry.values["history_dir"] = str(tmp_path / "exports")
    dry.write("unit", 2, 3)
    work(dry.conn)
    assert prune(dry).removed["iu_route_attempt"] == 2
    assert gates.dry_run.collect(dry.conn, dry.settings).pruned == 2
    dry.conn.execute("update iu_core.iu_outbound_route set created_at = clock_timestamp()")
    assert gates.dry_run.collect(dry.conn, dry.settings).pruned == 0


def test_export_that_does_not_say_what_it_saw_is_no_ground(live: Stage) -> None:
    """
    P7: an entry without the snapshot of its export, as earlier ones are, is refused, not a bug.
    """
    live.write("unit", 2)
    work(live.conn)
    made = write_export(live, None)
    live.conn.execute(
        "select iu_gates.fn_ledger_append('export', 'history', l.facts - 'seen_before')"
        " from iu_gates.ledger as l where l.kind = 'export'"
    )
    with pytest.raises(RefusedError, match="no export holds what would go"):
        prune(live, exported=made.manifest.digest)
    assert count(live)["iu_event"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--exported", "abcdefgh", "--export", "new.zst"), "--exported names an export"),
        (("--file", "old.zst"), "--file says where an export is"),
    ],
)
def test_option_that_would_be_left_aside_is_refused(
    live: Stage, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    """
    Two exports, or a place of none: a usage error, before anything is asked.
    """
    url = live.database.conninfo
    answer = run_command(tmp_path, "history", "prune", *options, "--database-url", url)
    assert answer.code == 2
    assert said in answer.err


def test_next_command_asks_for_the_same(live: Stage, tmp_path: Path) -> None:
    """
    Where nobody can be asked, the command that is named has every option of this one.
    """
    live.write("unit", 2)
    work(live.conn)
    options = ("--older-than", "0 s", "--before", "7", "--export", "a dir", "--batch", "5")
    url = live.database.conninfo
    key = Path(live.values["site_key_file"]).read_text()
    words = ("history", "prune", *options)
    answer = run_command(tmp_path, *words, "--database-url", url, IU_GATES_SITE_KEY=key)
    assert shlex.join(["iu-gates", *words, "--yes"]) in " ".join(answer.err.split())


def test_attempt_that_is_newer_than_the_export_stays(live: Stage) -> None:
    """
    P7: what the export did not see is not removed on the strength of it, nor its event.
    """
    live.write("unit", 2)
    poison(live, "late")
    live.write("late", 2)
    work(live.conn)
    early = write_export(live, 2)
    heal(live)
    live.conn.execute(
        "select iu_core.fn_iu_route_redrive(array(select dead_letter_id"
        " from iu_core.iu_route_dead_letter), '{}')"
    )
    work(live.conn)
    wait_until_gone_by(live, 2)

    done = prune(live, exported=early.manifest.digest)

    assert (done.removed["iu_event"], done.kept) == (1, 1)
    assert list_units(live) == [("late", 2)]
    assert live.count("sent") == 1


def test_what_was_pruned_is_never_captured_again(live: Stage) -> None:
    """
    P2: neither backfill nor a host that writes its rows anew gives a pruned event a second life.
    """
    live.write("unit", 1, 2, 3)
    work(live.conn)
    prune(live)

    assert backfill.backfill(live.settings, dry_run=False, before_capture=True).missing == 0
    live.conn.execute("delete from public.unit_version where unit = 'unit'")
    live.write("unit", 1, 2, 3, 4)
    work(live.conn)

    assert list_units(live) == [("unit", 4)]
    assert list_outbox(live.conn) == [("unit", 2), ("unit", 3), ("unit", 4)]
    assert_sound(live)
    # A version that nothing captured is late behind what was pruned.
    live.conn.execute("alter table public.unit_version disable trigger iu_unit_version_capture")
    live.write("gone", 2)
    live.conn.execute(
        "alter table public.unit_version enable always trigger iu_unit_version_capture"
    )
    live.write("gone", 3)
    work(live.conn)
    prune(live)
    assert backfill.backfill(live.settings, dry_run=True).late == 1


def test_replay_in_hand_keeps_its_events(live: Stage) -> None:
    """
    P7: while a replay is at work no batch goes; what it attempted is newer than the export.
    """
    live.write("unit", 2, 3)
    work(live.conn)
    live.conn.execute("delete from public.event_outbox")
    replay = (
        "select replayed from iu_core.fn_iu_route_replay(%s, 0, 1, null, null, 10, %s)",
        (ROUTE, SITE_KEY),
    )
    made = write_export(live, None)
    with psycopg.connect(live.database.conninfo) as other:
        assert other.execute(*replay).fetchone() == (1,)
        with pytest.raises(LockHeldError):
            prune(live, exported=made.manifest.digest)
        assert count(live)["iu_event"] == 2
    done = prune(live, exported=made.manifest.digest)
    assert (done.removed["iu_event"], done.kept) == (1, 1)
    assert prune(live).removed["iu_route_attempt"] == 2
    assert_sound(live)


def test_route_that_begins_with_the_past_keeps_it(live: Stage) -> None:
    """
    P1: while a route is added that is to have past events no batch goes, and then they wait for it.
    """
    live.write("unit", 2, 3)
    work(live.conn)
    made = write_export(live, None)
    route = {
        "route_name": "second",
        "event_type": "iu.version_applied",
        "target_kind": "notify",
        "target_ref": "somewhere",
    }
    with psycopg.connect(live.database.conninfo) as other:
        other.execute("select iu_core.fn_iu_route_add(%s, '{}', 1)", (Jsonb(route),))
        with pytest.raises(LockHeldError):
            prune(live, exported=made.manifest.digest)
    with pytest.raises(RefusedError) as raised:
        prune(live, exported=made.manifest.digest)
    assert raised.value.ident == "IUG-125"
    assert count(live)["iu_event"] == 2


def test_killed_half_way_it_goes_on(live: Stage) -> None:
    """
    P8: batches that were committed stay; the same command does the rest; the ledger has both.
    """
    live.write("unit", *range(2, 12))
    work(live.conn)
    made = write_export(live, 10)
    number = live.fetch_value("select iu_gates.fn_prune_begin(%s, 10)", made.manifest.digest)
    live.conn.execute(
        "insert into iu_gates.prune_batch (prune_no, asked) values (%s, 4)", (number,)
    )
    assert count(live)["iu_event"] == 6

    done = prune(live)

    assert done.removed["iu_event"] == 6
    told = [
        (e.subject, e.facts["events"]) for e in ledger.list_entries(live.settings, kind="retention")
    ]
    assert told == [("begun", 0), ("cut off", 4), ("begun", 0), ("done", 6)]
    assert_sound(live)


def test_second_prune_is_refused_by_the_name_of_the_first(live: Stage) -> None:
    """
    Two at once: one exits with 6 and says who is at work.
    """
    live.write("unit", 2)
    work(live.conn)
    with psycopg.connect(live.database.conninfo) as holder:
        holder.execute("select pg_advisory_lock(18773008, 0)")
        with pytest.raises(LockHeldError, match="another history prune") as raised:
            prune(live)
        assert f"pid {holder.info.backend_pid}" in (raised.value.found or "")
    assert prune(live).removed["iu_event"] == 1


def test_policy_says_what_is_old_enough(live: Stage) -> None:
    """
    Without a policy and without a bound there is nothing to do; below the policy it is refused.
    """
    live.write("unit", 2)
    work(live.conn)
    with pytest.raises(UsageError, match="old enough"):
        retention.preview(live.settings)
    keeps = live.with_settings(history_keep="90 d")
    with pytest.raises(RefusedError, match="keeps the history longer") as raised:
        retention.prune(keeps, older_than=timedelta(days=89))
    assert raised.value.ident == "IUG-124"
    assert retention.preview(keeps).events == 0
    assert retention.prune(keeps, before=1000).prune_no is None
    live.conn.execute("alter table iu_core.iu_event disable trigger user")
    live.conn.execute("update iu_core.iu_event set captured_at = now() - interval '91 d'")
    live.conn.execute("alter table iu_core.iu_event enable trigger user")
    assert retention.preview(keeps).events == 1
    size = fetch_status(keeps).history
    assert size is not None
    assert (size.events, size.beyond, size.overdue) == (1, 1, 0)  # a day over is no news
    assert find_check(keeps).passed
    assert not find_check(live.with_settings(history_keep="80 d")).passed
    assert find_check(live.settings).passed
    assert retention.prune(keeps).removed["iu_event"] == 1


BY_HAND = (
    "delete from iu_core.iu_event",
    "delete from iu_core.iu_route_attempt",
    "insert into iu_gates.pruned_event values ('x', 'x', '{[1,2)}')",
    "update iu_gates.pruned_event set versions = '{}'",
    "delete from iu_gates.pruned_event",
    "truncate iu_gates.pruned_attempt",
    "update iu_gates.prune set upto_event_id = 0",
    "delete from iu_gates.prune_batch",
    "select * from iu_gates.fn_prune_remove(array[1, 2], 1)",
)


def test_nothing_but_a_batch_removes(live: Stage) -> None:
    """
    P7, P10: by hand nothing goes and nothing is made up, whatever the session's settings say.
    """
    live.write("unit", 2, 3)
    work(live.conn)
    prune(live, before=2)
    setting = "select set_config('iu_gates.pruning', pg_current_xact_id()::text, true)"
    for statement in BY_HAND:
        with live.conn.transaction():
            live.conn.execute(setting)
            with (
                pytest.raises(psycopg.Error, match="is refused") as raised,
                live.conn.transaction(),
            ):
                live.conn.execute(statement)
        assert raised.value.sqlstate == "IUG40", statement


def test_prune_needs_an_export_of_this_database(live: Stage) -> None:
    """
    P10: without an entry of an export that reaches so far, and of this cluster, nothing begins.
    """
    live.write("unit", 2, 3)
    work(live.conn)
    begin = "select iu_gates.fn_prune_begin(%s, %s)"
    with pytest.raises(psycopg.Error, match="no export holds"):
        live.conn.execute(begin, ("0" * 64, 2))
    made = write_export(live, 1)
    with pytest.raises(psycopg.Error, match="no export holds"):
        live.conn.execute(begin, (made.manifest.digest, 2))
    facts = ledger.fetch_newest(live.conn, "export")["facts"]
    facts["digest"], facts["database"]["system_identifier"] = "1" * 64, "1"
    ledger.append(live.conn, "export", "history", facts)
    with pytest.raises(psycopg.Error, match="another database"):
        live.conn.execute(begin, ("1" * 64, 1))
    with Path(made.path).open("ab") as file:
        file.write(b"more")
    with pytest.raises(RefusedError, match="no whole export"):
        prune(live, before=2, exported=made.manifest.digest)
    assert count(live)["iu_event"] == 2


def test_dry_run_evidence_outlives_its_attempts(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    T43: what was seen in dry-run counts for its gate after the attempts were pruned.
    """
    stage = make_stage(State.DRY)
    stage.write("unit", *range(2, 8))
    work(stage.conn)
    stage.values["history_dir"] = str(tmp_path / "exports")
    with db.connect(stage.settings, "test") as conn:
        before = gates.dry_run.collect(conn, stage.settings)
        assert prune(stage).removed["iu_route_attempt"] == 6
        facts = gates.dry_run.collect(conn, stage.settings)
    assert (facts.pruned, facts.audit.counts["dry_run"]) == (6, 0)
    assert facts.span_seconds == before.span_seconds > 0
    assert gates.dry_run.judge(facts, stage.settings).findings[1].passed


def test_rights(live: Stage) -> None:
    """
    An operator may; a worker, an auditor and an approver may not.
    """
    live.write("unit", 2)
    work(live.conn)
    for group in ("iu_gates_worker", "iu_gates_auditor", "iu_gates_approver"):
        with pytest.raises(RefusedError):
            retention.prune(live.make_settings_of(group), older_than=ALL)
    assert retention.prune(live.make_settings_of("iu_gates_operator"), older_than=ALL).prune_no


def test_prune_by_the_command_line(live: Stage, tmp_path: Path) -> None:
    """
    --dry-run counts and writes nothing; --yes prunes; what is asked for wrongly is said.
    """
    live.write("unit", 2, 3)
    work(live.conn)
    variables = {
        "IU_GATES_DATABASE_URL": live.database.conninfo,
        "IU_GATES_SITE_KEY": Path(live.values["site_key_file"]).read_text(),
    }
    words = ("history", "prune", "--older-than", "0s")
    seen = run_command(tmp_path, *words, "--dry-run", "--json", **variables).expect(0).json
    assert (seen["events"], count(live)["iu_event"]) == (2, 2)
    assert run_command(tmp_path, *words, "--json", **variables).expect(2).json["error"] == "IUG-080"
    run_command(tmp_path, "history", "prune", "--older-than", "soon", **variables).expect(2)
    done = run_command(tmp_path, *words, "--yes", "--json", **variables).expect(0).json
    assert done["removed"]["iu_event"] == 2
    assert export.verify(tmp_path / done["file"]).manifest.digest == done["export"]


def fill(stage: Stage, last: int) -> None:
    """Let one unit have versions up to the last, all sent, and the cursor behind them."""
    there = stage.fetch_value("select coalesce(max(version_seq), 1) from iu_core.iu_event")
    for query in FILL:
        stage.conn.execute(query, {"there": there, "last": last, "route": ROUTE})
    stage.conn.execute("vacuum (analyze) iu_core.iu_event, iu_core.iu_route_attempt")


def count_buffers(stage: Stage, number: int) -> int:
    """Run a batch of 200 in a session of its own; return how many pages it touched."""
    with psycopg.connect(stage.database.conninfo, autocommit=True) as conn:
        query = f"insert into iu_gates.prune_batch (prune_no, asked) values ({number}, 200)"
        ((plan,),) = conn.execute(f"explain (analyze, buffers, format json) {query}").fetchall()
    top = plan[0]["Plan"]
    return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])


@pytest.mark.parametrize(
    ("small", "large"), [(10_000, 50_000), pytest.param(10_000, 1_000_000, marks=pytest.mark.long)]
)
def test_batch_of_a_prune_costs_the_same_with_more_history(
    live: Stage, small: int, large: int
) -> None:
    """
    P12: a batch of a prune touches what it did when there was little history.
    """
    costs = []
    for last in (small, large):
        fill(live, last)
        upto = live.fetch_value("select min(event_id) + 1000 from iu_core.iu_event")
        made = write_export(live, upto)
        query = "select iu_gates.fn_prune_begin(%s, %s)"
        number = live.fetch_value(query, made.manifest.digest, upto)
        costs.append([count_buffers(live, number) for _ in range(5)])
    assert max(costs[1]) < min(costs[0]) * 1.1, costs
