"""
What a run of `symmetry` is to try, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iu_gates.symmetry.cache import Cache
from iu_gates.symmetry.project import Revision
from iu_gates.symmetry.restored import Restored

Notify = Callable[[int, int, str], None]
"""Called with how many revisions are through, how many there are, and the newest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What to try, and how.

    Attributes:
        choose: Picks the revisions to try from all; None is all. The trunk goes through the
            others as well, up to the last that is tried.
        setup_sql: Run in the trunk before the first revision.
        exclude_schemas: Left out of the comparison.
        with_rows: Compare rows too.
        refusals: See `verdict.judge`.
        jobs: Copies tried at the same time.
        with_walk: End with the walk to base and up again.
        restored: A backup that the trunk begins with.
        cache: Where verdicts are kept; None keeps none.
    """

    choose: Callable[[Sequence[Revision]], frozenset[str]] | None = None
    setup_sql: str = ""
    exclude_schemas: tuple[str, ...] = ()
    with_rows: bool = True
    refusals: tuple[str, ...] = ()
    jobs: int = 1
    with_walk: bool = True
    restored: Restored | None = None
    cache: Cache | None = None
