"""The closing table of the demo: what was proven, with counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from iu_gates.render import words
from iu_gates.render.findings import outcome_mark
from iu_gates.render.page import WIDTH, Page, Style, clip

_GATE: Final = 16
_COUNTS: Final = 14
_ZEROS: Final = (
    ("repeated", "repeated", "events delivered more than once"),
    ("skipped", "skipped", "events never attempted"),
    ("reordered", "reordered", "deliveries before an earlier one of the same unit"),
    ("after disable", "after_disable", 'deliveries after "off and drained"'),
)


def demo_table(result: Mapping[str, Any], width: int = WIDTH) -> Page:
    """Return the gates with what each saw, then the numbers, the waivers and the notes."""
    page = Page(width)
    page.line((f"  {'gate':<{_GATE}}{'verdict':<11}what was seen", "dim"))
    for verdict in result.get("gates", ()):
        _gate(page, verdict)
    page.blank()
    _numbers(page, result)
    _remarks(page, result)
    return page


def _gate(page: Page, verdict: Mapping[str, Any]) -> None:
    outcome = str(verdict.get("outcome", ""))
    gate = f"{verdict.get('gate', ''):<{_GATE}}"
    room = page.width - 2 - _GATE - 11
    page.line(outcome_mark(outcome), " ", gate, f"{outcome:<11}", clip(_seen(verdict), room))


def _seen(verdict: Mapping[str, Any]) -> str:
    """Return the failures, or if there are none, what was found."""
    seen = list(verdict.get("findings", ()))
    chosen = [f for f in seen if not f.get("passed")] or seen
    return "; ".join(f"{f.get('name')} {f.get('found')}".strip() for f in chosen)


def _numbers(page: Page, result: Mapping[str, Any]) -> None:
    captured, dry, sent = (int(result.get(n, 0)) for n in ("captured", "dry_run", "delivered"))
    whole = captured == dry + sent
    sign = "=" if whole else "is not"
    text = f"{sign} {words.number(dry)} attempted dry + {words.number(sent)} delivered"
    rows: list[tuple[str, Any, str, Style]] = [
        ("captured", captured, text, "good" if whole else "bad"),
        ("held", result.get("held", 0), "at the peak, while not live; delivered since", ""),
    ]
    for label, name, meaning in _ZEROS:
        count = result.get(name, 0)
        rows.append((label, count, meaning, "bad" if count else "good"))
    digits = max(len(words.number(count)) for _, count, _, _ in rows)
    for label, count, meaning, style in rows:
        page.field(label, f"{words.number(count):>{digits}}  {meaning}", style, columns=_COUNTS)
    seconds = f"{float(result.get('seconds', 0)):,.1f}"
    page.field("seconds", f"{seconds:>{digits}}", columns=_COUNTS)
    if history := result.get("history"):
        page.field("history", str(history), columns=_COUNTS)


def _remarks(page: Page, result: Mapping[str, Any]) -> None:
    for waiver in result.get("waivers", ()):
        text = f"{waiver.get('gate')}, by {waiver.get('who')} until {waiver.get('until')}"
        page.field("waived", f"{text}: {waiver.get('why')}", "warn", columns=_COUNTS)
    notes = [str(note) for note in result.get("notes", ())]
    if notes:
        page.blank()
    for note in notes:
        page.marked(("•", "dim"), note, indent=2)
    for label in ("look", "stop"):
        if command := result.get(label):
            page.command(label, str(command), columns=_COUNTS)
