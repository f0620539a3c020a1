"""The ledger in use: what is refused is in it, the head is shown, pinned and exported."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from iu_gates import (
    adopt,
    advance,
    approvals,
    backups,
    disable,
    drill,
    export,
    ledger,
    ledger_export,
    proof,
    rehearsal,
    rollback,
    stops,
)
from iu_gates.cli.main import main
from iu_gates.errors import IuGatesError, NotDrainedError, RefusedError, UsageError
from iu_gates.model import LedgerEntry
from tests.support.engine import GATE_KEY, run_batch, wait_until
from tests.support.play import MakeStage, Stage
from tests.support.walk import State

LEDGER_KEY: Final = 18773004
WALK_KEY: Final = 18773005
ELSEWHERE: Final = "3:" + "a" * 32
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], Run]:
    """Give a maker of ways to run a command line on a stage, in this process."""
    for name in list(os.environ):
        if name.startswith(("PG", "IU_GATES_")):
            monkeypatch.delenv(name)

    def make(stage: Stage) -> Run:
        for name in ("site_key_file", "backup_dir", "bin_dir", "invocation"):
            monkeypatch.setenv(f"IU_GATES_{name.upper()}", stage.values[name])
        monkeypatch.setenv("IU_GATES_DATABASE_URL", stage.values["database_url"])
        return lambda *line: main([*map(str, line)])

    return make


def last(stage: Stage) -> LedgerEntry:
    """Return the newest entry."""
    return ledger.list_entries(stage.settings, limit=1)[0]


def size(stage: Stage) -> int:
    """Return how many entries there are."""
    return int(stage.fetch_value("select count(*) from iu_gates.ledger"))


def refused(stage: Stage, call: Callable[[], object]) -> tuple[LedgerEntry, IuGatesError]:
    """Return the one entry that a refused call wrote, and its error."""
    before = size(stage)
    with pytest.raises(IuGatesError) as raised:
        call()
    assert size(stage) == before + 1
    entry, error = last(stage), raised.value
    assert entry.kind == "refusal"
    assert (entry.facts["id"], entry.facts["exit_code"]) == (error.ident, error.exit_code)
    assert entry.facts["summary"] == error.summary
    assert (error.facts["ledger_seq"], error.facts["ledger_hash"]) == (entry.seq, entry.hash)
    return entry, error


def test_walk_that_finds_another_is_an_entry(make_stage: MakeStage) -> None:
    """
    The lock was not had: who wanted what is on record, though the other walk goes on.
    """
    stage = make_stage(State.SUBSTRATE)
    with psycopg.connect(stage.database.conninfo, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s, 0)", [WALK_KEY])
        entry, error = refused(stage, lambda: advance.advance(stage.settings, to="live"))
        assert (entry.subject, error.ident) == ("advance", "IUG-060")
        assert entry.facts["to"] == "live"
        entry, _ = refused(stage, lambda: rollback.rollback(stage.settings, "009"))
        assert (entry.subject, entry.facts["target"]) == ("rollback", "009")


def test_every_command_that_is_refused_is_an_entry(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    Nothing to rehearse with, nothing to adopt, a file that is there: each is on record.
    """
    stage = make_stage(State.SUBSTRATE)
    there = tmp_path / "there"
    there.touch()
    entry, _ = refused(stage, lambda: rehearsal.rehearse(stage.settings))
    assert (entry.subject, entry.facts["id"]) == ("rehearse", "IUG-024")
    entry, _ = refused(stage, lambda: export.write(stage.settings, there))
    assert (entry.subject, entry.facts["file"]) == ("history export", str(there))
    with psycopg.connect(stage.database.conninfo, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s, 0)", [WALK_KEY])
        entry, _ = refused(stage, lambda: adopt.adopt(stage.settings))
    assert (entry.subject, entry.facts["id"]) == ("adopt", "IUG-060")


def test_rollback_that_would_lose_history_is_an_entry(
    make_stage: MakeStage, run: Callable[[Stage], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    With --yes, and from the preview, which asks nothing and does nothing.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    for line in (["--yes"], [], ["--json"]):
        before = size(stage)
        assert run(stage)("rollback", "--to", "base", *line) == 4
        assert size(stage) == before + 1
        entry = last(stage)
        assert (entry.kind, entry.subject) == ("refusal", "rollback")
        assert (entry.facts["id"], entry.facts["target"]) == ("IUG-040", "base")
        assert "iu_event holds history" in entry.facts["found"]
        out, error = capsys.readouterr()
        shown = json.loads(out)["facts"]["ledger_hash"] if line == ["--json"] else error
        assert entry.hash in shown or f"ledger  {entry.seq}:{entry.hash[:32]}\n" in shown


def test_vote_on_what_one_asked_for_is_an_entry(
    make_stage: MakeStage, run: Callable[[Stage], Run]
) -> None:
    """
    The owner who asks may not approve; a digest that does not wait is refused as well.
    """
    stage = make_stage(State.SUBSTRATE)
    digest = "c" * 64
    facts = json.dumps({"digest": digest, "contents": {}, "needed": 1})
    stage.conn.execute("select iu_gates.fn_ledger_append('request', 'package', %s)", [facts])
    entry, _ = refused(stage, lambda: approvals.vote(stage.settings, digest, "approve"))
    assert (entry.subject, entry.facts["id"]) == ("approve", "IUG-045")

    assert run(stage)("reject", "--digest", "d" * 64, "--yes") == 4
    assert (last(stage).subject, last(stage).facts["id"]) == ("reject", "IUG-081")


def test_proof_and_backup_that_are_refused_are_entries(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    No seam to prove; no pg_dump to be found.
    """
    stage = make_stage(State.SUBSTRATE)
    entry, _ = refused(stage, lambda: proof.prove(stage.settings))
    assert (entry.subject, entry.facts["id"]) == ("prove", "IUG-035")
    nowhere = stage.with_settings(bin_dir=str(tmp_path))
    entry, _ = refused(stage, lambda: backups.create_backup(nowhere))
    assert entry.subject == "backup"


def test_disable_that_does_not_drain_is_an_entry(make_stage: MakeStage) -> None:
    """
    P5: "off, but in hand" is on record, with who held it.
    """
    stage = make_stage(State.LIVE, barrier_wait="0.2 s")
    with psycopg.connect(stage.database.conninfo) as batch:
        batch.execute("select pg_advisory_xact_lock_shared(%s, 0)", [GATE_KEY])
        with pytest.raises(NotDrainedError) as raised:
            disable.disable(stage.settings, reason="a test")
        entry = last(stage)
        assert (entry.kind, entry.subject) == ("refusal", "disable")
        assert f"pid {batch.info.backend_pid}" in entry.facts["found"]
        assert entry.facts["reason"] == "a test"
        assert raised.value.facts["ledger_seq"] == entry.seq
    assert "stop" in stage.list_kinds()


def test_refusal_waits_for_no_ledger(make_stage: MakeStage) -> None:
    """
    T26: while somebody keeps the ledger's key, the refusal itself is told all the same.
    """
    stage = make_stage(State.SUBSTRATE)
    before = size(stage)
    with psycopg.connect(stage.database.conninfo) as writer:
        writer.execute("select pg_advisory_xact_lock(%s, 0)", [LEDGER_KEY])
        with pytest.raises(IuGatesError) as raised:
            proof.prove(stage.settings)
    assert raised.value.ident == "IUG-035"
    assert "ledger_seq" not in raised.value.facts
    assert size(stage) == before


def test_what_a_verdict_says_is_no_refusal_too(make_stage: MakeStage) -> None:
    """
    A gate that is not satisfied is its verdict, once; the error carries the head.
    """
    stage = make_stage(State.SUBSTRATE, invocation=None)
    for _ in range(2):
        with pytest.raises(IuGatesError) as raised:
            stage.advance("live")
        assert raised.value.facts["verdict"]["gate"] == "invocation"
        assert raised.value.facts["ledger_hash"] == last(stage).hash
    kinds = [(e.kind, e.subject) for e in ledger.list_entries(stage.settings)]
    assert kinds.count(("verdict", "invocation")) == 1
    assert "refusal" not in {kind for kind, _ in kinds}


def test_copy_is_left_alone(make_stage: MakeStage) -> None:
    """
    T22: what is not ours gets no entry of ours.
    """
    stage = make_stage(State.SUBSTRATE)
    stage.conn.execute("update iu_gates.installation set database_oid = 1")
    before = size(stage)
    with pytest.raises(RefusedError) as raised:
        stage.advance()
    assert raised.value.ident == "IUG-041"
    assert size(stage) == before


def test_drill_leaves_its_stops_and_their_lifts(make_stage: MakeStage) -> None:
    """
    Every stop, and the end of every stop, is an entry, a drill's too, and each once.
    """
    stage = make_stage(State.RELAXED)
    with stage.host(), stage.worker():
        legs = drill.run(stage.conn, stage.settings, lambda _: None)
    assert [leg.passed for leg in legs] == [True, True]
    entries = ledger.list_entries(stage.settings)
    by_kind = {
        kind: [e.facts["epoch"] for e in entries if e.kind == kind] for kind in ("stop", "lift")
    }
    assert len(by_kind["stop"]) == 2
    assert by_kind["stop"] == by_kind["lift"] == sorted(set(by_kind["stop"]))
    rows = stage.fetch("select ledger_seq, lift_ledger_seq from iu_gates.stop order by epoch")
    assert all(stopped < lifted for stopped, lifted in rows)


def test_lift_does_not_wait_for_the_ledger(make_stage: MakeStage) -> None:
    """
    T26: a drill ends at once, and its entries follow when the ledger is free.
    """
    stage = make_stage(State.RELAXED)
    epoch = stops.stop(stage.conn, None, "drill", "a test")
    with psycopg.connect(stage.database.conninfo) as writer:
        writer.execute("select pg_advisory_xact_lock(%s, 0)", [LEDGER_KEY])
        stops.lift_drill(stage.conn, epoch)
        assert stops.list_stops(stage.conn) == []
        assert "lift" not in stage.list_kinds()
    stops.fold(stage.conn)
    assert stage.list_kinds()[-2:] == ["stop", "lift"]


PINNED: Final = (
    ("status",),
    ("plan",),
    ("advance",),
    ("advance", "--to", "live"),
    ("approve", "--yes"),
    ("reject", "--yes"),
    ("rollback", "--to", "009", "--yes"),
    ("prove",),
    ("audit",),
    ("backup", "create"),
    ("worker", "once"),
    ("ledger", "show"),
    ("ledger", "verify"),
    ("ledger", "export"),
)


def test_unexpected_head_is_refused_before_anything_is_done(
    make_stage: MakeStage, run: Callable[[Stage], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    IUG-049, exit 4, by every command; nothing is written, and nothing is done.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    before = (size(stage), stage.list_revisions(), stage.count())
    for line in PINNED:
        assert run(stage)(*line, "--expect-head", ELSEWHERE) == 4, line
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith("IUG-049 "), line
        assert "found   entry 3 has the hash " in error
    assert run(stage)("--expect-head", ELSEWHERE, "status", "--json") == 4
    assert json.loads(capsys.readouterr().out)["facts"]["expected"] == ELSEWHERE
    assert (size(stage), stage.list_revisions(), stage.count()) == before
    assert not Path(stage.values["backup_dir"]).exists()

    assert run(stage)("status", "--expect-head", "3:abc") == 2
    for words in ("backup list", "demo", "history verify x"):
        assert run(stage)(*words.split(), "--expect-head", ELSEWHERE, "--json") == 2
        said = json.loads(capsys.readouterr().out)
        assert said["next"] == f"iu-gates ledger verify --expect-head {ELSEWHERE}"


def test_any_older_head_is_held_until_the_chain_breaks(
    make_stage: MakeStage, run: Callable[[Stage], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    What a command printed is taken back as it is; a change anywhere refuses every pin.
    """
    stage = make_stage(State.LIVE)
    heads = [f"{e.seq}:{e.hash[:32]}" for e in ledger.list_entries(stage.settings)]
    for head in (heads[0], heads[len(heads) // 2], heads[-1], heads[3].partition(":")[2]):
        assert run(stage)("status", "--expect-head", head) == 0
        assert run(stage)("ledger", "verify", "--expect-head", head) == 0
    assert f"ledger    {heads[-1]}\n" in capsys.readouterr().out

    stage.conn.execute("alter table iu_gates.ledger disable trigger all")
    stage.conn.execute("update iu_gates.ledger set subject = 'x' where seq = 2")
    assert run(stage)("advance", "--expect-head", heads[-1]) == 4
    assert "entry 2: the entry was changed" in capsys.readouterr().err
    # The pin is held; that the chain is broken is what `verify` shows, as ever.
    assert run(stage)("ledger", "verify", "--expect-head", heads[-1]) == 3
    assert "#2        the entry was changed" in capsys.readouterr().out

    assert run(stage)("status", "--database-url", _empty(stage), "--expect-head", heads[0]) == 4
    assert "there is no ledger in this database" in capsys.readouterr().err


def _empty(stage: Stage) -> str:
    return stage.database.server.conninfo("postgres")


def test_disable_is_not_hindered_by_a_head(
    make_stage: MakeStage, run: Callable[[Stage], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    P5: it stops, drains, and then says that the ledger is another; one that cannot be read, too.
    """
    for head, ident in ((ELSEWHERE, "IUG-049 "), ("nonsense", "IUG-010 ")):
        stage = make_stage(State.LIVE)
        assert run(stage)("disable", "--expect-head", head, "--json") == 0
        out, error = capsys.readouterr()
        assert json.loads(out)["drained"] is True
        assert error.startswith(ident)
        assert stage.status().stops != ()


def test_every_command_that_writes_shows_the_head(
    make_stage: MakeStage, run: Callable[[Stage], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    As SEQ:HASH to paste, and whole with --json.
    """
    stage = make_stage(State.RELAXED)
    digest = "c" * 64
    facts = json.dumps({"digest": digest, "contents": {}, "needed": 1})
    stage.conn.execute("select iu_gates.fn_ledger_append('request', 'package', %s)", [facts])
    voter = stage.database.conninfo_as(stage.make_login("iu_gates_approver"))
    for line in (
        ("prove",),
        ("backup", "create"),
        ("approve", "--yes", "--database-url", voter),
        ("status",),
        ("disable",),
        ("rollback", "--to", "090", "--yes"),
    ):
        assert run(stage)(*line) == 0, line
        out = capsys.readouterr().out
        shown = re.search(r"^  ledger    (\d+:[0-9a-f]{32})$", out, re.MULTILINE)
        assert shown is not None, out
        assert shown[1] == f"{last(stage).seq}:{last(stage).hash[:32]}", line
        if line[0] != "rollback":
            assert run(stage)(*line, "--json") == 0
            said = json.loads(capsys.readouterr().out)
            assert (said["ledger_seq"], said["ledger_hash"]) == ledger.fetch_head(stage.settings)


def test_show_since(
    make_stage: MakeStage, run: Callable[[Stage], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    From an entry or a time on; what is neither is a usage error.
    """
    stage = make_stage(State.SUBSTRATE)
    entries = ledger.list_entries(stage.settings)
    middle = entries[len(entries) // 2]

    def shown(since: str) -> list[int]:
        line = ("ledger", "show", "--limit", "0", "--json", "--since", since)
        assert run(stage)(*line) == 0
        return [e["seq"] for e in json.loads(capsys.readouterr().out)["entries"]]

    wanted = [e.seq for e in entries if e.seq >= middle.seq]
    assert shown(str(middle.seq)) == wanted
    assert shown(middle.at.isoformat()) == wanted
    assert shown("2100-01-01") == []
    assert run(stage)("ledger", "show", "--since", "yesterday") == 2


def test_export_is_new_private_and_whole(
    make_stage: MakeStage,
    run: Callable[[Stage], Run],
    capfdbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
) -> None:
    """
    Mode 0600 whatever the umask, never over another file, and no litter; "-" is the same lines.
    """
    stage = make_stage(State.LIVE)
    folder = tmp_path / "exports"
    folder.mkdir()
    path = folder / "ledger.jsonl"
    before = os.umask(0)
    try:
        made = ledger_export.write(stage.settings, path)
    finally:
        os.umask(before)
    assert (made.entries, made.ledger_hash) == ledger.fetch_head(stage.settings)
    assert (made.path, made.passed) == (str(path), True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == [path]

    assert run(stage)("ledger", "export") == 0
    out, error = capfdbinary.readouterr()
    assert out == path.read_bytes()
    assert b"the chain holds" in error
    assert run(stage)("ledger", "export", "-", "--json") == 2

    path.write_text("mine")
    with pytest.raises(RefusedError, match="already"):
        ledger_export.write(stage.settings, path)
    with pytest.raises(UsageError, match="cannot be written"):
        ledger_export.write(stage.settings, folder / "nowhere" / "x")
    assert (path.read_text(), list(folder.iterdir())) == ("mine", [path])


def test_export_that_breaks_off_leaves_nothing(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Half an export has no name: here the session is ended in the middle of it.
    """
    stage = make_stage(State.LIVE)
    monkeypatch.setattr(ledger_export, "FETCHED_AT_ONCE", 1)
    settings, read, seen = stage.settings, ledger_export._read, []

    def read_a_little(conn: Any) -> Iterator[Any]:
        for row in read(conn):
            yield row
            seen.append(row)
            if len(seen) == 3:
                stage.conn.execute("select pg_terminate_backend(%s, 5000)", [conn.info.backend_pid])

    monkeypatch.setattr(ledger_export, "_read", read_a_little)
    folder = tmp_path / "exports"
    folder.mkdir()
    with pytest.raises(IuGatesError):
        ledger_export.write(settings, folder / "ledger.jsonl")
    assert list(folder.iterdir()) == []


def test_export_of_a_broken_chain_is_written_and_said(
    make_stage: MakeStage,
    run: Callable[[Stage], Run],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """
    It is evidence: as it is, exit 3, with the first entry that does not fit.
    """
    stage = make_stage(State.SUBSTRATE)
    stage.conn.execute("alter table iu_gates.ledger disable trigger all")
    stage.conn.execute("update iu_gates.ledger set actor = 'x' where seq = 3")
    path = tmp_path / "ledger.jsonl"
    assert run(stage)("ledger", "export", path, "--json") == 3
    said = json.loads(capsys.readouterr().out)
    assert (said["broken_at"], said["passed"]) == (3, False)
    assert len(path.read_bytes().splitlines()) == size(stage)


def test_export_reads_one_snapshot(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    Entries that come while it is written are not in it, and nothing of it is twice.
    """
    stage = make_stage(State.SUBSTRATE)
    before, written = size(stage), bytearray()

    def write(line: bytes) -> None:
        stage.conn.execute("select iu_gates.fn_ledger_append('drill', 'meanwhile', '{}')")
        written.extend(line)

    made = ledger_export.stream(stage.settings, write)
    assert (made.entries, made.passed) == (before, True)
    assert size(stage) == 2 * before
    assert b"meanwhile" not in written


MEASURED: Final = """
import pathlib, re, sys
from iu_gates import config, ledger, ledger_export
settings = config.build({"database_url": sys.argv[1]})
# Of this program alone: what getrusage says begins with the peak of the process that started it.
status = pathlib.Path("/proc/self/status")
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1])
ledger.fetch_head(settings)
before = peak()
written = []
made = ledger_export.stream(settings, lambda line: written.append(len(line)))
print(made.entries, made.passed, sum(written), peak() - before)
"""


def test_large_ledger_is_exported_in_constant_memory(make_stage: MakeStage) -> None:
    """
    Twenty thousand entries, 25 MB, are never in our memory at once.
    """
    stage = make_stage(State.SUBSTRATE)
    stage.conn.execute(
        "select iu_gates.fn_ledger_append('drill', 'x', jsonb_build_object('x', repeat('x', 999)))"
        " from generate_series(1, 20000)"
    )
    command = [sys.executable, "-c", MEASURED, stage.database.conninfo]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    entries, passed, written_bytes, grown_kib = done.stdout.split()
    assert (int(entries), passed) == (size(stage), "True")
    assert int(written_bytes) > 20_000_000
    assert int(grown_kib) < 8 * 1024


def test_worker_and_readers_write_nothing(make_stage: MakeStage) -> None:
    """
    What only reads, or only delivers, leaves the ledger as it is.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    head = ledger.fetch_head(stage.settings)
    run_batch(stage.conn)
    with stage.worker():
        wait_until(lambda: stage.count("sent") == 1, "delivery")
    stage.status()
    assert ledger.fetch_head(stage.settings) == head
