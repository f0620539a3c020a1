# ruff: noqa: FBT003  values of the model are written by position
"""The way out: colour, encodings, readers that have gone away; and JSON."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from iu_gates import render
from iu_gates.backup import Identity
from iu_gates.model import Finding, ProofReport, Verdict
from iu_gates.render import output, words
from iu_gates.render.progress import bar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def page() -> render.Page:
    """Return a page with a mark, a style and what rich would take for markup."""
    page = render.Page()
    page.line(("✓", "good"), " [bold]a[/bold] 123 :smile:")
    page.command("next", "iu-gates " + "x" * 100)
    return page


@pytest.fixture
def pipe() -> Iterator[io.TextIOWrapper]:
    """Return the writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        yield stream


def test_pipe_gets_plain_text(page: render.Page) -> None:
    """
    No colour where nobody would see it.
    """
    stream = io.StringIO()
    render.write(page, stream)
    assert stream.getvalue() == str(page)
    assert "\x1b" not in stream.getvalue()


def test_terminal_gets_colour(page: render.Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Colour changes how the text looks, and not one character of it.
    """
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    render.write(page, stream)
    assert "\x1b[32m✓\x1b[0m [bold]a[/bold] 123 :smile:" in stream.getvalue()
    assert "x" * 100 in stream.getvalue()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_refused(
    page: render.Page, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """
    NO_COLOR and a dumb terminal get plain text.
    """
    monkeypatch.setenv(name, value)
    stream = Terminal()
    render.write(page, stream)
    assert stream.getvalue() == str(page)


def test_narrow_encoding_gets_ascii_marks() -> None:
    """
    A terminal that knows no ✓ gets a +, not an exception.
    """
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", newline="") as stream:
        output.write_text("✓ a → é\n", stream)
        assert raw.getvalue() == b"+ a > ?\n"


def test_reader_gone_is_silent(pipe: io.TextIOWrapper) -> None:
    """
    `| head` ends no command halfway: what comes after goes nowhere.
    """
    output.write_text("one\n", pipe)
    output.write_text("two\n", pipe)


def test_width_is_at_most_80(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A wide terminal does not make lines too long to read; a narrow one is respected.
    """
    monkeypatch.setenv("COLUMNS", "200")
    assert render.terminal_width() == 80
    monkeypatch.setenv("COLUMNS", "60")
    assert render.terminal_width() == 60


def test_no_bar_in_a_pipe() -> None:
    """
    Where there is no terminal there is no progress bar either.
    """
    with bar("pg_dump") as progress:
        assert progress is None


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On a terminal the bar takes the bytes done, with or without a total.
    """
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Terminal())
    with bar("pg_dump") as progress:
        assert progress is not None
        progress(10, None)
        progress(20, 100)


def test_json_of_any_value() -> None:
    """
    Dataclasses by their fields, times in UTC, the rest as text; verdicts as they say themselves.
    """
    east = timezone(timedelta(hours=7))
    value = {
        "at": datetime(2026, 11, 23, 9, 2, tzinfo=east),
        "path": Path("a/b"),
        "report": ProofReport("r", (), (Finding("x", False, "y"),), 1.5),
        "verdict": Verdict("host", "pass"),
        "set": {1},
    }
    data = json.loads(render.to_json(value))
    assert data["at"] == "2026-11-23T02:02:00Z"
    assert data["path"] == "a/b"
    assert data["report"]["passed"] is False
    assert data["report"]["checks"][0]["name"] == "x"
    assert data["verdict"]["outcome"] == "pass"
    assert data["set"] == [1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (words.size(0), "0 B"),
        (words.size(1536), "1.5 KiB"),
        (words.size(432_000_000), "412 MiB"),
        (words.size(5 * 2**50), "5120 TiB"),
        (words.age(-1), "0 s"),
        (words.age(119), "119 s"),
        (words.age(111_600), "31 h"),
        (words.age(864_000), "10 d"),
        (words.moment(None), "never"),
        (words.moment(datetime(2026, 1, 2, tzinfo=UTC)), "2026-01-02 00:00:00Z"),
        (words.head(0, ""), "empty"),
        (words.head(41, "9f2c41ab" * 8), "41:" + "9f2c41ab" * 4),
        (words.plural(1, "entry"), "1 entry"),
        (words.plural(1200, "entry"), "1,200 entries"),
        (words.plural(2, "step"), "2 steps"),
        (
            words.value({"a": [1, None], "b": True, "c": []}),
            "a:\N{NO-BREAK SPACE}1, none, b:\N{NO-BREAK SPACE}yes, c:\N{NO-BREAK SPACE}none",
        ),
        (words.number(value=True), "True"),
        (words.number(86400.0), "86,400"),
        (words.value("ab" * 32), "abababababab…"),
    ],
)
def test_words(text: str, shown: str) -> None:
    """
    Numbers carry their unit, and the same number is written the same everywhere.
    """
    assert text == shown


def test_system_identifier_is_text_in_json() -> None:
    """
    A number above 2^53 would be another one to most readers of JSON.
    """
    identity = Identity(7_400_000_000_000_000_001, 5, "app", 180_004)

    shown = json.loads(render.to_json({"backup": {"identity": identity}}))

    assert shown["backup"]["identity"]["system_identifier"] == "7400000000000000001"
