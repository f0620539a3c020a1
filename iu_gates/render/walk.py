"""The walk: what `advance` did, what `plan` foresees, what `rollback` and `disable` undid."""

from __future__ import annotations

from collections.abc import Mapping

from iu_gates.config import name_advance, name_further
from iu_gates.model import (
    AdvanceResult,
    DisableResult,
    GateReport,
    Plan,
    PlannedStep,
    RollbackPreview,
    RollbackResult,
)
from iu_gates.render import words
from iu_gates.render.findings import findings, outcome_mark
from iu_gates.render.page import WIDTH, Page


def advance(result: AdvanceResult, width: int = WIDTH) -> Page:
    """Return what each gate did and saw, and what comes next."""
    page = Page(width)
    for report in result.reports:
        _report(page, report)
        page.blank()
    if result.next_gate is None:
        page.line(("at live", "good"), "" if result.reports else ": nothing to do")
    else:
        page.field("next gate", result.next_gate)
    page.field("ledger", words.head(result.ledger_seq, result.ledger_hash))
    if result.next_command:
        page.command("next", result.next_command)
    return page


def notice(gate: str, message: str, width: int = WIDTH) -> Page:
    """Return one line of progress."""
    page = Page(width)
    page.field(gate, message, "dim", columns=16)
    return page


def plan(ahead: Plan, width: int = WIDTH) -> Page:
    """Return what lies ahead, gate by gate, without the SQL."""
    page = Page(width)
    if ahead.next_gate is None and not ahead.steps:
        page.line(("at live", "good"), ": nothing lies ahead")
        return page
    page.field("next gate", ahead.next_gate or "none")
    page.field("steps", words.plural(len(ahead.steps), "revision"))
    page.blank()
    gate = ""
    for step in ahead.steps:
        if step.gate != gate:
            page.line((step.gate, "head"))
        gate = step.gate
        _step(page, step)
    page.blank()
    if not any(step.rewrites for step in ahead.steps):
        page.field("rewrites", "no table")
    page.fields("backup", ahead.backup)
    page.fields("waits for", ahead.waits_for, "warn")
    page.field("digest", ahead.digest or "none yet: nothing has been asked to be approved")
    page.command("SQL", f"iu-gates plan{f' --route {ahead.route}' if ahead.route else ''} --sql")
    page.command("next", name_advance(ahead.route))
    return page


def plan_sql(ahead: Plan) -> str:
    """Return the SQL of all steps, each under a comment that names it."""
    parts = (
        f"-- {step.revision}, gate {step.gate}: {' '.join(step.summary.split())}\n"
        f"{step.sql.rstrip()}\n"
        for step in ahead.steps
    )
    return "\n".join(parts) or "-- nothing lies ahead\n"


def rollback_preview(preview: RollbackPreview, width: int = WIDTH) -> Page:
    """Return what a rollback would undo and what would stay."""
    page = Page(width)
    page.line((f'rollback to "{preview.target}"', "head"))
    page.fields("undoes", (f"{s.revision}  {s.summary}" for s in preview.undone), most=16)
    if not preview.undone:
        page.field("undoes", "nothing")
    page.fields("dries", preview.dried, "warn", most=16)
    _kept(page, preview.kept)
    if preview.lost:
        page.field("loses", _counts(preview.lost), "warn")
    page.fields("in the way", preview.blockers, "warn")
    page.fields("refused", preview.refusals, "bad")
    return page


def rollback(result: RollbackResult, width: int = WIDTH) -> Page:
    """Return what a rollback undid and what stays."""
    page = Page(width)
    if result.undone or result.dried:
        page.line(("✓", "good"), f' rolled back to "{result.target}"')
    else:
        page.line(f'at "{result.target}" already: nothing to do')
    page.fields("undone", result.undone, most=16)
    page.fields("dry now", result.dried, "warn", most=16)
    _kept(page, result.kept)
    if result.backup:
        page.field("backup", result.backup)
    page.command("next", "iu-gates status")
    return page


def disable(result: DisableResult, width: int = WIDTH) -> Page:
    """Return what is off, and whether anything is still in hand."""
    page = Page(width)
    what = result.route or "everything"
    if result.drained:
        page.line(("✓", "good"), f" {what}: off and drained, nothing is delivered from here on")
    else:
        page.line(("✗", "bad"), f" {what}: off, but not drained")
    page.field("stop", f"#{result.epoch}")
    page.fields("in hand", result.in_hand, "bad")
    page.fields("ended", result.terminated)
    page.field("lane", result.lane)
    again = f"{name_advance(result.route)} --to live"
    if name_further(result.route) and result.lane != "dry now":
        again = f"iu-gates route enable {result.route}"
    page.command("back on", again)
    return page


def _report(page: Page, report: GateReport) -> None:
    verdict = report.verdict
    outcome = "" if verdict.outcome == "pass" else f"  {verdict.outcome}"
    page.line(outcome_mark(verdict.outcome), (f" {verdict.gate}", "head"), (outcome, "warn"))
    page.fields("did", report.did or ("nothing",))
    findings(page, verdict.findings)


def _step(page: Page, step: PlannedStep) -> None:
    first = "  (backup first)" if step.needs_backup else ""
    page.field(step.revision, f"{step.summary}{first}", columns=6)
    locks = [*step.locks, *(["the key of all batches: workers wait"] if step.holds_batches else [])]
    page.field("", f"locks {', '.join(locks) or 'rows only'}", "dim", columns=6)
    if step.rewrites:
        page.field("", "rewrites a table", "warn", columns=6)
    for blocker in step.blockers[:3]:
        page.field("", f"now held by {blocker}", "warn", columns=6)


def _kept(page: Page, kept: Mapping[str, int]) -> None:
    if kept:
        page.field("kept", _counts(kept))


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{table} {words.number(n)}" for table, n in rows.items())
