"""Where am I, what is on, what is next, what blocks: read in one snapshot, writing nothing."""

from __future__ import annotations

from typing import Any

from iu_gates import db, growth, lanes, ledger, site, standing, stops
from iu_gates import drift as drifted
from iu_gates.config import ROUTE, Settings, name_advance
from iu_gates.db import Conn
from iu_gates.model import GATES, GateState, RouteState, Status, Stop, WorkerState


def fetch_status(settings: Settings) -> Status:
    """Return everything that `status` shows; works on any database, installed or not."""
    with db.connect(settings, "status") as conn, conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        database = db.fetch_value(conn, "select current_database()::text")
        version = db.fetch_value(conn, "select current_setting('server_version')")
        if db.is_installed(conn):
            return _read(conn, settings, database, version)
    return Status(
        database,
        version,
        installed=False,
        next_gate=GATES[0],
        next_command="iu-gates advance",
        blocks=("iu-gates is not installed in this database",),
    )


def _read(conn: Conn, settings: Settings, database: str, version: str) -> Status:
    applied = lanes.list_applied(conn)
    drift = drifted.list_names(conn)
    gates = standing.list_gates(conn, drift)
    next_gate = standing.next_gate(gates)
    share = growth.fetch_share(conn, settings) if "009" in applied else None
    routes = _list_routes(conn, settings, share) if "060" in applied else ()
    held = tuple(stops.list_stops(conn))
    gate_value = _worker_gate(conn, settings) if "060" in applied else None
    foreign = site.find_mismatch(conn, settings)
    is_open = bool(next_gate or any(stop.route in {None, ROUTE} for stop in held))
    missing = standing.RESTORE if _is_route_missing(applied, routes) else ""
    mend = drifted.name_remedy(conn) if drift else missing
    seq, head = ledger.read_head(conn)
    return Status(
        database,
        version,
        installed=True,
        revisions=applied,
        worker_gate=gate_value,
        gates=gates,
        routes=routes,
        stops=held,
        workers=_list_workers(conn, settings) if "009" in applied else (),
        disagreements=_disagreements(applied, gate_value, routes, held),
        drift=drift,
        next_gate=next_gate,
        next_command=foreign.next_command
        if foreign
        else mend or ("iu-gates advance" if is_open else _way_back(routes, held)),
        blocks=(foreign.reason,) if foreign else _list_blocks(conn, gates, next_gate),
        ledger_seq=seq,
        ledger_hash=head,
        history=growth.fetch_size(conn, settings, share) if "009" in applied else None,
    )


def _way_back(routes: tuple[RouteState, ...], held: tuple[Stop, ...]) -> str:
    """Return what lifts the first stop of a further route; the first route is live."""
    stopped = next((s.route for s in held), None)
    if any(r.name == stopped and r.live_from for r in routes):
        return name_advance(stopped)
    return f"iu-gates route enable {stopped}" if stopped else ""


def _list_blocks(
    conn: Conn, gates: tuple[GateState, ...], next_gate: str | None
) -> tuple[str, ...]:
    """Return what stands in the way: what the newest verdict lacked, or why it does not count."""
    reasons = [f"{g.gate}: {g.reason}" for g in gates if g.gate == next_gate and g.reason]
    return tuple(_last_failures(conn, next_gate) or reasons)


def _list_routes(
    conn: Conn, settings: Settings, share: dict[str, Any] | None
) -> tuple[RouteState, ...]:
    name = "route_states_about" if share else "route_states"
    rows = db.fetch_all(conn, db.load(name, settings.schema), share)
    names = ("captured", "dry_run", "held", "sent", "duplicate", "parked", "dead", "waiting")
    return tuple(
        RouteState(
            name=r["route_name"],
            target=f"{r['target_kind']}: {r['target_ref']}",
            mode=r["mode"],
            enabled=r["enabled"],
            dry_run=r["dry_run"],
            quota=r["quota"],
            live_from=r["live_from"],
            live_since=r["live_since"],
            counts={n: r["dry_run_events" if n == "dry_run" else n] for n in names},
            gates=gates,
            next_gate=standing.next_gate(gates),
            is_about=share is not None,
        )
        for r in rows
        for gates in [() if r["route_name"] == ROUTE else standing.list_route_gates(conn, r)]
    )


def _worker_gate(conn: Conn, settings: Settings) -> str | None:
    row = db.fetch_one(conn, db.load("dry_run", settings.schema), {"route": ROUTE})
    value: str | None = row["gate_value"]
    return value


def _list_workers(conn: Conn, settings: Settings) -> tuple[WorkerState, ...]:
    return tuple(
        WorkerState(**row) for row in db.fetch_all(conn, db.load("heartbeats", settings.schema))
    )


def _last_failures(conn: Conn, gate: str | None) -> list[str]:
    """Return what the newest verdict of a gate did not find, if it failed."""
    if gate is None:
        return []
    facts: dict[str, Any] = ledger.fetch_newest(conn, "verdict", gate).get("facts", {})
    if facts.get("outcome") in (None, "pass", "waived"):
        return []
    return [
        f"{f['name']}: {f['found']}, wanted {f['wanted']}"
        for f in facts["findings"]
        if not f["passed"]
    ]


def _is_route_missing(applied: tuple[str, ...], routes: tuple[RouteState, ...]) -> bool:
    """Tell whether somebody deleted the row that 060 made."""
    return "060" in applied and ROUTE not in {route.name for route in routes}


def _disagreements(
    applied: tuple[str, ...],
    gate_value: str | None,
    routes: tuple[RouteState, ...],
    held: tuple[Stop, ...],
) -> tuple[str, ...]:
    """Say where a revision and a switch differ; the switch is the truth."""
    said = []
    if gate_value is not None and (gate_value == "true") != ("080" in applied):
        said.append(f"the worker gate is {gate_value}, the runtime lane {_has(applied, '080')}")
    if _is_route_missing(applied, routes):
        said.append(f"{ROUTE} is not there: its row was deleted by hand")
    for route in routes:
        live = route.enabled and not route.dry_run
        if route.name == ROUTE and live != ("081" in applied):
            mode = "live" if live else "dry"
            said.append(f"{route.name} is {mode}, the runtime lane {_has(applied, '081')}")
    for stop in held:
        revision = "081" if stop.route else "080"
        is_of_lane = stop.route in {None, ROUTE} and stop.kind != "drill"
        if is_of_lane and revision in applied:
            what = stop.route or "everything"
            said.append(f"{what} is stopped, the runtime lane {_has(applied, revision)}")
    return tuple(said)


def _has(applied: tuple[str, ...], revision: str) -> str:
    return f"{'has' if revision in applied else 'has not'} {revision}"
