"""
`history prune`: what is old, delivered and exported leaves the live history, in small steps.

The route goes on meanwhile. An export of what goes is written, or one is named, and read back
whole; then batches remove it, each in a short transaction of its own. What a batch may remove it
finds out itself (``iu_gates.fn_prune_batch``), so what changed since our look is kept, or refused.
Killed at any point, the same command goes on with what is left. docs/decisions/0012-retention.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from iu_gates import db, export, purge, refusals, site
from iu_gates.backup import words_of
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import RefusedError, UsageError
from iu_gates.export import Export
from iu_gates.model import PrunePreview, PruneResult

BATCH: Final = 1000
LOOKED_AT: Final = 50_000
SAID: Final = 100
"""A line of progress comes every so many batches."""

Notify = Callable[[str], None]


def preview(
    settings: Settings, *, older_than: timedelta | None = None, before: int | None = None
) -> PrunePreview:
    """
    Return what a prune would remove, and write nothing.

    Args:
        settings: Of an operator; `history_keep` is the policy.
        older_than: Captured longer ago than this; None is the policy's.
        before: Events below this one, and as old as the policy says, if it says so.

    Raises:
        UsageError: Nothing says what is old enough.
        RefusedError: IUG-124, younger than the policy keeps; IUG-125, an event in the range is
            not done with.
    """
    with db.connect(settings, "history prune", as_owner=True) as conn:
        purge.require_place(conn, settings)
        return _look(conn, settings, older_than, before)


def prune(
    settings: Settings,
    *,
    older_than: timedelta | None = None,
    before: int | None = None,
    target: Path | None = None,
    exported: str | None = None,
    file: Path | None = None,
    batch: int = BATCH,
    notify: Notify = lambda _: None,
) -> PruneResult:
    """
    Export what may go, read it back, and remove it batch by batch.

    Args:
        settings: As for `preview`.
        older_than: As for `preview`.
        before: As for `preview`.
        target: Where the export goes, a new file or a directory; None is `history_dir`.
        exported: Digest of an export that there is already, or its beginning; then none is made.
        file: Where that one is now; None is where it was written.
        batch: At so many events a transaction looks, at most.
        notify: Called with progress.

    Raises:
        UsageError: As `preview`; or the ledger knows of no such export.
        RefusedError: As `preview`; or IUG-082, the export is not whole; nothing was removed.
        LockHeldError: Another prune is at work, or somebody holds the tables.
    """
    with (
        refusals.recorded(settings, "history prune", before=before, export=exported),
        db.connect(settings, "history prune", as_owner=True) as conn,
    ):
        purge.require_place(conn, settings)
        with site.prune_lock(settings, "history prune"):
            found = _look(conn, settings, older_than, before)
            if not found.events:
                return PruneResult(None, found.upto, {}, found.kept, None, None)
            made = _require_export(conn, settings, found.upto, target, exported, file, notify)
            upto = found.upto if made.manifest.upto is None else min(found.upto, made.manifest.upto)
            query = "select iu_gates.fn_prune_begin(%s, %s)"
            number = int(db.fetch_value(conn, query, made.manifest.digest, upto))
            facts = _remove(conn, number, upto, batch, notify)
    removed = {t: int(facts[n]) for n, t in _TABLES.items()}
    return PruneResult(
        number, upto, removed, int(facts["kept"]), made.manifest.digest, str(made.path)
    )


_TABLES: Final = {
    "events": "iu_event",
    "attempts": "iu_route_attempt",
    "dead_letters": "iu_route_dead_letter",
}


def _look(
    conn: Conn, settings: Settings, older_than: timedelta | None, before: int | None
) -> PrunePreview:
    age = _require_age(settings, older_than, before)
    bounds = db.fetch_one(
        conn, db.load("prune_bounds", settings.schema), {"age": age, "before": before}
    )
    upto, after, events, kept = int(bounds["upto"]), 0, 0, 0
    while after < upto:
        params = {"after": after, "upto": upto, "limit": LOOKED_AT}
        seen = db.fetch_one(conn, db.load("prune_look", settings.schema), params)
        events, kept = events + seen["go"], kept + seen["kept"]
        if seen["blocked"] is not None:
            raise _not_done(seen, events)
        after = upto if seen["looked"] < LOOKED_AT else seen["last"]
    return PrunePreview(upto, events, kept, bounds["oldest"], age)


def _require_age(
    settings: Settings, older_than: timedelta | None, before: int | None
) -> timedelta | None:
    keep = settings.history_keep
    if older_than is None and before is None and keep is None:
        raise UsageError(
            "nothing says which events are old enough to go",
            wanted="--older-than DURATION, --before EVENT, or the setting history_keep",
            means="without one the whole history is kept",
            next_command='iu-gates history prune --dry-run --older-than "90 d"',
            more="docs/history.md",
        )
    if keep is not None and older_than is not None and older_than < keep:
        raise RefusedError(
            "the policy keeps the history longer than that",
            ident="IUG-124",
            found=words_of(older_than),
            wanted=f"history_keep, {words_of(keep)}, or longer",
            means="nothing was removed",
            next_command="iu-gates history prune --dry-run",
            more="docs/history.md",
        )
    return keep if older_than is None else older_than


def _not_done(seen: dict[str, Any], events: int) -> RefusedError:
    said = "was passed over on" if seen["fate"] == "skipped" else "is not delivered by"
    command = "iu-gates audit" if seen["fate"] == "skipped" else "iu-gates status"
    if events:
        command = f"iu-gates history prune --before {seen['blocked']}"
    return RefusedError(
        f'event {seen["blocked"]} {said} route "{seen["route"]}"',
        ident="IUG-125",
        found=f'"{seen["name"]}"; {events} events before it could go',
        wanted="events that every route is done with which was there when they came",
        means="nothing was removed",
        next_command=command,
        more="docs/history.md",
        facts={"event_id": seen["blocked"], "route": seen["route"], "events": events},
    )


def _require_export(  # noqa: PLR0917  the parts of one call
    conn: Conn,
    settings: Settings,
    upto: int,
    target: Path | None,
    exported: str | None,
    file: Path | None,
    notify: Notify,
) -> Export:
    """Return an export that was read back whole, a new one or the one that was named."""
    if exported is None:
        place = target or settings.history_dir
        if target is None and not place.exists():
            place.mkdir(mode=0o700, parents=True)
        return export.write(settings, place, notify, upto=upto)
    return purge.read_back(conn, exported, file, notify)


def _remove(conn: Conn, number: int, upto: int, batch: int, notify: Notify) -> dict[str, Any]:
    """Remove batch after batch; return what went, as the ledger has it."""
    reached, batches = 0, 0
    query = db.load("prune_batch")
    while reached < upto:
        reached = db.fetch_one(conn, query, {"number": number, "batch": batch})["upto_event_id"]
        batches += 1
        if batches % SAID == 0:
            notify(f"up to event {reached} of {upto}")
    facts: dict[str, Any] = db.fetch_value(conn, "select iu_gates.fn_prune_end(%s)", number)
    return facts
