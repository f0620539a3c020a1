"""From nothing to live on a host that somebody else made, by what `advance` says, and back."""

from __future__ import annotations

import re

import pytest

from iu_gates.model import GATES
from tests.acceptance.newcomer import Newcomer
from tests.acceptance.site import APPLIED, CAPTURED, DELIVERED, Site
from tests.support.cli import Answer, poll
from tests.support.majors import list_majors

NOT_SATISFIED = re.compile(r'^IUG-0(?:20|85) gate "(\w+)" is not satisfied: ', re.MULTILINE)
PASSED = re.compile(r"^✓ (\w+)$", re.MULTILINE)
ROUTE_IS_LIVE = "select enabled and not dry_run and quota is null from iu_core.iu_outbound_route"
REHEARSED = """
    select count(*) from iu_gates.ledger
    where kind = 'rehearsal' and facts ->> 'passed' = 'true' and facts ->> 'restored' = 'true'
"""
WAITING = """
    select count(*) from iu_core.iu_event as e where not exists (
        select from iu_core.iu_route_attempt as a
        where a.event_id = e.event_id and a.status in ('dry_run', 'sent', 'duplicate'))
"""
DRY = "select count(*) from iu_core.iu_route_attempt where status = 'dry_run'"


@pytest.mark.long
@pytest.mark.long_on_each_major
@pytest.mark.slow
def test_whole_way_as_a_newcomer(site: Site) -> None:
    """
    A newcomer reaches live, disables under load, goes live again, rolls back; nothing is lost.

    One gate a call on the oldest PostgreSQL, on the others as far as each call gets.
    """
    newcomer = Newcomer(site)
    if site.database.major == list_majors()[-1]:
        _assert_one_gate_a_call(newcomer.advance())
    else:
        _assert_as_far_as_it_gets(newcomer.advance("--to", "live"))
    assert site.fetch_value(ROUTE_IS_LIVE) is True
    assert site.fetch_value(REHEARSED) == 1

    _assert_nothing_to_do(site)
    _assert_nothing_comes_after_disable(site)
    newcomer.advance("--to", "live")
    assert site.fetch_value(ROUTE_IS_LIVE) is True
    _assert_all_accounted_for(site, newcomer)

    down = site.run("rollback", "--to", "009", "--yes").expect(0)
    assert 'rolled back to "009"' in down.out
    _assert_base_is_refused(site)
    site.run("ledger", "verify").expect(0)


def _assert_one_gate_a_call(answers: list[Answer]) -> None:
    """Each call passed one gate or waited for one, and said what it did, saw, and what is next."""
    passed: list[str] = []
    for answer in answers[:-1]:
        if answer.code == 0:
            (gate,) = PASSED.findall(answer.out)
            assert gate == GATES[len(passed)], answer
            passed.append(gate)
            assert "  did       " in answer.out, answer
            assert len(passed) == len(GATES) or answer.next_command == "iu-gates advance", answer
        else:
            assert NOT_SATISFIED.findall(answer.err) == [GATES[len(passed)]], answer
            assert all(f"\n  {name} " in answer.err for name in ("found", "wanted", "means"))
            assert answer.next_command, answer
    assert tuple(passed) == GATES
    # What a call waits for is done before the next: no gate is asked for the same thing for ever.
    assert len(answers) < 2 * len(GATES) + 4


def _assert_as_far_as_it_gets(answers: list[Answer]) -> None:
    """Each call but the last ended at a gate that waits, and no gate was come back to."""
    gates = [NOT_SATISFIED.findall(answer.err) for answer in answers[:-1]]
    reached = [GATES.index(gate) for (gate,) in gates]
    assert reached == sorted(reached)
    assert answers[-1].code == 0
    assert PASSED.findall(answers[-1].out)[-1] == "live"


def _assert_nothing_to_do(site: Site) -> None:
    """At live `advance` does nothing, and says so."""
    before = site.fetch_value("select count(*) from iu_gates.ledger")
    again = site.run("advance").expect(0)
    assert again.out.startswith("at live: nothing to do\n")
    assert site.fetch_value("select count(*) from iu_gates.ledger") == before


def _assert_nothing_comes_after_disable(site: Site) -> None:
    """Disabled under load: what the host writes from then on is captured, and not delivered."""
    off = site.run("disable", "--reason", "an exercise").expect(0)
    assert "off and drained" in off.out
    delivered, captured = site.fetch_value(DELIVERED), site.fetch_value(CAPTURED)
    poll(lambda: site.fetch_value(CAPTURED) >= captured + 50, "the host writes on")
    assert site.fetch_value(DELIVERED) == delivered
    assert "STOPPED" in site.run("status").expect(0).out


def _assert_all_accounted_for(site: Site, newcomer: Newcomer) -> None:
    """Every applied change was captured; every event went dry or to the outbox, once, in order."""
    assert newcomer.host is not None
    newcomer.host.stop()
    poll(lambda: site.fetch_value(WAITING) == 0, "the worker catches up")
    captured = site.fetch_value(CAPTURED)
    assert captured == site.fetch_value(APPLIED)
    assert captured == site.fetch_value(DRY) + site.fetch_value(DELIVERED)
    site.run("audit").expect(0)


def _assert_base_is_refused(site: Site) -> None:
    """The rollback to base would lose history: refused with exit code 4, nothing is changed."""
    captured = site.fetch_value(CAPTURED)
    refused = site.run("rollback", "--to", "base", "--yes").expect(4)
    assert "holds history" in refused.err
    assert refused.next_command.startswith("iu-gates history export ")
    assert site.fetch_value(CAPTURED) == captured
    assert site.list_heads() == ["009"]
