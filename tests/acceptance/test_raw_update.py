"""P10: no UPDATE by hand takes a route live, before revision 100 nor after it."""

from __future__ import annotations

import pytest

from tests.support.command import run_psql
from tests.support.databases import Servers
from tests.support.engine import open_engine
from tests.support.walk import State

LIVE = "update iu_core.iu_outbound_route set enabled = true, dry_run = false;"
BEFORE, AFTER = "iu_outbound_route_safe_chk", "iu_outbound_route_live_approved_chk"
IS_LIVE = "select enabled and not dry_run from iu_core.iu_outbound_route"
APPROVED = """
    update iu_core.iu_outbound_route as r
    set enabled = true, dry_run = false, approval_id = a.approval_id,
        approval_granted_at = a.granted_at, approval_expires_at = a.expires_at
    from (select * from iu_gates.approval order by approval_id desc limit 1) as a
"""


@pytest.mark.parametrize(
    ("state", "constraint"),
    [(State.SUBSTRATE, BEFORE), (State.SEAM, BEFORE), (State.RELAXED, AFTER)],
)
def test_raw_update_is_refused(servers: Servers, major: int, state: State, constraint: str) -> None:
    """
    The superuser's UPDATE in psql is refused by the constraint of that time, by its name.
    """
    with open_engine(servers.get(major), state) as engine:
        done = run_psql(engine.database, LIVE, "-v", "ON_ERROR_STOP=1")
        assert done.returncode != 0
        assert f'violates check constraint "{constraint}"' in done.stderr
        assert engine.fetch_value(IS_LIVE) is False


def test_update_with_an_approval_stands(servers: Servers, major: int) -> None:
    """
    After 100 an approval of this very definition is what lets a route be live; retargeting is not.
    """
    with open_engine(servers.get(major), State.RELAXED) as engine:
        assert run_psql(engine.database, APPROVED, "-v", "ON_ERROR_STOP=1").returncode == 0
        assert engine.fetch_value(IS_LIVE) is True
        retarget = "update iu_core.iu_outbound_route set target_ref = 'somewhere_else';"
        done = run_psql(engine.database, retarget, "-v", "ON_ERROR_STOP=1")
        assert "iu_outbound_route_approval_fkey" in done.stderr
