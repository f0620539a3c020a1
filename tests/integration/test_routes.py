"""Further routes: where they begin, what they take, how they are switched (docs/routes.md)."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from iu_gates import audit, disable, ledger, proof, routes, worker
from iu_gates.cli.main import main
from iu_gates.errors import GateError, RefusedError
from iu_gates.model import Route
from iu_gates.routes import NewRoute
from tests.support.play import INSERT, ROUTE, MakeStage, Stage
from tests.support.walk import SITE_KEY, State, walk_down, walk_to

TYPE = "iu.version_applied"
WRITE = (
    "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
    " select s.system_identifier, %s, %s, %s, %s from pg_control_system() as s"
)
ODD = 'o\'ne "%s" {x} ☃ \\ %(a)s :"b" ; drop table iu_event'


@pytest.fixture
def stage(make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Give a live stage with two events delivered."""
    monkeypatch.setenv("IU_GATES_SITE_KEY", SITE_KEY)
    made = make_stage(State.LIVE)
    made.write("old", 1, 2, 3)
    worker.run(made.settings, once=True)
    return made


def run(stage: Stage, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Run ``route`` with --json and return its exit code and what it said."""
    code = main(["route", *words, "--json", "--database-url", stage.values["database_url"]])
    return code, json.loads(capsys.readouterr().out)


def add(stage: Stage, name: str, **wanted: Any) -> None:
    """Add a route of kind notify and switch it on."""
    values: dict[str, Any] = {
        "event_type": TYPE,
        "target_kind": "notify",
        "target_ref": "somewhere",
        "event_filter": None,
        "policy": {},
        **wanted,
    }
    routes.add(stage.settings, NewRoute(name, **values))
    routes.enable(stage.settings, name)


def look(stage: Stage, name: str) -> Route:
    """Return a route as `route show` has it."""
    (route,) = routes.list_routes(stage.settings, name)
    return route


def list_tried(stage: Stage, name: str) -> list[str]:
    """Return "subject version: status" of each attempt on a route, in order."""
    rows = stage.fetch(
        "select e.subject || ' ' || e.version_seq || ': ' || a.status"
        " from iu_core.iu_route_attempt as a join iu_core.iu_event as e using (event_id)"
        " where a.route_name = %s order by a.attempt_id",
        name,
    )
    return [text for (text,) in rows]


def count(stage: Stage, name: str) -> dict[str, int]:
    """Return what the audit counts of a route, which has no fault."""
    (report,) = audit.audit(stage.settings, name)
    assert report.passed, report.findings
    return dict(report.counts)


def approve_and_go_live(stage: Stage, name: str) -> None:
    """Take a further route live as its owner can, by hand, past its gates."""
    stage.conn.execute(
        "insert into iu_gates.approval"
        " (route_name, definition_hash, digest, logins, granted_at, expires_at)"
        " select route_name, definition_hash, 'a', '{alice}', now(), now() + interval '1 h'"
        " from iu_core.iu_outbound_route where route_name = %s",
        (name,),
    )
    stage.conn.execute(
        "select iu_core.fn_iu_route_live(%s, null, max(approval_id)) from iu_gates.approval",
        (name,),
    )


def test_new_route_begins_at_now(stage: Stage) -> None:
    """
    P1: what had committed is left out; what commits after is attempted, whenever it began.

    A transaction that wrote before `add` and commits after it is a late committer of the first
    window; one that is open and writes later is fresh. The first route is untouched.
    """
    with (
        psycopg.connect(stage.database.conninfo) as early,
        psycopg.connect(stage.database.conninfo) as idle,
    ):
        early.execute(INSERT, ("late", 1))
        early.execute(INSERT, ("late", 2))
        idle.execute("select pg_current_xact_id()")
        stage.write("old", 4)
        add(stage, "second")
        assert look(stage, "second").behind == 0
        stage.write("new", 1, 2)
        early.commit()
        assert look(stage, "second").behind == 2
        idle.execute(INSERT, ("idle", 1))
        idle.execute(INSERT, ("idle", 2))
        idle.commit()
    worker.run(stage.settings, once=True)

    assert list_tried(stage, "second") == ["late 2: dry_run", "new 2: dry_run", "idle 2: dry_run"]
    counts = count(stage, "second")
    assert (counts["captured"], counts["left_out"], counts["waiting"]) == (6, 3, 0)
    assert count(stage, ROUTE)["delivered"] == 6
    second = next(r for r in stage.status().routes if r.name == "second")
    assert (second.counts["waiting"], second.counts["dry_run"]) == (0, 3)


@pytest.mark.parametrize(("start", "left_out"), [(1, 0), (2, 1)])
def test_new_route_begins_in_the_past(stage: Stage, start: int, left_out: int) -> None:
    """
    P1, P3: from the first event, or from one, in order; what commits meanwhile is attempted too.
    """
    stage.write("old", 4)
    with psycopg.connect(stage.database.conninfo) as open_one:
        open_one.execute(INSERT, ("late", 1))
        open_one.execute(INSERT, ("late", 2))
        add(stage, "second", start=start)
        assert look(stage, "second").behind == 3 - left_out
        assert count(stage, "second")["left_out"] == left_out
        for _ in range(3):
            worker.run(stage.settings, once=True, limit=1)
        open_one.commit()
    worker.run(stage.settings, once=True)
    wanted = [f"old {n}: dry_run" for n in (2, 3, 4)][left_out:]
    assert list_tried(stage, "second") == [*wanted, "late 2: dry_run"]
    assert count(stage, "second")["left_out"] == left_out


def test_skip_in_what_a_route_began_with_is_found(stage: Stage) -> None:
    """
    P1: an event that a route began with, and that has no attempt, is a skip, not "from before".
    """
    add(stage, "second", start=2)
    worker.run(stage.settings, once=True)
    stage.conn.execute("alter table iu_core.iu_route_attempt disable trigger all")
    stage.conn.execute("delete from iu_core.iu_route_attempt where route_name = 'second'")
    (report,) = audit.audit(stage.settings, "second")
    assert report.named["skipped"] == ("old version 3",)


def test_filter_takes_what_it_names(stage: Stage) -> None:
    """
    Subject and payload are compared as data, whatever they hold; nobody waits for the others.

    The batch, the pending ones, the audit, `resolve` and the lag in the metrics agree.
    """
    filters: dict[str, Any] = {
        "by.subject": {"subject": ODD},
        "by.payload": {"payload": {"unit": ODD}},
        "by.both": {"subject": "a", "payload": {"version_seq": 3}},
        "by.none": {"payload": {"kind": [None]}},
        "by.nothing": None,
    }
    for name, event_filter in filters.items():
        add(stage, name, event_filter=event_filter)
    stage.write(ODD, 1, 2)
    stage.write("a", 1, 2, 3)
    wanted = {
        "by.subject": [f"{ODD} 2"],
        "by.payload": [f"{ODD} 2"],
        "by.both": ["a 3"],
        "by.none": [],
        "by.nothing": [f"{ODD} 2", "a 2", "a 3"],
    }
    lag = "select amount from iu_core.fn_iu_worker_figures() where figure = %s and route_name = %s"
    for name, events in wanted.items():
        assert look(stage, name).behind == len(events)
        assert stage.fetch_value(lag, "lag_events", name) == len(events)
    worker.run(stage.settings, once=True, limit=1)
    for name, events in wanted.items():
        assert list_tried(stage, name) == [f"{event}: dry_run" for event in events], name
        counts = count(stage, name)
        assert (counts["dry_run"], counts["waiting"]) == (len(events), 0)
    resolved = "select route_name from iu_core.fn_iu_route_resolve(%s, %s, %s)"
    rows = stage.fetch(resolved, TYPE, ODD, Jsonb({"unit": ODD}))
    assert [name for (name,) in rows] == ["by.nothing", "by.payload", "by.subject", ROUTE]
    assert proof.prove(stage.settings).passed


def test_rebase_carries_over_what_the_filter_takes(stage: Stage) -> None:
    """
    P9: of a further route, what it takes and has not worked through, and nothing else.
    """
    add(stage, "second", event_filter={"subject": "mine"})
    stage.write("mine", 1, 2)
    stage.write("other", 1, 2)
    with stage.conn.transaction():
        carried = stage.fetch_value(
            "select iu_core.fn_iu_cursor_rebase('second', iu_core.fn_iu_event_seq(),"
            " pg_current_xact_id(), s.system_identifier, true) from pg_control_system() as s"
        )
    assert carried == 1
    worker.run(stage.settings, once=True)
    assert list_tried(stage, "second") == ["mine 2: dry_run"]


def test_rebase_hands_no_past_to_a_route_that_began_after_it(stage: Stage) -> None:
    """
    P9: what came in an earlier cluster, before the route began in this one, was never meant for it.
    """
    stage.conn.execute("set iu_gates.cluster = '1'")
    stage.write("past", 1, 2, 3)
    stage.conn.execute("reset iu_gates.cluster")
    add(stage, "second")
    with stage.conn.transaction():
        carried = stage.fetch_value(
            "select iu_core.fn_iu_cursor_rebase('second', iu_core.fn_iu_event_seq(),"
            " pg_current_xact_id(), 3, true)"
        )
    assert carried == 0


@pytest.mark.parametrize(
    "event_filter",
    ['{"subjekt": "x"}', "{}", '{"subject": 1}', '{"payload": []}', '"x"', "[]"],
)
def test_filter_has_two_forms(stage: Stage, event_filter: str) -> None:
    """
    The database takes no other filter, whoever writes it.
    """
    with pytest.raises(psycopg.errors.CheckViolation, match="event_filter_chk"):
        stage.conn.execute(
            "update iu_core.iu_outbound_route set event_filter = %s", (event_filter,)
        )


def test_filter_is_part_of_what_is_approved(stage: Stage) -> None:
    """
    P10: a live route cannot be given a filter: its approval is of another definition.
    """
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="approval_fkey"):
        stage.conn.execute(
            """update iu_core.iu_outbound_route set event_filter = '{"subject": "x"}'"""
        )


def test_a_route_without_a_filter_pays_nothing(stage: Stage) -> None:
    """
    P12: the comparison is planned away; with a filter it is in the plan, inlined.
    """
    query = (
        "explain (verbose, costs off) select e.event_id from iu_core.iu_event as e"
        " where iu_core.fn_iu_route_takes({}, e.subject, e.payload)"
    )
    ((scan,), *_) = stage.fetch(query.format("null"))
    assert len(stage.fetch(query.format("null"))) == 2, scan
    lines = [line for (line,) in stage.fetch(query.format("""'{"subject": "x"}'"""))]
    assert "fn_iu_route_takes" not in " ".join(lines)
    assert "Filter: (e.subject = 'x'::text)" in " ".join(lines)


def test_add_list_show(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A route is added off and dry, with its policy; the ledger has who and what; on is dry.
    """
    code, said = run(
        stage, capsys, "add", "notices", "--event-type", TYPE, "--target-kind", "notify",
        "--target-ref", ODD[:40], "--filter-payload", '{"unit": "x"}', "--tries", "3",
        "--backoff", "7", "--on-dead-letter", "hold", "--budget", "9", "--window", "60",
    )  # fmt: skip
    assert (code, said["state"], said["next_command"]) == (
        0,
        "off",
        "iu-gates route enable notices",
    )
    code, said = run(stage, capsys, "show", "notices")
    assert (said["state"], said["why"], said["behind"]) == ("off", "not enabled", 0)
    assert (said["max_tries"], said["retry_seconds"], said["on_dead_letter"]) == (3, 7, "hold")
    assert (said["trip_failures"], said["trip_seconds"]) == (9, 60)
    assert (said["target_ref"], said["event_filter"]) == (ODD[:40], {"payload": {"unit": "x"}})
    assert said["delivery"]["event_id"] == said["evaluation"]["event_id"] == 2
    assert run(stage, capsys, "enable", "notices")[1]["state"] == "dry"
    code, said = run(stage, capsys, "enable", "notices")
    assert (code, said["changed"], said["state"]) == (0, {}, "dry")
    code, said = run(stage, capsys, "list")
    assert {r["name"]: r["state"] for r in said["routes"]} == {"notices": "dry", ROUTE: "live"}
    entries = ledger.list_entries(stage.settings, kind="route")
    assert [(e.subject, e.facts["did"], e.actor) for e in entries] == [
        ("notices", "add", "postgres"),
        ("notices", "enable", "postgres"),
    ]
    assert entries[0].facts["event_filter"] == {"payload": {"unit": "x"}}
    assert entries[0].facts["max_tries"] == 3
    for words in (["list"], ["show", "notices"], ["show", ROUTE]):
        assert main(["route", *words, "--database-url", stage.values["database_url"]]) == 0
    assert "notices  dry" in capsys.readouterr().out


IMPOSSIBLE = [
    (["add", ROUTE, "--event-type", "x"], "IUG-119"),
    (["add", "A route", "--event-type", "x"], "IUG-119"),
    (["add", ODD, "--event-type", "x"], "IUG-119"),
    (["add", "x", "--event-type", "a:b"], "IUG-119"),
    (["add", "x", "--event-type", "x", "--target-ref", "nowhere"], "IUG-119"),
    (["add", "x", "--event-type", "x", "--target-kind", "notify"], "IUG-119"),
    (["add", "x", "--event-type", "x", "--from", "99"], "IUG-119"),
    (["add", "x", "--event-type", "x", "--from", "x"], "IUG-010"),
    (["add", "x", "--event-type", "x", "--filter-payload", "x"], "IUG-010"),
    (["add", "x", "--event-type", "x", "--target-kind", "webhook"], "IUG-010"),
    (["set", ROUTE], "IUG-010"),
    (["show", ODD], "IUG-016"),
    (["set", ODD, "--tries", "1"], "IUG-016"),
    (["enable", ODD], "IUG-016"),
    (["disable", ODD], "IUG-016"),
    (["replay", ODD, "--from", "1", "--yes"], "IUG-016"),
    (["replay", ROUTE, "--from", "soon", "--yes"], "IUG-010"),
    (["skip-to", ODD, "now", "--yes"], "IUG-016"),
    (["skip-to", ROUTE, "99", "--yes"], "IUG-119"),
]


def test_what_cannot_be(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Usage errors, whatever the words hold; nothing is written.
    """
    before = stage.list_kinds()
    for words, ident in IMPOSSIBLE:
        code, said = run(stage, capsys, *words)
        assert (code, said["error"]) == (2, ident), words
    assert stage.list_kinds() == before
    assert len(stage.status().routes) == 1


def test_policy_of_a_live_route(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """
    P10: numbers can be set while it is live; what was approved cannot, by command or by hand.

    Dry, it can, and the approval of the old definition is gone.
    """
    code, said = run(stage, capsys, "set", ROUTE, "--tries", "9", "--budget", "1")
    assert (code, said["changed"]) == (0, {"max_tries": [5, 9], "trip_failures": [100, 1]})
    code, said = run(stage, capsys, "set", ROUTE, "--tries", "9")
    assert (code, said["changed"]) == (0, {})
    assert run(stage, capsys, "set", ROUTE, "--on-dead-letter", "pass")[0] == 0
    code, said = run(stage, capsys, "set", ROUTE, "--tries", "1", "--on-dead-letter", "hold")
    assert (code, said["error"], said["next"]) == (4, "IUG-120", "iu-gates rollback --to 100")
    assert look(stage, ROUTE).max_tries == 9
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        stage.conn.execute(
            """select iu_core.fn_iu_route_set(%s, '{"on_dead_letter": "hold"}')""", (ROUTE,)
        )
    assert [e.facts["did"] for e in ledger.list_entries(stage.settings, kind="route")] == ["set"]
    disable.disable(stage.settings)
    code, said = run(stage, capsys, "set", ROUTE, "--on-dead-letter", "hold")
    assert (code, said["changed"]) == (0, {"on_dead_letter": ["pass", "hold"]})
    assert stage.fetch("select approval_id from iu_core.iu_outbound_route") == [(None,)]


def test_disable_of_a_further_route_leaves_the_first(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    P5: one route is off and drained, the lane and the others stay; `enable` is its way back.
    """
    add(stage, "second")
    code, said = run(stage, capsys, "disable", "second", "--reason", "it's late")
    assert (code, said["drained"], said["lane"]) == (0, True, "dry already")
    assert look(stage, "second").state == "off"
    assert look(stage, "second").why == "stopped by disable: it's late"
    assert look(stage, ROUTE).state == "live"
    assert stage.status().disagreements == ()
    stage.write("new", 1, 2)
    worker.run(stage.settings, once=True)
    assert list_tried(stage, "second") == []
    assert stage.count("sent") == 3
    stage.advance()
    assert look(stage, "second").state == "off", "no gate of the first switches another on"
    assert run(stage, capsys, "enable", "second")[1]["state"] == "dry"
    assert stage.status().stops == ()
    worker.run(stage.settings, once=True)
    assert list_tried(stage, "second") == ["new 2: dry_run"]


def test_live_comes_back_by_the_gates_only(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    P10: what was live and was stopped is not switched on here, nor is it made live by `enable`.
    """
    add(stage, "second")
    approve_and_go_live(stage, "second")
    assert run(stage, capsys, "enable", "second")[1]["state"] == "live"
    stage.conn.execute("select iu_gates.fn_stop('second', 'trip', 'too much')")
    assert (look(stage, "second").state, look(stage, "second").why) == ("tripped", "too much")
    assert look(stage, ROUTE).state == "live"
    for name, walk in (("second", " --route second"), (ROUTE, "")):
        disable.disable(stage.settings, route=name)
        code, said = run(stage, capsys, "enable", name)
        assert (code, said["error"], said["next"]) == (4, "IUG-120", f"iu-gates advance{walk}")
    assert stage.fetch("select dry_run from iu_core.iu_outbound_route") == [(True,)] * 2
    assert stage.gate_is_in_force("canary") is False


@pytest.mark.parametrize("group", ["iu_gates_worker", "iu_gates_auditor", "iu_gates_approver"])
def test_rights(stage: Stage, group: str) -> None:
    """
    Readers look; an operator changes; a worker does neither.
    """
    add(stage, "second")
    settings = stage.make_settings_of(group)
    if group == "iu_gates_worker":
        with pytest.raises(RefusedError):
            routes.list_routes(settings)
    else:
        assert [r.name for r in routes.list_routes(settings)] == [ROUTE, "second"]
    with pytest.raises(RefusedError):
        routes.enable(settings, "second")
    with pytest.raises(RefusedError):
        routes.change(settings, "second", {"max_tries": 2})
    operator = stage.make_settings_of("iu_gates_operator")
    assert routes.change(operator, "second", {"max_tries": 2}).changed == {"max_tries": [5, 2]}


def test_a_route_whose_cursor_went_begins_anew(make_stage: MakeStage) -> None:
    """
    060 down takes the cursors where there is no history; up again, each route has one.
    """
    stage = make_stage(State.SUBSTRATE)
    add(stage, "second")
    walk_down(stage.database.conninfo, "substrate@009")
    assert stage.fetch("select * from iu_core.iu_route_cursor") == []
    walk_to(stage.database.conninfo, "substrate@060")
    delivery = look(stage, "second").delivery
    assert delivery is not None
    assert delivery.event_id == 0


def test_there_is_no_route_before_the_substrate(make_stage: MakeStage) -> None:
    """
    Before 060 there is nothing to list, and the command that makes it is named.
    """
    stage = make_stage()
    with pytest.raises(GateError, match="not installed") as refused:
        routes.list_routes(stage.settings)
    assert refused.value.next_command == "iu-gates advance"
