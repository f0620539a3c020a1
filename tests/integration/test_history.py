"""`history export` and `verify`: the history as a file that is whole, or is not there."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import zstandard

from iu_gates import export, ledger
from iu_gates.config import Settings
from iu_gates.errors import IuGatesError, LockHeldError, RefusedError
from tests.support.cli import end, poll, run_command, start_command
from tests.support.engine import run_batch, write_bulk
from tests.support.play import MakeStage, Stage
from tests.support.walk import ROOT, State

TABLES = (
    "iu_event",
    "iu_outbound_route",
    "iu_route_attempt",
    "iu_route_dead_letter",
    "iu_route_cursor",
    "capture_span",
    "capture_baseline",
)


@pytest.fixture
def live(make_stage: MakeStage) -> Stage:
    """Give a stage at 082 with events that were delivered, given up on, and not yet read."""
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2, 3)
    stage.write("größe \N{SNOWMAN}\t\"'\\\n", 2)
    stage.conn.execute(
        "insert into public.event_outbox (idempotency_key, event_type, subject, payload)"
        " values ('iu.version_applied.workflow:iu.version_applied:3:unit', 'x', 'unit', '{}')"
    )
    run_batch(stage.conn, 100)
    stage.write("unit", 4)
    return stage


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an export, as any other tool would read them."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as frame:
        return [json.loads(line) for line in io.TextIOWrapper(frame, "utf-8", newline="\n")]


def rows_of(path: Path, table: str) -> list[dict[str, Any]]:
    """Return the rows of one table."""
    return [line["row"] for line in read_lines(path) if line["table"] == table]


def list_left(directory: Path) -> list[str]:
    """Return all that lies in a directory."""
    return sorted(p.name for p in directory.iterdir())


@pytest.mark.long_on_each_major
def test_export_holds_every_row_and_is_recorded(live: Stage, tmp_path: Path) -> None:
    """
    P7: counts and hashes are those of the rows; file and manifest are private; the ledger knows.
    """
    file = tmp_path / "new" / "deep" / "h.jsonl.zst"

    made = export.write(live.settings, file)

    for table in TABLES:
        schema = "iu_gates" if table.startswith("capture") else "iu_core"
        count = live.fetch_value(f"select count(*) from {schema}.{table}")
        assert made.manifest.tables[table].rows == count == len(rows_of(file, table))
    assert made.manifest.tables["iu_route_dead_letter"].rows == 1
    assert made.manifest.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert list_left(file.parent) == ["h.jsonl.zst", "h.jsonl.zst.json"]
    assert {stat.S_IMODE(p.stat().st_mode) for p in file.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert export.verify(file) == made
    entry = ledger.fetch_newest(live.conn, "export")["facts"]
    assert entry["digest"] == made.manifest.digest
    assert entry["tables"]["iu_event"]["rows"] == made.manifest.tables["iu_event"].rows
    assert made.manifest.ledger["seq"] == ledger.read_head(live.conn)[0] - 1


@pytest.mark.long_on_each_major
def test_lines_read_back_into_the_same_rows(live: Stage, tmp_path: Path) -> None:
    """
    Every type round-trips: bigint beyond 2^53, xid8, microseconds, numbers in jsonb, any text.

    Each line, given to json_populate_record, is the row that it was written from.
    """
    payload = '{"big": 123456789012345678901234567890.10, "z": 1.100, "t": "\\u2603 \\\\ \\n"}'
    live.conn.execute(
        "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload,"
        " captured_at) values (9223372036854775807, 'a.b', E'x\\ny', 9007199254740993, %s,"
        " '2026-01-02 03:04:05.678901+02')",
        (payload,),
    )
    file = tmp_path / "h.jsonl.zst"
    export.write(live.settings, file)
    with file.open("rb") as raw:
        text = zstandard.ZstdDecompressor().stream_reader(raw).read().decode()
    for table in TABLES:
        schema = "iu_gates" if table.startswith("capture") else "iu_core"
        name = f"{schema}.{table}"
        lines = [t for t in text.splitlines() if t.startswith(f'{{"table":"{table}",')]
        ((same, count),) = live.fetch(
            f"select count(*) filter (where r::text = any (array(select t::text from {name} as t)))"
            f", count(*) from unnest(%s::text[]) as l (line),"
            f" json_populate_record(null::{name}, l.line::json -> 'row') as r",
            lines,
        )
        assert same == count == len(lines)
    (row,) = [r for r in rows_of(file, "iu_event") if r["event_type"] == "a.b"]
    assert row["cluster_id"] == "9223372036854775807"
    assert row["version_seq"] == "9007199254740993"
    assert row["captured_at"] == "2026-01-02T01:04:05.678901+00:00"
    assert "123456789012345678901234567890.10" in text
    assert row["payload"]["t"] == "\N{SNOWMAN} \\ \n"


def test_time_zone_and_encoding_of_the_login_change_nothing(live: Stage, tmp_path: Path) -> None:
    """
    A login with other settings writes the same lines, byte for byte.
    """
    first = export.write(live.settings, tmp_path / "a.zst").manifest
    live.conn.execute(
        "alter role postgres in database :db set timezone = 'Asia/Tokyo'".replace(
            ":db", f'"{live.database.name}"'
        )
    )
    for setting in ("datestyle = 'SQL, DMY'", "client_encoding = 'LATIN1'"):
        live.conn.execute(f'alter database "{live.database.name}" set {setting}')
    second = export.write(live.settings, tmp_path / "b.zst").manifest
    assert first.tables == second.tables


def test_export_is_one_snapshot(live: Stage, tmp_path: Path) -> None:
    """
    What is written while it runs is in none of its tables: an event without its attempt neither.
    """

    def write_more(text: str) -> None:
        if text == "writes iu_route_attempt":
            live.write("later", 2, 3)
            run_batch(live.conn, 100)

    made = export.write(live.settings, tmp_path / "h.zst", write_more)

    assert live.count("sent") > 0
    assert not [r for r in rows_of(made.path, "iu_event") if r["subject"] == "later"]
    events = {r["event_id"] for r in rows_of(made.path, "iu_event")}
    assert {r["event_id"] for r in rows_of(made.path, "iu_route_attempt")} <= events


def test_nothing_is_written_over(live: Stage, tmp_path: Path) -> None:
    """
    An export, or any other file of that name, stays as it is; a directory gets a name of its own.
    """
    tmp_path = tmp_path / "with a space"
    tmp_path.mkdir()
    file = tmp_path / "h.zst"
    export.write(live.settings, file)
    before = file.read_bytes()
    with pytest.raises(RefusedError, match="there already") as raised:
        export.write(live.settings, file)
    assert raised.value.ident == "IUG-082"
    assert raised.value.next_command == f"iu-gates history export {shlex.quote(str(tmp_path))}/"
    assert file.read_bytes() == before
    other = tmp_path / "mine"
    other.write_text("mine")
    with pytest.raises(RefusedError, match="there already"):
        export.write(live.settings, other)
    assert other.read_text() == "mine"
    assert export.write(live.settings, tmp_path).path.name.startswith(
        f"{live.database.name}-history-"
    )
    assert not list(tmp_path.glob(".*"))


def alter(path: Path) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace_lines(path: Path) -> None:
    """Write another row, well compressed."""
    lines = read_lines(path)
    lines[0]["row"]["subject"] = "another"
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    path.write_bytes(zstandard.compress(text.encode()))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "altered": alter,
    "cut off": lambda p: p.write_bytes(p.read_bytes()[:-20]),
    "goes on": lambda p: p.write_bytes(p.read_bytes() + b"more"),
    "empty": lambda p: p.write_bytes(b""),
    "gone": Path.unlink,
    "rewritten": replace_lines,
    "no manifest": lambda p: p.with_name(f"{p.name}.json").unlink(),
    "manifest altered": lambda p: p.with_name(f"{p.name}.json").write_text(
        p.with_name(f"{p.name}.json").read_text().replace('"rows": 4', '"rows": 5')
    ),
    "manifest of another": lambda p: p.with_name(f"{p.name}.json").write_text('{"format": 2}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_export_is_refused(live: Stage, tmp_path: Path, damage: str) -> None:
    """
    P7: whatever happened to the file, it is no export any more: exit 4, IUG-082.
    """
    file = tmp_path / "h.zst"
    export.write(live.settings, file)
    DAMAGE[damage](file)

    with pytest.raises(RefusedError, match="no whole export") as raised:
        export.verify(file)

    assert (raised.value.exit_code, raised.value.ident) == (4, "IUG-082")


def test_manifest_that_was_made_to_fit_has_another_digest(live: Stage, tmp_path: Path) -> None:
    """
    P7: who rewrites file and manifest together gets another digest than the ledger's.
    """
    file = tmp_path / "h.zst"
    made = export.write(live.settings, file)
    replace_lines(file)
    seen = export.reading.read(file)
    beside = file.with_name(f"{file.name}.json")
    fields = json.loads(beside.read_text())
    fields["sha256"], fields["size_bytes"] = seen.sha256, seen.size_bytes
    for name, tally in seen.tallies.items():
        state = tally.state(fields["tables"][name]["columns"])
        fields["tables"][name] |= {"sha256": state.sha256, "content": state.content}
    forged = {k: v for k, v in fields.items() if k != "digest"}
    text = json.dumps(forged, sort_keys=True, separators=(",", ":"))
    beside.write_text(json.dumps(forged | {"digest": hashlib.sha256(text.encode()).hexdigest()}))

    assert export.verify(file).manifest.digest != made.manifest.digest


def write_limited(settings: Settings, file: Path, limit: int) -> str:
    """Export in a process that may write `limit` bytes a file; return the error it met."""
    code = (
        "import resource, sys, pickle\n"
        "from pathlib import Path\n"
        "from iu_gates import export\n"
        "from iu_gates.errors import RefusedError\n"
        "settings, file, limit = pickle.load(sys.stdin.buffer)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try:\n    export.write(settings, file)\n"
        "except RefusedError as error:\n    print(error.ident, error.summary)\n"
    )
    import pickle  # noqa: PLC0415

    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((settings, file, limit)),
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    return done.stdout.decode()


def test_disk_that_is_full_leaves_nothing(live: Stage, tmp_path: Path) -> None:
    """
    A file that cannot be written to its end is refused and gone; the ledger knows of none.
    """
    write_bulk(live.conn, "bulk", 2, 20_000)

    said = write_limited(live.settings, tmp_path / "h.zst", 4096)

    assert said.startswith("IUG-082")
    assert "cannot be written" in said
    assert [p for p in list_left(tmp_path) if "h.zst" in p] == []
    assert "export" not in live.list_kinds()


@pytest.mark.long
def test_export_that_is_killed_leaves_nothing_that_looks_good(live: Stage, tmp_path: Path) -> None:
    """
    P8: killed half-way there is no export of that name, and the same command makes one.
    """
    write_bulk(live.conn, "bulk", 2, 100_000)
    file = tmp_path / "h.zst"
    partial = tmp_path / ".h.zst.partial"
    variables = {"IU_GATES_DATABASE_URL": live.database.conninfo}
    # It waits in the middle: the third table is locked.
    with closing(psycopg.connect(live.database.conninfo)) as holder:
        holder.execute("lock table iu_core.iu_route_dead_letter")
        with (tmp_path / "said").open("w") as said:
            process = start_command(tmp_path, "history", "export", file, stdout=said, **variables)
            try:
                poll(lambda: partial.exists() and partial.stat().st_size > 0, "it writes")
            finally:
                end(process)
    assert not file.exists()
    with pytest.raises(RefusedError):
        export.verify(file)

    run_command(tmp_path, "history", "export", file, **variables).expect(0)

    assert export.verify(file).manifest.tables["iu_event"].rows > 100_000
    assert (
        list_left(tmp_path) == [live.database.name, "h.zst", "h.zst.json", "said"]
        or not partial.exists()
    )


def test_second_export_into_the_same_file_is_refused(live: Stage, tmp_path: Path) -> None:
    """
    Two at a time do not write one file: the second says who does.
    """
    file = tmp_path / "h.zst"
    seen: list[str] = []

    def second(text: str) -> None:
        if text == "reads it back whole":
            with pytest.raises(LockHeldError) as raised:
                export.write(live.settings, file)
            seen.append(raised.value.summary)

    export.write(live.settings, file, second)

    assert seen == [f'another export writes "{file}"']
    assert export.verify(file).path == file


def test_who_may_not_write_the_ledger_is_told_before_the_work(live: Stage, tmp_path: Path) -> None:
    """
    An auditor reads all, but an export is an entry: refused with nothing written.
    """
    with pytest.raises(RefusedError, match="no operator"):
        export.write(live.make_settings_of("iu_gates_auditor"), tmp_path / "h.zst")
    assert not (tmp_path / "h.zst").exists()


def test_export_on_a_read_only_server_is_refused(live: Stage, tmp_path: Path) -> None:
    """
    A standby, or read-only sessions: exit 4, IUG-084, nothing written.
    """
    live.conn.execute(
        f'alter database "{live.database.name}" set default_transaction_read_only = on'
    )
    with pytest.raises(RefusedError) as raised:
        export.write(live.settings, tmp_path / "h.zst")
    assert raised.value.ident == "IUG-084"


def test_there_is_nothing_to_export_before_008(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    Without our tables there is no history: a usage error, and no file.
    """
    stage = make_stage()
    with pytest.raises(IuGatesError, match="not installed"):
        export.write(stage.settings, tmp_path / "h.zst")
    assert not (tmp_path / "h.zst").exists()


def test_export_by_the_command_line(live: Stage, tmp_path: Path) -> None:
    """
    The page names file and digest, JSON has the manifest; `verify` needs no database.
    """
    variables = {"IU_GATES_DATABASE_URL": live.database.conninfo}
    made = run_command(tmp_path, "history", "export", "h.zst", "--json", **variables).expect(0)

    said = run_command(tmp_path, "history", "verify", "h.zst").expect(0)

    assert made.json["digest"] in said.out
    alter(tmp_path / "h.zst")
    run_command(tmp_path, "history", "verify", "h.zst").expect(4)
