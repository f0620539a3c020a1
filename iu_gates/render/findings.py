"""Findings and verdicts: what was looked at, what was seen, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from iu_gates.model import Finding, Verdict
from iu_gates.render.page import NOT_YET, Page, Span, Style

_LEAST: Final = len("  wanted")
_MOST: Final = 28
_NONE: Final[Span] = (" ", "")
_STYLES: Mapping[str, Style] = {"pass": "good", "waived": "warn", "fail": "bad"}


def mark(finding: Finding) -> Span:
    """Return ✓ for passed, • for waiting and ✗ for failed."""
    if finding.passed:
        return ("✓", "good")
    return ("•", "warn") if finding.waits else ("✗", "bad")


def outcome_mark(outcome: str) -> Span:
    """Return the mark of a verdict's outcome."""
    marks: Mapping[str, str] = {"pass": "✓", "waived": "✓", "fail": "✗"}
    return (marks.get(outcome, NOT_YET), _STYLES.get(outcome, "dim"))


def findings(page: Page, seen: Iterable[Finding], *, indent: int = 2) -> None:
    """Add one line for each finding; what failed says what was wanted and what mends it."""
    every = list(seen)
    names = [len(f.name) for f in every if len(f.name) <= _MOST]
    columns = max(names, default=_LEAST) + 2
    for finding in every:
        _finding(page, finding, indent, max(columns, _LEAST + 2))


def verdict_from(data: Mapping[str, Any]) -> Verdict:
    """Return the verdict that `Verdict.as_dict` wrote, for showing only."""
    seen = tuple(
        Finding(
            str(f.get("name", "")),
            bool(f.get("passed")),
            str(f.get("found", "")),
            str(f.get("wanted") or ""),
            str(f.get("remedy") or ""),
            bool(f.get("waits")),
        )
        for f in data.get("findings", ())
    )
    return Verdict(str(data.get("gate", "")), data.get("outcome", "fail"), seen)


def _finding(page: Page, finding: Finding, indent: int, columns: int) -> None:
    _named(page, finding, indent, columns)
    if finding.passed:
        return
    if finding.wanted:
        page.marked(_NONE, finding.wanted, label="  wanted", columns=columns, indent=indent)
    label = "next"
    for line in finding.remedy.splitlines():
        page.command(label, line, indent=indent + 4, columns=columns - 2)
        label = ""


def _named(page: Page, finding: Finding, indent: int, columns: int) -> None:
    """Add mark, name and what was found; a name too long for its column leaves it."""
    name, found, sign = finding.name, finding.found, mark(finding)
    if len(name) <= columns - 2:
        page.marked(sign, found, label=name, columns=columns, indent=indent)
    elif len(name) + len(found) + 4 + indent <= page.width:
        page.marked(sign, f"{name}  {found}", indent=indent)
    else:
        page.marked(sign, name, indent=indent)
        page.marked(_NONE, found, columns=columns, indent=indent)
