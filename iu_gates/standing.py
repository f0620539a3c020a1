"""
Where each gate stands, as `advance` goes by it: the verdict in force, and the revisions applied.

Three things make this more than the newest verdict. A gate whose revision was taken back is
open again, whatever its verdict says. What runs out by the hour (a backup, an approval, a
waiver) is asked for where a step needs it, and does not stop what is live: a backup is renewed
before each step, an approval must be *used* before it expires. And drift takes "substrate" out
of force at once, without waiting for anybody to judge it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from iu_gates import db, lanes
from iu_gates import drift as drifted
from iu_gates.db import Conn
from iu_gates.model import GATES, GateState

LAST_REVISION: Final = lanes.REVISIONS[-1].name


def list_gates(conn: Conn, drift: tuple[str, ...] | None = None) -> tuple[GateState, ...]:
    """Return where each gate stands, in their order; `drift` if it was listed already."""
    applied = lanes.list_applied(conn)
    rows = {r["gate"]: r for r in db.fetch_all(conn, db.load("verdicts"), {"gates": list(GATES)})}
    drift = drifted.list_names(conn) if drift is None else drift
    return tuple(_with_drift(_state(rows[gate], applied), drift) for gate in GATES)


def next_gate(states: Iterable[GateState]) -> str | None:
    """Return the first gate that is not in force; None at live."""
    return next((s.gate for s in states if not s.in_force), None)


def _state(row: Mapping[str, Any], applied: tuple[str, ...]) -> GateState:
    gate = row["gate"]
    reason = row["reason"] or ""
    if row["expired"] and (gate == "backup" or LAST_REVISION in applied):
        reason = ""
    behind = [r.name for r in lanes.REVISIONS if r.gate == gate and r.name not in applied]
    if behind and not reason:
        reason = f"revision {', '.join(behind)} is not applied"
    return GateState(gate, row["outcome"], not reason, reason, row["at"])


def _with_drift(state: GateState, drift: tuple[str, ...]) -> GateState:
    if state.gate != "substrate" or not drift or not state.in_force:
        return state
    return replace(state, in_force=False, reason=f"drift: {'; '.join(drift)}")
