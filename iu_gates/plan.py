"""What lies ahead: the steps of each gate, with their SQL as it would run. Changes nothing."""

from __future__ import annotations

import re
from typing import Final

from iu_gates import advance, db, digest, gates, lanes, proof
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import GATES, Plan, PlannedStep

LOCK_SIGNS: Final = (
    (r"create trigger \S+\s+\w+ \w+(?: or \w+)* on (\S+)", "SHARE ROW EXCLUSIVE on {}"),
    (r"alter table (?!only)(\S+)", "ACCESS EXCLUSIVE on {}, for the catalog change"),
)


def make_plan(settings: Settings) -> Plan:
    """Return the steps ahead, what they wait for, and the digest to approve."""
    with db.connect(settings, "plan") as conn:
        nxt = advance.next_gate(conn)
        installed = db.is_installed(conn)
        applied = lanes.list_applied(conn)
        names = proof.fetch_names(conn, settings) if installed else _names_ahead(conn, settings)
        steps = tuple(_step(settings, names, r) for r in lanes.REVISIONS if r.name not in applied)
        about = digest.compute(digest.fetch_contents(conn, settings)) if "060" in applied else None
        ahead = GATES[GATES.index(nxt) :] if nxt else ()
        return Plan(nxt, steps, tuple(w for g in ahead if (w := _waits_for(g))), about)


def _names_ahead(conn: Conn, settings: Settings) -> dict[str, str]:
    facts = gates.host.collect(conn, settings)
    names: dict[str, str] = lanes.load_module("hostnames").variables(settings.schema, facts.names)
    return names


def _step(settings: Settings, names: dict[str, str], revision: lanes.Revision) -> PlannedStep:
    text = "\n".join(lanes.render_sql(settings, names, revision.name))
    locks = tuple(
        sorted(
            {
                sign.format(m)
                for pattern, sign in LOCK_SIGNS
                for m in re.findall(pattern, text, re.IGNORECASE)
            }
        )
    )
    return PlannedStep(revision.name, revision.gate, revision.summary, text, revision.is_ddl, locks)


def _waits_for(gate: str) -> str:
    return {
        "invocation": "invocation: another login's approve, and a worker's heartbeat",
        "dry_run": "dry_run: organic changes and a worker",
        "disable_proven": "disable_proven: organic load during the drill",
        "rehearsal": "rehearsal: not built; a waiver by name",
        "approval": "approval: other logins' approve",
        "canary": "canary: one organic change and a worker",
        "live": "live: organic load during the second drill",
    }.get(gate, "")
