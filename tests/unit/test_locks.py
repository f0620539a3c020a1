"""Whether a step tries: by the age of what holds its lock, and by its own wait (T38)."""

from __future__ import annotations

import pytest

from iu_gates.config import Settings
from iu_gates.locks import HOLDS_BATCHES, Blocker, Patience, list_needs

NAMES = {"iu_schema": "ours", "iu_host_schema": "theirs", "iu_unit_table": "versions"}


class Waiting(Patience):
    """A step that has waited for as long as a test says."""

    waited = 0.0

    @property
    def _waited(self) -> float:
        return self.waited

    def holds_back(self, blocker: Blocker, waited: float) -> bool:
        """Tell whether a blocker keeps the step from trying after this wait."""
        self.waited = waited
        return self._holds_back(blocker)


def make_blocker(age: float | None, *, xact: str = "3/7", is_batch: bool = False) -> Blocker:
    """Return a session whose transaction is so old; None is not shown to us."""
    return Blocker(
        pid=7,
        gid=None,
        xact=xact,
        login="app",
        application="",
        kind="client backend",
        age_seconds=age,
        query_seconds=None,
        query="",
        holds="versions",
        is_batch=is_batch,
    )


@pytest.fixture
def step() -> Waiting:
    """Give a step that has not waited yet."""
    return Waiting(Settings(), lambda _: None)


@pytest.mark.parametrize(
    ("age", "waited", "is_batch", "held"),
    [
        (0.05, 0.0, False, False),
        (0.1, 0.0, False, True),
        (0.3, 0.4, False, True),
        (0.3, 1.0, False, False),
        (20.0, 19.0, False, True),
        (0.3, 0.0, True, False),
        (1.0, 0.0, True, True),
        (1.2, 3.0, True, False),
    ],
)
def test_who_is_older_than_half_of_the_wait_holds_a_step_back(
    step: Waiting,
    age: float,
    waited: float,
    is_batch: bool,  # noqa: FBT001  a parameter of the table above
    held: bool,  # noqa: FBT001
) -> None:
    """
    T38: what was open before the step began always does; what comes and goes does not for long.

    At least the length of a try: 100 ms for a table, 1 s for the key of all batches.
    """
    assert step.holds_back(make_blocker(age, is_batch=is_batch), waited) is held


def test_age_that_is_not_shown_counts_from_the_first_look(step: Waiting) -> None:
    """
    A login without pg_read_all_stats sees no ages of others: it looks twice before it tries.
    """
    old, new = make_blocker(None), make_blocker(None, xact="4/1")
    assert step.holds_back(old, 0.0)
    assert step.holds_back(old, 0.12)
    assert step.holds_back(old, 5.0)
    assert not step.holds_back(new, 5.0)
    assert not step.holds_back(new, 6.0)
    assert "age not shown to this login" in str(old)


def test_needs_bear_the_names_of_this_database() -> None:
    """
    The host's table is the host's, ours are in our schema, the approvals in the record's.
    """
    assert [str(n) for n in list_needs(NAMES, "060", "up")] == [
        "SHARE ROW EXCLUSIVE on theirs.versions"
    ]
    assert [str(n) for n in list_needs(NAMES, "100", "up")] == [
        "ACCESS EXCLUSIVE on ours.iu_outbound_route",
        "SHARE ROW EXCLUSIVE on iu_gates.approval",
    ]
    assert list_needs(NAMES, "080", "up") == ()
    assert ("100", "down") in HOLDS_BATCHES
