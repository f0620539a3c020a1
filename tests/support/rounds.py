"""
Rounds of `disable` under live deliveries: after "drained" nothing is delivered (P5).

The test of the barrier plays a few; ``scripts/torture/disable`` as many as one likes.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from iu_gates import disable
from tests.support.engine import wait_until
from tests.support.play import Stage
from tests.support.walk import walk_to

WORKERS = (1000, 100, 10, 3)
"""Their limits: long batches and short ones overlap."""


@dataclass
class Rounds:
    """What was seen: seconds until "drained", and the events written behind it."""

    seconds: list[float] = field(default_factory=list)
    written_behind: int = 0
    delivered: int = 0

    def __str__(self) -> str:
        """Return the figures on one line."""
        median, longest = statistics.median(self.seconds), max(self.seconds)
        return (
            f"{len(self.seconds)} rounds, nothing after drained in any of them:"
            f" {self.delivered} deliveries, {self.written_behind} events written behind the"
            f" barrier; drained after {median:.3f} s (median), {longest:.3f} s (longest)"
        )


def play(
    stage: Stage,
    rounds: int,
    route: str | None,
    chance: random.Random,
    say: Callable[[str], None] = lambda _: None,
) -> Rounds:
    """
    Disable, look, lift, so many times, with a host and workers at it all the while.

    When `disable` says "drained", and before the lane follows, the newest attempt, the rows of
    the target and the server's clock are noted; then the host writes on, and nothing may have come.
    """
    seen = Rounds()
    hosts = (stage.host(pause=0.002), stage.host(pause=0.003))
    workers = [stage.worker(limit=limit) for limit in WORKERS]
    with hosts[0], hosts[1], workers[0], workers[1], workers[2], workers[3]:
        for number in range(1, rounds + 1):
            _wait_for_more(lambda: stage.count("sent"), chance.randint(0, 20))
            began = time.monotonic()

            look = _Look(stage)
            result = disable.disable(
                stage.settings, route=route, reason=f"round {number}", notify=look.hear
            )

            marks, drained_at = look.marks, look.at
            assert result.drained
            seen.seconds.append(look.heard - began)
            before = _captured(stage)
            _wait_for_more(lambda: _captured(stage), chance.randint(10, 40))
            seen.written_behind += _captured(stage) - before
            assert _read_marks(stage) == marks, f"round {number}: delivered after drained"
            late = "select count(*) from iu_core.iu_route_attempt where attempted_at > %s"
            assert stage.fetch_value(late, drained_at) == 0
            say(f"round {number}: {seen.seconds[-1]:.3f} s, {marks[1]} in the target")
            walk_to(stage.database.conninfo, "runtime@082")
        wait_until(lambda: stage.status().routes[0].mode == "live", "it is live again")
    _deliver_the_rest(stage)
    seen.delivered = stage.count("sent")
    return seen


class _Look:
    """What there was at the moment at which `disable` said that it is drained."""

    def __init__(self, stage: Stage) -> None:
        self.marks = (0, 0)
        self.heard = 0.0
        self.at: datetime | None = None
        self._stage = stage

    def hear(self, text: str) -> None:
        """Note the moment."""
        if text == "off and drained":
            self.heard = time.monotonic()
            self.at = self._stage.fetch_value("select clock_timestamp()")
            self.marks = _read_marks(self._stage)


def _deliver_the_rest(stage: Stage) -> None:
    """Deliver what was held, and find each event once, in the order of its unit."""
    with stage.worker():
        wait_until(lambda: stage.status().routes[0].counts["waiting"] == 0, "all is delivered")
    twice = (
        "select count(*) from (select event_id from iu_core.iu_route_attempt"
        " where status = 'sent' group by event_id having count(*) > 1) as t"
    )
    disordered = (
        "select count(*) from (select (payload -> 'data' ->> 'version_seq')::bigint"
        " < max((payload -> 'data' ->> 'version_seq')::bigint) over (partition by subject"
        " order by id rows between unbounded preceding and 1 preceding) as is_late"
        " from public.event_outbox) as o where o.is_late"
    )
    assert stage.count("sent") == _captured(stage)
    assert stage.count("sent") == stage.fetch_value("select count(*) from public.event_outbox")
    assert stage.fetch_value(twice) == 0
    assert stage.fetch_value(disordered) == 0


def _read_marks(stage: Stage) -> tuple[int, int]:
    """Return the newest attempt and how many rows are in the outbox."""
    ((attempt, rows),) = stage.fetch(
        "select coalesce(max(attempt_id), 0), (select count(*) from public.event_outbox)"
        " from iu_core.iu_route_attempt"
    )
    return attempt, rows


def _captured(stage: Stage) -> int:
    return int(stage.fetch_value("select count(*) from iu_core.iu_event"))


def _wait_for_more(count: Callable[[], int], more: int) -> None:
    """Return once a count has grown by more than `more`."""
    before = count()
    wait_until(lambda: count() > before + more, "more of it")
