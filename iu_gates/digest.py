"""
The digest that an approval is about.

It binds what is to be done and under which limits: the route's definition, the SQL of every
revision, the fingerprint of the catalog, the limits, the names of the verdicts that must hold.
It has to stand still for a day, so backup and evidence are not in it: they are named, and
must still hold when the approval is used (T36).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from iu_gates import db, lanes, proof, standing
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.model import GATES, ROUTE_GATES, SHARED_GATES


def fetch_contents(conn: Conn, settings: Settings, route: str = ROUTE) -> dict[str, Any]:
    """Return what the digest of the package binds, as JSON values."""
    names = proof.fetch_names(conn, settings)
    texts = {
        f"{r.name} {direction}": _hash("\n".join(lanes.render_sql(names, r.name, direction)))
        for r in lanes.REVISIONS
        for direction in ("up", "down")
    }
    row = standing.fetch_route(conn, settings, route)
    return {
        "route": route,
        "event_type": row["event_type"],
        "target": f"{row['target_kind']}: {row['target_ref']}",
        "definition_hash": row["definition_hash"],
        "revisions": texts,
        "fingerprint": db.fetch_value(
            conn, "select iu_gates.fn_fingerprint(iu_gates.fn_catalog_hashes())"
        ),
        "limits": {
            "approvals_needed": settings.approvals_needed,
            "approval_valid_for_s": settings.approval_valid_for.total_seconds(),
            "backup_kind": settings.backup_kind,
            "backup_max_age_s": settings.backup_max_age.total_seconds(),
            "site_backup_max_age_s": settings.site_backup_max_age.total_seconds(),
            "site_restore_test_max_age_s": settings.site_restore_test_max_age.total_seconds(),
            "dry_run_min_events": settings.dry_run_min_events,
            "dry_run_min_span_s": settings.dry_run_min_span.total_seconds(),
            "rehearsal_max_age_s": settings.rehearsal_max_age.total_seconds(),
        },
        "gates": _list_gates(route),
        "waivers": [
            {"gate": w.gate, "who": w.who, "why": w.why, "until": w.until.isoformat()}
            for w in settings.waivers
        ],
    }


def _list_gates(route: str) -> list[str]:
    """Return the gates whose verdicts must hold when the approval is used."""
    before = [g for g in GATES if g not in ("approval", "canary", "live")]
    if route == ROUTE:
        return before
    own = ROUTE_GATES[: ROUTE_GATES.index("approval")]
    return [*SHARED_GATES, *(f"{route}/{gate}" for gate in own)]


def fetch_way(conn: Conn, settings: Settings) -> dict[str, Any]:
    """Return what a rehearsal is about: the package without what may change with the day."""
    contents = fetch_contents(conn, settings)
    return {name: contents[name] for name in ("route", "definition_hash", "revisions")}


def fetch_catalog(conn: Conn) -> dict[str, str]:
    """Return our objects with the hash of each, whoever owns them: the same on any server."""
    return {r["object"]: r["hash"] for r in db.fetch_all(conn, db.load("catalog_objects"))}


def fetch_invocation(settings: Settings) -> dict[str, Any]:
    """Return what an approval of the way in which the worker is run is about."""
    return {"invocation": settings.invocation, "route": ROUTE}


def compute(contents: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the contents' canonical JSON (sorted keys, no spaces), in hex."""
    return _hash(json.dumps(contents, sort_keys=True, separators=(",", ":"), ensure_ascii=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
