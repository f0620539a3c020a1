"""
The consumer proof: one applied change, from the host's row to the target, in BEGIN … ROLLBACK.

A proof that wrote an event and ran the worker in the same transaction would be a coin toss:
no window of the cursor holds the events of a running transaction (T40). So the proof hands
its own event to resolve and to the seam directly, and presents it twice. Where revision 100 is
still to come, it is applied inside the transaction.

It is one call to the server, because it holds the key of all batches while it runs, and in
this order: keys, the host's row, DDL, UPDATEs (T41). Triggers of the host do run; what they do
outside of the database is not taken back, and the gate "host" names them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import sql

from iu_gates import db, hostrow, lanes, ledger, refusals
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError
from iu_gates.model import Finding, ProofReport

PENDING: Final = ("100",)
WANTED: Final[Mapping[str, object]] = {
    "captured": 1,
    "resolved": 1,
    "first_sent": 1,
    "first_status": "sent",
    "delivered": True,
    "in_target": 1,
    "second_sent": 0,
    "second_duplicates": 1,
    "in_target_after": 1,
    "dead_letters": 0,
}
ABOUT_KEYS: Final = ("in_target", "second_sent", "second_duplicates", "in_target_after")
"""Not looked at for `notify`, which has no keys and no rows."""

MEANING: Final[Mapping[str, str]] = {
    "captured": "events captured of one applied change",
    "resolved": "routes resolved for it",
    "first_sent": "delivered at the first try",
    "first_status": "status of the attempt",
    "delivered": "delivered",
    "in_target": "rows in the target under its key",
    "second_sent": "delivered at the second try",
    "second_duplicates": "no-ops by the key at the second try",
    "in_target_after": "rows in the target after the second try",
    "dead_letters": "dead letters",
}


def prove(settings: Settings) -> ProofReport:
    """Run the proof on the state as it is; nothing remains but an entry in the ledger."""
    with (
        refusals.recorded(settings, "prove"),
        db.connect(settings, "prove", as_owner=True) as conn,
    ):
        db.require_installed(conn)
        return run(conn, settings)


def run(conn: Conn, settings: Settings, route: str = ROUTE) -> ProofReport:
    """
    Run the proof of a route and write what it saw into the ledger.

    Raises:
        GateError: Before revision 090 there is no seam to prove.
    """
    applied = lanes.list_applied(conn)
    if "090" not in applied:
        raise GateError(
            "there is no delivery seam to prove",
            ident="IUG-035",
            found=f"revisions {', '.join(applied) or 'none'}",
            wanted="revision 090",
            next_command="iu-gates advance --to seam",
        )
    pending = tuple(r for r in PENDING if r not in applied)
    names = fetch_names(conn, settings)
    before = _read_left(conn, settings, route)
    began = time.perf_counter()
    seen = _call(conn, _compose(conn, settings, names, pending, route))
    held_ms = round((time.perf_counter() - began) * 1000, 1)
    without = ABOUT_KEYS if seen.get("target_kind") == "notify" else ()
    names_wanted = [name for name in WANTED if name not in without]
    checks = [_failed(seen)] if "error" in seen else [_judge(name, seen) for name in names_wanted]
    checks.append(_judge_nothing_left(before, _read_left(conn, settings, route)))
    report = ProofReport(route, pending, tuple(checks), held_ms)
    facts = {
        "passed": report.passed,
        "pending": list(pending),
        "applied": list(applied),
        "failed": [f"{c.name}: {c.found}, wanted {c.wanted}" for c in checks if not c.passed],
        "seen": seen,
        "held_ms": held_ms,
        "definition_hash": seen.get("definition_hash"),
    }
    ledger.append(conn, "proof", route, facts)
    return report


def fetch_names(conn: Conn, settings: Settings) -> dict[str, str]:
    """Return the variables of the SQL files, as this database was installed with them."""
    row = conn.execute("select iu_schema, host from iu_gates.installation").fetchone()
    schema, host = row or (settings.schema, dict(settings.host))
    variables: dict[str, str] = lanes.load_module("hostnames").variables(schema, host)
    return variables


def _compose(
    conn: Conn, settings: Settings, names: Mapping[str, str], pending: tuple[str, ...], route: str
) -> str:
    ddl = [
        text
        for revision in pending
        for text in lanes.render_sql(names, revision)
        if "fn_guard(" not in text
    ]
    outbox = sql.SQL("{}.{}").format(
        sql.Identifier(names["iu_host_schema"]), sql.Identifier(names["iu_outbox_table"])
    )
    values = {
        "schema": sql.Identifier(settings.schema),
        "route": sql.Literal(route),
        "outbox": outbox,
        "key": sql.Identifier(names["iu_key_column"]),
    }
    script = [
        _fill("proof_begin", values),
        hostrow.build_insert(conn, names).as_string(conn),
        *ddl,
        _fill("proof_deliver", values),
    ]
    return ";\n".join(part.rstrip().rstrip(";") for part in script)


def _fill(name: str, values: Mapping[str, sql.Composable]) -> str:
    text = db.load(name).as_string()
    for key, value in values.items():
        text = text.replace(f':"{key}"', value.as_string())
    return text


def _call(conn: Conn, script: str) -> dict[str, Any]:
    """Send the whole script as one call and return the last row that it gives, as a dict."""
    try:
        cursor = conn.execute(script)
        seen: dict[str, Any] = {}
        while True:
            if cursor.description and cursor.description[0].name == "proof":
                row = cursor.fetchone()
                seen = row[0] if row else {}
            if not cursor.nextset():
                return seen
    except psycopg.Error as error:
        return {"error": " ".join(str(error).split()), "sqlstate": error.sqlstate}
    finally:
        conn.execute("rollback")


def _judge(name: str, seen: Mapping[str, Any]) -> Finding:
    found, wanted = seen.get(name), WANTED[name]
    why = f": {seen['dead_letter']}" if name == "dead_letters" and seen.get("dead_letter") else ""
    remedy = "" if found == wanted else "iu-gates prove"
    return Finding(MEANING[name], found == wanted, f"{found}{why}", str(wanted), remedy)


def _failed(seen: Mapping[str, Any]) -> Finding:
    waits = seen["sqlstate"] in ("40P01", "55P03", "57014")
    return Finding(
        "proof",
        passed=False,
        found=f"{seen['error']} ({seen['sqlstate']})",
        wanted="no error",
        remedy="iu-gates prove",
        waits=waits,
    )


def _judge_nothing_left(before: dict[str, Any], after: dict[str, Any]) -> Finding:
    return Finding(
        "left behind by the proof",
        before == after,
        "nothing" if before == after else str(after),
        "nothing",
    )


def _read_left(conn: Conn, settings: Settings, route: str) -> dict[str, Any]:
    return db.fetch_one(conn, db.load("proof_left", settings.schema), {"route": route})


def present_again(conn: Conn, settings: Settings, route: str, event_id: int) -> str:
    """Hand a delivered event to the seam once more, roll back, and return what the seam said."""
    with conn.transaction(force_rollback=True):
        conn.execute(
            sql.SQL("set local search_path = {}, pg_temp").format(sql.Identifier(settings.schema))
        )
        row = conn.execute(
            "select status from fn_iu_route_deliver(%s, array[%s::bigint])", (route, event_id)
        ).fetchone()
    seen = row[0] if row else "nothing"
    ledger.append(
        conn, "again", route, {"passed": seen == "duplicate", "event_id": event_id, "seen": seen}
    )
    return str(seen)
