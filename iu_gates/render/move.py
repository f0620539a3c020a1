"""What moved: a re-base; what was captured after the fact."""

from __future__ import annotations

from iu_gates.model import BackfillResult, RebasePreview, RebaseResult
from iu_gates.render import words
from iu_gates.render.page import WIDTH, Page


def rebase_preview(seen: RebasePreview, width: int = WIDTH) -> Page:
    """Return what a re-base would do."""
    page = Page(width)
    page.line(f"this is a copy: {seen.why}")
    page.field(
        "then",
        "a site of its own, from now on, stopped"
        if seen.new_site
        else "what was not worked through is carried over; workers go on at once",
    )
    page.field("verdicts", "void: `advance` proves them anew")
    return page


def rebase(done: RebaseResult, width: int = WIDTH) -> Page:
    """Return what was carried over, route by route."""
    page = Page(width)
    text = "a site of its own, stopped" if done.new_site else "taken into use"
    page.line(("✓", "good"), f" {text}")
    for route, events in done.carried.items():
        page.field(
            "route",
            f"{route}: begins at now"
            if done.new_site
            else f"{route}: {words.plural(events, 'event')} carried over",
        )
    page.command("next", done.next_command)
    return page


def backfill(done: BackfillResult, width: int = WIDTH) -> Page:
    """Return what was captured after the fact, and what was left out."""
    page = Page(width)
    if not done.missing:
        page.line(("✓", "good"), " every host row that should have an event has one: nothing to do")
        return page
    verb = "to capture" if done.dry_run else "captured"
    number = done.missing - done.late if done.dry_run else done.captured
    page.line(("✓", "good"), f" {words.plural(number, 'row')} {verb}")
    page.field("missing", f"{done.missing} of {words.plural(done.examined, 'row')} of the host")
    if done.examples:
        page.field("such as", ", ".join(done.examples))
    if done.late:
        page.field("late", f"{done.late}, such as {', '.join(done.late_examples)}")
        page.field("means", "a later version of the unit has its event: --late delivers behind it")
    return page
