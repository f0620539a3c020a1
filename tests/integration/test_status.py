"""`status` and `plan`: true in every state, for every login, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from iu_gates import disable, doctor, growth, ledger, plan, render
from iu_gates.errors import UnreachableError, UsageError
from iu_gates.model import GATES
from iu_gates.status import fetch_status
from tests.support.engine import drain, wait_until, write_bulk
from tests.support.play import MakeStage
from tests.support.walk import State


@pytest.mark.parametrize(
    ("state", "mode", "gate", "next_gate"),
    [
        (State.SUBSTRATE, "hold", "false", "host"),
        (State.DRY, "dry", "true", "seam"),
        (State.SEAM, "dry", "true", "check_relaxed"),
        (State.RELAXED, "dry", "true", "canary"),
        (State.CANARY, "live", "true", "live"),
        (State.LIVE, "live", "true", None),
    ],
)
def test_facts_are_right(
    make_stage: MakeStage, state: State, mode: str, gate: str, next_gate: str | None
) -> None:
    """
    Revisions, the worker gate, what a worker does with the route, and what is next.
    """
    stage = make_stage(state)

    seen = stage.status()

    assert seen.installed
    assert seen.worker_gate == gate
    assert [r.mode for r in seen.routes] == [mode]
    function = "select iu_core.fn_iu_route_mode(route_name) from iu_core.iu_outbound_route"
    assert stage.fetch_value(function) == mode
    assert seen.routes[0].quota == (1 if state is State.CANARY else None)
    assert seen.next_gate == next_gate
    assert seen.next_command == ("iu-gates advance" if next_gate else "")
    assert (seen.disagreements, seen.drift, seen.stops) == ((), (), ())
    assert tuple(g.gate for g in seen.gates) == GATES
    assert (seen.ledger_seq, seen.ledger_hash) == ledger.fetch_head(stage.settings)


def test_counts_are_right(make_stage: MakeStage) -> None:
    """
    Each event is counted where it stands: dry, sent, waiting; the worker is named.
    """
    stage = make_stage(State.CANARY)
    stage.write("unit", *range(1, 5))
    with stage.worker():
        wait_until(lambda: stage.count("held") == 2, "attempts")
        wait_until(lambda: bool(stage.status().workers), "a heartbeat")
    stage.write("unit", 5)

    counts = stage.status().routes[0].counts

    assert counts == {
        "captured": 4,
        "dry_run": 0,
        "held": 2,
        "sent": 1,
        "duplicate": 0,
        "parked": 0,
        "dead": 0,
        "waiting": 1,
    }
    assert stage.status().workers[0].invocation == "manual"


def test_without_an_installation_nothing_is_written(make_stage: MakeStage) -> None:
    """
    A plain database is told as such, with the command that begins.
    """
    stage = make_stage("empty")
    seen = stage.status()
    assert not seen.installed
    assert (seen.next_gate, seen.next_command) == ("host", "iu-gates advance")
    assert stage.fetch_value("select to_regnamespace('iu_gates') is null")


def test_auditor_sees_what_the_owner_sees(make_stage: MakeStage) -> None:
    """
    A login with nothing but `iu_gates_auditor` can read the whole status.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)

    seen = fetch_status(stage.make_settings_of("iu_gates_auditor"))

    mine = stage.status()
    assert (seen.routes, seen.gates, seen.revisions) == (mine.routes, mine.gates, mine.revisions)
    assert seen.drift == ()


def test_drift_is_named(make_stage: MakeStage) -> None:
    """
    A hand-edited function is drift, takes "substrate" out of force, and comes next.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute("alter function iu_core.fn_iu_capture() cost 7")

    seen = stage.status()

    assert "fn_iu_capture(): changed" in str(seen.drift)
    assert seen.next_gate == "substrate"
    assert "fn_iu_capture" in str(seen.blocks)


def test_waiver_is_shown(make_stage: MakeStage) -> None:
    """
    A waived gate is in force as "waived", and who, why and until when are in the ledger.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute("select iu_gates.fn_void(array['rehearsal'], 'a test')")
    stage.advance()
    gate = next(g for g in stage.status().gates if g.gate == "rehearsal")
    assert (gate.outcome, gate.in_force) == ("waived", True)


def test_switch_that_disagrees_with_the_lane_is_told(make_stage: MakeStage) -> None:
    """
    The switches are the truth: where a revision says otherwise, status says so.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute("update iu_core.iu_runtime_gate set gate_value = 'false'")
    stage.conn.execute("update iu_core.iu_outbound_route set dry_run = true")
    assert stage.status().disagreements == (
        "the worker gate is false, the runtime lane has 080",
        "iu.version_applied.workflow is dry, the runtime lane has 081",
    )


def test_disabled_is_told(make_stage: MakeStage) -> None:
    """
    P5: after `disable` the stop stands with who and why, and the way on is `advance`.
    """
    stage = make_stage(State.LIVE)
    disable.disable(stage.settings, reason="a fire")
    seen = stage.status()
    assert [(s.kind, s.reason, s.by) for s in seen.stops] == [("disable", "a fire", "postgres")]
    assert (seen.next_gate, seen.next_command) == ("dry_run", "iu-gates advance")
    assert seen.blocks == ("dry_run: revision 080 is not applied",)


def test_copy_is_told(make_stage: MakeStage) -> None:
    """
    T22: in a copy the only next command is `rebase`.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute("update iu_gates.installation set database_oid = 1")
    seen = stage.status()
    assert seen.next_command == "iu-gates rebase"
    assert "it is a copy" in seen.blocks[0]


def test_plan_shows_the_steps_ahead(make_stage: MakeStage) -> None:
    """
    Each step ahead with its gate and its SQL under the host's names; nothing is changed.
    """
    stage = make_stage(State.DRY)
    ahead = plan.make_plan(stage.settings)
    assert [(s.revision, s.gate) for s in ahead.steps] == [
        ("090", "seam"),
        ("100", "check_relaxed"),
        ("081", "canary"),
        ("082", "live"),
    ]
    assert [s.needs_backup for s in ahead.steps] == [True, True, False, False]
    assert "iu_outbound_route_live_approved_chk" in ahead.steps[1].sql
    assert ahead.digest is not None


def test_plan_works_before_anything_is_there(make_stage: MakeStage) -> None:
    """
    On a database with the host's tables alone the whole way is shown.
    """
    stage = make_stage()
    ahead = plan.make_plan(stage.settings)
    assert len(ahead.steps) == 8
    assert any("SHARE ROW EXCLUSIVE" in lock for s in ahead.steps for lock in s.locks)
    assert stage.fetch_value("select to_regnamespace('iu_gates') is null")


def test_doctor_is_well(make_stage: MakeStage) -> None:
    """
    On a sound installation every check passes; a missing tool and a broken chain are named.
    """
    stage = make_stage(State.LIVE)
    assert [c.name for c in doctor.doctor(stage.settings).checks if not c.passed] == []
    stage.conn.execute("alter table iu_gates.ledger disable trigger all")
    stage.conn.execute("update iu_gates.ledger set actor = 'somebody' where seq = 2")
    broken = doctor.doctor(stage.with_settings(bin_dir=str(Path(__file__).parent))).checks
    assert {"ledger", "pg_dump"} <= {c.name for c in broken if not c.passed}


@pytest.mark.parametrize(
    ("url", "kind", "exit_code"),
    [
        ("nonsense", UsageError, 2),
        ("postgresql://postgres@localhost:1/db", UnreachableError, 5),
        ("postgresql://postgres:geheim@no-such-host.invalid/db", UnreachableError, 5),
    ],
)
def test_url_that_leads_nowhere(
    make_stage: MakeStage, url: str, kind: type[Exception], exit_code: int
) -> None:
    """
    Each way to be wrong has its own message and exit code, and no password in it.
    """
    stage = make_stage("empty")
    with pytest.raises(kind) as raised:
        fetch_status(stage.with_settings(database_url=url))
    assert raised.value.exit_code == exit_code  # type: ignore[attr-defined]
    assert "geheim" not in str(raised.value.as_dict())  # type: ignore[attr-defined]


def test_database_and_login_that_are_not_there(make_stage: MakeStage) -> None:
    """
    No such database and no such login are told from no server.
    """
    stage = make_stage("empty")
    for url in (stage.database.server.conninfo("nowhere"), stage.database.conninfo_as("nobody")):
        with pytest.raises(UnreachableError) as raised:
            fetch_status(stage.with_settings(database_url=url))
        assert raised.value.ident == "IUG-052"


def test_long_history_is_estimated_and_said_to_be(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    P12: what is captured and sent is about; what waits, is parked or dead is counted.
    """
    stage = make_stage(State.LIVE)
    write_bulk(stage.conn, "unit", 2, 6001)
    drain(stage.conn)
    write_bulk(stage.conn, "unit", 6002, 6011)
    exact = stage.status()
    monkeypatch.setattr(growth, "FEW_PAGES", 10)
    monkeypatch.setattr(growth, "SHARE_PAGES", 60)
    about = stage.status()

    assert (exact.routes[0].is_about, about.routes[0].is_about) == (False, True)
    assert exact.routes[0].counts["waiting"] == about.routes[0].counts["waiting"] == 10
    for name in ("captured", "sent"):
        assert about.routes[0].counts[name] == pytest.approx(exact.routes[0].counts[name], rel=0.2)
    assert about.history is not None
    assert exact.history is not None
    assert about.history.oldest == exact.history.oldest
    page = str(render.status(about))
    assert "about" in page
    assert "about" not in str(render.status(exact))


@pytest.mark.parametrize("state", [State.CANARY, State.LIVE])
def test_estimate_counts_as_the_count_does(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    """
    With every page looked at, held, parked, dead, waiting and the rest are those of the count.
    """
    stage = make_stage(state)
    stage.conn.execute("update iu_core.iu_outbound_route set max_tries = 1")
    stage.conn.execute(
        "create function public.fn_hook() returns trigger language plpgsql as $$"
        " begin if new.subject = 'bad' then raise 'no'; end if; return new; end $$;"
        " create trigger hook before insert on public.event_outbox"
        " for each row execute function public.fn_hook()"
    )
    for subject in ("good", "bad", "good 2"):
        stage.write(subject, 1, 2, 3)
        drain(stage.conn)
    stage.write("late", 1, 2)
    exact = stage.status().routes
    monkeypatch.setattr(growth, "FEW_PAGES", 0)
    about = stage.status().routes

    assert about[0].is_about
    assert [r.counts for r in about] == [r.counts for r in exact]
