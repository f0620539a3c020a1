"""Each command with a stand-in for its use case: what it hands on, shows and ends with."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import iu_gates
from iu_gates.backup import Backup, Identity, SiteBackup
from iu_gates.backups import Pruned
from iu_gates.cli.main import main
from iu_gates.config import Settings
from iu_gates.ending import Ending
from iu_gates.errors import BackupError, GateError, NotDrainedError
from iu_gates.model import (
    AdvanceResult,
    AuditReport,
    Batch,
    DisableResult,
    DoctorReport,
    Finding,
    Leftover,
    PendingApproval,
    Plan,
    PlannedStep,
    ProofReport,
    RehearsalReport,
    RollbackPreview,
    RollbackResult,
    Step,
    Verdict,
)

AT = datetime(2026, 11, 23, 2, 2, tzinfo=UTC)
DIGEST = "9f2c41ab" * 8
PENDING = PendingApproval("package", DIGEST, "ops", AT, {"steps": ["081"]}, (), 1)
FAILED = Finding("x", passed=False, found="y")
PASSED = Finding("x", passed=True, found="y")
STEP = Step("082", "down", "runtime", is_ddl=False, summary="live to canary")
Stub = Callable[..., None]
Output = pytest.CaptureFixture[str]


class Keyboard(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give every test an empty folder and a URL; nothing connects to it."""
    for name in list(os.environ):
        if name.startswith(("PG", "IU_GATES_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("IU_GATES_DATABASE_URL", "postgresql://localhost:1/app")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Return a maker of stand-ins for the modules of use cases."""

    def make(module: str, **functions: object) -> None:
        stand_in = ModuleType(f"iu_gates.{module}")
        vars(stand_in).update(functions)
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
        monkeypatch.setattr(iu_gates, module, stand_in, raising=False)

    return make


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a way to put somebody at the terminal who types this."""
    return lambda text: monkeypatch.setattr(sys, "stdin", Keyboard(text))


@pytest.fixture
def votes(stub: Stub) -> list[tuple[Any, ...]]:
    """Return the votes that were cast on `PENDING`."""
    cast: list[tuple[Any, ...]] = []
    stub(
        "approvals",
        fetch_pending=lambda _settings, _digest, _route: PENDING,
        vote=lambda _settings, *vote: cast.append(vote),
    )
    return cast


@pytest.fixture
def rolled_back(stub: Stub) -> list[str]:
    """Return the targets to which was rolled back; "base" is refused, "live" is where we are."""
    done: list[str] = []

    def preview(_settings: Settings, target: str) -> RollbackPreview:
        refusals = ("history exists: 3 events",) if target == "base" else ()
        return RollbackPreview(
            target, () if target == "live" else (STEP,), {"iu_event": 3}, refusals
        )

    def rollback(_settings: Settings, target: str, **_: object) -> RollbackResult:
        done.append(target)
        return RollbackResult(target, ("082",), {"iu_event": 3}, None)

    stub("rollback", preview=preview, rollback=rollback)
    return done


def test_advance_hands_on_the_gate_and_shows_progress(stub: Stub, capsys: Output) -> None:
    """
    Progress goes to stderr, the outcome to stdout.
    """

    def advance(
        _settings: Settings, *, to: str | None, notify: Callable[[str, str], None], **_more: Any
    ) -> Any:
        assert to == "live"
        notify("backup", "took backups/app.dump")
        return AdvanceResult((), None, "", 42, DIGEST)

    stub("advance", advance=advance)
    assert main(["advance", "--to", "live"]) == 0
    out, error = capsys.readouterr()
    assert out.startswith("at live: nothing to do\n")
    assert error == "  backup          took backups/app.dump\n"
    assert main(["advance", "--to", "live", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_advance_to_an_unknown_gate_runs_nothing(stub: Stub, capsys: Output) -> None:
    """
    A misspelt gate is a usage error that names the gates.
    """
    stub("advance", advance=lambda *_, **__: pytest.fail("it went on"))
    assert main(["advance", "--to", "alive"]) == 2
    assert "dry_run, seam, check_relaxed" in capsys.readouterr().err


def test_unsatisfied_gate_is_exit_3(stub: Stub, capsys: Output) -> None:
    """
    The gate's refusal: what was done and seen, the error form, exit code 3; the same as JSON.
    """

    def advance(_settings: Settings, **_: object) -> AdvanceResult:
        verdict = Verdict("dry_run", "fail", (FAILED,)).as_dict()
        raise GateError(
            "it waits", next_command="iu-gates advance", facts={"verdict": verdict, "did": []}
        )

    stub("advance", advance=advance)
    assert main(["advance"]) == 3
    assert "✗ dry_run\n  ✗ x         y\n\nIUG-020 it waits\n" in capsys.readouterr().err
    assert main(["advance", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["facts"]["verdict"]["gate"] == "dry_run"


def test_plan_as_page_sql_and_json(stub: Stub, capsys: Output) -> None:
    """
    `--sql` shows the SQL and only that; JSON has it in any case.
    """
    step = PlannedStep("008", "substrate", "tables", "select 1;", needs_backup=True)
    stub("plan", make_plan=lambda _settings, _route: Plan("substrate", (step,), (), None))
    assert main(["plan"]) == 0
    assert "(backup first)" in capsys.readouterr().out
    assert main(["plan", "--sql"]) == 0
    assert capsys.readouterr().out == "-- 008, gate substrate: tables\nselect 1;\n"
    assert main(["plan", "--sql", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["sql"] == "select 1;"


@pytest.mark.parametrize(("finding", "code"), [(PASSED, 0), (FAILED, 3)])
@pytest.mark.parametrize("command", ["prove", "audit", "doctor"])
def test_a_fault_is_exit_3(
    stub: Stub, capsys: Output, command: str, finding: Finding, code: int
) -> None:
    """
    What checks and finds a fault shows it and ends with 3; JSON says "passed".
    """
    stub("proof", prove=lambda _settings: ProofReport("r", (), (finding,), 1.0))
    stub("audit", audit=lambda _settings, _route: [AuditReport("r", {}, (finding,))])
    stub("doctor", doctor=lambda _settings: DoctorReport((finding,)))
    assert main([command]) == code
    assert "x         y" in capsys.readouterr().out
    assert main([command, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["passed"] is (code == 0)


@pytest.mark.parametrize(("problems", "code"), [([], 0), ([(4, "hash differs")], 3)])
def test_ledger_verify(stub: Stub, capsys: Output, problems: list[Any], code: int) -> None:
    """
    A broken chain is exit code 3, with the place.
    """
    stub("ledger", verify=lambda _settings: problems, fetch_head=lambda _settings: (9, DIGEST))
    assert main(["ledger", "verify"]) == code
    assert ("#4        hash differs" in capsys.readouterr().out) is bool(problems)
    assert main(["ledger", "verify", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["seq"] == 9


def test_ledger_show_limit(stub: Stub, capsys: Output) -> None:
    """
    Twenty entries if nothing is said; 0 is all.
    """
    asked: list[Any] = []

    def list_entries(
        _settings: Settings, *, limit: int | None, kind: str | None, **since: Any
    ) -> list[Any]:
        asked.append((limit, kind))
        assert set(since.values()) == {None}
        return []

    stub("ledger", list_entries=list_entries)
    assert main(["ledger", "show"]) == 0
    assert main(["ledger", "show", "--limit", "0", "--kind", "verdict"]) == 0
    assert asked == [(20, None), (None, "verdict")]
    assert "no such entry" in capsys.readouterr().out


def test_approve_with_yes(votes: list[Any], capsys: Output) -> None:
    """
    `--yes` asks nobody, shows what is approved, and votes on the whole digest.
    """
    assert main(["approve", "--yes", "--note", "seen", "--digest", DIGEST[:8]]) == 0
    assert votes == [(DIGEST, "approve", "seen")]
    assert f"approved: {DIGEST}\n" in capsys.readouterr().out


def test_reject_asks(votes: list[Any], types: Callable[[str], None], capsys: Output) -> None:
    """
    At a terminal the contents are shown and the answer counts.
    """
    types("n\n")
    assert main(["reject"]) == 0
    assert votes == []
    assert "not voted" in capsys.readouterr().out
    types("y\n")
    assert main(["reject"]) == 0
    assert votes == [(DIGEST, "reject", "")]
    assert "package waits for approval" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_approve_without_a_terminal(votes: list[Any], capsys: Output, more: list[str]) -> None:
    """
    Nobody to ask and no `--yes`: exit code 2 and the command to paste.
    """
    assert main(["approve", *more]) == 2
    assert votes == []
    out, error = capsys.readouterr()
    assert f"iu-gates approve --digest {DIGEST} --yes" in out + error


@pytest.mark.parametrize("digest", ["0" * 64, DIGEST[:7], ""])
def test_other_digest_is_refused(votes: list[Any], digest: str) -> None:
    """
    What was read is not what waits (or too little of it is named): refused, nothing recorded.
    """
    assert main(["approve", "--digest", digest, "--yes"]) == 4
    assert votes == []


def test_nothing_waits_for_approval(stub: Stub, capsys: Output) -> None:
    """
    Nothing to do is 0 and says so; but a digest that was named must be there.
    """
    stub("approvals", fetch_pending=lambda _settings, _digest, _route: None)
    assert main(["approve", "--yes"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["approve", "--yes", "--digest", DIGEST]) == 4


def test_rollback_asks_with_the_preview(
    rolled_back: list[str], types: Callable[[str], None], capsys: Output
) -> None:
    """
    The preview is shown, and the answer counts.
    """
    types("n\n")
    assert main(["rollback", "--to", "009"]) == 0
    out, error = capsys.readouterr()
    assert "082  live to canary" in error
    assert "not rolled back" in out
    assert rolled_back == []
    types("y\n")
    assert main(["rollback", "--to", "009"]) == 0
    assert rolled_back == ["009"]


def test_rollback_without_a_terminal(rolled_back: list[str], capsys: Output) -> None:
    """
    No terminal and no `--yes`: exit code 2, and nothing is undone; with it, it goes.
    """
    assert main(["rollback", "--to", "009"]) == 2
    assert "iu-gates rollback --to 009 --yes" in capsys.readouterr().err
    assert rolled_back == []
    assert main(["rollback", "--to", "009", "--yes"]) == 0
    assert rolled_back == ["009"]


def test_rollback_that_would_be_refused_is_not_asked_about(
    rolled_back: list[str], types: Callable[[str], None], capsys: Output
) -> None:
    """
    The refusals are shown instead of a question: exit code 4.
    """
    types("y\n")
    assert main(["rollback", "--to", "base"]) == 4
    assert "  found   history exists: 3 events\n" in capsys.readouterr().err
    assert rolled_back == []


def test_rollback_with_nothing_to_undo(rolled_back: list[str], capsys: Output) -> None:
    """
    Being there already is 0, says so, and asks nobody.
    """
    assert main(["rollback", "--to", "live"]) == 0
    assert "nothing to undo" in capsys.readouterr().out
    assert rolled_back == []


def test_disable_hands_everything_on(stub: Stub, capsys: Output) -> None:
    """
    Route, reason and --terminate reach the use case; off and drained is 0.
    """

    def disable(_settings: Settings, **given: Any) -> DisableResult:
        given.pop("notify")
        assert given == {"route": "r", "reason": "incident", "terminate": True}
        return DisableResult("r", 7, drained=True, in_hand=(), terminated=(), lane="runtime@base")

    stub("disable", disable=disable)
    assert main(["disable", "--route", "r", "--reason", "incident", "--terminate"]) == 0
    assert "off and drained" in capsys.readouterr().out


def test_not_drained_is_exit_7(stub: Stub, capsys: Output) -> None:
    """
    Off but not drained: exit code 7, the batches named.
    """

    def disable(_settings: Settings, **_: Any) -> DisableResult:
        raise NotDrainedError("off, but not drained", facts={"in_hand": ["pid 7"]})

    stub("disable", disable=disable)
    assert main(["disable"]) == 7
    assert "  found   pid 7\n" in capsys.readouterr().err


def _is_silent(bar: Callable[[], AbstractContextManager[object]]) -> bool:
    """Tell whether a bar draws nothing: there is no terminal here."""
    with bar() as progress:
        return progress is None


def test_backup_commands(stub: Stub, capsys: Output) -> None:
    """
    Create and verify show the backup, list shows all; a defect is exit code 3.
    """
    sound = Backup(Path("backups/app.dump"), None)
    broken = Backup(Path("backups/old.dump"), None, BackupError("altered", ident="IUG-027"))
    asked: list[Path | None] = []

    def verify_backup(_settings: Settings, path: Path | None) -> Backup:
        asked.append(path)
        return broken if path else sound

    stub(
        "backups",
        create_backup=lambda _settings, bar: sound if _is_silent(bar) else broken,
        verify_backup=verify_backup,
        list_backups=lambda _settings: [sound, broken],
    )
    assert main(["backup", "create"]) == 0
    assert main(["backup", "create", "--json"]) == 0
    assert main(["backup", "verify"]) == 0
    assert main(["backup", "verify", "old.dump"]) == 3
    assert asked == [None, Path("old.dump")]
    capsys.readouterr()
    assert main(["backup", "list"]) == 0
    assert "✗ backups/old.dump\n  IUG-027 altered\n" in capsys.readouterr().out
    assert main(["backup", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backups"][1]["defect"]["error"] == "IUG-027"


def test_backup_prune_says_what_went_and_what_is_broken(stub: Stub, capsys: Output) -> None:
    """
    What went, what stays, what is broken and left alone; --dry-run says "would".
    """
    gone = Backup(Path("backups/gone.dump"), None)
    broken = Backup(Path("backups/old.dump"), None, BackupError("altered", ident="IUG-027"))
    stub(
        "backups",
        prune=lambda _settings, dry_run: Pruned(
            (gone,), (), (broken,), 2, is_limited=True, dry_run=dry_run
        ),
    )
    assert main(["backup", "prune"]) == 0
    page = capsys.readouterr().out
    assert "removed   gone.dump\n" in page
    assert "kept      2 backups\n" in page
    assert "broken    old.dump: altered\n" in page
    assert main(["backup", "prune", "--dry-run"]) == 0
    assert "would go  gone.dump" in capsys.readouterr().out


REGISTERED = ["backup", "register", "--id", "a", "--tool", "barman"]


@pytest.mark.parametrize(
    "line",
    [
        [*REGISTERED, "--taken-at", "yesterday"],
        [*REGISTERED, "--taken-at", "2026-11-23T02:00:00"],
        [*REGISTERED, "--taken-at", "2026-11-23T02:00:00Z", "--tool", "floppy"],
        [*REGISTERED, "--taken-at", "2026-11-23T02:00:00Z", "--id", " "],
        [*REGISTERED, "--taken-at", "2026-11-23T02:00:00Z", "--restore-tested-at", "never"],
    ],
)
def test_backup_register_wants_a_moment_and_a_tool(
    stub: Stub, capsys: Output, line: list[str]
) -> None:
    """
    IUG-091, exit code 2: a time without its offset is another hour somewhere else.
    """
    stub("backups", register=lambda *_, **__: pytest.fail("it went on"))
    assert main(line) == 2
    assert capsys.readouterr().err.startswith("IUG-091 ")


def test_backup_register_hands_over_what_was_said(stub: Stub, capsys: Output) -> None:
    """
    The moments with their offset, and what is shown is what the ledger has.
    """
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    told: dict[str, Any] = {}

    def register(_settings: Settings, **said: Any) -> SiteBackup:
        told.update(said)
        return SiteBackup("a", "barman", at, None, "n", Identity(1, 2, "app", 180004), "dba", at, 9)

    stub("backups", register=register)
    line = [*REGISTERED, "--taken-at", "2026-11-23T03:00:00+01:00", "--note", "n"]
    assert main(line) == 0
    assert (told["taken_at"], told["restore_tested_at"]) == (at, None)
    page = capsys.readouterr().out
    assert 'registered "a" of barman' in page
    assert "never tested: it will not do" in page


@pytest.fixture
def worker(stub: Stub) -> dict[str, Any]:
    """Return what a worker of two batches was called with; it gets SIGTERM in the first."""
    given: dict[str, Any] = {}

    def run(
        _settings: Settings,
        *,
        stop: Ending,
        on_batch: Callable[[Batch], None],
        **options: Any,
    ) -> list[Batch]:
        batches = [Batch("r", "live", n, n, 0, 0, 0.1) for n in (5, 0)]
        del options["on_notice"]
        given.update(options)
        if not options["once"]:
            signal.raise_signal(signal.SIGTERM)
        given["stopped"] = stop.is_set()
        for batch in batches:
            on_batch(batch)
        return batches

    stub("worker", run=run)
    return given


def test_worker_run_stops_on_sigterm(worker: dict[str, Any], capsys: Output) -> None:
    """
    A supervisor's SIGTERM ends the worker after its batch, with exit code 0.
    """
    before = signal.getsignal(signal.SIGTERM)
    assert main(["worker", "run", "--limit", "7", "--max-seconds", "1.5"]) == 0
    assert worker == {
        "once": False, "limit": 7, "max_seconds": 1.5, "connections": 1, "stopped": True,
    }  # fmt: skip
    assert signal.getsignal(signal.SIGTERM) is before
    out, error = capsys.readouterr()
    assert out.splitlines()[0] == "r  live  events 5  sent 5  0.100 s"
    assert error == "stopping after this batch\n"


def test_worker_run_writes_json_lines(worker: dict[str, Any], capsys: Output) -> None:
    """
    With --json each batch is one line, written when it is done.
    """
    assert main(["--json", "worker", "run"]) == 0
    assert [json.loads(line)["events"] for line in capsys.readouterr().out.splitlines()] == [5, 0]


def test_worker_once(worker: dict[str, Any], stub: Stub, capsys: Output) -> None:
    """
    As JSON one object at the end; with nothing to do it says so.
    """
    assert main(["worker", "once", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["events"], len(data["batches"])) == (5, 2)
    assert not worker["stopped"]
    stub("worker", run=lambda *_, **__: [])
    assert main(["worker", "once"]) == 0
    assert capsys.readouterr().out == "nothing to do\n"


@dataclass(frozen=True)
class DemoOptions:
    """A stand-in for the demo's own."""

    repo: Path | None
    history: Path | None
    fresh: bool
    keep: str | None
    state_dir: Path | None


def demo_result(**changes: Any) -> dict[str, Any]:
    """Return what a demo that went well returns."""
    zeros = dict.fromkeys(("repeated", "skipped", "reordered", "after_disable"), 0)
    numbers = {"captured": 5, "dry_run": 2, "delivered": 3, "held": 1, "seconds": 1.0}
    return {**numbers, **zeros, "gates": [], "waivers": [], "history": "", "notes": [], **changes}


@pytest.mark.parametrize(
    ("changes", "code"),
    [({}, 0), ({"skipped": 1}, 3), ({"delivered": 2}, 3)],
    ids=["well", "skipped", "unaccounted"],
)
def test_demo(stub: Stub, capsys: Output, changes: dict[str, Any], code: int) -> None:
    """
    The table is shown; an event that is not accounted for is exit code 3.
    """
    given: list[DemoOptions] = []

    def run_demo(options: DemoOptions, _progress: object) -> dict[str, Any]:
        given.append(options)
        return demo_result(**changes)

    stub("demo", DemoOptions=DemoOptions, run_demo=run_demo)
    assert main(["demo", "--repo", "x", "--fresh"]) == code
    assert given == [DemoOptions(Path("x"), None, fresh=True, keep=None, state_dir=None)]
    assert "captured" in capsys.readouterr().out
    assert main(["demo", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["captured"] == 5


@pytest.mark.parametrize(
    "options",
    [["--repo", "x", "--history", "y"], ["--keep", "dead"], ["--database-url", "postgresql://x/y"]],
    ids=" ".join,
)
def test_demo_refuses_what_makes_no_sense(stub: Stub, options: list[str]) -> None:
    """
    The demo never acts on a database that is named, and takes one history.
    """
    stub("demo", DemoOptions=DemoOptions, run_demo=lambda *_: pytest.fail("it ran"))
    assert main(["demo", *options]) == 2


@pytest.mark.parametrize(("check", "code"), [(PASSED, 0), (FAILED, 3)])
def test_rehearse_ends_with_what_it_saw(
    stub: Stub, capsys: Output, check: Finding, code: int
) -> None:
    """
    A check that failed is exit code 3; the report is shown in both cases.
    """
    report = RehearsalReport("a.dump", DIGEST, 10, "its own server", 1.0, 2.0, (), (check,), ())
    stub("rehearsal", rehearse=lambda _settings, _notify: report)
    assert main(["rehearse", "--json"]) == code
    shown = json.loads(capsys.readouterr().out)
    assert (shown["archive"], shown["passed"]) == ("a.dump", check.passed)


@pytest.mark.parametrize(("dropped", "code"), [(True, 0), (False, 3)])
def test_rehearse_clean_ends_with_what_is_left(
    stub: Stub, capsys: Output, *, dropped: bool, code: int
) -> None:
    """
    What may not be dropped is named, and the exit code says that it is still there.
    """
    left = [Leftover("iu_gates_rehearsal_0", dropped=dropped, reason="")]
    stub("rehearsal", clean=lambda _settings: left)
    assert main(["rehearse", "--clean"]) == code
    assert "iu_gates_rehearsal_0" in capsys.readouterr().out
