"""
Every revision, tried on its own: up, down, and up again, with a look at the catalog in between.

A trunk database only goes forward. After each step it is copied (CREATE DATABASE … TEMPLATE) and
the revision is tried in the copy: down, look; up again, look. So

    S0  the trunk before the revision      S2  the copy after the downgrade
    S1  the trunk after it                 S3  the copy after the second upgrade

and S0 = S2, S1 = S3 is symmetry. One bad revision leaves its copy bad and nothing else, so that
all faults are found in one run. A copy that was left as the trunk is serves the next trial too: see
`iu_gates.symmetry.reuse`. With several jobs there are as many trunks, which share the revisions:
see `iu_gates.symmetry.lane`.

At the end the trunk walks from its heads to base and up again: what only appears when revisions
are undone together.

A trunk that was restored from a backup begins at the backup's revisions. What was before them
cannot be seen, so these are not tried one by one; the walk goes through them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from iu_gates.symmetry.copies import Copies
from iu_gates.symmetry.plan import Notify, Plan
from iu_gates.symmetry.project import Project
from iu_gates.symmetry.trunk import Trunk
from iu_gates.symmetry.verdict import Result

__all__ = ["Notify", "Plan", "Run", "run"]


@dataclass(frozen=True, slots=True)
class Run:
    """
    The outcome of one run.

    Attributes:
        results: One for each revision that was to be tried, in the order of the trunk.
        walk: Of the walk to base and up again; None if it was not gone.
        left_out: Schemas that were not compared.
        server_version: As libpq has it.
        seconds: Of the whole run.
        restored: Revisions that the backup held already, and that the walk alone went through.
        cached: Revisions, and the walk, whose verdict was found in the cache.
        names: All revisions of the project.
    """

    results: tuple[Result, ...]
    walk: Result | None
    left_out: tuple[str, ...]
    server_version: int
    seconds: float
    restored: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if every revision passed, and the walk did."""
        return all(r.passed for r in self.results) and (self.walk is None or self.walk.passed)


def run(
    project: Project,
    copies: Copies,
    plan: Plan,
    notify: Notify = lambda _done, _all, _name: None,
) -> Run:
    """
    Try a project's revisions.

    Args:
        project: Whose.
        copies: Where databases can be made.
        plan: What to try.
        notify: Called after each revision.

    Raises:
        UsageError: The migrations cannot be read, the setup's SQL fails, a name is unknown, or the
            backup is none of this project.
    """
    began = time.monotonic()
    with Trunk(project, copies, plan, notify) as trunk:
        results = trunk.try_all()
        walk = trunk.walk(results) if plan.with_walk and trunk.is_there else None
        return Run(
            results,
            walk,
            trunk.left_out,
            copies.server_version,
            time.monotonic() - began,
            tuple(r.name for r in trunk.restored),
            tuple(trunk.cached),
            tuple(r.name for r in trunk.revisions),
        )
