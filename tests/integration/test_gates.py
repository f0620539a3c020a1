"""Each gate on a real database: what it refuses, what it waits for, what it says is next."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from iu_gates import advance, approvals, disable, ledger
from iu_gates.errors import AS_ANOTHER, GateError
from tests.support.engine import wait_until
from tests.support.play import WAIVER, MakeStage, Stage
from tests.support.walk import State

NO_EVIDENCE = "select iu_gates.fn_void(array['dry_run', 'disable_proven', 'approval'], 'a test')"

NO_NUMBER = """
alter table public.unit_version drop constraint unit_version_version_seq_chk;
alter table public.unit_version alter version_seq type text;
"""
READ_ONLY = """
do $$ begin
    execute format('alter database %I set default_transaction_read_only = on', current_database());
end $$
"""


def refuse(stage: Stage, to: str | None = None) -> GateError:
    """Advance, and return why it was refused."""
    with pytest.raises(GateError) as raised:
        stage.advance(to)
    assert raised.value.exit_code == 3
    return raised.value


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("drop table public.event_outbox", "table public.event_outbox"),
        ("alter table public.unit_version rename version_seq to n", "version_seq"),
        (NO_NUMBER, "type text"),
        (
            "alter table public.event_outbox drop constraint event_outbox_idempotency_key_key",
            "idempotency_key",
        ),
        ("alter table public.event_outbox add tenant text not null", "tenant"),
        (READ_ONLY, "writable"),
    ],
)
def test_host_is_judged_before_anything_is_written(
    make_stage: MakeStage, change: str, named: str
) -> None:
    """
    T33: a host that does not meet the contract is refused with what to do.

    And no schema, no role and no site key is made.
    """
    stage = make_stage()
    stage.conn.execute(change)

    error = refuse(stage)

    assert named in f"{error.summary} {error.found}"
    assert error.next_command
    assert stage.fetch_value("select to_regnamespace('iu_gates') is null")
    assert stage.fetch_value("select to_regnamespace('iu_core') is null")
    assert not Path(stage.values["site_key_file"]).exists()


def test_first_pass_of_host_is_the_first_verdict(make_stage: MakeStage) -> None:
    """
    T33: the ledger begins with the control schema as it was made, and the verdict on the host.
    """
    stage = make_stage()
    stage.advance()
    *control, entry = ledger.list_entries(stage.settings)
    assert {e.kind for e in control} == {"control"}
    assert (entry.kind, entry.subject) == ("verdict", "host")
    assert entry.facts["outcome"] == "pass"


def test_host_is_judged_again_later(make_stage: MakeStage) -> None:
    """
    A host that changed on the way stops the way, and the refusal is in the ledger, once.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute("alter table public.event_outbox add tenant text not null")

    refuse(stage)
    refuse(stage)

    verdicts = ledger.list_entries(stage.settings, kind="verdict")
    assert [e.facts["outcome"] for e in verdicts if e.subject == "host"][-2:] == ["pass", "fail"]
    assert "090" not in stage.list_revisions()


def test_invocation_must_be_chosen_approved_and_seen(make_stage: MakeStage) -> None:
    """
    The gate "invocation" asks for a choice, another login's approval.

    And a heartbeat of a worker that is run in that way.
    """
    stage = make_stage(invocation=None)
    stage.walk("substrate")
    assert refuse(stage).facts["verdict"]["findings"][0]["name"] == "choice"
    stage.values["invocation"] = "cron"
    assert refuse(stage).next_command == f"iu-gates approve {AS_ANOTHER}"
    stage.approve()
    stage.values["invocation"] = "manual"
    with stage.worker():
        wait_until(lambda: bool(stage.status().workers), "a heartbeat")
    stage.values["invocation"] = "cron"

    assert refuse(stage).summary.startswith('gate "invocation" is not satisfied: heartbeat')

    with stage.worker():
        wait_until(lambda: len(stage.status().workers) == 2, "a heartbeat of cron")
    assert stage.advance().reports[0].verdict.gate == "invocation"


def test_rejection_stops_the_gate(make_stage: MakeStage) -> None:
    """
    One login that rejects outweighs those that approve, until it says otherwise.
    """
    stage = make_stage()
    stage.walk("substrate")
    refuse(stage)
    stage.approve()
    settings = stage.make_settings_of("iu_gates_approver")
    digest = approvals.require_pending(settings).digest
    approvals.vote(settings, digest, "reject", "not this way")

    assert "rejected by" in (refuse(stage).found or "")

    approvals.vote(settings, digest, "approve", "so be it")
    assert "heartbeat" in refuse(stage).summary


def test_dry_run_waits_for_organic_evidence(make_stage: MakeStage) -> None:
    """
    T43: the gate opens the worker gate, and waits: for changes of the host, and for a worker.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute(NO_EVIDENCE)

    error = refuse(stage)

    assert error.means == "it waits for this"
    assert "0 of 0 events captured" in error.summary
    stage.write("unit", 1, 2, 3, 4)
    assert "0 of 3 events captured" in refuse(stage).summary
    with stage.worker():
        assert stage.advance().reports[0].verdict.gate == "dry_run"


def test_dry_run_does_not_pass_on_a_faulty_audit(make_stage: MakeStage) -> None:
    """
    T1: a change that capture missed is a fault that no waiting mends.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute(NO_EVIDENCE)
    stage.write("unit", *range(1, 6))
    stage.conn.execute("alter table public.unit_version disable trigger iu_unit_version_capture")
    stage.write("unit", 6)
    stage.conn.execute(
        "alter table public.unit_version enable always trigger iu_unit_version_capture"
    )
    with stage.worker():
        wait_until(lambda: stage.count("dry_run") == 4, "attempts")

    error = refuse(stage)

    assert "host rows without an event: 1: unit version 6" in error.summary
    assert error.means != "it waits for this"


def test_dry_run_stands_after_it_was_taken_back(make_stage: MakeStage) -> None:
    """
    T28: a verdict in force is not asked for a second time when only 080 has to be applied again.
    """
    stage = make_stage(State.DRY)
    disable.disable(stage.settings)

    report = stage.advance().reports[0]

    assert report.verdict.gate == "dry_run"
    assert "stands, ledger entry" in report.verdict.findings[0].found


def test_drift_blocks_and_names_the_object(make_stage: MakeStage) -> None:
    """
    T31: a function edited by hand is named, and no step is made until it is as it was left.
    """
    stage = make_stage(State.DRY)
    ((body,),) = stage.fetch(
        "select pg_get_functiondef('iu_core.fn_iu_route_resolve(text, text, jsonb)'::regprocedure)"
    )
    stage.conn.execute("alter function iu_core.fn_iu_route_resolve(text, text, jsonb) cost 7")

    error = refuse(stage)

    assert "fn_iu_route_resolve(text,text,jsonb): changed" in error.summary
    assert "fn_iu_route_resolve(text,text,jsonb): changed" in str(stage.status().drift)
    assert "090" not in stage.list_revisions()
    stage.conn.execute(body)
    assert stage.advance().reports[0].verdict.gate == "substrate"


def test_drill_without_load_does_not_pass(make_stage: MakeStage) -> None:
    """
    T43: a switch that nobody leaned on is not proven: no batch before, or no event during.
    """
    stage = make_stage(State.RELAXED, drill_wait="0.3 s")
    stage.conn.execute(NO_EVIDENCE)
    stage.conn.execute("select iu_gates.fn_void(array['disable_proven'], 'a test')")
    stage.write("unit", *range(1, 6))
    with stage.worker():
        wait_until(lambda: stage.count("dry_run") == 4, "attempts")
        stage.advance("dry_run")

        error = refuse(stage)

    assert "disable_proven" in error.summary
    legs = {f["name"]: f["found"] for f in error.facts["verdict"]["findings"]}
    assert legs["route off and on again"] == "no load: no batch before"
    assert legs["gate off and on again"] == "not walked"
    assert stage.status().stops == ()


def test_rehearsal_can_be_waived_by_name(make_stage: MakeStage) -> None:
    """
    Who waives it, why and until when are in the ledger; nothing is rehearsed, and it runs out.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute("select iu_gates.fn_void(array['rehearsal'], 'a test')")

    report = stage.advance().reports[0]

    assert (report.verdict.gate, report.verdict.outcome) == ("rehearsal", "waived")
    entry = ledger.list_entries(stage.settings, kind="verdict")[-1]
    assert entry.facts["facts"]["waiver"]["who"] == "a test"
    assert entry.facts["facts"]["waiver"]["why"] == "for speed"
    assert entry.facts["expires_at"].startswith("2100-01-01")
    assert ledger.list_entries(stage.settings, kind="rehearsal") == []


def test_waiver_that_ran_out_is_none(make_stage: MakeStage) -> None:
    """
    A rehearsal that failed stands as it is once its waiver has run out.
    """
    stage = make_stage(State.RELAXED, waivers=[{**WAIVER, "until": "2020-01-01"}])
    stage.conn.execute("select iu_gates.fn_void(array['rehearsal'], 'a test')")
    forbid = "alter table public.event_outbox add constraint forbidden check (false) not valid"
    stage.conn.execute(forbid)

    error = refuse(stage)

    assert error.summary.startswith('gate "rehearsal" is not satisfied: rehearsal: ledger entry')


def test_canary_settles_in_one_call(make_stage: MakeStage) -> None:
    """
    T29, T43: with a worker and a change in the host, one call goes live.

    With a quota of one, waits for the delivery, presents the event again, and passes; the rest is
    held.
    """
    stage = make_stage(State.RELAXED)
    with stage.host(), stage.worker():
        report = stage.advance().reports[0]
        wait_until(lambda: stage.status().routes[0].counts["held"] > 3, "the rest is held")

    assert report.verdict.gate == "canary"
    assert any("again: duplicate" in d for d in report.did)
    assert stage.count("sent") == 1
    assert stage.fetch_value("select count(*) from public.event_outbox") == 1


def test_canary_waits_for_a_worker(make_stage: MakeStage) -> None:
    """
    Without a worker nothing is delivered: exit 3, it waits, and the command is named.
    """
    stage = make_stage(State.RELAXED)

    error = refuse(stage)

    assert error.means == "it waits for this"
    assert (error.next_command or "").startswith("iu-gates worker run")
    assert stage.list_revisions()[-1] == "081"


def test_live_needs_the_second_drill(make_stage: MakeStage) -> None:
    """
    Without load in the second drill the quota is not lifted.
    """
    stage = make_stage(State.CANARY, drill_wait="0.3 s")

    error = refuse(stage)

    assert "082" not in stage.list_revisions()
    assert error.facts["verdict"]["gate"] in ("canary", "live")


def test_standby_writes_nothing(make_stage: MakeStage) -> None:
    """
    An installed database that turned read-only is refused by the host's judge, not by an error.
    """
    stage = make_stage(State.DRY)
    name = stage.database.name
    stage.conn.execute(f"alter database {name} set default_transaction_read_only = on")
    seq = ledger.fetch_head(stage.settings)

    error = refuse(stage)

    assert "writable" in error.summary
    assert ledger.fetch_head(stage.settings) == seq


def test_notify_says_what_it_is_at(make_stage: MakeStage) -> None:
    """
    Each gate's turn and each slow thing in it is told while it happens.
    """
    stage = make_stage(State.DRY)
    said: list[tuple[str, str]] = []
    advance.advance(stage.settings, notify=lambda gate, text: said.append((gate, text)))
    assert said[0] == ("seam", "begins")
    assert ("seam", "takes a backup and reads it back whole") in said
    assert ("seam", "applies 090: the delivery seam") in said


def test_login_without_rights_is_told_the_grant(make_stage: MakeStage) -> None:
    """
    A login that does not own the host's table is told what to grant; nothing is written.
    """
    stage = make_stage()
    settings = stage.make_settings_of()
    with pytest.raises(GateError) as raised:
        advance.advance(settings)
    assert "right to make schemas" in raised.value.summary
    assert "grant create" in (raised.value.next_command or "")
    with psycopg.connect(stage.database.conninfo) as conn:
        assert conn.execute("select to_regnamespace('iu_gates')").fetchone() == (None,)
