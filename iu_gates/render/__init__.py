"""
Values into text: the only place that knows colour, width and marks.

    page      lines of styled spans, plain until they go out
    output    onto a stream: in colour on a terminal, plain in a pipe, NO_COLOR honoured
    values    the same values as JSON, and no secret in either
    words     numbers, times, sizes
    findings  findings and verdicts
    errors, status, walk, reports, record, backups, history, letters, routes, rehearsal, demo
              a page each
    progress  a bar on a terminal
"""

from iu_gates.render.backups import pruned, site_backup
from iu_gates.render.demo import demo_table
from iu_gates.render.errors import error
from iu_gates.render.history import export, prune, prune_preview, purge, purge_preview
from iu_gates.render.letters import dead_letter, dead_letters, redriven
from iu_gates.render.move import backfill, rebase, rebase_preview
from iu_gates.render.output import terminal_width, write, write_bytes, write_text
from iu_gates.render.page import Page
from iu_gates.render.record import (
    backup,
    backups,
    batch,
    ledger,
    ledger_exported,
    ledger_verified,
    pending,
)
from iu_gates.render.rehearsal import leftovers, rehearsal
from iu_gates.render.reports import adopt, audits, doctor, drift, proof
from iu_gates.render.routes import (
    replay_preview,
    replayed,
    route,
    route_change,
    routes,
    skip_preview,
    skipped,
)
from iu_gates.render.status import status
from iu_gates.render.values import error_to_json, jsonify, scrub, to_json
from iu_gates.render.walk import (
    advance,
    disable,
    notice,
    plan,
    plan_sql,
    rollback,
    rollback_preview,
)
from iu_gates.render.words import head

__all__ = [
    "Page",
    "adopt",
    "advance",
    "audits",
    "backfill",
    "backup",
    "backups",
    "batch",
    "dead_letter",
    "dead_letters",
    "demo_table",
    "disable",
    "doctor",
    "drift",
    "error",
    "error_to_json",
    "export",
    "head",
    "jsonify",
    "ledger",
    "ledger_exported",
    "ledger_verified",
    "leftovers",
    "notice",
    "pending",
    "plan",
    "plan_sql",
    "proof",
    "prune",
    "prune_preview",
    "pruned",
    "purge",
    "purge_preview",
    "rebase",
    "rebase_preview",
    "redriven",
    "rehearsal",
    "replay_preview",
    "replayed",
    "rollback",
    "rollback_preview",
    "route",
    "route_change",
    "routes",
    "scrub",
    "site_backup",
    "skip_preview",
    "skipped",
    "status",
    "terminal_width",
    "to_json",
    "write",
    "write_bytes",
    "write_text",
]
