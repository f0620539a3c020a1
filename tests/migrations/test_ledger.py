"""The ledger: nothing in it is changed, and if somebody could, it shows."""

from __future__ import annotations

import hashlib
import json

import psycopg
import pytest
from psycopg import errors

from tests.support.engine import Engine, MakeEngine
from tests.support.walk import State


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    """Give a database with a ledger of many entries."""
    return make_engine(State.DRY)


@pytest.fixture
def tamperer(engine: Engine) -> psycopg.Connection:
    """Give a superuser's session in which the trigger of the ledger does not fire."""
    engine.conn.execute("alter table iu_gates.ledger disable trigger ledger_append_only")
    return engine.conn


def verify(engine: Engine) -> list[tuple[int, str]]:
    """Return what `fn_ledger_verify` finds."""
    return [
        (seq, problem) for seq, problem in engine.fetch("select * from iu_gates.fn_ledger_verify()")
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "update iu_gates.ledger set facts = '{}' where seq = 1",
        "delete from iu_gates.ledger where seq = 1",
        "truncate iu_gates.ledger",
    ],
)
def test_ledger_is_append_only_for_the_owner_too(engine: Engine, statement: str) -> None:
    """
    P7: no rollback, and nobody else, changes or removes an entry.
    """
    with pytest.raises(errors.DatabaseError, match=r'"iu_gates\.ledger" is append-only') as refused:
        engine.conn.execute(statement)
    assert refused.value.sqlstate == "IUG40"
    assert verify(engine) == []


@pytest.mark.every_major
@pytest.mark.parametrize(
    "change",
    [
        "facts = '{}'",
        "at = at + interval '1 us'",
        "kind = 'verdict'",
        "subject = 'x'",
        "actor = 'somebody'",
        "address = '::1'",
        "application = 'x'",
    ],
)
def test_changed_entry_is_named(tamperer: psycopg.Connection, engine: Engine, change: str) -> None:
    """
    Every field is under the hash: whichever is changed, verify says in which entry.
    """
    tamperer.execute(f"update iu_gates.ledger set {change} where seq = 3")
    assert verify(engine) == [(3, "the entry was changed")]


def test_entry_with_a_hash_of_its_own_does_not_fit_in(
    tamperer: psycopg.Connection, engine: Engine
) -> None:
    """
    Changed and hashed anew, an entry is right in itself; the one after it does not follow.
    """
    tamperer.execute("update iu_gates.ledger set facts = '{}' where seq = 3")
    tamperer.execute(
        "update iu_gates.ledger as l set hash = iu_gates.fn_ledger_hash(l) where l.seq = 3"
    )
    assert [(seq, problem.split(":")[0]) for seq, problem in verify(engine)] == [
        (4, "it does not follow the entry before")
    ]


@pytest.mark.parametrize(
    ("removed", "found"),
    [("1", "entries 1 to 1 are missing"), ("2, 3", "entries 2 to 3 are missing")],
)
def test_removed_entries_are_named(
    tamperer: psycopg.Connection, engine: Engine, removed: str, found: str
) -> None:
    """
    The numbers have no gaps, so what is gone has a name, the first entry too.
    """
    tamperer.execute(f"delete from iu_gates.ledger where seq in ({removed})")
    assert [problem for _, problem in verify(engine)] == [found]


def test_removed_and_renumbered_is_found(tamperer: psycopg.Connection, engine: Engine) -> None:
    """
    Closing the gap by renumbering changes every entry after it.
    """
    tamperer.execute("delete from iu_gates.ledger where seq = 3")
    tamperer.execute("update iu_gates.ledger set seq = -seq where seq > 3")
    tamperer.execute("update iu_gates.ledger set seq = -seq - 1 where seq < 0")
    assert verify(engine)[0] == (3, "the entry was changed")
    assert verify(engine)[1][1].startswith("it does not follow")


def test_inserted_entry_is_found(tamperer: psycopg.Connection, engine: Engine) -> None:
    """
    An entry that somebody wrote past the function does not follow the one before.
    """
    tamperer.execute(
        "insert into iu_gates.ledger (seq, at, kind, subject, facts, actor, address, application,"
        " previous_hash, hash) select seq + 1, at, 'verdict', 'live', '{\"outcome\": \"pass\"}',"
        " actor, address, application, repeat('0', 64), hash from iu_gates.ledger"
        " order by seq desc limit 1"
    )
    problems = [problem.split(":")[0] for _, problem in verify(engine)]
    assert problems == ["the entry was changed", "it does not follow the entry before"]


def test_reordered_entries_are_found(tamperer: psycopg.Connection, engine: Engine) -> None:
    """
    Two entries that have changed places are both wrong, and so is what follows them.
    """
    tamperer.execute("update iu_gates.ledger set seq = -seq where seq in (3, 4)")
    tamperer.execute("update iu_gates.ledger set seq = 7 + seq where seq < 0")
    assert {seq for seq, _ in verify(engine)} == {3, 4, 5}


def test_hash_is_what_the_documentation_says(engine: Engine) -> None:
    """
    An auditor can compute the chain without our functions.
    """
    engine.fetch("select iu_gates.fn_ledger_append('drill', 'é \"q\"', '{\"a\": [1, \"ü\"]}')")
    (row,) = engine.fetch(
        "select previous_hash, seq, to_char(at at time zone 'UTC',"
        ' \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'), kind, subject, actor, address, application, facts,'
        " hash from iu_gates.ledger order by seq desc limit 1"
    )
    text = json.dumps(row[:-1], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == row[-1]


def test_two_writers_make_one_chain(engine: Engine) -> None:
    """
    The second waits until the first has committed, and follows it.
    """
    append = "select iu_gates.fn_ledger_append('drill', %s, '{}')"
    first, second = engine.make_conn(autocommit=False), engine.make_conn()
    first.execute(append, ["first"])
    second.execute("set lock_timeout = '50ms'")
    with pytest.raises(errors.LockNotAvailable):
        second.execute(append, ["second"])
    first.commit()
    second.execute(append, ["second"])
    assert verify(engine) == []
    last = engine.fetch("select subject from iu_gates.ledger order by seq desc limit 2")
    assert last == [("second",), ("first",)]
