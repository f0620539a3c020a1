"""From the host's commit to the commit of the delivery, by the server's own time stamps."""

from __future__ import annotations

import sys
import time
from typing import Final

from worker_parts import load
from worker_parts.place import (
    DEADLINE_SECONDS,
    EMPTY,
    Place,
    is_drained,
    repeated,
    require_delivered,
)
from worker_parts.result import Results, quantile

SECTION: Final = "latency"
TITLE: Final = "Latency from the host's commit to the commit of the delivery, `worker run`"
RUN: Final = "bench_latency"
RATES: Final = (100, 1000)
CLIENTS: Final = 8
TAKEN: Final = """
    select extract(epoch from pg_xact_commit_timestamp(a.xmin) - pg_xact_commit_timestamp(e.xmin))
           * 1000
    from iu_core.iu_event as e join iu_core.iu_route_attempt as a using (event_id)
    where a.status = 'sent' and e.subject like 'bench %%' order by e.event_id offset %s
"""


def measure(place: Place, results: Results, *, seconds: float, rounds: int) -> None:
    """Measure at each rate, alone and beside long transactions, in turn."""
    for done in range(rounds):
        for has_long in (False, True):
            for rate in RATES:
                times = _run(place, rate, seconds, has_long=has_long)
                beside = ", beside transactions of 500 ms" if has_long else ""
                for share in (0.5, 0.99):
                    name = f"{rate:,}/s{beside}, p{share * 100:.0f}"
                    results.add(SECTION, name, "ms", quantile(times, share))
        print(f"latency: round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    place.drop(RUN)


def _run(place: Place, rate: int, seconds: float, *, has_long: bool) -> list[float]:
    """Return the milliseconds of each event but those of the first half second."""
    place.copy(EMPTY, RUN)
    load.prepare(place, RUN)
    with place.worker(RUN), place.connect(RUN) as conn:
        if has_long:
            with repeated(load.LongTransactions(place)):
                written = load.write(place, RUN, seconds=seconds, clients=CLIENTS, rate=rate)
        else:
            written = load.write(place, RUN, seconds=seconds, clients=CLIENTS, rate=rate)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_drained(conn):
            if time.monotonic() > deadline:
                sys.exit("the worker does not come to its end")
            time.sleep(0.05)
        require_delivered(conn, written.transactions + 1)
        return [float(row[0]) for row in conn.execute(TAKEN, (rate // 2,))]
