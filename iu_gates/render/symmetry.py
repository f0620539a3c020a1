"""The outcome of `symmetry`: one line a revision, then each finding in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from iu_gates.render.page import Page, Style
from iu_gates.symmetry.formats import Report, lines
from iu_gates.symmetry.verdict import Result

_STYLES: Final[Mapping[str, Style]] = {
    "symmetric": "good",
    "refuses": "good",
    "column order only": "warn",
    "cannot judge": "warn",
}


def symmetry(report: Report, width: int) -> Page:
    """Return the page."""
    page = Page(width)
    results = report.results()
    names = max((len(r.revision.name) for r in results), default=0)
    outcomes = max((len(r.outcome) for r in results), default=0)
    for result in results:
        mark, style = _mark(report, result)
        text = result.revision.text.splitlines()[0] if result.revision.text else ""
        room = max(0, width - names - outcomes - 8)
        page.line(
            "  ",
            (mark, style),
            f" {result.revision.name:<{names}}  ",
            (f"{result.outcome:<{outcomes}}", style),
            f"  {text[:room]}",
        )
    for result in results:
        if report.known(result) is None and not result.passed:
            _explain(page, report, result)
    _conclude(page, report)
    return page


def _mark(report: Report, result: Result) -> tuple[str, Style]:
    if report.known(result):
        return "•", "warn"
    return ("✓" if result.passed else "✗"), _STYLES.get(result.outcome, "bad")


def _explain(page: Page, report: Report, result: Result) -> None:
    page.line("")
    page.line((result.revision.name, "head"), f"  {result.outcome}")
    if path := report.path(result):
        page.line("  ", (path, "dim"))
    for text in lines(result):
        for part in text.splitlines():
            style: Style = "command" if "downgrade() lacks" in part else ""
            page.line("  ", (part, style))
    if result.failure is not None and result.failure.output:
        for part in result.failure.output.splitlines()[-5:]:
            page.line("    ", (part, "dim"))


def _conclude(page: Page, report: Report) -> None:
    page.line("")
    results = report.results()
    bad, known = len(report.failures), sum(1 for r in results if report.known(r))
    walk = " and the walk" if report.run.walk else ""
    tried = f"{len(report.run.results)} revisions{walk}, {report.run.seconds:.1f} s"
    said = "every one can be undone" if not bad else f"{bad} not symmetric"
    if known:
        said += f", {known} known"
    page.line((f"{tried}: {said}", "bad" if bad else "good"))
    for schema in report.run.left_out:
        page.text(f'left out of the comparison: schema "{schema}"', "dim")
    if report.run.restored:
        names = ", ".join(report.run.restored)
        page.text(f"in the backup already, so not tried one by one: {names}", "dim")
    if report.run.cached:
        page.text(f"{len(report.run.cached)} unchanged, from the cache", "dim")
    if report.fixed:
        page.text(f"fixed, to be taken out of the baseline: {', '.join(report.fixed)}")
