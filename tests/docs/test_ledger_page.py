"""The verifier of docs/ledger.md, run as it stands there against ledgers that hold and do not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.docs.pages import marked_block, read
from tests.support.databases import Database
from tests.support.walk import HOST, walk_to

Verify = Callable[..., str]
ODD = 'quote " backslash \\ tab \t line \n bell \x07 delete \x7f snowman ☃ clef 𝄞'


@pytest.fixture
def ledger(empty_database: Database) -> psycopg.Connection:
    """Give a session on a database with a ledger of steps, and an entry with odd texts."""
    with psycopg.connect(empty_database.conninfo) as host:
        host.execute(HOST)
    walk_to(empty_database.conninfo, "substrate@060")
    conn = psycopg.connect(empty_database.conninfo, autocommit=True, application_name=ODD[:30])
    facts = '{"b": [1.10, 1e3, null, true], "a": {"☃": "\\u0007 \\\\ \\" /"}, "aa": ""}'
    conn.execute("select iu_gates.fn_ledger_append('drill', %s, %s)", [ODD, facts])
    conn.execute("select iu_gates.fn_ledger_append('drill', 'route', '{}')")
    return conn


@pytest.fixture
def verify(empty_database: Database, tmp_path: Path) -> Verify:
    """Give a maker of answers: the page's program, in a process of its own."""
    program = tmp_path / "verify.py"
    program.write_text(marked_block(read("docs/ledger.md"), "verifier"), "utf-8")

    def run(*kept: str) -> str:
        command = [sys.executable, str(program), empty_database.conninfo, *kept]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.strip()

    return run


def read_head(conn: psycopg.Connection) -> tuple[int, str]:
    """Return number and hash of the newest entry."""
    query = "select seq, hash from iu_gates.ledger order by seq desc limit 1"
    row = conn.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def tamper(conn: psycopg.Connection, statement: str) -> None:
    """Do as an owner can who means harm: switch the trigger off, and change something."""
    with conn.transaction():
        conn.execute("alter table iu_gates.ledger disable trigger ledger_append_only")
        conn.execute(statement)
        conn.execute("alter table iu_gates.ledger enable trigger ledger_append_only")


@pytest.mark.every_major
def test_chain_holds(ledger: psycopg.Connection, verify: Verify) -> None:
    """
    The program computes the same hashes as the database, whatever is in the texts.
    """
    seq, head = read_head(ledger)
    with ledger:
        assert ledger.execute("select * from iu_gates.fn_ledger_verify()").fetchall() == []

    assert verify() == f"the chain holds: {seq} entries, head {head}"
    assert verify(str(seq), head) == f"the chain holds: {seq} entries, head {head}"


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("update iu_gates.ledger set actor = 'nobody' where seq = 3", 3),
        ("update iu_gates.ledger set facts = facts || '{\"a\": 1}' where seq = 2", 2),
        ("update iu_gates.ledger set at = at + interval '1 us' where seq = 1", 1),
        ("delete from iu_gates.ledger where seq = 2", 2),
        ("delete from iu_gates.ledger where seq = 1", 1),
        ("update iu_gates.ledger set previous_hash = repeat('a', 64) where seq = 2", 2),
    ],
)
def test_broken_chain_is_named(
    ledger: psycopg.Connection, verify: Verify, statement: str, broken: int
) -> None:
    """
    A changed, missing or moved entry is found at its place.
    """
    with ledger:
        tamper(ledger, statement)

    assert verify().startswith(f"broken at entry {broken} ")


def test_ledger_that_was_cut_or_written_anew_is_found_by_a_kept_head(
    ledger: psycopg.Connection, verify: Verify
) -> None:
    """
    An owner who cuts the end off and goes on leaves a chain that holds; a kept head shows it.
    """
    seq, head = read_head(ledger)
    with ledger:
        tamper(ledger, f"delete from iu_gates.ledger where seq = {seq}")
        ledger.execute("select iu_gates.fn_ledger_append('drill', 'route', '{\"other\": 1}')")

    assert verify().startswith("the chain holds")
    assert verify(str(seq), head) == f"entry {seq} is not the one that was kept"
