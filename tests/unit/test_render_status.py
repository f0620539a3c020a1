# ruff: noqa: FBT003  values of the model are written by position
"""What `iu-gates status` shows: one glance at 80 columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from iu_gates import render
from iu_gates.model import GATES, ROUTE_GATES, GateState, RouteState, Status, Stop, WorkerState

AT = datetime(2026, 11, 23, 2, 2, tzinfo=UTC)
COUNTS = {"captured": 11253, "dry_run": 3214, "held": 0, "sent": 8039, "duplicate": 0, "dead": 0}
ROUTE = RouteState(
    name="iu.version_applied.workflow",
    target="workflow:event_outbox",
    mode="dry",
    enabled=True,
    dry_run=True,
    quota=None,
    live_from=None,
    live_since=None,
    counts=COUNTS,
)
STATUS = Status(
    database="app",
    server_version="18.1",
    installed=True,
    revisions=("008", "009", "060", "080"),
    worker_gate="true",
    gates=tuple(GateState(g, "pass" if i < 4 else None, i < 4) for i, g in enumerate(GATES)),
    routes=(ROUTE,),
    workers=(WorkerState("host1:3121", "systemd", "idle", 2.3),),
    next_gate="dry_run",
    next_command="iu-gates advance",
    blocks=("organic events: 2 of 3 seen",),
    ledger_seq=41,
    ledger_hash="9f2c41ab03de88aa",
)
STOP = Stop(7, None, "disable", "incident 4711: " + "consumers see duplicates " * 4, "dba", AT)
FULL = replace(
    STATUS,
    revisions=("008", "009", "060", "080", "090", "100", "081", "082"),
    stops=(STOP,) * 9,
    workers=(WorkerState("a-host-with-a-long-name.example:31", "pg_cron", "standby", 9e5),) * 9,
    disagreements=("runtime is at 082, but the worker gate is false",),
    drift=("fn_iu_route_deliver(text): changed",) * 20,
    blocks=("a very long reason " * 20,),
)


def live(**changes: object) -> Status:
    """Return the status of a route that is live."""
    route = replace(ROUTE, mode="live", dry_run=False, live_since=AT, **changes)  # type: ignore[arg-type]
    gates = tuple(GateState(g, "pass", in_force=True) for g in GATES)
    return replace(STATUS, routes=(route,), gates=gates, next_gate=None, next_command="", blocks=())


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("seen", [STATUS, FULL, live()], ids=["dry", "full", "live"])
def test_no_line_is_longer_than_the_terminal(seen: Status, width: int) -> None:
    """
    Whatever there is to say, it is wrapped or counted, never cut by the terminal.
    """
    page = str(render.status(seen, width))
    assert max(map(len, page.splitlines())) <= width


def test_usual_status_fits_one_screen() -> None:
    """
    One glance: 24 lines, the next command the last of them.
    """
    lines = str(render.status(STATUS)).splitlines()
    assert len(lines) <= 23
    assert lines[-1] == "  next      iu-gates advance"


def test_dry_route_is_named_in_the_headline() -> None:
    """
    The first line says which database, and what happens to an event now.
    """
    first = str(render.status(STATUS)).splitlines()[0]
    assert first == "app on PostgreSQL 18.1: dry-run, nothing is delivered"


def test_gates_are_marked() -> None:
    """
    In force, next, and still to come have a mark each.
    """
    page = str(render.status(STATUS))
    assert "4 of 12 in force, next is dry_run" in page
    assert "✓ invocation" in page
    assert "• dry_run" in page
    assert "\N{EN DASH} live" in page


def test_waived_gate_is_named() -> None:
    """
    A waiver lets pass, and is never taken for a proof.
    """
    seen = replace(live(), gates=(GateState("rehearsal", "waived", in_force=True),))
    assert "  waived    rehearsal\n" in str(render.status(seen))


def test_live_has_nothing_to_do() -> None:
    """
    At live with no stop there is no next command.
    """
    page = str(render.status(live()))
    assert "app on PostgreSQL 18.1: LIVE\n" in page
    assert "LIVE, since 2026-11-23 02:02:00Z" in page
    assert page.endswith("  next      nothing to do\n")


def test_canary_shows_its_quota() -> None:
    """
    A canary is not called live, and what it has left is shown.
    """
    page = str(render.status(live(quota=1)))
    assert "18.1: CANARY\n" in page
    assert "canary: 1 left" in page


def test_some_of_several_routes_live() -> None:
    """
    With more routes than one, the headline counts those that are live.
    """
    seen = live()
    page = str(render.status(replace(seen, routes=(*seen.routes, ROUTE))))
    assert "LIVE on 1 of 2 routes" in page


def test_stop_outshines_live() -> None:
    """
    What is stopped is not called live, and there is something to do.
    """
    page = str(render.status(replace(live(), stops=(STOP,))))
    assert "18.1: STOPPED, nothing is delivered\n" in page
    assert "stops     everything, by disable of dba, 2026-11-23 02:02:00Z" in page
    assert "nothing to do" not in page


def test_long_lists_are_counted() -> None:
    """
    Twenty changed objects do not push the next command off the screen.
    """
    page = str(render.status(FULL))
    assert page.count("fn_iu_route_deliver") == 3
    assert "… and 17 more" in page
    assert page.count("a-host-with-a-long-name") == 1
    assert "… and 8 more" in page


def test_disagreement_and_drift_are_shown() -> None:
    """
    Where revision and switches, or catalog and record differ, both are named.
    """
    page = str(render.status(FULL))
    assert "  disagree  runtime is at 082, but the worker gate is false" in page
    assert "  drift     fn_iu_route_deliver(text): changed" in page


def test_dead_letters_are_shown_if_there_are_any() -> None:
    """
    Zero dead letters take no room; one does.
    """
    assert "dead" not in str(render.status(STATUS))
    route = replace(ROUTE, counts=COUNTS | {"dead": 1})
    assert "sent 8,039  dead 1\n" in str(render.status(replace(STATUS, routes=(route,))))


def test_absent_worker_is_named() -> None:
    """
    No heartbeat is said, not left out.
    """
    assert "  worker    none seen\n" in str(render.status(replace(STATUS, workers=())))


def test_uninstalled_database_has_a_next_command() -> None:
    """
    Before the first step there is one thing to type.
    """
    seen = Status("app", "15.4", False, next_gate="host", next_command="iu-gates advance")
    assert str(render.status(seen)).splitlines() == [
        "app on PostgreSQL 15.4: iu-gates is not installed here yet",
        "",
        "  next      iu-gates advance",
    ]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("hold", "off, events wait"),
        ("held", "held back, delivered once live again"),
        ("new", "off, events wait"),
    ],
)
def test_other_modes_are_said(mode: str, said: str) -> None:
    """
    Each mode has its words; one that is not known is shown as it is.
    """
    seen = replace(STATUS, routes=(replace(ROUTE, mode=mode),))
    assert said in str(render.status(seen)).splitlines()[0]


def test_no_route_is_said() -> None:
    """
    Before 060 there is no route.
    """
    assert "no route yet" in str(render.status(replace(STATUS, routes=(), worker_gate=None)))


def test_further_route_says_how_far_it_is() -> None:
    """
    Its own gates are counted, and the command that goes on is named; of one at live nothing is.
    """
    own = tuple(GateState(g, "pass", in_force=n < 2) for n, g in enumerate(ROUTE_GATES))
    second = replace(ROUTE, name="second", gates=own, next_gate="approval")
    page = str(render.status(replace(STATUS, routes=(ROUTE, second)), width=120))
    assert (
        "2 of 5 gates of its own in force, next is approval: iu-gates advance --route second"
        in page
    )
    page = str(render.status(replace(STATUS, routes=(ROUTE, replace(second, next_gate=None)))))
    assert "gates of its own" not in page
