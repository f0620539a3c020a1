"""
`rollback --to`: everything that would be refused is found before the first step.

Then stop, a backup, the runtime lane, the substrate lane. History is kept, or the rollback is
refused. What fails before the first step leaves the switches as they were; batches that do not
end leave it off; killed in the middle it is off too, and the next `rollback` or `advance` goes
on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iu_gates import backups, db, lanes, ledger, site, stops
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import NotDrainedError, RefusedError
from iu_gates.model import RollbackPreview, RollbackResult

LOSES_HISTORY: Final = ("008", "009")


def preview(settings: Settings, target: str) -> RollbackPreview:
    """Return what a rollback would undo, keep and be refused for; changes nothing."""
    with db.connect(settings, "rollback") as conn:
        db.require_installed(conn)
        return _preview(conn, target)


def _preview(conn: Conn, target: str) -> RollbackPreview:
    undone = lanes.undone_by(lanes.list_applied(conn), target)
    refusals = [f"drift: {text}" for text in lanes.list_drift(conn)]
    if any(s.revision in LOSES_HISTORY for s in undone):
        query = "select table_name from iu_gates.fn_history() where row_exists"
        tables = [f"{name} holds history" for (name,) in conn.execute(query).fetchall()]
        refusals = [*tables, *refusals]
    kept = {name: rows for name, rows in db.count_rows(conn).items() if rows}
    return RollbackPreview(target, undone, kept, tuple(refusals))


def rollback(
    settings: Settings, target: str, notify: Callable[[str], None] = lambda _: None
) -> RollbackResult:
    """
    Undo down to a target of `lanes.TARGETS`.

    Raises:
        RefusedError: It would lose history, or something drifted; nothing was done.
        NotDrainedError: Batches did not end within the bound; off, but no step was undone.
        LockHeldError: Another walk is at work.
    """
    with db.connect(settings, "rollback") as conn:
        db.require_installed(conn)
        site.require_home(conn, settings)
        with site.walk_lock(settings, "rollback"):
            # What an interrupted drill or rollback had stopped; nobody else walks now.
            stops.lift_orphans(conn)
            plan = _preview(conn, target)
            if plan.refusals:
                why = {"target": target, "why": list(plan.refusals)}
                ledger.append(conn, "refusal", "rollback", why)
                raise _refused(plan)
            if not plan.undone:
                return RollbackResult(target, (), plan.kept, None)
            return _undo(conn, settings, plan, notify)


def _undo(
    conn: Conn, settings: Settings, plan: RollbackPreview, notify: Callable[[str], None]
) -> RollbackResult:
    notify("stops and waits for batches in hand")
    epoch = stops.stop(conn, None, "drill", f"rollback to {plan.target}")
    _require_drained(conn, settings)
    try:
        archive = _take_backup(conn, settings, plan, notify)
    except Exception:
        stops.lift_drill(conn, epoch)
        raise
    notify(f"undoes {', '.join(s.revision for s in plan.undone)}")
    lanes.downgrade(settings, plan.target, notify=notify)
    stops.lift_drill(conn, epoch)
    undone = tuple(f"{s.lane}/{s.revision}" for s in plan.undone)
    return RollbackResult(plan.target, undone, plan.kept, archive)


def _require_drained(conn: Conn, settings: Settings) -> None:
    if not stops.wait_until_drained(conn, None, settings.barrier_wait):
        raise NotDrainedError(
            "off, but batches are still in hand; nothing was undone",
            found="; ".join(str(b) for b in stops.list_in_hand(conn, None)),
            next_command="iu-gates disable --terminate, then the same rollback",
        )


def _take_backup(
    conn: Conn, settings: Settings, plan: RollbackPreview, notify: Callable[[str], None]
) -> str | None:
    """Take a backup after the stop and before the first step of DDL (T39)."""
    if not any(s.is_ddl for s in plan.undone):
        return None
    notify("takes a backup and reads it back whole")
    return str(backups.take(conn, settings).path)


def _refused(plan: RollbackPreview) -> RefusedError:
    history = any("history" in r for r in plan.refusals)
    kept = "history is kept: events, attempts, dead letters; " if history else ""
    keeping = "iu-gates rollback --to 009, which keeps the history"
    next_command = keeping if history else "iu-gates status"
    return RefusedError(
        f"the rollback to {plan.target} is refused: {plan.refusals[0]}",
        found="; ".join(plan.refusals),
        means=f"{kept}nothing was undone",
        next_command=next_command,
        more="docs/runbooks/rollback.md",
        facts={"target": plan.target, "refusals": list(plan.refusals)},
    )
