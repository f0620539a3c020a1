"""
What lies ahead: the steps of each gate, with their SQL as it would run and their locks.

Read in one transaction that is read-only: the database itself would refuse a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import psycopg

from iu_gates import advance, db, digest, gates, lanes, locks, proof, routes, standing
from iu_gates.config import Settings, name_further
from iu_gates.db import Conn
from iu_gates.model import GATES, Plan, PlannedStep

TAKES_BACK: Final = "it takes back what everybody has written since, the host too"
FULL: Final = f"full: the whole database as of its snapshot; restored, {TAKES_BACK}"
OWN_OBJECTS: Final = "own-objects: our rows and every definition; no row of the host"
HOST_ROWS: Final = "rows of the host: the site's own backup"
NOT_NEEDED: Final = "none is taken: two columns of one row change, and disable is the way back"
WAITS_FURTHER: Final = {
    "dry_run": "dry_run: organic changes that the route takes, and a worker",
    "approval": "approval: other logins' approve",
    "canary": "canary: one organic change that the route takes, and a worker",
}
NEVER_NEEDED: Final = "a rollback never needs a restore: each step is undone by its own SQL"


SWITCHES: Final = {
    "canary": "live with a quota of one",
    "live": "live: quota lifted",
}
"""What is switched of a further route, in the place of revisions."""


def make_plan(settings: Settings, route: str | None = None) -> Plan:
    """
    Return the steps ahead, what they wait for, and the digest to approve.

    Args:
        settings: Whose database.
        route: A further route, whose own gates they are; None or the first: all gates.
    """
    with db.connect(settings, "plan") as conn, conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        if further := name_further(route):
            return _plan_further(conn, settings, further)
        nxt = advance.next_gate(conn)
        installed = db.is_installed(conn)
        applied = lanes.list_applied(conn)
        names = proof.fetch_names(conn, settings) if installed else _names_ahead(conn, settings)
        steps = _list_steps(conn, names, applied)
        about = digest.compute(digest.fetch_contents(conn, settings)) if "060" in applied else None
        ahead = GATES[GATES.index(nxt) :] if nxt else ()
        waits = tuple(w for g in ahead if (w := _waits_for(g)))
        return Plan(nxt, steps, waits, about, _backup(conn, settings))


def _plan_further(conn: Conn, settings: Settings, route: str) -> Plan:
    routes.require_route(conn, settings, route)
    gates_ahead = [
        s.gate
        for s in standing.list_route_gates(conn, standing.fetch_route(conn, settings, route))
        if not s.in_force
    ]
    steps = tuple(
        PlannedStep(
            gate,
            gate,
            SWITCHES[gate],
            _render_switch(conn, settings, gate, route),
            needs_backup=False,
            holds_batches=gate == "canary",
            blockers=tuple(map(str, locks.list_blockers(conn, [], batches=gate == "canary"))),
        )
        for gate in gates_ahead
        if gate in SWITCHES
    )
    lacking = advance.list_lacking(conn)
    waits = (*lacking, *(w for gate in gates_ahead if (w := WAITS_FURTHER.get(gate))))
    about = digest.compute(digest.fetch_contents(conn, settings, route))
    return Plan(next(iter(gates_ahead), None), steps, waits, about, (NOT_NEEDED,), route)


def _render_switch(conn: Conn, settings: Settings, gate: str, route: str) -> str:
    """Return the statements of a switch as they would run, in one transaction."""
    cursor = psycopg.ClientCursor(conn)
    guard = cursor.mogrify("select iu_gates.fn_guard_route(%s, %s)", (route, gate))
    switch = cursor.mogrify(db.load(f"route_{gate}", settings.schema), {"route": route})
    return f"{guard};\n\n{switch.rstrip()};"


def _names_ahead(conn: Conn, settings: Settings) -> dict[str, str]:
    facts = gates.host.collect(conn, settings)
    names: dict[str, str] = lanes.load_module("hostnames").variables(settings.schema, facts.names)
    return names


def _list_steps(
    conn: Conn, names: Mapping[str, str], applied: tuple[str, ...]
) -> tuple[PlannedStep, ...]:
    steps: list[PlannedStep] = []
    for revision in lanes.REVISIONS:
        if revision.name in applied:
            continue
        is_first = revision.gate not in {s.gate for s in steps}
        needs = locks.list_needs(names, revision.name, "up")
        batches = (revision.name, "up") in locks.HOLDS_BATCHES
        step = PlannedStep(
            revision.name,
            revision.gate,
            revision.summary,
            "\n".join(lanes.render_sql(names, revision.name)),
            # One backup serves all steps of a gate.
            needs_backup=revision.is_ddl and is_first,
            locks=tuple(map(str, needs)),
            holds_batches=batches,
            blockers=tuple(map(str, locks.list_blockers(conn, needs, batches=batches))),
        )
        steps.append(step)
    return tuple(steps)


def _backup(conn: Conn, settings: Settings) -> tuple[str, ...]:
    """Return what a backup of the kind that the settings ask for can be restored to."""
    if settings.backup_kind == "full":
        return (FULL, NEVER_NEEDED)
    said = gates.backup.fetch_site(conn)
    host = f'"{said.ident}" of {said.tool}, {said.taken_at:%Y-%m-%d %H:%MZ}' if said else "NONE YET"
    return (OWN_OBJECTS, f"{HOST_ROWS}, {host}: restored, {TAKES_BACK}", NEVER_NEEDED)


def _waits_for(gate: str) -> str:
    return {
        "invocation": "invocation: another login's approve, and a worker's heartbeat",
        "dry_run": "dry_run: organic changes and a worker",
        "disable_proven": "disable_proven: organic load during the drill",
        "rehearsal": "rehearsal: room for a restored copy, and the right to make a database",
        "approval": "approval: other logins' approve",
        "canary": "canary: one organic change and a worker",
        "live": "live: organic load during the second drill",
    }.get(gate, "")
