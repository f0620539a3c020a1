"""
Past events again, and events given up: what an operator decides against the order of things.

**A replay** hands past events of a live route to the seam again, under their own keys, in the order
of event_id, a batch a transaction. What the target has is a no-op by its key; what it lacks it
gets. So a replay that was killed is the same command again. It takes the keys of a batch, stops
where the route is stopped, and ends at the first event that fails: none of its subject goes before
it. Its attempts are "replayed" or "duplicate"; they are no part of the order that `audit` judges.

**A skip** moves the delivery cursor forward. Each event that it gives up has an attempt "skipped",
the ledger has the decision, and `audit` names them. What is kept, and what commits later, is
delivered.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from iu_gates import db, ledger, refusals, routes, site, stops
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.errors import RefusedError, UsageError
from iu_gates.model import ReplayPreview, ReplayResult, SkipPreview, SkipResult, Span

BATCH: Final = 1000


def preview(settings: Settings, name: str, span: Span) -> ReplayPreview:
    """
    Return what a replay would hand to the seam again.

    Raises:
        UsageError: There is no such route.
        RefusedError: IUG-121, the route is not live.
    """
    with (
        refusals.recorded(settings, "route replay", route=name, **span.asked()),
        routes.operating(settings, "route replay") as conn,
    ):
        return _preview(conn, settings, name, span)


def replay(
    settings: Settings,
    name: str,
    span: Span,
    *,
    limit: int = BATCH,
    notify: Callable[[str], None] = lambda _: None,
) -> ReplayResult:
    """
    Send past events of a live route again, under their own keys.

    Args:
        settings: Whose database; the site key is needed, as by a worker.
        name: The route.
        span: Which events.
        limit: Events a batch.
        notify: Called with progress.

    Raises:
        RefusedError: As `preview`; or IUG-122, an event failed, those before it are done.
        GateError: There is no site key here.
    """
    with (
        refusals.recorded(settings, "route replay", route=name, **span.asked()),
        routes.operating(settings, "route replay") as conn,
    ):
        key = site.require_key(settings)
        seen = _preview(conn, settings, name, span)
        result = ReplayResult(name, span.asked(), 0, 0, 0)
        if not seen.events:
            return result
        begun = {"state": "begun", "asked": span.asked(), "events": seen.events}
        ledger.append(conn, "replay", name, {**begun, "first": seen.first, "last": seen.last})
        after, left = (seen.first or 1) - 1, True
        while left:
            done = _replay_batch(conn, settings, seen, span, after=after, limit=limit, key=key)
            result = _add(result, done)
            if done["failed_event_id"] is not None:
                _append(conn, result, "failed", event_id=done["failed_event_id"])
                raise _failed(result, done, seen, span)
            after, left = done["last_event_id"], done["events"] == limit
            notify(f"{result.events} of {seen.events} events")
        _append(conn, result, "done")
    return result


def preview_skip(settings: Settings, name: str, to: int | None) -> SkipPreview:
    """
    Return what a skip would give up, and what it would keep.

    Args:
        settings: Whose database.
        name: The route.
        to: The event that is next then; None gives up all that is committed.

    Raises:
        UsageError: There is no such route, or no such event yet.
        RefusedError: IUG-123, the cursor is past it.
    """
    with (
        refusals.recorded(settings, "route skip-to", route=name, to=to or "now"),
        routes.operating(settings, "route skip-to") as conn,
    ):
        return _preview_skip(conn, settings, name, to)


def skip(settings: Settings, name: str, to: int | None) -> SkipResult:
    """
    Move the delivery cursor of a route forward; what is given up has an attempt "skipped".

    Raises:
        UsageError, RefusedError: As `preview_skip`; nothing was skipped.
    """
    with (
        refusals.recorded(settings, "route skip-to", route=name, to=to or "now"),
        routes.operating(settings, "route skip-to") as conn,
    ):
        seen = _preview_skip(conn, settings, name, to)
        if not seen.events:
            return SkipResult(name, 0, None, None, seen.kept)
        query = db.load("route_skip", settings.schema)
        facts = db.fetch_one(conn, query, {"route": name, "to": to})["facts"]
    return SkipResult(
        name, facts["count"], facts["first"], facts["last"], facts.get("kept", seen.kept)
    )


def _preview(conn: Conn, settings: Settings, name: str, span: Span) -> ReplayPreview:
    stops.fetch_route_no(conn, settings.schema, name)
    (route,) = routes.read(conn, settings, name)
    if route.state != "live":
        raise _not_live(name, f"{route.state}: {route.why}" if route.why else route.state)
    row = db.fetch_one(conn, db.load("route_past", settings.schema), _params(name, span))
    return ReplayPreview(name, int(row["events"]), row["first"], row["last"])


def _params(name: str, span: Span) -> dict[str, Any]:
    times = {"since": span.since, "until": span.until}
    return {"route": name, "first": span.first, "last": span.last, **times}


def _replay_batch(
    conn: Conn, settings: Settings, seen: ReplayPreview, span: Span, **given: Any
) -> dict[str, Any]:
    # Up to the last event that was counted, so that the end stands still.
    params = {**_params(seen.route, replace(span, last=seen.last)), **given}
    return db.fetch_one(conn, db.load("route_replay", settings.schema), params)


def _add(result: ReplayResult, done: Mapping[str, Any]) -> ReplayResult:
    return replace(
        result,
        events=result.events + done["events"],
        delivered=result.delivered + done["replayed"],
        duplicates=result.duplicates + done["duplicates"],
    )


def _append(conn: Conn, result: ReplayResult, state: str, **facts: Any) -> None:
    counts = ("events", "delivered", "duplicates")
    said = {name: getattr(result, name) for name in counts}
    ledger.append(
        conn, "replay", result.route, {"state": state, "asked": result.asked, **said, **facts}
    )


def _preview_skip(conn: Conn, settings: Settings, name: str, to: int | None) -> SkipPreview:
    stops.fetch_route_no(conn, settings.schema, name)
    query = db.load("route_pending", settings.schema)
    row = db.fetch_one(conn, query, {"route": name, "to": to})
    if to is not None and to > row["last_drawn"]:
        raise UsageError(
            f"there is no event {to} yet",
            ident="IUG-119",
            wanted=f"an event up to {row['last_drawn']}, or now",
            means="nothing was skipped",
            next_command=f"iu-gates route skip-to {name} now",
            more=routes.PAGE,
        )
    if to is not None and to < (row["next"] or row["last_drawn"] + 1):
        raise RefusedError(
            f'the cursor of route "{name}" is past event {to}',
            ident="IUG-123",
            found=f"event {row['next']} is next" if row["next"] else "nothing is before it",
            wanted="an event that the cursor has before it, or now",
            means="nothing was skipped: a cursor never goes back, a replay sends past events again",
            next_command=f"iu-gates route replay {name} --from {to}",
            more=routes.PAGE,
        )
    return SkipPreview(name, int(row["events"]), row["first"], row["last"], int(row["kept"]))


def _not_live(name: str, state: str) -> RefusedError:
    return RefusedError(
        f'route "{name}" is not live, and delivers nothing again',
        ident="IUG-121",
        found=state,
        wanted="live",
        means="nothing was sent; in the canary its quota would be spent",
        next_command="iu-gates advance" if name == ROUTE else f"iu-gates route show {name}",
        more=routes.PAGE,
    )


def _failed(
    result: ReplayResult, done: Mapping[str, Any], seen: ReplayPreview, span: Span
) -> RefusedError:
    failed = done["failed_event_id"]
    words = ["iu-gates", "route", "replay", result.route, "--from", str(failed)]
    end = span.until.isoformat() if span.until else str(seen.last)
    return RefusedError(
        f"event {failed} fails again: {done['failed_message']} ({done['failed_sqlstate']})",
        ident="IUG-122",
        found=f"{result.events} of {seen.events} events before it are done",
        wanted=f"its cause mended; or --from {failed + 1}, which leaves it out",
        means="no event of its subject was sent before it; the attempt is recorded",
        next_command=shlex.join([*words, "--to", end]),
        more=routes.PAGE,
        facts={"event_id": failed, "events": result.events, "delivered": result.delivered},
    )
