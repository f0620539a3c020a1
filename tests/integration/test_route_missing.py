"""The row of a route that somebody deleted by hand: named, with the command that makes it again."""

from __future__ import annotations

import pytest

from iu_gates import plan
from iu_gates.errors import RefusedError
from iu_gates.rollback import rollback
from tests.support.play import MakeStage
from tests.support.walk import ROUTE, State

REMEDY = "iu-gates rollback --to 009"


def test_deleted_route_is_named_and_made_again(make_stage: MakeStage) -> None:
    """
    `status` shows it; plan and advance are refused; the command that they name brings it back.
    """
    stage = make_stage(State.RELAXED)
    for table in ("iu_route_cursor", "iu_outbound_route"):
        stage.conn.execute(f"delete from iu_core.{table}")
    gone = f"{ROUTE} is not there: its row was deleted by hand"
    assert stage.status().disagreements == (gone,)
    assert stage.status().next_command == REMEDY
    for call in (stage.advance, lambda: plan.make_plan(stage.settings)):
        with pytest.raises(RefusedError, match="there is no row of route") as raised:
            call()
        assert (raised.value.ident, raised.value.next_command) == ("IUG-046", REMEDY)
    rollback(stage.settings, "009")
    stage.advance("substrate")
    assert [r.name for r in stage.status().routes] == [ROUTE]
    assert stage.status().disagreements == ()
