"""`advance`: one gate a call, from nothing to live; killed, stopped, locked out, it goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from iu_gates import advance, audit, backups, config, disable, ledger, site, worker
from iu_gates.errors import (
    AS_ANOTHER,
    GateError,
    IuGatesError,
    LockHeldError,
    RefusedError,
    UsageError,
)
from iu_gates.model import GATES
from tests.support.databases import Servers
from tests.support.engine import in_background, wait_until
from tests.support.play import MakeStage, Stage
from tests.support.walk import ROUTE, State, pass_gates

LEDGER_KEY, WALK_KEY = 18773004, 18773005
OTHER_HOST = """
create schema "Shop ""1"" Data";
create table "Shop ""1"" Data"."Article Versions" (
    row_id bigint generated always as identity primary key,
    "Article Id" uuid not null,
    "rev no" integer not null,
    editor text not null,
    unique ("Article Id", "rev no"));
create table "Shop ""1"" Data"."Out ""box"" x" (
    n bigint generated always as identity primary key,
    tenant text not null,
    topic text not null,
    entity_id text not null,
    "The Key" text not null unique,
    message jsonb not null);
"""
OTHER_NAMES = {
    "schema": 'Shop "1" Data',
    "unit_table": "Article Versions",
    "outbox_table": 'Out "box" x',
    "unit_column": "Article Id",
    "version_column": "rev no",
    "key_column": "The Key",
    "outbox_constants": {"tenant": "it's us"},
}
OTHER_INSERT = """
insert into "Shop ""1"" Data"."Article Versions" ("Article Id", "rev no", editor)
values (%s, %s, 'x')
"""
SLOW_DDL = """
create function public.slow() returns event_trigger language plpgsql as $$
begin
    if current_setting('application_name') = 'iu-gates advance'
       and tg_tag = 'CREATE FUNCTION' then perform pg_sleep(2); end if;
end $$;
create event trigger slow on ddl_command_end execute function public.slow();
"""

IS_ASLEEP = """
select 1 from pg_stat_activity where datname = current_database()
and application_name = 'iu-gates advance' and wait_event = 'PgSleep'
"""


@contextmanager
def played(stage: Stage, insert: str | None = None) -> Iterator[None]:
    """Let a host write and a worker work."""
    arguments = {"insert": insert} if insert else {}
    with stage.host(**arguments), stage.worker():
        yield


def test_one_gate_a_call_from_nothing_to_live_on_a_foreign_host(make_stage: MakeStage) -> None:
    """
    Each call passes one gate, in order, and says what it did and what is next.

    A gate that waits says for what, with the command; at live nothing is done (T40 and the way of
    part 6).
    """
    stage = make_stage("empty", host=OTHER_NAMES)
    stage.conn.execute(OTHER_HOST)
    stage.conn.execute(OTHER_INSERT, ("11111111-1111-1111-1111-111111111111", 2))
    refused: list[tuple[str, str | None]] = []
    passed: list[str] = []

    assert stage.walk("substrate") == ["host", "backup", "substrate"]
    with played(stage, OTHER_INSERT):

        def is_live() -> bool:
            try:
                result = stage.advance()
            except GateError as error:
                refused.append((error.facts["verdict"]["gate"], error.next_command))
                stage.mend(error)
                return False
            assert len(result.reports) == (1 if result.reports else 0)
            passed.extend(r.verdict.gate for r in result.reports)
            assert result.next_command == ("iu-gates advance" if result.next_gate else "")
            return result.next_gate is None

        wait_until(is_live, "live")
        again = stage.advance()

    assert tuple(passed) == GATES[3:]
    assert ("invocation", f"iu-gates approve {AS_ANOTHER}") in refused
    assert ("approval", f"iu-gates approve {AS_ANOTHER}") in refused
    assert again.reports == ()
    assert again.next_gate is None
    assert stage.status().next_gate is None
    assert stage.fetch_value('select count(*) from "Shop ""1"" Data"."Out ""box"" x"') > 0


def test_route_names_the_outbox_of_the_host(make_stage: MakeStage) -> None:
    """
    The route's target is the table that the settings name; the seam refuses any other.
    """
    stage = make_stage(host={"outbox_table": "Outbox"})
    stage.conn.execute('alter table public.event_outbox rename to "Outbox"')

    stage.walk("substrate")

    assert stage.fetch_value("select target_ref from iu_core.iu_outbound_route") == "Outbox"


def test_each_call_says_what_it_did(make_stage: MakeStage) -> None:
    """
    The report of a gate names its steps, and the result the gate that comes next.
    """
    stage = make_stage()

    first, second, third = stage.advance(), stage.advance(), stage.advance()

    assert "made the control schema" in first.reports[0].did[0]
    assert first.next_gate == "backup"
    assert "read back whole" in second.reports[0].did[0]
    assert [d.partition(":")[0] for d in third.reports[0].did] == [
        "applied substrate/008",
        "applied substrate/009",
        "applied substrate/060",
    ]
    assert third.next_gate == "invocation"
    assert (third.ledger_seq, third.ledger_hash) == ledger.fetch_head(stage.settings)


def test_to_goes_as_far_as_can_be_gone(make_stage: MakeStage) -> None:
    """
    ``--to live`` passes what it can in one call and stops at the first gate that waits.
    """
    stage = make_stage()

    with pytest.raises(GateError) as raised:
        stage.advance("live")

    assert raised.value.exit_code == 3
    assert raised.value.facts["verdict"]["gate"] == "invocation"
    assert raised.value.next_command == f"iu-gates approve {AS_ANOTHER}"
    assert stage.list_revisions() == ("008", "009", "060")


def test_to_a_gate_that_was_passed_does_nothing(make_stage: MakeStage) -> None:
    """
    ``--to`` a gate behind us passes no further one.
    """
    stage = make_stage()
    stage.walk("substrate")

    result = stage.advance("backup")

    assert result.reports == ()
    assert result.next_gate == "invocation"


def test_unknown_gate_is_a_usage_error(make_stage: MakeStage) -> None:
    """
    A gate that there is not is refused before the database is looked at.
    """
    with pytest.raises(UsageError, match='"lively" is no gate') as raised:
        make_stage("empty").advance("lively")
    assert "canary" in (raised.value.wanted or "")


def test_at_live_what_runs_out_by_itself_stops_nothing(make_stage: MakeStage) -> None:
    """
    T35: an approval must be used before it expires, and then does not stop a live route.

    Nor do a backup that is too old, or a waiver that ran out.
    """
    stage = make_stage(State.LIVE)
    for gate in ("backup", "rehearsal", "approval"):
        facts = '{"outcome": "pass", "expires_at": "2020-01-01", "facts": {}}'
        stage.conn.execute(
            "select iu_gates.fn_ledger_append('verdict', %s, %s::jsonb)", (gate, facts)
        )

    result = stage.advance()

    assert (result.reports, result.next_gate) == ((), None)
    assert stage.status().next_gate is None


def test_live_without_its_verdicts_is_a_canary_again(make_stage: MakeStage) -> None:
    """
    P9: after a re-base all that 081 ever delivered is no canary: it begins anew, and none is lost.
    """
    stage = make_stage(State.LIVE)
    stage.write("u", 1, 2, 3)
    worker.run(stage.settings, once=True)
    stage.conn.execute("select iu_gates.fn_void(array['canary', 'live'], 'it was re-based')")
    with stage.host() as host, stage.worker():
        assert stage.walk() == ["canary", "live"]
        wait_until(lambda: stage.count("sent") > 10, "deliveries")
    assert stage.list_steps()[-4:] == ["down 082", "down 081", "up 081", "up 082"]
    worker.run(stage.settings, once=True)
    assert host.written > 0
    (report,) = audit.audit(stage.settings, ROUTE)
    assert report.passed, report.findings
    assert report.counts["delivered"] == report.counts["host"]


def test_live_that_could_not_come_up_again_stays(make_stage: MakeStage) -> None:
    """
    P9: with an approval that ran out it would be dry for good: it is left as it is, and said.
    """
    stage = make_stage(State.LIVE)
    expired = '{"outcome": "pass", "expires_at": "2000-01-01T00:00:00Z"}'
    stage.conn.execute("select iu_gates.fn_ledger_append('verdict', 'approval', %s)", (expired,))
    stage.conn.execute("select iu_gates.fn_void(array['canary', 'live'], 'it was re-based')")
    before = stage.list_steps()
    with pytest.raises(GateError, match="could not come up again") as raised:
        stage.advance()
    assert 'gate "approval"' in str(raised.value.found)
    assert raised.value.next_command == "iu-gates disable && iu-gates advance"
    assert (stage.list_steps(), stage.status().routes[0].mode) == (before, "live")


def test_approval_that_ran_out_before_live_is_asked_for_again(make_stage: MakeStage) -> None:
    """
    T28, T35: on the way up, an approval counts only while it is unexpired.
    """
    stage = make_stage(State.RELAXED)
    facts = '{"outcome": "pass", "expires_at": "2020-01-01", "facts": {}}'
    stage.conn.execute(
        "select iu_gates.fn_ledger_append('verdict', 'approval', %s::jsonb)", (facts,)
    )

    with pytest.raises(GateError) as raised:
        stage.advance("live")

    assert raised.value.facts["verdict"]["gate"] == "approval"
    assert "081" not in stage.list_revisions()


def test_package_that_changed_since_needs_another_approval(make_stage: MakeStage) -> None:
    """
    T36: what was approved is what goes live; other limits are another package.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute("select iu_gates.fn_void(array['approval'], 'a test')")
    assert stage.walk("approval") == ["approval"]

    with pytest.raises(GateError, match="another one now") as raised:
        advance.advance(stage.with_settings(dry_run_min_events=1))

    assert raised.value.exit_code == 3
    assert "081" not in stage.list_revisions()
    assert not stage.gate_is_in_force("approval")


@pytest.mark.long
def test_killed_at_every_boundary_it_goes_on(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    P8: `advance --to live`, killed (SIGKILL) at each thing it says, is only ever called again.
    """
    stage = make_stage()
    config.make_site_key(stage.settings)
    approver = ""
    known: list[str] = []
    file = tmp_path / "said"

    with stage.host(pause=0.02), stage.worker():
        for _ in range(80):
            process = stage.advance_in_a_process(file, known)
            process.join(30)
            said = file.read_text().splitlines()
            known.extend(line for line in said if line not in known)
            if process.exitcode == 0 and not said[-1].startswith("refused"):
                break
            if "approve" in said[-1]:
                approver = approver or stage.make_login("iu_gates_approver")
                stage.approve(approver)

    assert stage.status().next_gate is None
    begun = [line.split()[0] for line in known if line.endswith(" begins")]
    assert tuple(begun) == GATES
    assert ledger.verify(stage.settings) == []
    assert stage.list_steps() == [f"up {r}" for r in stage.list_revisions()]
    assert stage.status().stops == ()


def test_killed_inside_a_step_leaves_no_part_of_it(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    P8: killed while a step's own statement runs, the step is not there; the next call makes it.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute(SLOW_DDL)
    process = stage.advance_in_a_process(tmp_path / "said")
    wait_until(lambda: bool(stage.fetch(IS_ASLEEP)), "the step is at work")
    process.kill()
    process.join()
    assert "090" not in stage.list_revisions()
    stage.conn.execute("drop event trigger slow")

    assert stage.advance().reports[0].verdict.gate == "seam"

    assert stage.list_steps()[-1] == "up 090"
    assert stage.list_steps().count("up 090") == 1


def test_orphan_of_a_drill_is_lifted_and_no_other_stop(make_stage: MakeStage) -> None:
    """
    P8: what a killed drill had stopped is lifted by the next advance.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute("select iu_gates.fn_stop(null, 'drill', 'died')")

    report = stage.advance().reports[0]

    assert "lifted what an interrupted drill had stopped" in report.did[0]
    assert stage.status().stops == ()


def test_two_at_once_one_works_the_other_names_it(make_stage: MakeStage) -> None:
    """
    The second of two walks waits a moment, then exits 6 and names who holds the lock.
    """
    stage = make_stage(State.DRY)
    with site.walk_lock(stage.settings, "advance"):
        with pytest.raises(LockHeldError) as raised:
            stage.advance()
        assert raised.value.exit_code == 6
        assert "iu-gates advance (lock)" in (raised.value.found or "")
        assert "090" not in stage.list_revisions()

    assert stage.advance().reports[0].verdict.gate == "seam"


def test_many_at_once_apply_each_step_once(make_stage: MakeStage) -> None:
    """
    Four walks begun together: each step is in the ledger once, and the chain holds.
    """
    stage = make_stage(State.DRY)
    barrier = threading.Barrier(4)

    def go() -> str:
        barrier.wait()
        try:
            return f"{len(advance.advance(stage.settings, to='check_relaxed').reports)}"
        except LockHeldError:
            return "held"

    with (
        in_background(go) as one,
        in_background(go) as two,
        in_background(go) as three,
        in_background(go) as four,
    ):
        said = sorted(f.result() for f in (one, two, three, four))

    assert "2" in said
    assert set(said) <= {"0", "2", "held"}
    assert stage.list_steps()[-2:] == ["up 090", "up 100"]
    assert ledger.verify(stage.settings) == []


def test_step_that_cannot_have_its_lock_names_who_holds_it(make_stage: MakeStage) -> None:
    """
    T38: an open writer of the host holds up revision 060.

    It is named, the step gives up within `lock_wait` (exit 6) with no part of it done, and the
    host was never queued for long.
    """
    stage = make_stage(lock_wait="1 s")
    stage.walk("backup")
    said: list[str] = []
    with psycopg.connect(stage.database.conninfo, application_name="a nightly import") as writer:
        writer.execute("insert into public.unit_version (unit, version_seq) values ('u', 1)")

        with pytest.raises(LockHeldError) as raised:
            advance.advance(stage.settings, notify=lambda _, text: said.append(text))

        assert raised.value.exit_code == 6
        assert f"pid {writer.info.backend_pid}" in (raised.value.found or "")
        assert "a nightly import" in (raised.value.found or "")
        assert stage.list_revisions() == ("008", "009")
        assert any("waits for a lock: pid" in text for text in said)
    assert "iu_unit_version_capture" not in str(stage.fetch("select tgname from pg_trigger"))

    assert stage.advance().reports[0].verdict.gate == "substrate"


def test_step_is_made_as_soon_as_the_lock_is_free(make_stage: MakeStage) -> None:
    """
    T38: a step that waits for a host's transaction goes on in the same call once that has ended.
    """
    stage = make_stage()
    stage.walk("backup")
    writer = psycopg.connect(stage.database.conninfo)
    writer.execute("insert into public.unit_version (unit, version_seq) values ('u', 1)")

    def notify(_gate: str, text: str) -> None:
        if "waits for a lock" in text:
            writer.close()

    result = advance.advance(stage.settings, notify=notify)

    assert result.reports[0].verdict.gate == "substrate"
    assert writer.closed


def test_disable_stops_a_running_advance(make_stage: MakeStage) -> None:
    """
    P5, T27: a stop that came after the walk began is not lifted by it.

    The walk ends with exit 3 and applies no further step.
    """
    stage = make_stage(State.DRY)

    def notify(_gate: str, text: str) -> None:
        if text.startswith("applies 100"):
            disable.disable(stage.settings, reason="a test, in the middle")

    with pytest.raises(GateError) as raised:
        advance.advance(stage.settings, to="live", notify=notify)

    assert raised.value.ident == "IUG-038"
    assert "in the middle" in raised.value.summary
    assert stage.list_revisions() == ("008", "009", "060", "090")
    assert [s.kind for s in stage.status().stops] == ["disable"]
    assert {r.mode for r in stage.status().routes} == {"hold"}


@pytest.mark.parametrize(
    ("state", "revision"),
    [(State.SUBSTRATE, "080"), (State.DRY, "090"), (State.RELAXED, "081"), (State.CANARY, "082")],
)
def test_stop_right_before_a_step_is_not_lifted_by_it(
    make_stage: MakeStage, state: State, revision: str
) -> None:
    """
    P5, T27: the step compares, in its own transaction, with the stops seen when the walk began.
    """
    stage = make_stage(state)
    if state is State.SUBSTRATE:
        pass_gates(stage.database.conninfo)
    stop = "select iu_gates.fn_stop(null, 'disable', 'right before')"

    def notify(_gate: str, text: str) -> None:
        if text.startswith(f"applies {revision}"):
            stage.conn.execute(stop)

    with stage.host(), stage.worker(), pytest.raises(GateError, match="right before") as raised:
        advance.advance(stage.settings, notify=notify)

    assert raised.value.ident == "IUG-038"
    assert revision not in stage.list_revisions()
    assert [s.reason for s in stage.status().stops] == ["right before"]


def test_disable_in_the_drill_before_live_keeps_it_off(make_stage: MakeStage) -> None:
    """
    P5, T27: the drill lifts its own stop and no other, and no 082 follows.
    """
    stage = make_stage(State.CANARY)
    stage.write("first", 1, 2)

    def notify(_gate: str, text: str) -> None:
        if text.startswith("drill of the gate"):
            disable.disable(stage.settings, reason="in the drill")

    with played(stage), pytest.raises(GateError):
        advance.advance(stage.settings, to="live", notify=notify)

    assert "082" not in stage.list_revisions()
    assert [s.reason for s in stage.status().stops] == ["in the drill"]
    assert {r.mode for r in stage.status().routes} == {"hold"}


def test_copy_is_refused(make_stage: MakeStage, servers: Servers, major: int) -> None:
    """
    P9, T22, T42: a TEMPLATE clone has the same cluster and key, and is told by its oid.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute("update iu_gates.installation set database_oid = 1")

    with pytest.raises(RefusedError, match="it is a copy") as raised:
        stage.advance()

    assert (raised.value.ident, raised.value.exit_code) == ("IUG-041", 4)
    assert stage.list_steps()[-1] == "up 080"


def test_other_site_key_is_refused(make_stage: MakeStage) -> None:
    """
    T42: a database is walked from its own site only.
    """
    stage = make_stage(State.DRY)
    Path(stage.values["site_key_file"]).write_text("another")

    with pytest.raises(RefusedError, match="belongs to another site") as raised:
        stage.advance()

    assert raised.value.ident == "IUG-041"


def test_installation_without_a_key_gets_one(make_stage: MakeStage) -> None:
    """
    Where plain Alembic made the control schema, `advance` makes the site key that workers need.
    """
    stage = make_stage(State.SUBSTRATE)
    stage.conn.execute("update iu_gates.installation set site_key_sha256 = null")
    Path(stage.values["site_key_file"]).unlink()

    stage.advance()

    assert Path(stage.values["site_key_file"]).stat().st_mode & 0o777 == 0o600
    assert site.has_key(stage.conn)


def test_no_ddl_without_pg_dump(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    Without pg_dump no backup is taken and no DDL step runs.
    """
    stage = make_stage(State.DRY, bin_dir=str(tmp_path / "nothing"))
    (tmp_path / "nothing").mkdir()

    with pytest.raises(IuGatesError) as raised:
        stage.advance()

    assert raised.value.exit_code == 3
    assert raised.value.next_command
    assert "090" not in stage.list_revisions()


@pytest.mark.parametrize("damage", ["removed", "flipped"])
def test_no_ddl_on_a_backup_that_is_not_what_it_was(make_stage: MakeStage, damage: str) -> None:
    """
    The archive that the ledger names, removed or.

    With one byte flipped, stops the next DDL step with the command that mends it; it is never
    quietly replaced.
    """
    stage = make_stage()
    stage.walk("backup")
    archive = next(Path(stage.values["backup_dir"]).glob("*.dump"))
    if damage == "removed":
        archive.unlink()
    else:
        content = bytearray(archive.read_bytes())
        content[len(content) // 2] ^= 1
        archive.write_bytes(content)
    before = stage.list_kinds().count("step")

    with pytest.raises(GateError) as raised:
        stage.advance()

    assert raised.value.exit_code == 3
    assert raised.value.next_command == "iu-gates backup create && iu-gates advance"
    assert stage.list_kinds().count("step") == before == 0
    backups.create_backup(stage.settings)
    assert stage.advance().reports[0].verdict.gate == "substrate"


@pytest.mark.long
def test_backup_that_ran_out_is_renewed(make_stage: MakeStage) -> None:
    """
    A backup older than its limit is no fault of anybody: the step takes another.
    """
    stage = make_stage(backup_max_age="8 s")
    stage.walk("backup")
    wait_until(lambda: not stage_backup_counts(stage), "the backup is too old")

    report = stage.advance().reports[0]

    assert any("read back whole" in d for d in report.did)
    assert len(list(Path(stage.values["backup_dir"]).glob("*.dump"))) >= 2


def stage_backup_counts(stage: Stage) -> bool:
    """Tell whether the backup's verdict is in force by the database's own word."""
    return bool(stage.fetch_value("select iu_gates.fn_not_in_force('backup') is null"))


def test_backup_from_before_an_earlier_gates_step_does_not_count(make_stage: MakeStage) -> None:
    """
    T39: 100 needs a snapshot that holds 090, so each gate with DDL takes its own backup.

    One that was resumed keeps the one it has.
    """
    stage = make_stage(State.DRY)

    seam, relaxed = stage.advance().reports[0], stage.advance().reports[0]

    assert sum("read back whole" in d for d in seam.did) == 1
    assert sum("read back whole" in d for d in relaxed.did) == 1
    taken = ledger.list_entries(stage.settings, kind="backup")
    up = {e.subject: e.seq for e in ledger.list_entries(stage.settings, kind="step")}
    assert taken[-1].facts["snapshot_seq"] >= up["090"]
