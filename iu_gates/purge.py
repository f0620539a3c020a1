"""
`history purge`: the one way in which history is removed, and what stands before it.

An export that is verified again now and holds exactly the rows that there are; everything off;
the approval of other logins, asked for here in the ledger; a backup taken after all that. What
this module refuses, ``iu_gates.fn_purge_guard`` refuses too, in the transaction of the purge and
under its locks: so what came between our look and that is not lost, it is refused.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psycopg.types.json import Jsonb

from iu_gates import backups, db, drift, export, ledger, refusals, site, stops
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import AS_ANOTHER, SAME, NotDrainedError, RefusedError, UsageError
from iu_gates.export import Export
from iu_gates.model import PurgePreview, PurgeResult

LEAST_DIGITS: Final = 8
Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What would be purged, on the strength of which export, under which digest."""

    export: Export
    contents: Mapping[str, Any]
    digest: str

    def preview(self, logins: list[str]) -> PurgePreview:
        """Return what a user is shown before the question."""
        lost = {n: t["rows"] for n, t in self.contents["tables"].items()}
        return PurgePreview(
            self.digest,
            self.contents["export"],
            str(self.export.path),
            lost,
            self.contents["never_delivered"],
            tuple(logins),
        )


def preview(
    settings: Settings, digest: str, file: Path | None = None, notify: Notify = lambda _: None
) -> PurgePreview:
    """
    Return what a purge would remove, if it may be; ask for its approval if nobody has yet.

    Raises:
        RefusedError: As `purge`, but for the backup, which is taken last.
    """
    with (
        refusals.recorded(settings, "purge", export=digest),
        db.connect(settings, "history purge", as_owner=True) as conn,
    ):
        require_place(conn, settings)
        plan = _prepare(conn, settings, digest, file, notify)
        return plan.preview(_require_approved(conn, settings, plan))


def purge(
    settings: Settings, digest: str, file: Path | None = None, notify: Notify = lambda _: None
) -> PurgeResult:
    """
    Remove the events, attempts, dead letters and cursors that an export holds.

    Args:
        settings: Of the owner.
        digest: The export's, or its beginning, as the export printed it.
        file: Where the export is now; None is where it was written.
        notify: Called with progress.

    Raises:
        UsageError: The ledger knows of no such export.
        RefusedError: IUG-082, the export is not whole; IUG-083, something is on, rows came
            since, or the approval is lacking; nothing was removed.
        NotDrainedError: Batches did not end within the bound; nothing was removed.
        LockHeldError: Another walk is at work, or somebody holds the tables.
    """
    with (
        refusals.recorded(settings, "purge", export=digest),
        db.connect(settings, "history purge", as_owner=True) as conn,
    ):
        require_place(conn, settings)
        with site.walk_lock(settings, "history purge"):
            plan = _prepare(conn, settings, digest, file, notify)
            found = plan.preview(_require_approved(conn, settings, plan))
            epoch = stops.stop(conn, None, "drill", f"history purge {plan.digest[:12]}")
            stops.lift_orphans(conn, own=epoch)
            try:
                _require_drained(conn, settings)
                stops.fold(conn)
                notify("takes a backup and reads it back whole")
                archive = backups.take(conn, settings).path
                notify("removes")
                with conn.transaction():
                    db.fetch_value(conn, "select iu_gates.fn_purge_history(%s)", plan.digest)
            finally:
                stops.lift_drill(conn, epoch)
    return PurgeResult(found.digest, found.export, found.lost, found.approved_by, str(archive))


def require_place(conn: Conn, settings: Settings) -> None:
    """Raise unless iu-gates is installed here, this is home, and it can be written."""
    db.require_installed(conn)
    db.require_writable(conn)
    site.require_home(conn, settings)


def read_back(conn: Conn, digest: str, file: Path | None, notify: Notify) -> Export:
    """
    Return an export that the ledger knows by its digest, or the beginning of it, read back whole.

    Raises:
        UsageError: The ledger knows of no such export.
        RefusedError: IUG-082, it is not whole, or the file is another one.
    """
    facts = find_export(conn, digest)
    path = file or Path(facts["file"])
    notify(f"reads {path} back whole")
    found = export.verify(path)
    if found.manifest.digest != facts["digest"]:
        raise RefusedError(
            f'"{path}" is another export',
            ident="IUG-082",
            found=found.manifest.digest,
            wanted=facts["digest"],
            next_command="iu-gates ledger show --kind export --json",
        )
    return found


def _prepare(
    conn: Conn, settings: Settings, digest: str, file: Path | None, notify: Notify
) -> _Plan:
    """Verify the export anew, and hold it against the database as it is."""
    found = read_back(conn, digest, file, notify)
    notify("holds it against the database")
    row = conn.execute(
        "select iu_gates.fn_purge_active(),"
        " exists (select from iu_gates.fn_history() where row_exists)"
    ).fetchone()
    assert row is not None  # noqa: S101  a select without FROM has one row
    if active := [*row[0], *(f"drift: {d}" for d in drift.list_names(conn))]:
        raise _refused(active, "iu-gates rollback --to 009")
    if not row[1]:
        raise UsageError("there is no history to purge", next_command="iu-gates status")
    contents = _contents(conn, settings, found)
    if changed := _fetch_list(conn, "select iu_gates.fn_purge_changed(%s)", Jsonb(contents)):
        raise _refused(changed, f"iu-gates history export {shlex.quote(str(found.path.parent))}/")
    about = db.fetch_value(conn, "select iu_gates.fn_purge_digest(%s)", Jsonb(contents))
    return _Plan(found, contents, about)


def find_export(conn: Conn, digest: str) -> dict[str, Any]:
    """Return the facts of the ledger's entry of an export, by its digest or its beginning."""
    rows = db.fetch_all(conn, db.load("exports"), {"digest": digest.lower()})
    if len(digest) >= LEAST_DIGITS and len({r["facts"]["digest"] for r in rows}) == 1:
        facts: dict[str, Any] = rows[0]["facts"]
        return facts
    raise UsageError(
        f'the ledger knows of no export "{digest}"' if not rows else f'"{digest}" is not enough',
        wanted=f"the digest that `history export` printed, at least {LEAST_DIGITS} digits of it",
        next_command="iu-gates ledger show --kind export --json",
    )


def _contents(conn: Conn, settings: Settings, found: Export) -> dict[str, Any]:
    """Return what others vote on; the same until a row, the export or a limit changes."""
    manifest, states = found.manifest, found.manifest.states()
    tables = conn.execute(
        "select table_name from iu_gates.fn_history_tables(null) where is_purged"
    ).fetchall()
    query = db.load("never_delivered", settings.schema)
    return {
        "what": "remove the history of this database for good",
        "export": manifest.digest,
        "file_sha256": manifest.sha256,
        "tables": {name: states[name] for (name,) in tables if name in states},
        "never_delivered": db.fetch_one(conn, query)["events"],
        "database": dict(manifest.database),
        "needed": settings.approvals_needed,
        "valid_for_s": settings.approval_valid_for.total_seconds(),
    }


def _require_approved(conn: Conn, settings: Settings, plan: _Plan) -> list[str]:
    """Return who approved; ask for approval in the ledger, once for each digest."""
    query = "select iu_gates.fn_purge_contents(%s) is not null"
    if not db.fetch_value(conn, query, plan.digest):
        facts = {
            "digest": plan.digest,
            "contents": plan.contents,
            "needed": settings.approvals_needed,
        }
        ledger.append(conn, "request", "purge", facts)
    if lacking := _fetch_list(conn, "select iu_gates.fn_purge_unapproved(%s)", plan.digest):
        command = f"iu-gates approve --digest {plan.digest[:12]} {AS_ANOTHER}"
        raise _refused(lacking, command, digest=plan.digest)
    return _fetch_list(conn, "select iu_gates.fn_purge_logins(%s)", plan.digest)


def _require_drained(conn: Conn, settings: Settings) -> None:
    if not stops.wait_until_drained(conn, None, settings.barrier_wait):
        raise NotDrainedError(
            "batches are still in hand; nothing was removed",
            found="; ".join(str(b) for b in stops.list_in_hand(conn, None)),
            next_command=f"iu-gates disable --terminate && {SAME}",
        )


def _fetch_list(conn: Conn, query: Any, argument: object) -> list[str]:
    return list(db.fetch_value(conn, query, argument))


def _refused(findings: list[str], next_command: str, **facts: Any) -> RefusedError:
    return RefusedError(
        f"the purge is refused: {findings[0]}",
        ident="IUG-083",
        found="\n".join(findings),
        means="nothing was removed",
        next_command=next_command,
        more="docs/history.md",
        facts={"findings": findings, **facts},
    )
