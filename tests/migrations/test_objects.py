"""The functions at head, and the frozen text of the steps that made them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.engine import MakeEngine
from tests.support.walk import ROOT, State

VERSIONS = ROOT / "migrations" / "versions"
OBJECTS = ROOT / "migrations" / "objects"
NAMES = sorted(path.stem for path in OBJECTS.glob("*.sql"))
FUNCTION = re.compile(r"^create (?:or replace )?function (\w+)", re.MULTILINE)


def list_frozen(name: str) -> list[Path]:
    """Return the frozen files of a function on the way up, the oldest first."""
    return sorted(VERSIONS.glob(f"*/up/*_{name}.sql"), key=lambda path: path.parts[-3])


@pytest.mark.parametrize("name", NAMES)
def test_head_is_the_newest_frozen_text(name: str) -> None:
    """
    What stands in `objects/` is what the newest step with this function runs, byte for byte.
    """
    frozen = [path for path in list_frozen(name) if re.sub(r"^\d+_", "", path.stem) == name]
    assert frozen, f"no step makes {name}"
    assert (OBJECTS / f"{name}.sql").read_text("utf-8") == frozen[-1].read_text("utf-8")


@pytest.mark.parametrize(
    "path",
    sorted([*OBJECTS.glob("*.sql"), *VERSIONS.glob("*/up/*.sql")]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_file_holds_one_function_of_its_name(path: Path) -> None:
    """
    A file that makes a function makes one, has its name, and has a twin in `objects/`.
    """
    made = FUNCTION.findall(path.read_text("utf-8"))
    if made or "_fn_" in path.stem:
        assert made == [re.sub(r"^\d+_", "", path.stem)]
        assert made[0] in NAMES


def test_a_database_at_head_has_these_functions_and_no_others(make_engine: MakeEngine) -> None:
    """
    Whoever reads `objects/` has seen every function that a live installation runs.
    """
    found = make_engine(State.LIVE).fetch(
        "select distinct p.proname from pg_proc p where p.pronamespace = 'iu_core'::regnamespace"
    )
    assert sorted(name for (name,) in found) == NAMES


def test_downgrade_of_090_restores_the_text_of_009() -> None:
    """
    P11: the raising body that 009 made is the one that 090's downgrade puts back.
    """
    made, replaced = list_frozen("fn_iu_route_deliver")
    (restored,) = (replaced.parents[1] / "down").glob("*_fn_iu_route_deliver.sql")
    first = made.read_text("utf-8").replace("create function", "create or replace function", 1)
    assert (made.parts[-3][:3], replaced.parts[-3][:3]) == ("009", "090")
    assert restored.read_text("utf-8") == first
    assert "feature_not_supported" in first
