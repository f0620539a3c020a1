"""
The worker: every route that has something to do, one batch a transaction.

    loop      a worker on one connection: which routes, in what order, how long to rest
    process   the connections of one process: how they begin, and what ends them
    crew      what these share: what was said, the heartbeat, the end
    bell      how it sleeps without missing an event
    metrics   what it shows to Prometheus
    install   the unit, the line or the statement that runs it

All that matters happens in `fn_iu_route_worker_run`; this package holds nothing that a `kill -9`
could lose. It takes transaction-level locks only, so it runs through pgbouncer in transaction
mode.

**Many workers.** Any number of processes and connections, on any hosts, work the same routes
without knowing of one another. A route's batch holds the route's key to its commit; who finds it
taken stands by for half a second and works other routes meanwhile. So two busy routes are soon
with two connections, and what a dead worker had is taken over when its transaction has ended: at
once if its process died, and a client behind a dead network holds no lock, because a batch is one
statement that ends by itself.
"""

from __future__ import annotations

from typing import Final

from iu_gates import site
from iu_gates.config import Settings
from iu_gates.ending import Ending
from iu_gates.model import Batch
from iu_gates.worker import process
from iu_gates.worker.bell import NAP_SECONDS
from iu_gates.worker.crew import Crew, OnBatch, OnNotice

LONGEST_WAIT: Final = NAP_SECONDS
"""An idle worker looks at least so often at the switches."""

__all__ = ["LONGEST_WAIT", "Crew", "OnBatch", "OnNotice", "run"]


def run(
    settings: Settings,
    *,
    once: bool = False,
    limit: int = 1000,
    connections: int = 1,
    max_seconds: float | None = None,
    on_batch: OnBatch = lambda _: None,
    on_notice: OnNotice = lambda _: None,
    stop: Ending | None = None,
) -> list[Batch]:
    """
    Work until stopped, or (`once`) until nothing is left to do.

    Args:
        settings: Whose database, whose site key.
        once: Return when every route is idle or held; for cron and DOT phases.
        limit: Events a batch.
        connections: So many routes are worked side by side; one for `once`.
        max_seconds: Return after this time at the next batch's end.
        on_batch: Called after each batch that moved something, and for each route's last state.
        on_notice: Called with what a person should know: no bell, a route that fails.
        stop: Set it to drain: the batch in hand is finished, and a sleep ends at once.

    Returns:
        The batches of a `once`; an endless run returns only the last round's.

    Raises:
        GateError: There is no site key here.
        IuGatesError: Every route was refused at the first look; or, from `once`, one was, after the
            others have been worked.
    """
    crew = Crew(
        settings,
        key=site.require_key(settings),
        limit=limit,
        is_once=once,
        max_seconds=max_seconds,
        on_batch=on_batch,
        on_notice=on_notice,
        stop=stop or Ending(),
    )
    return process.once(crew) if once else process.forever(crew, connections)
