"""
A page of text: lines of spans, each span with the name of a style.

Pages are plain values, so tests read what a user reads; `iu_gates.render.output` alone knows
how a style looks. Text is wrapped to the width, a command never is: it is there to be pasted.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

WIDTH: Final = 80
NO_BREAK: Final = "\N{NO-BREAK SPACE}"
"""Holds two words on one line; it leaves as a plain space."""
LABEL: Final = 10
"""Columns of the labels of a page, the indent of two not counted."""

NOT_YET: Final = "\N{EN DASH}"
"""The mark of what is still to come; ✓, ✗ and • say the rest."""

Style = Literal["", "good", "bad", "warn", "dim", "head", "command"]
Span = tuple[str, Style]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What could move the cursor, colour the terminal or turn the line: never ours to pass on."""


@dataclass(slots=True)
class Page:
    """Lines to be shown; `str(page)` is the plain text."""

    width: int = WIDTH
    lines: list[tuple[Span, ...]] = field(default_factory=list)

    def line(self, *spans: str | Span) -> None:
        """Add one line as it is, control characters replaced; nothing is wrapped."""
        whole = (span if isinstance(span, tuple) else (span, "") for span in spans)
        self.lines.append(tuple((_printable(text), style) for text, style in whole))

    def text(self, text: str, style: Style = "", indent: int = 0) -> None:
        """Add a paragraph, wrapped."""
        for part in self._wrap(text, indent):
            self.line((" " * indent + part, style))

    def field(
        self,
        label: str,
        text: str,
        style: Style = "",
        *,
        indent: int = 2,
        columns: int = LABEL,
    ) -> None:
        """
        Add a label and a text, wrapped beside it.

        Args:
            label: Shown dim; empty to go on under the field before.
            text: Its own line breaks are kept.
            style: Of the text.
            indent: Of the label.
            columns: From the label's start to the text's.
        """
        for part in self._wrap(text, indent + columns):
            self.line(" " * indent, (f"{label:<{columns}}", "dim"), (part, style))
            label = ""

    def fields(self, label: str, texts: Iterable[str], style: Style = "", *, most: int = 8) -> None:
        """Add several texts under one label; of more than `most`, the first and how many more."""
        every = list(texts)
        shown = every if len(every) <= most else every[: most - 1]
        for text in shown:
            self.field(label, text, style)
            label = ""
        if more := len(every) - len(shown):
            self.field(label, f"… and {more} more", "dim")

    def command(self, label: str, text: str, *, indent: int = 2, columns: int = LABEL) -> None:
        """Add a label and a command on one line, however long."""
        self.line(" " * indent, (f"{label:<{columns}}", "dim"), (text, "command"))

    def marked(
        self, mark: Span, text: str, *, label: str = "", columns: int = 0, indent: int = 2
    ) -> None:
        """Add a mark, a label of so many columns, and a text wrapped beside it."""
        for part in self._wrap(text, indent + 2 + columns):
            self.line(" " * indent, mark, f" {label:<{columns}}{part}")
            mark, label = (" ", ""), ""

    def blank(self) -> None:
        """Add an empty line, unless the page begins here or the last line is one."""
        if self.lines and self.lines[-1]:
            self.lines.append(())

    def extend(self, other: Page) -> None:
        """Add the lines of another page."""
        self.lines.extend(other.lines)

    def __str__(self) -> str:
        return "".join(f"{plain(line)}\n" for line in self.lines)

    def _wrap(self, text: str, indent: int) -> list[str]:
        room = max(self.width - indent, 20)
        wrapped = (
            textwrap.wrap(line, room, break_on_hyphens=False) or [""]
            for line in text.rstrip("\n").split("\n")
        )
        return [part for parts in wrapped for part in parts] or [""]


def _printable(text: str) -> str:
    return _CONTROL.sub("�", text).replace(NO_BREAK, " ")


def plain(line: tuple[Span, ...]) -> str:
    """Return a line's text without trailing spaces."""
    return "".join(text for text, _ in line).rstrip()


def clip(text: str, room: int) -> str:
    """Return the text on one line, cut to `room` columns with an ellipsis."""
    flat = " ".join(text.split())
    return flat if len(flat) <= room else f"{flat[: max(room - 1, 0)]}…"
