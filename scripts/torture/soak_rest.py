"""What a soak comes to in the end: whether everything is delivered, held against the model."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from typing import Final

from soak_ground import SECOND, TAKEN
from soak_model import PREFIX, Model, Transaction, Version, compare, compare_within
from stage import Stage

from iu_gates.config import ROUTE

DELIVERED: Final = """
select o.subject, (o.payload -> 'data' ->> 'version_seq')::bigint
from public.event_outbox as o
where starts_with(o.idempotency_key, %s || ':') and starts_with(o.subject, %s) order by o.id
"""
OPEN_DEAD: Final = """
select d.route_name, d.subject, d.reason, count(*), min(d.version_seq), max(d.version_seq)
from iu_core.iu_route_dead_letter as d
where not exists (select from iu_core.iu_route_redrive as r
                  where r.dead_letter_id = d.dead_letter_id)
group by 1, 2, 3
"""
LEFT: Final = """
select count(*) from public.unit_version as u where u.version_seq > 1 and starts_with(u.unit, %s)
and not exists (select from public.event_outbox as o where o.idempotency_key =
    iu_core.fn_iu_idempotency_key(%s, 'iu.version_applied', u.unit, u.version_seq))
"""
PARKED: Final = "select * from iu_core.iu_route_parked order by event_id limit 5"


def has_rest(stage: Stage) -> bool:
    """Tell whether nothing is parked, and nothing is left of either route."""
    return not any((stage.fetch(PARKED), *_count_left(stage)))


def describe_left(stage: Stage) -> str:
    """Say what has not been delivered, and where it is."""
    parked, open_dead = stage.fetch(PARKED), stage.fetch(OPEN_DEAD)
    return f"left {_count_left(stage)}, parked {parked}, open dead letters {open_dead}"


def _count_left(stage: Stage) -> tuple[int, ...]:
    scopes = ((PREFIX, ROUTE), (TAKEN, SECOND))
    return tuple(int(stage.fetch(LEFT, *scope)[0][0]) for scope in scopes)


def hold_against(
    stage: Stage, committed: list[Transaction], route: str, dead: Iterable[tuple[str, Version]]
) -> int:
    """Hold what a route delivered against the model; return how much it was."""
    delivered = [Version(*row) for row in stage.fetch(DELIVERED, route, PREFIX)]
    given_up = {version for name, version in dead if name == route and route == SECOND}
    compare_within(route, committed, delivered, given_up)
    unit = TAKEN if route == SECOND else None
    return compare(route, committed, delivered, unit=unit, dead=given_up)


def show_table(
    model: Model, done: Counter[str], resumed: list[float], dead: int, delivered: dict[str, int]
) -> None:
    """Print what was done, by whom, and what became of it."""
    kinds = Counter(t.shape for t in model.transactions)
    ends = Counter(t.outcome for t in model.transactions)
    rows: dict[str, object] = {
        "transactions": f"{sum(kinds.values())}: {_count(kinds)}",
        "ended": _count(ends),
        "acts": _count(done),
        "dead letters": f"{dead}, all put back",
        **{f"delivered, {route}": number for route, number in delivered.items()},
        "resumed after": f"{statistics.median(resumed):.2f} s (median),"
        f" {max(resumed):.2f} s (longest)",
    }
    for name, text in rows.items():
        print(f"{name:40}{text}")


def _count(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counter.most_common())
