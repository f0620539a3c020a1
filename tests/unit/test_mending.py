"""The statements that put an object back, by what became of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iu_gates import mending
from iu_gates.model import Drift

TABLE = "table iu_core.t"
ADD = "alter table iu_core.t add constraint c CHECK ((a > 0))"
DROP = "alter table iu_core.t drop constraint c"
INDEX = "CREATE UNIQUE INDEX i ON iu_core.t USING btree (a)"
FUNCTION = "CREATE OR REPLACE FUNCTION iu_core.f()\n RETURNS {}\n LANGUAGE sql\nAS $f$ $f$\n"


@pytest.mark.parametrize(
    ("found", "statements"),
    [
        pytest.param(
            Drift(f"{TABLE}: constraint c", "missing", wanted=ADD),
            (f"{ADD} not valid", "alter table iu_core.t validate constraint c"),
            id="a constraint is added without a long lock",
        ),
        pytest.param(
            Drift(
                f"{TABLE}: constraint c",
                "changed",
                wanted=ADD,
                found=f"{ADD} NOT VALID",
                removal=DROP,
            ),
            ("alter table iu_core.t validate constraint c",),
            id="what is only not validated is not dropped",
        ),
        pytest.param(
            Drift(f"{TABLE}: index i", "missing", wanted=INDEX),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON iu_core.t USING btree (a)",),
            id="an index is made beside writers",
        ),
        pytest.param(
            Drift(
                f"{TABLE}: column a",
                "changed",
                wanted="alter table iu_core.t add column a bigint",
                found="alter table iu_core.t add column a integer",
                removal="alter table iu_core.t drop column a",
            ),
            ("alter table iu_core.t alter column a type bigint",),
            id="a type is put back, not the column dropped",
        ),
        pytest.param(
            Drift(
                "function iu_core.f()",
                "changed",
                wanted=FUNCTION.format("text"),
                found=FUNCTION.format("integer"),
                removal="drop function iu_core.f()",
            ),
            (
                "drop function iu_core.f()",
                FUNCTION.format("text"),
                "revoke execute on function iu_core.f() from public",
            ),
            id="another result needs a drop, and PUBLIC gets nothing",
        ),
        pytest.param(
            Drift(f"{TABLE}: column a", "added", is_part=True, removal="drop"),
            (),
            id="a part goes with its object",
        ),
        pytest.param(
            Drift(f"{TABLE}: trigger t: state", "added"), (), id="what has no removal is left"
        ),
    ],
)
def test_statements(found: Drift, statements: tuple[str, ...]) -> None:
    """
    Each by its kind; what holds no long lock comes first where there is a choice.
    """
    assert mending.list_statements(found) == statements


def test_what_was_not_kept_is_said() -> None:
    """
    Nothing is made up where no definition was kept.
    """
    (statement,) = mending.list_statements(Drift(TABLE, "missing"))
    assert statement.startswith("-- its definition is not kept")


def test_order_can_be_run() -> None:
    """
    Away with what was added, the youngest first; then tables, columns, constraints, triggers.
    """
    names = [f"{TABLE}: trigger t", f"{TABLE}: constraint c", f"{TABLE}: column a", TABLE]
    missing = [Drift(name, "missing", wanted="x") for name in names]
    added = [Drift(name, "added", removal="x") for name in reversed(names)]
    found = [d.object for d in mending.sort([*missing, *added])]
    assert found == [*names, *reversed(names)]


def make(name: str, change: str, body: str = "") -> list[Drift]:
    """Return a table of one column with an index, added or missing."""
    parts = {
        f"table iu_core.{name}": f"create table iu_core.{name} ()",
        f"table iu_core.{name}: column a": f"alter table iu_core.{name} add column a integer{body}",
        f"table iu_core.{name}: index i": f"CREATE INDEX i ON iu_core.{name} USING btree (a)",
    }
    side = "found" if change == "added" else "wanted"
    return [Drift(n, change, ": " in n, **{side: text}) for n, text in parts.items()]


REFERENCE = "alter table iu_core.u add constraint k FOREIGN KEY (a) REFERENCES iu_core.{}(a)"
RENAMED = Drift(
    "table iu_core.u: constraint k",
    "changed",
    wanted=REFERENCE.format("t"),
    found=REFERENCE.format('"t old"'),
    removal="drop",
)


def test_what_only_has_another_name_is_named_back() -> None:
    """
    All that it holds stays, and what refers to it is right again by that alone.
    """
    added = [replace(d, removal="drop") for d in make('"t old"', "added")]
    text = mending.render([*added, *make("t", "missing"), RENAMED])
    assert text.splitlines()[-1] == 'alter table iu_core."t old" rename to t;'
    assert text.removeprefix(mending.HEADER).count(";") == 1


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([*make("x", "added"), *make("y", "added")], id="two could be meant"),
        pytest.param(make("x", "added", " collate c"), id="a part is another"),
        pytest.param(make("tt", "added")[:2], id="a part is lacking"),
    ],
)
def test_nothing_is_guessed(found: list[Drift]) -> None:
    """
    Only what is alike in all else, and alone in that, is taken for what is missing.
    """
    assert "rename" not in mending.render([*found, *make("t", "missing")])


def test_two_missing_are_not_one() -> None:
    """
    Which of two it was cannot be told.
    """
    missing = [*make("t", "missing"), *make("v", "missing")]
    assert "rename" not in mending.render([*make("x", "added"), *missing])


@pytest.mark.parametrize(
    ("before", "now", "statement"),
    [
        (
            Drift(f"{TABLE}: column a", "missing", wanted="alter table iu_core.t add column a int"),
            Drift(f"{TABLE}: column b", "added", found="alter table iu_core.t add column b int"),
            "alter table iu_core.t rename column b to a;",
        ),
        (
            Drift("function iu_core.f()", "missing", wanted=FUNCTION.format("text")),
            Drift(
                "function iu_core.g()",
                "added",
                found=FUNCTION.format("text").replace("iu_core.f", "iu_core.g"),
            ),
            "alter function iu_core.g() rename to f;",
        ),
    ],
)
def test_columns_and_functions_are_named_back(before: Drift, now: Drift, statement: str) -> None:
    """
    As tables are.
    """
    assert mending.render([before, now]).splitlines()[-1] == statement


def test_what_holds_rows_is_never_dropped() -> None:
    """
    It may be the history under another name.
    """
    found = Drift(TABLE, "added", removal="drop table iu_core.t", holds="3 rows")
    text = mending.render([found])
    assert "drop table" not in text
    assert "it holds 3 rows; rename or move it by hand" in text


def test_nothing_renders_to_nothing() -> None:
    """
    A script without statements is empty, so that it can be piped.
    """
    assert mending.render([]) == ""
    assert mending.render([Drift(f"{TABLE}: column a", "added", is_part=True, removal="x")]) == ""


def test_lost_rows_are_said() -> None:
    """
    A table is made empty: the script says that what it held does not come back.
    """
    text = mending.render([Drift(TABLE, "missing", wanted="create table iu_core.t ()")])
    assert "what it held does not come back" in text
