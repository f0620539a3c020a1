"""
`rollback --to`: everything that would be refused is found before the first step.

Then stop, a backup, live further routes to dry-run, the runtime lane, the substrate lane.
History is kept, or the rollback is refused. What fails before the first step leaves the switches
as they were; batches that do not end leave it off; killed in the middle it is off too, and the
next `rollback` or `advance` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from iu_gates import backups, db, disable, gates, lanes, refusals, site, stops
from iu_gates.backup import REGISTER
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import SAME, GateError, NotDrainedError
from iu_gates.model import RollbackPreview, RollbackResult
from iu_gates.preview import look, refusal


def preview(settings: Settings, target: str) -> RollbackPreview:
    """Return what a rollback would undo, keep and be refused for; changes nothing."""
    with db.connect(settings, "rollback", as_owner=True) as conn:
        db.require_installed(conn)
        return look(conn, settings, target)


def rollback(
    settings: Settings,
    target: str,
    notify: Callable[[str], None] = lambda _: None,
    bar: backups.Bar = nullcontext,
) -> RollbackResult:
    """
    Undo down to a target of `lanes.TARGETS`; `bar` shows the progress of the backup.

    Raises:
        RefusedError: It would lose history, or something drifted; nothing was done.
        NotDrainedError: Batches did not end within the bound; off, but no step was undone.
        LockHeldError: Another walk is at work.
    """
    with (
        refusals.recorded(settings, "rollback", target=target),
        db.connect(settings, "rollback", as_owner=True) as conn,
    ):
        db.require_installed(conn)
        site.require_home(conn, settings)
        with site.walk_lock(settings, "rollback"):
            plan = look(conn, settings, target)
            if plan.refusals:
                raise refusal(plan)
            if not plan.undone and not plan.dried:
                stops.lift_orphans(conn)
                return RollbackResult(target, (), plan.kept, None)
            return _undo(conn, settings, plan, notify, bar)


def _undo(
    conn: Conn,
    settings: Settings,
    plan: RollbackPreview,
    notify: Callable[[str], None],
    bar: backups.Bar,
) -> RollbackResult:
    notify("stops and waits for batches in hand")
    epoch = stops.stop(conn, None, "drill", f"rollback to {plan.target}")
    # What an interrupted drill or rollback had stopped: nobody else walks now, and this one holds.
    stops.lift_orphans(conn, own=epoch)
    _require_drained(conn, settings)
    stops.fold(conn)
    try:
        archive = _take_backup(conn, settings, plan, notify, bar)
    except BaseException:
        stops.lift_drill(conn, epoch)
        raise
    for route in plan.dried:
        notify(f"takes {route} back to dry-run")
        disable.make_dry(conn, settings, route, f"rollback to {plan.target}")
    if plan.undone:
        notify(f"undoes {', '.join(s.revision for s in plan.undone)}")

    def require(revision: str) -> None:
        if lanes.BY_NAME[revision].is_ddl:
            _require_backup(conn, settings)

    if plan.undone:
        lanes.downgrade(settings, plan.target, notify=notify, require=require)
    stops.lift_drill(conn, epoch)
    undone = tuple(f"{s.lane}/{s.revision}" for s in plan.undone)
    return RollbackResult(plan.target, undone, plan.kept, archive, plan.dried)


def _require_drained(conn: Conn, settings: Settings) -> None:
    if not stops.wait_until_drained(conn, None, settings.barrier_wait):
        raise NotDrainedError(
            "off, but batches are still in hand; nothing was undone",
            found="; ".join(str(b) for b in stops.list_in_hand(conn, None)),
            next_command=f"iu-gates disable --terminate && {SAME}",
        )


def _take_backup(
    conn: Conn,
    settings: Settings,
    plan: RollbackPreview,
    notify: Callable[[str], None],
    bar: backups.Bar,
) -> str | None:
    """Take a backup after the stop and before the first step of DDL (T39)."""
    if not any(s.is_ddl for s in plan.undone):
        return None
    notify("takes a backup and reads it back whole")
    archive = str(backups.take(conn, settings, bar).path)
    _require_backup(conn, settings)
    return archive


def _require_backup(conn: Conn, settings: Settings) -> None:
    """
    Raise unless the backup that was taken still counts, right before a step of DDL.

    Raises:
        GateError: It is missing, was altered, ran out, or the site's own beside it does not count.
    """
    facts = gates.backup.collect(conn, settings, gate="rollback")
    verdict = gates.backup.judge(facts, settings)
    if verdict.passed:
        return
    worst = verdict.failures[0]
    raise GateError(
        f'gate "backup" is not satisfied: {worst.name}: {worst.found}',
        found=worst.found,
        wanted=worst.wanted,
        means="it is off, and no further step was undone; the same rollback takes another backup"
        " and goes on from here",
        next_command=worst.remedy if worst.remedy == REGISTER else SAME,
        more="docs/gates/backup.md",
        facts={"verdict": verdict.as_dict()},
    )
