"""What was checked: proof, audit, doctor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iu_gates.model import Adoption, AuditReport, DoctorReport, DriftReport, ProofReport
from iu_gates.render import words
from iu_gates.render.findings import findings
from iu_gates.render.page import WIDTH, Page, Span

_COUNTED: Final = (
    *("host", "baseline", "captured", "dry_run", "delivered", "held", "duplicates"),
    *("pruned", "left_out", "skipped_by_decision"),
)
_SELDOM: Final = ("pruned", "left_out", "skipped_by_decision")
_SHOWN: Final = 10
_FAULTS: Final = ("dead", "missed", "skipped", "repeated", "reordered", "unexplained")


def proof(report: ProofReport, width: int = WIDTH) -> Page:
    """Return each check of the consumer proof."""
    page = Page(width)
    passed = sum(check.passed for check in report.checks)
    page.line(
        _mark(passed=report.passed),
        f" consumer proof of {report.route}: {passed} of {len(report.checks)}",
    )
    findings(page, report.checks)
    page.blank()
    page.field("applied", ", ".join(report.pending) or "nothing: the state as it is")
    page.field("held", f"{report.held_ms:.0f} ms, then rolled back: nothing of it remains")
    return page


def audits(reports: Sequence[AuditReport], width: int = WIDTH) -> Page:
    """Return the independent counts, route by route."""
    page = Page(width)
    for report in reports:
        page.blank()
        outcome = (
            "every event is accounted for" if report.passed else "events are not accounted for"
        )
        page.line(_mark(passed=report.passed), f" {report.route}: {outcome}")
        for names in (_COUNTED, _FAULTS):
            rare = {n for n in _SELDOM if not report.counts.get(n)}
            present = {n: report.counts[n] for n in names if n in report.counts and n not in rare}
            if present:
                page.field("", words.counts(present, names), columns=2)
        if decided := report.named.get("skipped_by_decision"):
            more = ", …" if report.counts["skipped_by_decision"] > _SHOWN else ""
            page.field("", f"skipped by decision: {', '.join(decided[:_SHOWN])}{more}", columns=2)
        findings(page, report.findings)
    if not reports:
        page.line("no route to audit: nothing to do")
    return page


def drift(report: DriftReport, width: int = WIDTH) -> Page:
    """Return what is not as it was left, an object a line; parts of an object are counted."""
    page = Page(width)
    whole = [d for d in report.found if not d.is_part]
    text = f"{words.plural(len(whole), 'object')} of ours" if whole else "our objects are"
    page.line(_mark(passed=report.passed), f" {text} {'drifted' if whole else 'as they were left'}")
    for item in whole:
        page.line("  ", (f"{item.change:<8}", "warn"), f" {item.object}")
    if whole:
        page.blank()
        page.command("next", report.next_command)
    return page


def adopt(done: Adoption, width: int = WIDTH) -> Page:
    """Return what was taken over, and from where on capture is counted."""
    page = Page(width)
    revisions = ", ".join(done.revisions)
    equal = f" took over {revisions}: {words.plural(done.objects, 'object')}, all equal"
    page.line(
        _mark(passed=True),
        equal if done.objects else f" nothing to take over: {revisions} are recorded",
    )
    page.blank()
    page.field("capture", done.capture)
    page.field("ledger", words.head(done.ledger_seq, done.ledger_hash))
    page.command("next", done.next_command)
    return page


def doctor(report: DoctorReport, width: int = WIDTH) -> Page:
    """Return every check of the surroundings, and how many failed."""
    page = Page(width)
    findings(page, report.checks, indent=0)
    failed = sum(not check.passed for check in report.checks)
    page.blank()
    page.line(
        _mark(passed=not failed),
        f" {words.plural(failed, 'check')} of {len(report.checks)} failed"
        if failed
        else f" all {words.plural(len(report.checks), 'check')} passed",
    )
    return page


def _mark(*, passed: bool) -> Span:
    return ("✓", "good") if passed else ("✗", "bad")
