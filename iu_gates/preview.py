"""
What a rollback would do and what speaks against it, found out before its first step.

History and drift are told all at once, as the preview's refusals. What makes a rollback
impossible altogether is raised: a standby, a revision that this version does not know, a backup
that could not be taken. Who holds locks now is named, and is no refusal: a step waits for its
locks, within a bound.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from iu_gates import backup, db, drift, lanes, locks, proof
from iu_gates.backup import files
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.errors import RefusedError
from iu_gates.model import RollbackPreview, Step

GOES: Final[Mapping[str, tuple[str, ...]]] = {
    "060": ("iu_runtime_gate",),
    "009": ("iu_route_cursor", "iu_route_carry_over", "iu_worker_heartbeat"),
    "008": (
        "iu_event",
        "iu_outbound_route",
        "iu_route_attempt",
        "iu_route_dead_letter",
        "iu_route_redrive",
        "iu_route_parked",
    ),
}
"""The tables of which each step down removes all rows."""

LOSES_HISTORY: Final = ("008", "009")


def look(conn: Conn, settings: Settings, target: str) -> RollbackPreview:
    """
    Return what a rollback to a target would undo, keep, lose and be refused for; changes nothing.

    Raises:
        RefusedError: This server cannot be written, or the revision is not known.
        BackupError: There are no tools for the backup that a step needs, or no room.
        UsageError: The target is none of `lanes.TARGETS`.
    """
    applied = lanes.list_applied(conn)
    undone = lanes.undone_by(applied, target)
    counts = db.count_rows(conn)
    drifted = [f"drift: {name}" for name in drift.list_names(conn)]
    against = (*_list_history(conn, undone, counts, settings), *drifted)
    if undone and not against:
        db.require_writable(conn)
        _require_backup_possible(conn, settings, undone)
    gone = [f"{settings.schema}.{table}" for s in undone for table in GOES.get(s.revision, ())]
    return RollbackPreview(
        target,
        undone,
        kept={name: rows for name, rows in counts.items() if rows and name not in gone},
        refusals=against,
        lost={name: counts[name] for name in gone if counts.get(name)},
        blockers=_list_blockers(conn, settings, undone),
        dried=_list_dried(conn, settings, applied),
        ways_on=_list_ways_on(conn, applied, target, mend=bool(drifted)) if against else (),
    )


def _list_dried(conn: Conn, settings: Settings, applied: tuple[str, ...]) -> tuple[str, ...]:
    """Return the further routes that are live: no rollback leaves one so."""
    if "100" not in applied:
        return ()
    rows = db.fetch_all(conn, db.load("routes", settings.schema))
    live = (r["route_name"] for r in rows if r["enabled"] and not r["dry_run"])
    return tuple(name for name in live if name != ROUTE)


def refusal(plan: RollbackPreview) -> RefusedError:
    """Return the error for a plan with refusals: what is kept, and how to go on."""
    history = any("holds history" in r for r in plan.refusals)
    kept = "history is kept: events, attempts, dead letters; " if history else ""
    first, *then = plan.ways_on or ("iu-gates status",)
    means = f"{kept}nothing was undone"
    if then:
        means += (
            f"; rollback --to 009 keeps it. To remove it too, after that: {', then '.join(then)}"
        )
    return RefusedError(
        f"the rollback to {plan.target} is refused: {plan.refusals[0]}",
        found="; ".join(plan.refusals),
        means=means,
        next_command=first,
        more="docs/runbooks/rollback.md",
        facts={
            "target": plan.target,
            "refusals": list(plan.refusals),
            "lost": dict(plan.lost),
            "ways_on": list(plan.ways_on),
        },
    )


def _list_history(
    conn: Conn, undone: tuple[Step, ...], counts: Mapping[str, int], settings: Settings
) -> list[str]:
    if not any(s.revision in LOSES_HISTORY for s in undone):
        return []
    query = "select table_name from iu_gates.fn_history() where row_exists"
    return [
        f"{name} holds history, {counts.get(f'{settings.schema}.{name}', 0)} rows"
        for (name,) in conn.execute(query).fetchall()
    ]


def _list_ways_on(
    conn: Conn, applied: tuple[str, ...], target: str, *, mend: bool
) -> tuple[str, ...]:
    """Return the commands that lead to a target all the same, in order."""
    if mend:
        return (drift.name_remedy(conn),)
    database = db.fetch_value(conn, "select current_database()")
    file = shlex.quote(f"{database}-history.jsonl.zst")
    stop = ("iu-gates rollback --to 009",) if "060" in applied else ()
    return (
        *stop,
        f"iu-gates history export {file}",
        "iu-gates history purge --export DIGEST",
        f"iu-gates rollback --to {target}",
    )


def _require_backup_possible(conn: Conn, settings: Settings, undone: tuple[Step, ...]) -> None:
    """Look for the tools and for room, before anything is stopped for a backup that fails."""
    if not any(s.is_ddl for s in undone):
        return
    backup.find_tools(conn.info.server_version // 10_000, settings.bin_dir)
    place = settings.backup_dir.absolute()
    while not place.exists():
        place = place.parent
    if settings.backup_kind == "full":
        query = "select pg_database_size(current_database())"
        files.require_room(place, db.fetch_value(conn, query))


def _list_blockers(conn: Conn, settings: Settings, undone: tuple[Step, ...]) -> tuple[str, ...]:
    names = proof.fetch_names(conn, settings)
    needs = {n for s in undone for n in locks.list_needs(names, s.revision, s.direction)}
    batches = any((s.revision, s.direction) in locks.HOLDS_BATCHES for s in undone)
    return tuple(map(str, locks.list_blockers(conn, needs, batches=batches)))
