"""Routes one by one: a list, one whole, and what was changed, replayed or skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from iu_gates.model import (
    Place,
    ReplayPreview,
    ReplayResult,
    Route,
    RouteChange,
    SkipPreview,
    SkipResult,
)
from iu_gates.render import words
from iu_gates.render.page import WIDTH, Page, Style, clip

_STYLES: Final[Mapping[str, Style]] = {
    "off": "dim",
    "dry": "warn",
    "held": "warn",
    "canary": "good",
    "live": "good",
    "tripped": "bad",
}
_DONE: Final[Mapping[str, str]] = {"add": "added", "set": "set", "enable": "on"}


def routes(every: Sequence[Route], width: int = WIDTH) -> Page:
    """Return three lines for each: name and state, from where to where, what lies before it."""
    page = Page(width)
    for route in every:
        page.line((route.name, "head"), "  ", (route.state, _STYLES[route.state]))
        page.line(clip(f"  {_what(route)} → {route.target_kind}: {route.target_ref}", width))
        page.line((clip(f"  {_before(route)}", width), "dim"))
    if not every:
        page.line("no route yet")
    return page


def route(one: Route, width: int = WIDTH) -> Page:
    """Return all of one."""
    page = Page(width)
    page.line((one.name, "head"), "  ", (one.state, _STYLES[one.state]))
    if one.why:
        page.field("why", one.why, _STYLES[one.state])
    page.field("takes", _what(one))
    page.field("target", f"{one.target_kind}: {one.target_ref}")
    page.field(
        "retry",
        f"{words.plural(one.max_tries, 'try')}, after {one.retry_seconds} s, doubled each time",
    )
    fate = "is held" if one.on_dead_letter == "hold" else "passes"
    page.field("letters", f"what is behind a dead letter of its subject {fate}")
    page.field("budget", f"{one.trip_failures} failed tries in {one.trip_seconds} s")
    page.field("delivery", _place(one.delivery))
    page.field("evaluated", _place(one.evaluation))
    page.field("before it", _before(one))
    page.field(
        "last",
        f"{one.last_status}, {words.moment(one.last_attempt_at)}"
        if one.last_status
        else "no attempt yet",
    )
    page.field("added", words.moment(one.created_at))
    page.field("hash", words.short(one.definition_hash))
    return page


def route_change(done: RouteChange, width: int = WIDTH) -> Page:
    """Return what was changed, and how the route stands."""
    page = Page(width)
    state = f", {done.state}" if done.state else ""
    if done.changed:
        page.line(("✓", "good"), f" {done.route}: {_DONE[done.did]}{state}")
    else:
        page.line(("✓", "good"), f" {done.route}: nothing to do{state}")
    for name, (before, after) in done.changed.items():
        was = "" if before is None else f", was {words.value(before)}"
        page.field("", f"{name.replace('_', ' ')}: {words.value(after)}{was}")
    if done.carried:
        page.field("begins", f"with {words.plural(done.carried, 'event')} of the past")
    if done.next_command:
        page.command("next", done.next_command)
    return page


def replay_preview(seen: ReplayPreview, width: int = WIDTH) -> Page:
    """Return how many events would be handed to the target again."""
    page = Page(width)
    page.line(f"{seen.route}: {words.plural(seen.events, 'event')}, {seen.first} to {seen.last}")
    page.field("means", "what the target has is a no-op by its key, what it lacks is delivered")
    return page


def replayed(done: ReplayResult, width: int = WIDTH) -> Page:
    """Return what a replay delivered."""
    page = Page(width)
    if not done.events:
        page.line(("✓", "good"), f" {done.route}: nothing to replay: no past event is there")
        return page
    page.line(("✓", "good"), f" {done.route}: {words.plural(done.events, 'event')} again")
    page.field("delivered", f"{words.number(done.delivered)}, which the target lacked")
    page.field("no-ops", f"{words.number(done.duplicates)}, which it had")
    return page


def skip_preview(seen: SkipPreview, width: int = WIDTH) -> Page:
    """Return what a skip would give up."""
    page = Page(width)
    page.line(f"{seen.route}: {words.plural(seen.events, 'event')}, {seen.first} to {seen.last}")
    page.field("means", "they are not delivered; audit names them, a replay sends them after all")
    page.field("stay", words.plural(seen.kept, "event"))
    return page


def skipped(done: SkipResult, width: int = WIDTH) -> Page:
    """Return what was given up."""
    page = Page(width)
    if not done.skipped:
        page.line(("✓", "good"), f" {done.route}: nothing to skip: none is before it")
        return page
    count = words.plural(done.skipped, "event")
    page.line(("✓", "good"), f" {done.route}: {count} skipped, {done.first} to {done.last}")
    page.field("stay", words.plural(done.kept, "event"))
    return page


def _what(one: Route) -> str:
    chosen = one.event_filter or {}
    subject = f" of subject {chosen['subject']}" if "subject" in chosen else ""
    within = f" with {words.value(chosen['payload'])}" if "payload" in chosen else ""
    return f"{one.event_type}{subject}{within}"


def _before(one: Route) -> str:
    age = f" ({words.age(one.behind_seconds)})" if one.behind else ""
    seldom = {"held": one.held, "parked": one.parked, "dead letters": one.dead}
    rest = "".join(f", {name} {words.number(n)}" for name, n in seldom.items() if n)
    return f"behind {words.number(one.behind)}{age}{rest}"


def _place(place: Place | None) -> str:
    if place is None:
        return "nowhere yet"
    inside = ", in the middle of a window" if place.is_open else ""
    return f"event {place.event_id}{inside}, moved {words.moment(place.moved_at)}"
