"""A further route goes live through gates of its own, and back; no verdict of one is another's."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg
import pytest

from iu_gates import advance, approvals, disable, ledger, rollback, routes, site, worker
from iu_gates.advance.further import FurtherDeeds
from iu_gates.cli.main import main
from iu_gates.errors import GateError, IuGatesError, RefusedError, UsageError
from iu_gates.model import AdvanceResult, RouteState
from iu_gates.plan import make_plan
from tests.support.play import MakeStage, Stage
from tests.support.walk import ROUTE, SITE_KEY, State

OWN = ["dry_run", "seam", "approval", "canary", "live"]
SECONDS = 30
EASY = {"dry_run_min_events": 1, "dry_run_min_span": "0 s"}


@pytest.fixture(autouse=True)
def _short_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs beside these walks: there is nobody to give a moment to."""
    monkeypatch.setattr("iu_gates.advance.walk.SETTLE_SECONDS", 0.2)


@pytest.fixture
def live(make_stage: MakeStage) -> Stage:
    """Give a stage with the first route live."""
    return make_stage(State.LIVE, **EASY)


@pytest.fixture
def relaxed(make_stage: MakeStage) -> Stage:
    """Give a stage with the first route dry, at 100, its gates passed up to the approval."""
    return make_stage(State.RELAXED, **EASY)


def add(stage: Stage, name: str = "second", kind: str = "workflow", **options: object) -> str:
    """Add a route and switch it on, dry; return its name."""
    values = {"event_type": "iu.version_applied", "event_filter": None, **options}
    ref = "notices" if kind == "notify" else None
    new = routes.NewRoute(name, target_kind=kind, target_ref=ref, policy={}, **values)  # type: ignore[arg-type]
    routes.add(stage.settings, new)
    routes.enable(stage.settings, name)
    return name


def go(stage: Stage, to: str | None = None, name: str = "second") -> AdvanceResult:
    """Advance the route once."""
    return advance.advance(stage.settings, to=to, route=name)


def refused(stage: Stage, to: str | None = None, name: str = "second") -> IuGatesError:
    """Advance the route, and return why that was refused."""
    with pytest.raises(IuGatesError) as raised:
        go(stage, to, name)
    return raised.value


def work(stage: Stage) -> None:
    """Let a worker do all that there is."""
    worker.run(stage.settings, once=True)


def walk(stage: Stage, name: str = "second", to: str = "live") -> list[str]:
    """Advance the route until `to` is passed, writing, working and approving; return the gates."""
    deadline = time.monotonic() + SECONDS
    passed: list[str] = []
    number = int(stage.fetch_value("select count(*) from public.unit_version")) + 2
    while True:
        stage.write(f"unit {name}", number)
        number += 1
        work(stage)
        try:
            result = go(stage, to, name)
        except GateError as error:
            if time.monotonic() > deadline:
                pytest.fail(f"waited {SECONDS} s for {to}: {error.summary}; {error.facts}")
            stage.mend(error)
            passed.extend(error.facts.get("passed", ()))
        else:
            return [*passed, *(r.verdict.gate for r in result.reports)]


def look(stage: Stage, name: str = "second") -> RouteState:
    """Return the route as `status` shows it."""
    return next(r for r in stage.status().routes if r.name == name)


def list_in_force(stage: Stage, name: str = "second") -> list[str]:
    """Return which of the route's own gates are in force."""
    return [state.gate for state in look(stage, name).gates if state.in_force]


def list_attempts(stage: Stage, name: str = "second") -> list[str]:
    """Return "version: status" of each attempt on the route, in order."""
    rows = stage.fetch(
        "select e.version_seq || ': ' || a.status from iu_core.iu_route_attempt as a"
        " join iu_core.iu_event as e using (event_id)"
        " where a.route_name = %s order by a.attempt_id",
        name,
    )
    return [text for (text,) in rows]


@pytest.mark.parametrize("kind", ["workflow", "notify"])
def test_whole_way_while_the_first_is_live(live: Stage, kind: str) -> None:
    """
    P2, P6: dry, canary, live: each gate once; what was dry is done, what was held is delivered.
    """
    add(live, kind=kind, event_filter={"subject": "u"} if kind == "notify" else None)
    live.write("u", 1, 2, 3)
    work(live)
    assert list_attempts(live) == ["2: dry_run", "3: dry_run"]
    with pytest.raises(GateError, match="approvals"):
        go(live, "live")
    assert live.approve() == "second/package"
    error = refused(live, "live")
    assert 'gate "canary" of second' in error.summary
    live.write("u", 4, 5)
    work(live)
    assert (look(live).mode, look(live).quota) == ("held", 0)
    assert [r.verdict.gate for r in go(live, "live").reports] == ["canary", "live"]
    work(live)

    tried = ["2: dry_run", "3: dry_run", "4: sent", "5: held", "5: sent"]
    assert list_attempts(live) == tried
    assert list_in_force(live) == OWN
    assert (look(live).mode, look(live).next_gate) == ("live", None)
    assert go(live).reports == ()
    assert live.status().next_command == ""
    assert live.fetch_value(
        "select count(*) from public.event_outbox where idempotency_key like 'second:%%'"
    ) == (2 if kind == "workflow" else 0)


def test_whole_way_while_the_first_is_dry(relaxed: Stage) -> None:
    """
    The first route need not be live: what takes it live says nothing about another.
    """
    add(relaxed)
    assert walk(relaxed) == OWN
    assert look(relaxed).mode == "live"
    assert look(relaxed, ROUTE).mode == "dry"
    assert relaxed.status().next_gate == "canary"
    assert relaxed.list_revisions()[-1] == "100"


def test_event_type_and_filter_of_its_own(live: Stage) -> None:
    """
    The proof makes an event that the route takes, and leaves nothing behind.
    """
    add(
        live, event_type="orders.made", event_filter={"subject": "it's", "payload": {"a": {"b": 1}}}
    )
    live.conn.execute(
        "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
        """ select s.system_identifier, 'orders.made', 'it''s', 2, '{"a": {"b": 1}}'"""
        " from pg_control_system() as s"
    )
    work(live)
    assert [r.verdict.gate for r in (*go(live).reports, *go(live).reports)] == ["dry_run", "seam"]
    assert live.fetch_value("select count(*) from iu_core.iu_event") == 1
    (proof,) = ledger.list_entries(live.settings, kind="proof")
    assert (proof.subject, proof.facts["passed"]) == ("second", True)


def test_refused_before_the_shared_gates(make_stage: MakeStage) -> None:
    """
    P10: before the CHECK has given way nothing is walked, and the first route's command is named.
    """
    stage = make_stage(State.SEAM, **EASY)
    add(stage)
    before = stage.list_kinds()
    error = refused(stage)
    assert (error.ident, error.exit_code, error.next_command) == ("IUG-126", 3, "iu-gates advance")
    assert "check_relaxed" in str(error.found)
    assert [*before, "refusal"] == stage.list_kinds()


@pytest.mark.parametrize("what", ["void", "stop", "drift"])
def test_refused_where_what_is_shared_does_not_count(live: Stage, what: str) -> None:
    """
    A shared verdict that was voided, a stop of everything, drift: no route goes on.
    """
    add(live)
    statement, follows = {
        "void": ("select iu_gates.fn_void(array['rehearsal'], 'a test')", "iu-gates advance"),
        "stop": ("select iu_gates.fn_stop(null, 'disable', 'a test')", "iu-gates advance"),
        "drift": ("alter table iu_core.iu_event add column more text", "iu-gates drift"),
    }[what]
    live.conn.execute(statement)
    error = refused(live)
    assert error.ident == "IUG-126"
    assert str(error.next_command).startswith(follows)
    findings = "select iu_gates.fn_route_findings('second', 'canary')"
    assert what == "stop" or len(live.fetch_value(findings)) > 3


def test_database_refuses_what_the_command_refuses(relaxed: Stage) -> None:
    """
    P10: the guard asks for the gates of this very route; those of the first are not enough.
    """
    add(relaxed)
    add(relaxed, "third")
    walk(relaxed, to="approval")
    guard = "select iu_gates.fn_guard_route(%s, %s)"
    relaxed.conn.execute(guard, ("second", "canary"))
    for route, gate in (("second", "live"), ("third", "canary")):
        with pytest.raises(
            psycopg.DatabaseError, match=f"{gate if route == 'second' else 'third'}"
        ):
            relaxed.conn.execute(guard, (route, gate))
    relaxed.conn.execute("update iu_core.iu_runtime_gate set gate_value = 'false'")
    with pytest.raises(psycopg.DatabaseError, match="worker gate"):
        relaxed.conn.execute(guard, ("second", "canary"))


def test_verdicts_of_one_route_are_no_others(relaxed: Stage) -> None:
    """
    One live route gives nothing to the next, nor to the first, nor takes anything away.
    """
    add(relaxed)
    add(relaxed, "third")
    first = [g.in_force for g in relaxed.status().gates]
    walk(relaxed)
    assert list_in_force(relaxed, "third") == []
    assert [g.in_force for g in relaxed.status().gates] == first
    relaxed.conn.execute("select iu_gates.fn_void(array['canary', 'live', 'seam'], 'a test')")
    assert list_in_force(relaxed) == OWN
    relaxed.conn.execute("select iu_gates.fn_void(array['*/seam'], 'a test')")
    assert list_in_force(relaxed) == [g for g in OWN if g != "seam"]
    relaxed.conn.execute("select iu_core.fn_iu_route_dry('second')")
    assert list_in_force(relaxed) == ["dry_run", "approval"], "the switch is the truth"
    assert relaxed.fetch_value("select iu_gates.fn_not_in_force('dry_run')") is None


def test_live_goes_on_without_verdicts_and_is_proven_anew(live: Stage) -> None:
    """
    P9: after a re-base verdicts are void and it delivers; on its way up it is a canary again.
    """
    add(live)
    walk(live)
    own = "array['*/dry_run', '*/seam', '*/approval', '*/canary', '*/live']"
    live.conn.execute(f"select iu_gates.fn_void({own}, 'a test')")
    assert list_in_force(live) == []
    live.write("later", 2)
    work(live)
    assert list_attempts(live)[-1] == "2: sent"
    assert walk(live) == OWN
    switched = [e.facts["did"] for e in ledger.list_entries(live.settings, kind="route")]
    assert switched == ["add", "enable", *["canary", "live"] * 2]


def test_own_vote_does_not_count(relaxed: Stage) -> None:
    """
    P10: who asked does not approve; a rejection ends it; `--route` finds the request.
    """
    add(relaxed)
    add(relaxed, "third")
    for name in ("second", "third"):
        relaxed.write(f"u {name}", 2)
        work(relaxed)
        error = refused(relaxed, "approval", name)
        assert str(error.next_command).startswith(f"iu-gates approve --route {name} ")
    pending = approvals.require_pending(relaxed.settings)
    assert pending.subject == "third/package"
    mine = approvals.fetch_pending(relaxed.settings, route="second")
    assert mine is not None
    assert (mine.subject, mine.contents["route"]) == ("second/package", "second")
    assert approvals.fetch_pending(relaxed.settings, route=ROUTE) is None
    with pytest.raises(RefusedError, match="asked for itself"):
        approvals.vote(relaxed.settings, mine.digest, "approve")
    other = relaxed.make_login("iu_gates_approver")
    approvals.vote(relaxed.settings_as(other), mine.digest, "approve")
    again = relaxed.make_settings_of("iu_gates_approver")
    approvals.vote(again, mine.digest, "reject")
    assert "rejections" in refused(relaxed).summary
    approvals.vote(again, mine.digest, "approve")
    assert [r.verdict.gate for r in go(relaxed).reports] == ["approval"]
    assert list_in_force(relaxed, "third") == OWN[:2]


def test_another_definition_is_another_route(live: Stage) -> None:
    """
    Approved and proven is the route as it is defined; one that is defined otherwise begins anew.
    """
    add(live)
    walk(live, to="approval")
    assert list_in_force(live) == OWN[:3]
    routes.change(live.settings, "second", {"on_dead_letter": "hold"})
    assert list_in_force(live) == []
    assert walk(live, to="seam") == OWN[:2]
    assert len(ledger.list_entries(live.settings, kind="proof")) == 2
    assert "approvals" in refused(live, "live").summary


def test_digest_that_changed_is_asked_for_anew(live: Stage) -> None:
    """
    T36: other limits are another package: nothing is switched, and it is asked for again.
    """
    add(live)
    walk(live, to="approval")
    live.values["approval_valid_for"] = "7 h"
    error = refused(live)
    assert 'gate "approval" is not in force any more' in error.summary
    assert error.next_command == "iu-gates advance --route second"
    assert list_in_force(live) == OWN[:2]
    assert "approve" in str(refused(live).next_command)


def test_canary_delivers_one(live: Stage) -> None:
    """
    P10: the database keeps the quota, whatever comes; refused after the switch, the same goes on.
    """
    add(live)
    walk(live, to="approval")
    assert "canary" in refused(live).summary
    live.write("many", *range(2, 12))
    work(live)
    assert [a.partition(": ")[2] for a in list_attempts(live)].count("sent") == 1
    switched = [e.facts["did"] for e in ledger.list_entries(live.settings, kind="route")]
    assert switched.count("canary") == 1
    assert [r.verdict.gate for r in go(live).reports] == ["canary"]
    assert [e.facts["did"] for e in ledger.list_entries(live.settings, kind="route")] == switched
    assert look(live).quota == 0


def test_trip_comes_back_by_its_gates(live: Stage) -> None:
    """
    T28: tripped it is dry, its canary and live are void; `advance --route` lifts the stop.
    """
    add(live)
    routes.change(live.settings, "second", {"trip_failures": 0})
    walk(live)
    live.conn.execute(
        "create function public.f() returns trigger language plpgsql as $$ begin"
        " if new.idempotency_key like 'second:%' then raise exception 'no'; end if;"
        " return new; end $$;"
        "create trigger t before insert on public.event_outbox for each row"
        " execute function public.f()"
    )
    live.write("bad", 2)
    work(live)
    assert look(live).mode == "hold"
    work(live)
    why = live.fetch_value("select iu_gates.fn_not_in_force('second/canary')")
    assert 'trip of "second"' in why
    assert list_in_force(live) == OWN[:3]
    assert look(live, ROUTE).mode == "live"
    assert live.status().next_command == "iu-gates advance --route second"
    with pytest.raises(RefusedError) as raised:
        routes.enable(live.settings, "second")
    assert raised.value.next_command == "iu-gates advance --route second"
    live.advance()
    assert look(live).mode == "hold", "no gate of the first switches another on"
    live.conn.execute("drop trigger t on public.event_outbox")
    live.conn.execute("update iu_core.iu_route_parked set due_at = clock_timestamp()")
    assert walk(live) == ["canary", "live"]
    assert look(live).mode == "live"
    assert live.status().stops == ()


def test_disable_and_back(live: Stage) -> None:
    """
    P5: off and drained; what comes is held; a new stop ends the walk, a seen one is lifted.
    """
    add(live)
    walk(live)
    done = disable.disable(live.settings, route="second")
    assert (done.drained, done.lane) == (True, "dry now")
    assert live.fetch_value("select iu_gates.fn_not_in_force('second/canary')").startswith("voided")
    assert list_in_force(live) == OWN[:3]
    count = len(list_attempts(live))
    live.write("later", 2, 3)
    work(live)
    assert len(list_attempts(live)) == count
    assert walk(live) == ["canary", "live"]
    work(live)
    assert len({t for t in list_attempts(live) if t.endswith("sent")}) > 0
    assert look(live).counts["waiting"] == look(live).counts["held"] == 0


def test_stopped_before_it_was_ever_live(live: Stage) -> None:
    """
    T28: what is dry has to be evaluated on its way up: the walk lifts the stop that it saw.
    """
    add(live)
    disable.disable(live.settings, route="second")
    live.write("u", 2)
    assert "organic" in refused(live).summary
    assert live.status().stops == ()
    assert walk(live, to="seam") == OWN[:2]


def test_stop_that_came_meanwhile_ends_the_walk(
    live: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    T27: a running `advance --route` does not turn on again what was stopped while it went.
    """
    add(live)
    walk(live, to="approval")
    switch = FurtherDeeds._try_switch

    def stop_first(self: FurtherDeeds, gate: str) -> None:
        live.conn.execute("select iu_gates.fn_stop('second', 'disable', 'now')")
        switch(self, gate)

    monkeypatch.setattr(FurtherDeeds, "_try_switch", stop_first)
    error = refused(live)
    assert error.ident == "IUG-038"
    assert look(live).dry_run


def test_disable_of_everything_takes_each_back(live: Stage) -> None:
    """
    P5: the first walk opens the worker gate, and delivers nothing on a further route.
    """
    add(live)
    walk(live)
    disable.disable(live.settings)
    assert look(live).dry_run
    assert refused(live).ident == "IUG-126"
    live.advance("dry_run")
    live.write("later", 2)
    work(live)
    assert list_attempts(live)[-1] == "2: held"
    assert walk(live) == ["canary", "live"]


@pytest.mark.parametrize("target", ["081", "090"])
def test_rollback_takes_live_routes_along(live: Stage, target: str) -> None:
    """
    P7: whatever the target, a further route is dry before the first step; its history is kept.
    """
    add(live)
    walk(live)
    tried = list_attempts(live)
    assert rollback.preview(live.settings, target).dried == ("second",)
    assert rollback.rollback(live.settings, target).dried == ("second",)
    assert look(live).mode == "held"
    assert list_attempts(live) == tried
    assert list_in_force(live) == (OWN[:3] if target != "090" else OWN[:1])
    if target == "081":
        assert walk(live) == ["canary", "live"]


def test_rollback_with_nothing_else_to_undo(relaxed: Stage) -> None:
    """
    A live further route is something to take back, though no revision is.
    """
    add(relaxed)
    walk(relaxed)
    done = rollback.rollback(relaxed.settings, "100")
    assert (done.undone, done.dried) == ((), ("second",))
    assert look(relaxed).dry_run
    assert relaxed.status().stops == ()


def test_route_of_the_same_name_begins_anew(live: Stage) -> None:
    """
    What was proven of a route that the owner took away is not said of another of its name.
    """
    add(live)
    walk(live, to="seam")
    live.conn.execute("set session_replication_role = replica")
    for table in ("iu_route_attempt", "iu_route_cursor", "iu_outbound_route"):
        live.conn.execute(f"delete from iu_core.{table} where route_name = 'second'")
    live.conn.execute("reset session_replication_role")
    add(live)
    assert list_in_force(live) == []


def test_plan_of_a_route(relaxed: Stage) -> None:
    """
    What lies ahead: two switches with their SQL, what they wait for, the digest.
    """
    add(relaxed)
    ahead = make_plan(relaxed.settings, "second")
    assert (ahead.next_gate, [s.revision for s in ahead.steps]) == ("dry_run", ["canary", "live"])
    assert ahead.digest
    assert not any(step.needs_backup for step in ahead.steps)
    walk(relaxed, to="approval")
    for step in ahead.steps[:1]:
        for statement in step.sql.split(";\n"):
            relaxed.conn.execute(statement)
    assert look(relaxed).quota == 1
    assert make_plan(relaxed.settings, ROUTE) == make_plan(relaxed.settings)


def test_what_cannot_be_asked_for(live: Stage) -> None:
    """
    No such route, no such gate, a route that is off: each says what to type.
    """
    with pytest.raises(UsageError, match="no route"):
        go(live, name="nowhere")
    with pytest.raises(UsageError, match="no gate"):
        go(live, "backup", add(live))
    live.conn.execute(
        "update iu_core.iu_outbound_route set enabled = false where route_name <> %s", (ROUTE,)
    )
    error = refused(live)
    assert error.next_command == "iu-gates route enable second"
    assert advance.advance(live.settings, route=ROUTE).reports == ()
    live.conn.execute("select pg_advisory_lock(%s, 0)", (site.WALK,))
    assert refused(live).ident == "IUG-060"


def test_command_line(
    live: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What waits is exit 3 with the next command, in JSON too; the ledger has it as the route's.
    """
    monkeypatch.setenv("IU_GATES_SITE_KEY", SITE_KEY)
    monkeypatch.setenv("IU_GATES_DRY_RUN_MIN_EVENTS", "1")
    monkeypatch.setenv("IU_GATES_DRY_RUN_MIN_SPAN", "0 s")
    add(live)

    def run(*words: str, url: str = live.values["database_url"]) -> tuple[int, Any]:
        code = main([*words, "--json", "--database-url", url])
        return code, json.loads(capsys.readouterr().out)

    code, said = run("advance", "--route", "second")
    assert (code, said["error"], said["next"]) == (3, "IUG-020", "iu-gates worker run")
    (entry,) = [e for e in ledger.list_entries(live.settings) if e.subject == "second/dry_run"]
    assert (entry.kind, entry.facts["route"], entry.facts["outcome"]) == (
        "verdict",
        "second",
        "fail",
    )
    assert "refusal" not in live.list_kinds()
    live.write("u", 2)
    work(live)
    code, said = run("advance", "--route", "second", "--to", "approval")
    assert (code, said["facts"]["passed"]) == (3, ["dry_run", "seam"])
    assert said["next"].startswith("iu-gates approve --route second --database-url ")
    other = live.database.conninfo_as(live.make_login("iu_gates_approver"))
    code, said = run("approve", "--route", "second", "--yes", url=other)
    assert (code, said["subject"]) == (0, "second/package")
    code, said = run("advance", "--route", "second")
    assert (code, said["next_gate"], said["next_command"]) == (
        0,
        "canary",
        "iu-gates advance --route second",
    )
    assert run("plan", "--route", "second")[1]["next_gate"] == "canary"
    assert run("advance", "--route", "second", "--to", "host")[0] == 2
    second = next(r for r in run("status")[1]["routes"] if r["name"] == "second")
    assert [g["in_force"] for g in second["gates"]] == [True] * 3 + [False] * 2
