"""
`advance`: the gates in order, one a call, or as far as can be gone.

For the first gate that is not in force: do what belongs to it (a backup, a lane step, a proof, a
drill, a request for approval), collect, judge, write the verdict. A verdict that passed stays
in force until something voids it; the host is judged anew in every call that has work to do.

Killed anywhere, the same command goes on: each lane step is one transaction with its ledger
entry, evidence is in the ledger, and a drill's stop that nobody lifted is lifted first.
"""

from __future__ import annotations

from contextlib import nullcontext

from iu_gates import db, refusals, site
from iu_gates.advance.deeds import Notify
from iu_gates.advance.judging import is_writable, judge, refusal
from iu_gates.advance.walk import Walk, next_gate
from iu_gates.backups import Bar
from iu_gates.config import Settings
from iu_gates.errors import UsageError
from iu_gates.model import GATES, AdvanceResult

__all__ = ["advance", "next_gate", "refusal"]


def advance(
    settings: Settings,
    *,
    to: str | None = None,
    notify: Notify = lambda _gate, _text: None,
    bar: Bar = nullcontext,
) -> AdvanceResult:
    """
    Go through the next gate, or through all up to and with `to`; `bar` shows a backup's progress.

    Raises:
        GateError: The next gate is not satisfied; `facts` hold "verdict" and "did".
        UsageError: `to` is no gate.
        LockHeldError: Another walk is at work, or a step could not have its locks.
    """
    if to is not None and to not in GATES:
        raise UsageError(
            f'"{to}" is no gate',
            ident="IUG-018",
            wanted=f"one of {', '.join(GATES)}",
            next_command="iu-gates plan",
        )
    with (
        refusals.recorded(settings, "advance", to=to),
        db.connect(settings, "advance", as_owner=True) as conn,
    ):
        first = judge(conn, settings, "host")
        if not first.passed and not (db.is_installed(conn) and is_writable(first)):
            raise refusal(first, [])
        site.require_home(conn, settings)
        with site.walk_lock(settings, "advance"):
            return Walk(conn, settings, notify, bar).go(to)
