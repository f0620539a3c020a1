"""
`advance`: the gates in order, one a call, or as far as can be gone.

For the first gate that is not in force: do what belongs to it (a backup, a lane step, a proof, a
drill, a request for approval), collect, judge, write the verdict. A verdict that passed stays
in force until something voids it; the host is judged anew in every call that has work to do.
A further route has a few gates of its own, on top of those that it shares with the first.

Killed anywhere, the same command goes on: each lane step is one transaction with its ledger
entry, evidence is in the ledger, and a drill's stop that nobody lifted is lifted first.
"""

from __future__ import annotations

from contextlib import nullcontext

from iu_gates import config, db, drift, refusals, routes, site
from iu_gates.advance.deeds import Deeds, Notify
from iu_gates.advance.further import FurtherDeeds, FurtherWalk, list_lacking
from iu_gates.advance.judging import is_writable, judge, refusal
from iu_gates.advance.walk import Walk, next_gate
from iu_gates.backups import Bar
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import AdvanceResult

__all__ = ["advance", "list_lacking", "next_gate", "refusal"]


def advance(
    settings: Settings,
    *,
    to: str | None = None,
    route: str | None = None,
    notify: Notify = lambda _gate, _text: None,
    bar: Bar = nullcontext,
) -> AdvanceResult:
    """
    Go through the next gate, or through all up to and with `to`.

    Args:
        settings: Whose database.
        to: One of the gates.
        route: A further route, which has gates of its own; None or the first: all of `GATES`.
        notify: Called with progress.
        bar: Shows the progress of a backup.

    Raises:
        GateError: The next gate is not satisfied; `facts` hold "verdict" and "did". Or what a
            further route stands on is not in force (IUG-126).
        UsageError: `to` is no gate, or there is no such route.
        LockHeldError: Another walk is at work, or a step could not have its locks.
    """
    further = config.name_further(route)
    config.require_gate(to, further)
    with (
        refusals.recorded(settings, "advance", to=to, **({"route": further} if further else {})),
        db.connect(settings, "advance", as_owner=True) as conn,
    ):
        if further:
            routes.require_route(conn, settings, further)
        else:
            _require_writable(conn, settings)
        site.require_home(conn, settings)
        with site.walk_lock(settings, "advance"):
            drift.require_recorded(conn)
            if further:
                deeds = FurtherDeeds(conn, settings, notify, bar, further)
                return FurtherWalk(conn, settings, deeds).go(to)
            return Walk(conn, settings, Deeds(conn, settings, notify, bar)).go(to)


def _require_writable(conn: Conn, settings: Settings) -> None:
    first = judge(conn, settings, "host")
    if not first.passed and not (db.is_installed(conn) and is_writable(first)):
        raise refusal(first, [])
