"""The refusal of a redrive out of order names a command that does what it says."""

from __future__ import annotations

from datetime import UTC, datetime

from iu_gates.dead_letters import MOST_IDS, _out_of_order
from iu_gates.model import DeadLetter

AT = datetime(2026, 1, 1, tzinfo=UTC)


def letter(number: int, route: str) -> DeadLetter:
    """Return an open dead letter."""
    return DeadLetter(
        number, route, number, "unit", 2, "error", None, None, 1, AT, "key", "hold", None, None
    )


def test_many_of_several_routes_are_named_together() -> None:
    """
    Too many to be named one by one: by their route, or all where there is more than one.
    """
    one = [letter(n, "a route") for n in range(2, MOST_IDS + 3)]
    command = "iu-gates dead-letter redrive"
    assert _out_of_order(one, [1], "unit").next_command == f"{command} --route 'a route'"
    two = [*one, letter(100, "b")]
    assert _out_of_order(two, [1], "unit").next_command == f"{command} --all"
    assert _out_of_order(one[:2], [1], "unit").next_command == f"{command} 1 2 3"
