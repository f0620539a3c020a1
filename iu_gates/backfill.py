"""
Capturing once, and late, what the trigger could not see.

Found in one pass over the host's rows, held against the events; written in batches, in the order
of (unit, version), each a transaction that locks nothing of the host's. The unique key of
`iu_event` makes it idempotent: what was written before a kill is not found by the next run.

An event gets its place when it is written. One whose unit has gone on, on a live route or in what
waits, would be delivered after a later version of its unit: such a row is "late", and left out
unless the caller says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg

from iu_gates import audit, db, ledger, proof, site
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError
from iu_gates.model import BackfillResult

BATCH: Final = 1000


def backfill(
    settings: Settings,
    *,
    dry_run: bool,
    late: bool = False,
    before_capture: bool = False,
    limit: int = BATCH,
    notify: Callable[[str], None] = lambda _: None,
) -> BackfillResult:
    """
    Capture what has no event and should have one.

    Args:
        settings: Whose database.
        dry_run: Count only.
        late: Also what can be delivered only after a later version of its unit.
        before_capture: Also what the host wrote before capture began for the first time.
        limit: Rows a batch.
        notify: Called with a line of progress.

    Raises:
        GateError: Nothing captures now; the gap would go on.
    """
    with db.connect(settings, "backfill", as_owner=True) as conn:
        db.require_installed(conn)
        site.require_home(conn, settings)
        _require_capture(conn)
        names = proof.fetch_names(conn, settings)
        notify("looking at the host's rows")
        seen = _find(conn, settings, names, before_capture=before_capture)
        captured = 0
        if not dry_run and seen["missing"] > (0 if late else seen["late"]):
            asked = {"late": late, "before_capture": before_capture}
            ledger.append(conn, "backfill", "begun", {**_facts(seen), **asked})
            captured = _capture(conn, settings, names, seen["missing"], late, limit, notify)
            ledger.append(conn, "backfill", "done", {**_facts(seen), **asked, "captured": captured})
    return BackfillResult(
        **_facts(seen),
        captured=captured,
        examples=tuple(seen["examples"] or ()),
        late_examples=tuple(seen["late_examples"] or ()),
        dry_run=dry_run,
    )


def _find(
    conn: Conn, settings: Settings, names: Mapping[str, str], *, before_capture: bool
) -> dict[str, Any]:
    conn.execute("select iu_gates.fn_capture_baseline()")
    # The server takes no parameters in CREATE TABLE.
    find = psycopg.ClientCursor(conn)
    find.execute(
        audit.host_query("backfill_find", settings, names), {"before_capture": before_capture}
    )
    conn.execute("create unique index on pg_temp.iu_backfill (n)")
    conn.execute("analyze pg_temp.iu_backfill")
    return db.fetch_one(conn, audit.host_query("backfill_count", settings, names))


def _capture(  # noqa: PLR0917  the parts of one call
    conn: Conn,
    settings: Settings,
    names: Mapping[str, str],
    missing: int,
    late: bool,  # noqa: FBT001
    limit: int,
    notify: Callable[[str], None],
) -> int:
    query = audit.host_query("backfill_batch", settings, names)
    captured = 0
    for after in range(0, missing, limit):
        params = {"after": after, "limit": limit, "late": late}
        captured += int(db.fetch_one(conn, query, params)["captured"])
        notify(f"{min(after + limit, missing)} of {missing} rows")
    return captured


def _facts(seen: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(seen[name]) for name in ("examined", "missing", "late")}


def _require_capture(conn: Conn) -> None:
    query = (
        "select exists (select from pg_trigger as t where t.tgname = 'iu_unit_version_capture'"
        " and not t.tgisinternal and t.tgenabled in ('O', 'A'))"
    )
    if not db.fetch_value(conn, query):
        raise GateError(
            "nothing captures now: the trigger is not there, or is off",
            ident="IUG-116",
            wanted="the trigger of 060, enabled",
            means="what the host writes meanwhile would be the next gap",
            next_command="iu-gates doctor",
            more="docs/runbooks/backfill.md",
        )
