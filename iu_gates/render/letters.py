"""Dead letters: a list, one whole, and what a redrive put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from iu_gates.model import DeadLetter, RedriveResult
from iu_gates.render import words
from iu_gates.render.page import WIDTH, Page, clip

_PAYLOAD: Final = 400


def dead_letters(letters: Sequence[DeadLetter], width: int = WIDTH) -> Page:
    """Return two lines for each: which, and why."""
    page = Page(width)
    if not letters:
        page.line("no such dead letter")
    for letter in letters:
        start = f"{letter.dead_letter_id:>7}  {words.moment(letter.given_up_at)}  "
        page.line((start, "dim"), (clip(_what(letter), width - len(start)), "head"))
        page.line((clip(f"         {_why(letter)}", width), "" if letter.is_open else "dim"))
    return page


def dead_letter(letter: DeadLetter, width: int = WIDTH) -> Page:
    """Return all of one, its payload cut where it is long (--json has all)."""
    page = Page(width)
    page.line((f"dead letter {letter.dead_letter_id}", "head"))
    page.field("event", f"{_what(letter)}, number {letter.event_id}")
    page.field("route", f"{letter.route}, which lets its subjects {letter.on_dead_letter}")
    page.field("key", letter.idempotency_key)
    page.field("reason", letter.reason, "bad" if letter.is_open else "")
    page.field("said", " ".join(filter(None, (letter.sqlstate, letter.message))))
    page.field("given up", f"{words.moment(letter.given_up_at)}, {_tries(letter)}")
    page.field("redriven", _redriven(letter))
    page.field("payload", clip(words.value(letter.payload), _PAYLOAD))
    if letter.is_open:
        page.command("next", f"iu-gates dead-letter redrive {letter.dead_letter_id}")
    return page


def redriven(result: RedriveResult, width: int = WIDTH) -> Page:
    """Return how many were put back."""
    page = Page(width)
    if not result.redriven:
        page.line("nothing to redrive: none of these is open")
        return page
    count = words.plural(result.redriven, "event")
    page.line(("✓", "good"), f" {count} put back; the worker tries them now")
    return page


def _what(letter: DeadLetter) -> str:
    return f"{letter.subject} version {letter.version_seq}"


def _why(letter: DeadLetter) -> str:
    said = ": ".join(filter(None, (letter.reason, letter.sqlstate, letter.message)))
    return said if letter.is_open else f"redriven {words.moment(letter.redriven_at)}; {said}"


def _tries(letter: DeadLetter) -> str:
    return "never tried" if not letter.tries else f"after {letter.tries} of its tries"


def _redriven(letter: DeadLetter) -> str:
    if letter.is_open:
        return "no: it is open"
    return f"{words.moment(letter.redriven_at)} by {letter.redriven_by}"
