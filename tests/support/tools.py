"""Tools that some tests ask for and that not every machine has."""

from __future__ import annotations

import os
from typing import Final

import pytest

DEMANDED: Final = "IU_GATES_TEST_TOOLS"
"""Names, with commas, of tools without which the run must fail; `.ci/run` sets it."""


def require_tool(name: str, *, there: bool) -> None:
    """Go on if the tool is there; else skip the test aloud, or fail it where it is demanded."""
    if there:
        return
    if name in os.environ.get(DEMANDED, "").split(","):
        pytest.fail(f"{name} is demanded by {DEMANDED}, and is not here")
    pytest.skip(f"{name} is not on this machine")
