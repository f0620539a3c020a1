"""docs/ledger.md: its verifier, run as it stands there, and its table of kinds."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from iu_gates import config, ledger, ledger_export
from tests.docs.pages import marked_block, read, read_sources
from tests.support.databases import Database
from tests.support.walk import HOST, walk_to

Lines = list[bytes]
Verify = Callable[..., str]
ODD = 'quote " backslash \\ tab \t line \n bell \x07 delete \x7f snowman ☃ clef 𝄞 next \x85 \u2028'
FACTS = """{
    "b": [1.10, 1e3, 1e400, -0.0, 0, 1E-7, null, true, 123456789012345678901234567890],
    "a": {"☃": "\\u0007 \\\\ \\" / \\u2028 \\ud834\\udd1e", "": {}, "nested": [[[[{"a": []}]]]]},
    "hash": "x", "entry": "}", "aa": "", "long": "%s"
}""" % ("x" * 100_000)
APPENDED = (
    r"fn_ledger_append\(\s*'([a-z_]+)'",
    r"\bappend\(\s*(?:self\.)?conn,\s*\"([a-z_]+)\"",
)


@pytest.fixture
def conn(empty_database: Database) -> psycopg.Connection:
    """Give a session on a database with a ledger of steps, and an entry with odd texts."""
    with psycopg.connect(empty_database.conninfo) as host:
        host.execute(HOST)
    walk_to(empty_database.conninfo, "substrate@060")
    conn = psycopg.connect(empty_database.conninfo, autocommit=True, application_name=ODD[:30])
    for kind, subject, facts in (("drill", ODD, FACTS), ("drill", "route", "{}")):
        conn.execute("select iu_gates.fn_ledger_append(%s, %s, %s)", [kind, subject, facts])
    return conn


@pytest.fixture
def export(conn: psycopg.Connection, empty_database: Database, tmp_path: Path) -> Path:
    """Give an export of that ledger."""
    path = tmp_path / "ledger.jsonl"
    made = ledger_export.write(config.build({"database_url": empty_database.conninfo}), path)
    assert made.passed
    conn.close()
    return path


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Give a maker of answers: the page's program, in a process of its own, without us."""
    program = tmp_path / "verify.py"
    program.write_text(marked_block(read("docs/ledger.md"), "verifier"), "utf-8")

    def run(path: Path, *kept: str) -> str:
        command = [sys.executable, "-I", str(program), str(path), *kept]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert not done.stderr
        assert (done.returncode == 0) == done.stdout.startswith("the chain holds")
        return done.stdout.strip()

    return run


def rehash(lines: Lines, first: int) -> Lines:
    """Return the lines with the chain made anew from one on, as somebody would who can."""
    before = lines[first - 1][10:74].decode() if first else "0" * 64
    made = lines[:first]
    for line in lines[first:]:
        text = b'["' + before.encode() + line[86 + 66 : -2]
        before = hashlib.sha256(text).hexdigest()
        made.append(b'{"hash": "%b", "entry": %b}\n' % (before.encode(), text))
    return made


@pytest.mark.every_major
def test_verifier_is_short_and_needs_nothing(export: Path, verify: Verify) -> None:
    """
    Some 30 lines and no package but Python's own; it computes what the database computed.
    """
    program = marked_block(read("docs/ledger.md"), "verifier")
    assert len(program.splitlines()) <= 36
    assert set(re.findall(r"^import (\w+)", program, re.MULTILINE)) == {"hashlib", "json", "sys"}

    lines = export.read_bytes().splitlines(keepends=True)
    head = json.loads(lines[-1])["hash"]
    said = f"the chain holds: {len(lines)} entries, head {len(lines)}:{head}"
    assert verify(export) == said
    for line in (lines[0], lines[-1]):
        entry = json.loads(line)
        for kept in (f"{entry['entry'][1]}:{entry['hash']}", entry["hash"], entry["hash"][:32]):
            assert verify(export, kept) == said


def test_export_carries_what_was_written(empty_database: Database, export: Path) -> None:
    """
    Every field of every entry, odd texts and exact numbers, a line each, and no line too many.
    """
    lines = export.read_bytes().split(b"\n")
    assert lines.pop() == b""
    with psycopg.connect(empty_database.conninfo) as reader:
        rows = reader.execute(
            "select seq, kind, subject, actor, address, application, facts::text, hash"
            " from iu_gates.ledger order by seq"
        ).fetchall()
    exact = {"parse_int": str, "parse_float": str}
    for line, row in zip(lines, rows, strict=True):
        read_back = json.loads(line, **exact)  # type: ignore[arg-type]  # two functions
        _, seq, _, *texts, facts = read_back["entry"]
        assert (int(seq), *texts) == row[:6]
        assert facts == json.loads(row[6], **exact)  # type: ignore[arg-type]
        assert read_back["hash"] == row[7]
    assert json.loads(lines[-2])["entry"][4] == ODD


def test_psql_writes_the_same(
    export: Path, verify: Verify, empty_database: Database, tmp_path: Path
) -> None:
    """
    The page's query is the export, byte for byte: an auditor needs nothing of ours.
    """
    query, path = tmp_path / "that.sql", tmp_path / "psql.jsonl"
    query.write_text(marked_block(read("docs/ledger.md"), "psql"), "utf-8")
    psql = [str(empty_database.bin_dir / "psql"), "-XAt", "-f", str(query), "-o", str(path)]
    subprocess.run([*psql, empty_database.conninfo], check=True, env={"PGCLIENTENCODING": "UTF8"})
    assert path.read_bytes() == export.read_bytes()
    assert verify(path).startswith("the chain holds")


def _changed(lines: Lines, at: int, chance: random.Random) -> str:
    place = chance.randrange(86, len(lines[at]) - 2)
    other = b"1" if lines[at][place : place + 1] != b"1" else b"2"
    lines[at] = lines[at][:place] + other + lines[at][place + 1 :]
    return f"line {at + 1} was changed"


def _other_hash(lines: Lines, at: int, chance: random.Random) -> str:
    lines[at] = b'{"hash": "' + chance.randbytes(32).hex().encode() + lines[at][74:]
    return f"line {at + 1} was changed"


def _more_in_the_line(lines: Lines, at: int, _chance: random.Random) -> str:
    lines[at] = lines[at][:-2] + b', "entry": []}\n'
    return f"line {at + 1} was changed"


def _other_form(lines: Lines, at: int, _chance: random.Random) -> str:
    lines[at] = lines[at].replace(b'"hash": ', b'"hash":  ', 1)
    return f"line {at + 1} is no entry"


def _line_break(lines: Lines, at: int, _chance: random.Random) -> str:
    lines[at] = lines[at].replace(b"\n", b"\r\n")
    return f"line {at + 1} is no entry"


def _half_a_line(lines: Lines, at: int, _chance: random.Random) -> str:
    lines[at:] = [lines[at][:-9]]
    return f"line {at + 1} is no entry"


def _removed(lines: Lines, at: int, _chance: random.Random) -> str:
    del lines[at]
    return f"line {at + 1} is entry {at + 2}, which does not follow"


def _twice(lines: Lines, at: int, _chance: random.Random) -> str:
    lines.insert(at, lines[at])
    return f"line {at + 2} is entry {at + 1}, which does not follow"


def _swapped(lines: Lines, at: int, _chance: random.Random) -> str:
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return f"line {at + 1} is entry {at + 2}, which does not follow"


def _replaced(lines: Lines, at: int, _chance: random.Random) -> str:
    lines[at] = rehash([*lines[:at], lines[at].replace(b'"local"', b'"other"')], at)[at]
    return f"line {at + 2} is entry {at + 2}, which does not follow"


WAYS = (
    _changed, _other_hash, _more_in_the_line, _other_form, _line_break, _half_a_line, _removed,
    _twice, _swapped, _replaced,
)  # fmt: skip


def test_tampered_export_is_found_at_its_line(export: Path, verify: Verify, tmp_path: Path) -> None:
    """
    Whatever way, and wherever but behind the end, the line is named.
    """
    chance = random.Random(seed := random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")  # noqa: T201  shown where the test fails
    whole, path = export.read_bytes().splitlines(keepends=True), tmp_path / "tampered.jsonl"
    for way in WAYS:
        lines = list(whole)
        wanted = way(lines, chance.randrange(len(lines) - 1), chance)
        path.write_bytes(b"".join(lines))
        assert verify(path).startswith(wanted), way.__name__


def test_export_that_was_cut_or_written_anew_is_found_by_a_kept_head(
    export: Path, verify: Verify, tmp_path: Path
) -> None:
    """
    Both hold in themselves; any head kept from that place on shows it, an older one does not.
    """
    whole, path = export.read_bytes().splitlines(keepends=True), tmp_path / "tampered.jsonl"
    kept = [f"{json.loads(line)['entry'][1]}:{json.loads(line)['hash']}" for line in whole]
    place = len(whole) // 2
    anew = [*whole[:place], whole[place].replace(b'"local"', b'"other"'), *whole[place + 1 :]]
    for lines in (whole[:place], rehash(anew, place)):
        path.write_bytes(b"".join(lines))
        assert verify(path).startswith("the chain holds")
        assert verify(path, kept[place - 1][:40]).startswith("the chain holds")
        for lost in kept[place:]:
            assert verify(path, lost) == f"no entry is {lost}: the ledger was cut or written anew"
        assert verify(path, kept[0][:17]).startswith("no entry is")


def test_every_kind_is_in_the_table() -> None:
    """
    Each kind that code of ours appends is a row of the page, and each row is a kind.
    """
    code = read_sources(".py", ".sql")
    appended = {kind for pattern in APPENDED for kind in re.findall(pattern, code)}
    assert {"verdict", "step", "refusal", "lift", "vote"} <= appended
    page = read("docs/ledger.md").split("## Kinds", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)) == appended


def test_page_names_what_is_exported() -> None:
    """
    The order of the fields on the page is the order that is hashed and exported.
    """
    fields = re.search(r"\[previous_hash, seq.*?\]", read("docs/ledger.md"))
    assert fields is not None
    query = (Path(ledger.__file__).parent / "queries" / "ledger_export.sql").read_text("utf-8")
    order = re.findall(r"l\.(\w+)", query.split("jsonb_build_array")[1].split("::text")[0])
    assert fields[0].strip("[]").split(", ") == order
