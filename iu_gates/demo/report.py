"""The numbers of the demo, counted by the audit and from the tables themselves."""

from __future__ import annotations

from typing import Any

from iu_gates import audit, db, ledger
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.model import GATES, AuditReport


def count(settings: Settings) -> AuditReport:
    """Return the audit of the demo's route."""
    return next(r for r in audit.audit(settings) if r.route == ROUTE)


def list_verdicts(conn: Conn) -> list[dict[str, Any]]:
    """Return the newest verdict of each gate, in their order, as the ledger has it."""
    entries = (ledger.fetch_newest(conn, "verdict", gate) for gate in GATES)
    return [e["facts"] for e in entries if e]


def last_delivery(conn: Conn, settings: Settings) -> int:
    """Return the number of the last attempt that had an effect."""
    return _deliveries(conn, settings, 0)["last"]


def count_deliveries(conn: Conn, settings: Settings, after: int) -> int:
    """Return how many deliveries came after an attempt."""
    return _deliveries(conn, settings, after)["deliveries"]


def _deliveries(conn: Conn, settings: Settings, after: int) -> dict[str, int]:
    return db.fetch_one(conn, db.load("demo_deliveries", settings.schema), {"after": after})


def describe(report: AuditReport) -> str:
    """Return the faults that the audit names, or that there are none."""
    faults = [f"{f.name}: {f.found}" for f in report.findings if not f.passed]
    return "; ".join(faults) or "the audit names no fault"


def list_waivers(settings: Settings) -> list[dict[str, str]]:
    """Return the gates that the demo's settings waive, as JSON values."""
    return [
        {"gate": w.gate, "who": w.who, "why": w.why, "until": w.until.isoformat()}
        for w in settings.waivers
    ]
