"""What the figures come to: where another queue is faster, and which goals are met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker_parts import cost, history, latency, routes, throughput
from worker_parts.result import Results, number

OURS: Final = throughput.ours(1000)


@dataclass(frozen=True)
class Goal:
    """
    A figure that is wanted.

    Attributes:
        section: Of the row.
        name: The row's.
        least: The ratio, or the value if there is no base, is at least this.
        most: It is at most this.
        base: The row with which it is compared.
    """

    section: str
    name: str
    least: float | None = None
    most: float | None = None
    base: str = ""


GOALS: Final = (
    Goal(throughput.SECTION, OURS, least=0.82, base=throughput.LIMIT),
    Goal(throughput.SECTION, throughput.ours(5000), least=0.93, base=throughput.LIMIT),
    Goal(throughput.SECTION, OURS, least=1.5, base="PgQue, 1,000"),
    Goal(throughput.SECTION, OURS, least=3, base="PGMQ, 1,000"),
    Goal(throughput.SECTION, OURS, least=5, base="graphile-worker"),
    Goal(throughput.SECTION, OURS, least=7, base="pg-boss"),
    Goal(throughput.SECTION, OURS, least=10, base="pgqueuer"),
    Goal(throughput.SECTION, OURS, least=100, base="procrastinate"),
    Goal(routes.SIDE, "iu-gates, 2 routes", least=0.85, base="limit with 2 sessions"),
    Goal(latency.SECTION, "100/s, p50", most=3),
    Goal(latency.SECTION, "100/s, p99", most=15),
    Goal(latency.SECTION, "1,000/s, p50", most=3),
    Goal(latency.SECTION, "1,000/s, p99", most=15),
    Goal(latency.SECTION, "100/s, beside transactions of 500 ms, p99", most=20),
    Goal(latency.SECTION, "1,000/s, beside transactions of 500 ms, p99", most=20),
    Goal(cost.HOST, "1 writer, captured", least=0.9, base="1 writer, without"),
    Goal(cost.HOST, "16 writers, captured", least=0.9, base="16 writers, without"),
    Goal(history.HISTORY, "1,000,000 rows", most=1.1, base="10,000 rows"),
    Goal(history.HISTORY, "10,000,000 rows", most=1.1, base="10,000 rows"),
    Goal(
        history.SNAPSHOT,
        "held, last quarter",
        least=0.8,
        base="nobody holds one, last quarter",
    ),
    Goal(history.SNAPSHOT, "held, dead tuples", most=0),
    Goal(cost.IDLE, "transaction ids a poll", most=0),
)


def judge(results: Results) -> Iterator[str]:
    """Tell of each goal whose rows were run whether it is met."""
    for goal in GOALS:
        row = results.get(goal.section, goal.name)
        if row is None:
            continue
        value = results.ratio(goal.section, goal.name, goal.base) if goal.base else row.median
        if value is None:
            continue
        met = value >= goal.least if goal.least is not None else value <= (goal.most or 0)
        wanted = f"at least {goal.least}" if goal.least is not None else f"at most {goal.most}"
        of = f"of {goal.base}" if goal.base else row.unit
        word = "met" if met else "MISSED"
        print_name = f"{goal.name}: {number(value)} {of}"
        yield f"goal     {print_name}, {wanted}: {word}"


def list_faster(results: Results) -> Iterator[str]:
    """Tell which other queues deliver more events a second than we do."""
    ours = [
        r for n in throughput.BATCHES if (r := results.get(throughput.SECTION, throughput.ours(n)))
    ]
    others = [
        row
        for row in results.list_section(throughput.SECTION)
        if row.values and not row.name.startswith(("iu-gates", "limit"))
    ]
    if not ours or not others:
        return
    for row in others:
        for mine in ours:
            if row.median > mine.median:
                yield f"faster   {row.name} delivers more than {mine.name}: {row.note}"
    if all(row.median <= mine.median for row in others for mine in ours):
        yield "faster   none of the other queues"
