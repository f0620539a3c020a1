"""Approvals: by logins, of a digest, by another than the one that asks (P10, T36)."""

from __future__ import annotations

import psycopg
import pytest

from iu_gates import approvals, plan
from iu_gates.errors import GateError, RefusedError, UsageError
from tests.support.play import MakeStage, Stage
from tests.support.walk import State


@pytest.fixture
def asked(make_stage: MakeStage) -> Stage:
    """Give a stage where the package waits for approval, by two logins."""
    stage = make_stage(State.RELAXED, approvals_needed=2)
    stage.conn.execute("select iu_gates.fn_void(array['approval'], 'a test')")
    with pytest.raises(GateError):
        stage.advance()
    return stage


def test_what_waits_is_readable(asked: Stage) -> None:
    """
    T36: a voter sees what the digest binds: definition, SQL, fingerprint, limits, gates, waivers.
    """
    pending = approvals.require_pending(asked.make_settings_of("iu_gates_approver"))
    assert (pending.subject, pending.requested_by, pending.needed) == ("package", "postgres", 2)
    assert set(pending.contents) >= {
        "definition_hash",
        "revisions",
        "fingerprint",
        "limits",
        "gates",
    }
    assert len(pending.digest) == 64
    assert plan.make_plan(asked.settings).digest == pending.digest
    assert pending.votes == ()


def test_enough_other_logins_are_needed(asked: Stage) -> None:
    """
    P10: one vote of two is not enough, the same login twice is one.

    And the second other login opens the way; the approval is a row that the route's foreign key
    can stand on.
    """
    first = asked.make_login("iu_gates_approver")
    asked.approve(first)
    asked.approve(first)
    with pytest.raises(GateError):
        asked.advance()
    asked.approve()

    assert asked.advance().reports[0].verdict.gate == "approval"

    ((logins, route, digest),) = asked.fetch(
        "select logins, route_name, digest from iu_gates.approval order by approval_id desc limit 1"
    )
    assert sorted(logins) == sorted(asked.logins)
    assert route == "iu.version_applied.workflow"
    assert digest == approvals.require_pending(asked.settings).digest


def test_the_one_that_asked_may_not_approve(asked: Stage) -> None:
    """
    A login does not approve what it asked for itself: exit 4.
    """
    digest = approvals.require_pending(asked.settings).digest
    with pytest.raises(RefusedError, match="asked for itself") as raised:
        approvals.vote(asked.settings, digest, "approve")
    assert (raised.value.ident, raised.value.exit_code) == ("IUG-045", 4)


def test_own_vote_does_not_count(asked: Stage) -> None:
    """
    P10: a vote that the one that advances put in by SQL is not counted.
    """
    digest = approvals.require_pending(asked.settings).digest
    asked.conn.execute("select iu_gates.fn_vote(%s, 'approve', '')", (digest,))
    asked.approve()
    with pytest.raises(GateError, match="approvals"):
        asked.advance()


def test_login_without_the_role_may_not_vote(asked: Stage) -> None:
    """
    P10: only members of `iu_gates_approver` vote; others are told so.
    """
    digest = approvals.require_pending(asked.settings).digest
    with pytest.raises(RefusedError, match="may not do that") as raised:
        approvals.vote(asked.make_settings_of("iu_gates_auditor"), digest, "approve")
    assert raised.value.ident == "IUG-042"


def test_vote_on_nothing(asked: Stage) -> None:
    """
    A digest that nothing asks for is a usage error.
    """
    with pytest.raises(UsageError, match="no request with the digest"):
        approvals.vote(asked.make_settings_of("iu_gates_approver"), "ffff", "approve")


def test_nothing_waits(make_stage: MakeStage) -> None:
    """
    Where nothing was asked for, that is said with the way to get there.
    """
    with pytest.raises(GateError, match="nothing waits") as raised:
        approvals.require_pending(make_stage(State.SUBSTRATE).settings)
    assert "iu-gates advance" in (raised.value.next_command or "")


def test_votes_are_append_only(asked: Stage) -> None:
    """
    P10: neither a vote nor an approval can be changed afterwards.
    """
    asked.approve()
    for statement in (
        "update iu_gates.vote set choice = 'reject'",
        "delete from iu_gates.approval",
    ):
        with pytest.raises(psycopg.Error, match="append-only"):
            asked.conn.execute(statement)


def test_request_is_made_once_for_each_digest(asked: Stage) -> None:
    """
    Asking again changes nothing while the package is the same.
    """
    with pytest.raises(GateError):
        asked.advance()
    assert asked.list_kinds().count("request") == 1
