"""The status: where am I, what is on, what is next, what blocks; in one glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from iu_gates.config import name_advance
from iu_gates.model import HistorySize, RouteState, Status, Stop, WorkerState
from iu_gates.render import words
from iu_gates.render.page import LABEL, NOT_YET, WIDTH, Page, Span, Style, clip

_CELL: Final = 17
_STALE_SECONDS: Final = 300
_COUNTS: Final = ("captured", "waiting", "dry_run", "held", "sent", "duplicate", "parked", "dead")
_SELDOM: Final = ("duplicate", "parked", "dead")
_MODES: Final[Mapping[str, tuple[str, Style]]] = {
    "live": ("LIVE", "good"),
    "held": ("held back, delivered once live again", "warn"),
    "dry": ("dry-run, nothing is delivered", "warn"),
    "hold": ("off, events wait", "dim"),
}


def status(seen: Status, width: int = WIDTH) -> Page:
    """Return the page of `iu-gates status`; the next command is its last line."""
    page = Page(width)
    page.text(f"{seen.database} on PostgreSQL {seen.server_version}: {where(seen)}", "head")
    page.blank()
    if seen.installed:
        _gates(page, seen)
        _switches(page, seen)
        _routes(page, seen)
        _surroundings(page, seen)
        page.blank()
    _next(page, seen)
    return page


def where(seen: Status) -> str:
    """Return in a clause what happens to an event now."""
    if not seen.installed:
        return "iu-gates is not installed here yet"
    if any(stop.route is None for stop in seen.stops):
        return "STOPPED, nothing is delivered"
    live = [route for route in seen.routes if route.mode == "live"]
    if live:
        return _where_live(seen, live)
    modes = {route.mode for route in seen.routes}
    if not modes:
        return "no route yet"
    return _MODES[next(m for m in ("held", "dry", "hold") if m in modes or m == "hold")][0]


def _where_live(seen: Status, live: list[RouteState]) -> str:
    name = "CANARY" if all(route.quota is not None for route in live) else "LIVE"
    if len(seen.routes) == 1:
        return name
    return f"{name} on {len(live)} of {words.plural(len(seen.routes), 'route')}"


def _gates(page: Page, seen: Status) -> None:
    """Add the gates as a grid, read line by line."""
    columns = max(1, (page.width - LABEL - 1) // _CELL)
    in_force = sum(state.in_force for state in seen.gates)
    after = f", next is {seen.next_gate}" if seen.next_gate else ""
    page.field("gates", f"{in_force} of {len(seen.gates)} in force{after}")
    cells = [_cell(seen, state.gate, in_force=state.in_force) for state in seen.gates]
    for start in range(0, len(cells), columns):
        row = [span for cell in cells[start : start + columns] for span in cell]
        page.line(" " * (LABEL + 2), *row)
    if waived := [s.gate for s in seen.gates if s.in_force and s.outcome == "waived"]:
        page.field("waived", ", ".join(waived), "warn")


def _cell(seen: Status, gate: str, *, in_force: bool) -> tuple[Span, Span]:
    mark: Span = ("✓ ", "good") if in_force else (f"{NOT_YET} ", "dim")
    style: Style = "" if in_force else "dim"
    if gate == seen.next_gate:
        mark, style = ("• ", "warn"), "head"
    return mark, (f"{gate:<{_CELL - 2}}", style)


def _switches(page: Page, seen: Status) -> None:
    gate = {"true": "on", "false": "off", None: "not there yet"}.get(
        seen.worker_gate, seen.worker_gate
    )
    applied = " ".join(seen.revisions) or "none"
    page.field("switches", f"worker gate {gate}  ·  revisions {applied}")


def _routes(page: Page, seen: Status) -> None:
    for route in seen.routes:
        text, style = _MODES.get(route.mode, (route.mode, "warn"))
        page.field("route", f"{route.name} → {route.target}", "head")
        if route.quota is not None:
            text += f", canary: {words.number(route.quota)} left"
        page.field("", f"{text}{_since(route)}", style)
        seldom = {name for name in _SELDOM if not route.counts.get(name)}
        counts = {name: n for name, n in route.counts.items() if name not in seldom}
        page.field("", words.counts(counts, _COUNTS))
        if route.is_about:
            page.field("", "what is captured, dry, sent or duplicate is about: audit counts", "dim")
        if route.next_gate and route.mode != "hold":
            _own_gates(page, route)


def _own_gates(page: Page, route: RouteState) -> None:
    """Add how far a further route is; it may stay dry for good, so this is no call to act."""
    in_force = sum(state.in_force for state in route.gates)
    text = f"{in_force} of {len(route.gates)} gates of its own in force, next is {route.next_gate}"
    page.field("", f"{text}: {name_advance(route.name)}", "dim")


def _since(route: RouteState) -> str:
    if route.mode == "live" and route.live_since:
        return f", since {words.moment(route.live_since)}"
    return ""


def _surroundings(page: Page, seen: Status) -> None:
    page.fields("stops", (_stop(stop) for stop in seen.stops), "bad", most=4)
    _workers(page, seen.workers)
    page.fields("disagree", seen.disagreements, "bad", most=4)
    page.fields("drift", seen.drift or ("none",), "bad" if seen.drift else "", most=4)
    if seen.history and seen.history.events:
        _history(page, seen.history)
    page.field("ledger", words.head(seen.ledger_seq, seen.ledger_hash))


def _history(page: Page, size: HistorySize) -> None:
    about = "about " if size.is_about else ""
    events, oldest = words.plural(size.events, "event"), words.moment(size.oldest)
    page.field("history", f"{about}{events} since {oldest}, {words.size(size.size_bytes)}")
    if size.beyond:
        text = f"{words.number(size.beyond)} older than history_keep: iu-gates history prune"
        page.field("", text, "warn")


def _stop(stop: Stop) -> str:
    reason = f': "{clip(stop.reason, 60)}"' if stop.reason else ""
    what = stop.route or "everything"
    return f"{what}, by {stop.kind} of {stop.by}, {words.moment(stop.at)}{reason}"


def _workers(page: Page, workers: tuple[WorkerState, ...]) -> None:
    """Add those seen last; workers that ended leave their heartbeat behind."""
    every = sorted(workers, key=lambda w: w.age_seconds)
    fresh = bool(every) and every[0].age_seconds <= _STALE_SECONDS
    lines = [
        f"{w.worker_id} ({w.invocation}) {w.state}, seen {words.age(w.age_seconds)} ago"
        for w in every
    ]
    page.fields("worker", lines or ("none seen",), "" if fresh else "warn", most=2)


def _next(page: Page, seen: Status) -> None:
    page.fields("blocks", seen.blocks, "warn", most=6)
    if seen.next_command:
        page.command("next", seen.next_command)
    elif seen.installed and not (seen.next_gate or seen.stops):
        page.field("next", "nothing to do", "good")
