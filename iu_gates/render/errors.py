"""An error as the user meets it: found against wanted, what it means, what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from iu_gates.errors import IuGatesError
from iu_gates.render import words
from iu_gates.render.findings import findings, outcome_mark, verdict_from
from iu_gates.render.page import WIDTH, Page
from iu_gates.render.values import scrub

_COLUMNS: Final = 8


def error(problem: IuGatesError, width: int = WIDTH) -> Page:
    """Return the error's text; a gate's refusal says first what was done and what was seen."""
    page = Page(width)
    _gate_turn(page, problem)
    _headline(page, problem)
    for label, text in (
        ("found", problem.found),
        ("wanted", problem.wanted),
        ("means", problem.means),
    ):
        if text:
            page.field(label, scrub(text), columns=_COLUMNS)
    _in_hand(page, problem)
    if problem.facts.get("ledger_hash"):
        head = words.head(problem.facts["ledger_seq"], problem.facts["ledger_hash"])
        page.field("ledger", head, columns=_COLUMNS)
    if problem.next_command:
        page.command("next", _one_line(scrub(problem.next_command)), columns=_COLUMNS)
    if problem.more:
        page.field("more", problem.more, columns=_COLUMNS)
    return page


def _headline(page: Page, problem: IuGatesError) -> None:
    """Add id and summary; style.md gives them one line, so it is wrapped only if it must be."""
    ident, lines = problem.ident, Page(page.width)
    lines.text(f"{ident} {scrub(problem.summary)}")
    for number, spans in enumerate(lines.lines):
        text = "".join(part for part, _ in spans)
        if number:
            page.line(f"  {text}" if len(text) + 2 <= page.width else text)
        else:
            page.line((text[: len(ident)], "bad"), (text[len(ident) :], "head"))


def _gate_turn(page: Page, problem: IuGatesError) -> None:
    verdict, did = problem.facts.get("verdict"), problem.facts.get("did") or ()
    if not isinstance(verdict, Mapping):
        return
    judged = verdict_from(verdict)
    page.line(outcome_mark(judged.outcome), f" {judged.gate}")
    page.fields("did", (scrub(str(line)) for line in did))
    findings(page, judged.findings)
    page.blank()


def _in_hand(page: Page, problem: IuGatesError) -> None:
    """Name the batches that `disable` left in hand, where the error's text does not."""
    batches = problem.facts.get("in_hand") or ()
    if problem.found is None and isinstance(batches, (list, tuple)):
        for number, batch in enumerate(batches):
            page.field("" if number else "found", scrub(str(batch)), columns=_COLUMNS)


def _one_line(command: str) -> str:
    return " ".join(command.split())
