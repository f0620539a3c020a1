"""A rehearsal: what was restored, each step with its times, what was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from iu_gates.model import Leftover, RehearsalReport, RehearsedStep
from iu_gates.render import words
from iu_gates.render.findings import findings
from iu_gates.render.page import WIDTH, Page, Span


def rehearsal(report: RehearsalReport, width: int = WIDTH) -> Page:
    """Return what a rehearsal saw."""
    page = Page(width)
    word = "passed" if report.passed else "failed"
    page.line(
        _mark(passed=report.passed), f" rehearsal {word} in {report.seconds} s, on {report.place}"
    )
    size = words.size(report.size_bytes)
    page.field("restored", f"{Path(report.archive).name}, {size}, in {report.restore_seconds} s")
    page.field("sha256", words.short(report.sha256))
    for place, step in enumerate(report.steps):
        page.field("" if place else "walked", _step(step))
    page.blank()
    findings(page, report.checks)
    if report.not_rehearsed:
        page.blank()
        page.fields("left out", report.not_rehearsed, "warn")
    return page


def leftovers(found: Sequence[Leftover], width: int = WIDTH) -> Page:
    """Return what became of scratch databases that were left behind."""
    page = Page(width)
    for left in found:
        why = f": {left.reason}" if left.reason else ""
        word = "dropped" if left.dropped else "kept"
        page.line(_mark(passed=left.dropped), f" {word} {left.database}{why}")
    if not found:
        page.line("no scratch database was left behind: nothing to do")
    return page


def _mark(*, passed: bool) -> Span:
    return ("✓", "good") if passed else ("✗", "bad")


def _step(step: RehearsedStep) -> str:
    held = "" if step.held_ms is None else f", locks at most {step.held_ms:.0f} ms"
    way = f"{step.revision} up" if step.direction == "up" else f"{step.revision} down"
    way = f"down to {step.revision}" if step.is_target else way
    return f"{way:<12} {step.milliseconds:>6.0f} ms{held}"
