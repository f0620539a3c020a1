# ruff: noqa: FBT003  values of the model are written by position
"""Every other page: what it says, and that it fits 80 columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iu_gates import render
from iu_gates.backup import Backup, Identity, Manifest, SnapshotFacts
from iu_gates.errors import BackupError
from iu_gates.model import (
    GATES,
    AdvanceResult,
    AuditReport,
    Batch,
    DisableResult,
    DoctorReport,
    Finding,
    GateReport,
    LedgerEntry,
    LedgerExport,
    Leftover,
    PendingApproval,
    Plan,
    PlannedStep,
    ProofReport,
    RehearsalReport,
    RehearsedStep,
    RollbackPreview,
    RollbackResult,
    Step,
    Verdict,
)

AT = datetime(2026, 11, 23, 2, 2, tzinfo=UTC)
HASH = "9f2c41ab" * 8
LONG = "words that go on and on " * 8
OK = Finding("server", True, "18.1")
BAD = Finding(
    "newest backup", False, f"31 h old, {LONG}", "60 min or less", "iu-gates backup create"
)
WAITS = Finding("organic events", False, "2", "3 or more", waits=True)
FINDINGS = (OK, BAD, WAITS)

ADVANCED = AdvanceResult(
    (
        GateReport(Verdict("backup", "pass", (OK,)), ("took backups/app.dump", LONG)),
        GateReport(Verdict("rehearsal", "waived", (OK,)), ()),
    ),
    "seam",
    "iu-gates advance",
    42,
    HASH,
)
PLAN = Plan(
    "substrate",
    (
        PlannedStep("008", "substrate", LONG, "create table x ();\n", True, ("exclusive on x",)),
        PlannedStep("009", "substrate", "the worker", "select 1;", False),
        PlannedStep("090", "seam", "the seam", "select 2;", True),
    ),
    ("one login's approve",),
    HASH,
)
AUDIT = AuditReport(
    "iu.version_applied.workflow",
    {"host": 11253, "captured": 11253, "dry_run": 3214, "delivered": 8039, "missed": 0},
    (OK,),
)
ENTRY = LedgerEntry(41, AT, "verdict", "backup", "dba", "::1", "x", {"outcome": "pass"}, HASH)
PENDING = PendingApproval(
    "package", HASH, "ops", AT, {"steps": ["081", "082"], "note": LONG, "forced": False}, (), 2
)
MANIFEST = Manifest(
    archive="app.dump",
    sha256=HASH,
    size_bytes=432_000_000,
    entries=7,
    identity=Identity(1, 2, "app", 180001),
    snapshot_at=AT,
    finished_at=AT,
    verified_at=AT,
    facts=SnapshotFacts(),
    tools={},
)
SOUND = Backup(Path("backups/app.dump"), MANIFEST)
BROKEN = Backup(
    Path("backups/old.dump"), None, BackupError("it lacks its manifest", ident="IUG-025")
)
PREVIEW = RollbackPreview(
    "009",
    (
        Step("082", "down", "runtime", False, "live to canary"),
        Step("100", "down", "substrate", True, LONG),
    ),
    {"iu_event": 11253, "iu_route_attempt": 22506},
    (LONG,),
)
DEMO: dict[str, Any] = {
    "captured": 11253,
    "dry_run": 3214,
    "delivered": 8039,
    "held": 1200,
    "repeated": 0,
    "skipped": 0,
    "reordered": 0,
    "after_disable": 0,
    "seconds": 41.22,
    "gates": [Verdict(g, "pass", (OK, Finding("room", True, LONG))).as_dict() for g in GATES],
    "waivers": [{"gate": "rehearsal", "who": "demo", "why": LONG, "until": "2026-12-01"}],
    "history": "/data/history.jsonl.gz",
    "notes": [LONG],
}
PAGES: dict[str, Callable[[], render.Page]] = {
    "advance": lambda: render.advance(ADVANCED),
    "plan": lambda: render.plan(PLAN),
    "proof": lambda: render.proof(ProofReport("r", ("100",), FINDINGS, 12.3)),
    "audits": lambda: render.audits([AUDIT, AUDIT]),
    "doctor": lambda: render.doctor(DoctorReport(FINDINGS)),
    "ledger": lambda: render.ledger([ENTRY]),
    "verified": lambda: render.ledger_verified([(4, LONG)], 12, HASH),
    "pending": lambda: render.pending(PENDING),
    "backups": lambda: render.backups([SOUND, BROKEN]),
    "preview": lambda: render.rollback_preview(PREVIEW),
    "rollback": lambda: render.rollback(RollbackResult("009", ("082",), {"iu_event": 1}, "b.dump")),
    "disable": lambda: render.disable(DisableResult(None, 7, False, ("pid 7",), (), LONG)),
    "demo": lambda: render.demo_table(DEMO),
    "notice": lambda: render.notice("substrate", LONG),
}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_page_fits_80_columns(make: Callable[[], render.Page]) -> None:
    """
    No line is longer than 80 columns, nor does one end in blanks.
    """
    lines = str(make()).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []


def test_advance_says_did_saw_and_next() -> None:
    """
    Each gate: what was done, what was seen; at the end what comes next.
    """
    page = str(render.advance(ADVANCED))
    assert page.startswith("✓ backup\n  did       took backups/app.dump\n")
    assert "✓ rehearsal  waived\n  did       nothing\n  ✓ server    18.1\n" in page
    assert page.endswith(
        f"  next gate seam\n  ledger    42:{HASH[:32]}\n  next      iu-gates advance\n"
    )


def test_advance_at_live_has_nothing_to_do() -> None:
    """
    At live, `advance` says that there is nothing to do.
    """
    page = str(render.advance(AdvanceResult((), None, "", 42, HASH)))
    assert page.splitlines()[0] == "at live: nothing to do"


def test_findings_tell_failed_from_waiting() -> None:
    """
    What only time or others can mend has a mark of its own.
    """
    page = str(render.doctor(DoctorReport(FINDINGS)))
    assert "✗ newest backup   31 h old" in page
    assert "• organic events  2\n    wanted        3 or more\n" in page
    assert page.endswith("✗ 2 checks of 3 failed\n")


def test_long_finding_name_leaves_its_column() -> None:
    """
    A name too long for its column pushes no text out of sight, and no other name aside.
    """
    name = "a name of thirty-one characters"
    checks = (Finding("short", True, "y"), Finding(name, True, "x"), Finding(name, True, LONG))
    lines = str(render.doctor(DoctorReport(checks))).splitlines()
    assert lines[:4] == [
        "✓ short     y",
        f"✓ {name}  x",
        f"✓ {name}",
        f"            {LONG[:68].strip()}",
    ]
    assert lines[-1] == "✓ all 3 checks passed"


def test_plan_names_gate_step_and_backup() -> None:
    """
    Each step stands under its gate; those before which a backup is taken say so.
    """
    page = str(render.plan(PLAN))
    assert "\nsubstrate\n  008   words" in page
    assert "(backup first)" in page
    assert "  009   the worker\n" in page
    assert "locks exclusive on x" in page
    assert "iu-gates plan --sql" in page


def test_plan_says_what_a_restore_would_lose() -> None:
    """
    What a backup of the kind that is taken holds, and that no rollback needs it.
    """
    page = str(render.plan(replace(PLAN, backup=("full: the whole database", "never needed"))))
    assert "backup    full: the whole database\n            never needed\n" in page


def test_plan_at_live_is_empty() -> None:
    """
    At live nothing lies ahead, in either form.
    """
    done = Plan(None, (), (), None)
    assert str(render.plan(done)) == "at live: nothing lies ahead\n"
    assert render.plan_sql(done) == "-- nothing lies ahead\n"


def test_plan_sql_can_be_piped() -> None:
    """
    The SQL comes as it is, each step under a comment.
    """
    sql = render.plan_sql(PLAN)
    assert "-- 009, gate substrate: the worker\nselect 1;\n" in sql
    assert "create table x ();\n" in sql


def test_proof_says_that_nothing_remains() -> None:
    """
    The proof names what was applied inside it, and that it was rolled back.
    """
    page = str(render.proof(ProofReport("r", (), (OK,), 12.3)))
    assert "✓ consumer proof of r: 1 of 1\n" in page
    assert "  applied   nothing: the state as it is\n" in page
    assert "  held      12 ms, then rolled back: nothing of it remains\n" in page


def test_audit_counts_with_thousands() -> None:
    """
    Counts are named and can be read; no route is nothing to do.
    """
    assert "host 11,253  captured 11,253  dry run 3,214" in str(render.audits([AUDIT]))
    assert "nothing to do" in str(render.audits([]))


def test_ledger_is_a_line_an_entry() -> None:
    """
    Place, time, kind, subject with outcome, login and the hash's beginning.
    """
    line = str(render.ledger([ENTRY]))
    assert line.startswith("#41  2026-11-23 02:02:00Z  verdict  backup pass, by dba")
    assert line.endswith("9f2c41ab\n")
    assert "no such entry" in str(render.ledger([]))


def test_ledger_verified_shows_the_whole_head() -> None:
    """
    The head is shown whole: it is what one writes down elsewhere.
    """
    page = str(render.ledger_verified([], 41, HASH))
    assert page == (
        f"✓ the chain holds: 41 entries\n  head      41:{HASH[:32]}\n            {HASH}\n"
    )
    assert "1 problem\n  #4" in str(render.ledger_verified([(4, "x")], 41, HASH))


def test_many_problems_are_cut_short() -> None:
    """
    Whoever numbers a ledger anew changes every entry after it; twenty tell enough.
    """
    page = str(render.ledger_verified([(n, "x") for n in range(1, 2001)], 41, HASH))
    assert "2,000 problems\n  #1 " in page
    assert "… and 1,980 more; --json has all" in page
    assert "#21" not in page
    assert "more" not in str(render.ledger_verified([(4, "x")] * 20, 41, HASH))


def test_export_says_where_and_whether_it_holds() -> None:
    """
    The head to keep; of a broken chain, where.
    """
    assert str(render.ledger_exported(LedgerExport("/a/x.jsonl", 41, HASH, None))) == (
        f"✓ the chain holds: 41 entries\n  file      /a/x.jsonl\n  head      41:{HASH[:32]}\n"
    )
    page = str(render.ledger_exported(LedgerExport(None, 41, HASH, 3)))
    assert page.startswith("✗ the chain is broken at entry 3\n")
    assert "file" not in page


@pytest.mark.parametrize(
    ("kind", "facts", "wanted"),
    [
        ("verdict", {"outcome": "waived"}, "seam waived, by ops"),
        ("step", {"direction": "down", "gate": "x"}, "seam down, by ops"),
        ("refusal", {"id": "IUG-060", "found": "x"}, "seam IUG-060, by ops"),
        ("proof", {"passed": False, "pending": []}, "seam failed, by ops"),
        ("lift", {"epoch": 7}, "seam 7, by ops"),
        ("stamp", {}, "seam, by ops"),
        ("void", {"why": "y" * 60}, "…, by ops"),
    ],
)
def test_ledger_says_what_an_entry_is_about(kind: str, facts: Any, wanted: str) -> None:
    """
    The first telling fact beside the subject; whoever did it is never cut off.
    """
    line = str(render.ledger([replace(ENTRY, kind=kind, subject="seam", actor="ops", facts=facts)]))
    assert f"{wanted} " in line
    assert len(line.rstrip("\n")) <= 80


def test_pending_shows_all_that_is_approved() -> None:
    """
    Digest whole, who asked, and every entry of the contents.
    """
    page = str(render.pending(PENDING))
    assert HASH in page
    assert "2 logins other than the one that advances" in page
    assert "  steps   081, 082\n" in page
    assert "  forced  no\n" in page


def test_backups_show_their_defect() -> None:
    """
    A broken backup is shown as one, with the id of its defect; none at all names a command.
    """
    page = str(render.backups([SOUND, BROKEN]))
    assert "✓ backups/app.dump\n  app, full, 412 MiB, snapshot 2026-11-23 02:02:00Z" in page
    assert "✗ backups/old.dump\n  IUG-025 it lacks its manifest\n" in page
    assert "iu-gates backup create" in str(render.backups([]))


def test_rollback_preview_shows_undone_and_kept() -> None:
    """
    What would be undone, in order, what stays, and why it would be refused.
    """
    page = str(render.rollback_preview(PREVIEW))
    assert "  undoes    082  live to canary\n" in page
    assert "  kept      iu_event 11,253, iu_route_attempt 22,506\n" in page
    assert "  refused   words" in page


def test_rollback_with_nothing_to_do_says_so() -> None:
    """
    Being there already is no error.
    """
    page = str(render.rollback(RollbackResult("009", (), {}, None)))
    assert page.startswith('at "009" already: nothing to do\n')
    page = str(render.rollback(RollbackResult("100", (), {}, None, ("second",))))
    assert page.startswith('✓ rolled back to "100"\n')
    assert "  dry now   second\n" in page


def test_disable_says_off_and_drained() -> None:
    """
    The sentence of P5, and the way back on.
    """
    page = str(render.disable(DisableResult(None, 7, True, (), ("pid 9",), "runtime@base")))
    assert page.startswith("✓ everything: off and drained")
    assert "iu-gates advance --to live" in page
    page = str(render.disable(DisableResult("r", 7, True, (), (), "dry already")))
    assert page.startswith("✓ r: off and drained")
    assert "iu-gates route enable r" in page
    page = str(render.disable(DisableResult("r", 7, True, (), (), "dry now")))
    assert "iu-gates advance --route r --to live" in page


def test_batch_names_rare_counts_only_if_there_are_any() -> None:
    """
    The worker's log stays one short line.
    """
    assert str(render.batch(Batch("r", "live", 1000, 1000, 0, 0, 0.0123))) == (
        "r  live  events 1,000  sent 1,000  0.012 s\n"
    )
    assert "duplicates 1  dead 2" in str(render.batch(Batch("r", "live", 3, 0, 1, 2, 0.1)))


REHEARSAL = RehearsalReport(
    archive="/backups/app.dump",
    sha256="9f2c41ab" * 8,
    size_bytes=412 * 2**20,
    place="its own server",
    restore_seconds=1.2,
    seconds=3.4,
    steps=(
        RehearsedStep("082", "up", 300.4, 39.6),
        RehearsedStep("082", "down", 99.9, None),
        RehearsedStep("009", "down", 187.0, 36.8, is_target=True),
    ),
    checks=(OK, Finding("walk", passed=False, found="no", wanted="yes", remedy="mend it")),
    not_rehearsed=("TRIGGER tell on public.event_outbox",),
)


def test_rehearsal_shows_what_was_restored_and_each_step() -> None:
    """
    The archive, the times, the longest lock of a step, what failed, what was left out.
    """
    page = str(render.rehearsal(REHEARSAL))
    assert page.startswith("✗ rehearsal failed in 3.4 s, on its own server\n")
    assert "  restored  app.dump, 412 MiB, in 1.2 s\n" in page
    assert "  walked    082 up          300 ms, locks at most 40 ms\n" in page
    assert "            082 down        100 ms\n" in page
    assert "            down to 009     187 ms, locks at most 37 ms\n" in page
    assert "  ✗ walk" in page
    assert "mend it" in page
    assert "  left out  TRIGGER tell on public.event_outbox\n" in page


def test_leftovers_are_named_with_what_became_of_them() -> None:
    """
    Dropped, or kept and why; and nothing to do is said.
    """
    left = [Leftover("a", dropped=True), Leftover("b", dropped=False, reason="not ours")]
    assert str(render.leftovers(left)) == "✓ dropped a\n✗ kept b: not ours\n"
    assert "nothing to do" in str(render.leftovers([]))


def test_demo_table_has_gates_and_numbers() -> None:
    """
    Twelve gates, the equation, the zeros, the waivers.
    """
    lines = str(render.demo_table(DEMO)).splitlines()
    assert [line.split()[1] for line in lines[1:13]] == list(GATES)
    assert "  captured      11,253  = 3,214 attempted dry + 8,039 delivered" in lines
    assert "  repeated           0  events delivered more than once" in lines
    assert "  seconds         41.2" in lines
    assert any(line.startswith("  waived        rehearsal, by demo") for line in lines)


def test_demo_table_does_not_hide_a_difference() -> None:
    """
    If the sum is not right, the table does not write an equals sign.
    """
    page = str(render.demo_table(DEMO | {"delivered": 8038}))
    assert "is not 3,214 attempted dry + 8,038 delivered" in page


def test_demo_table_shows_failures_first() -> None:
    """
    Of a gate that failed, its failures are shown, not what passed.
    """
    failed = Verdict("host", "fail", (OK, Finding("room", False, "none"))).as_dict()
    line = str(render.demo_table(DEMO | {"gates": [failed]})).splitlines()[1]
    assert line == "✗ host            fail       room none"
