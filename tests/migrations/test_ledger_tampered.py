"""
An owner who means harm: switches the triggers off, and changes the ledger at a random place.

The seed of a run is printed, and IU_GATES_SEED repeats it. Each way is tried in a
transaction that is rolled back, so that all begin with the same chain.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import pytest

from iu_gates import pin
from tests.support.engine import Engine, MakeEngine
from tests.support.walk import State

SEED: Final = "IU_GATES_SEED"
ROUNDS: Final = 10
CHANGES: Final = (
    "facts = facts || '{\"i\": -1}'",
    "facts = jsonb_set(facts, '{deep,1}', '1.1')",
    "facts = facts - 'i'",
    "at = at + interval '1 us'",
    "kind = kind || 's'",
    "subject = subject || ' '",
    "actor = upper(actor)",
    "address = '::1'",
    "application = application || 'x'",
    "previous_hash = repeat('a', 64)",
    "hash = repeat('b', 64)",
)
REHASH: Final = """
do $$
declare
    v_entry iu_gates.ledger;
    v_hash text;
begin
    for v_entry in select * from iu_gates.ledger where seq between {0} and {1} order by seq loop
        v_entry.previous_hash := coalesce(
            v_hash, (select hash from iu_gates.ledger where seq = v_entry.seq - 1),
            repeat('0', 64));
        v_hash := iu_gates.fn_ledger_hash(v_entry);
        update iu_gates.ledger set previous_hash = v_entry.previous_hash, hash = v_hash
        where seq = v_entry.seq;
    end loop;
end
$$
"""
Problems = list[tuple[int, str]]
Way = Callable[[psycopg.Connection, random.Random, int], Callable[[Problems], bool]]


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    """Give a database with a ledger of some 40 entries."""
    engine = make_engine(State.SUBSTRATE)
    engine.conn.execute(
        "select iu_gates.fn_ledger_append('drill', 'route ' || i,"
        " jsonb_build_object('i', i, 'deep', jsonb_build_array(i, 1.10, 'ü')))"
        " from generate_series(1, 30) as i"
    )
    return engine


@contextmanager
def tampering(engine: Engine) -> Iterator[psycopg.Connection]:
    """Give the owner's session with no trigger of the ledger; what it does is rolled back."""
    with engine.conn.transaction(force_rollback=True):
        engine.conn.execute("alter table iu_gates.ledger disable trigger all")
        yield engine.conn


def verify(engine: Engine) -> Problems:
    """Return what `fn_ledger_verify` finds."""
    return [(row[0], row[1]) for row in engine.fetch("select * from iu_gates.fn_ledger_verify()")]


def fetch_hash(conn: psycopg.Connection, seq: int) -> str:
    """Return the hash of an entry."""
    row = conn.execute("select hash from iu_gates.ledger where seq = %s", [seq]).fetchone()
    assert row is not None
    return str(row[0])


def fetch_text(conn: psycopg.Connection, seq: int) -> str:
    """Return all that an entry says; nothing if there is none."""
    row = conn.execute("select l::text from iu_gates.ledger as l where seq = %s", [seq]).fetchone()
    return "" if row is None else str(row[0])


def shift(conn: psycopg.Connection, first: int, by: int) -> None:
    """Give the entries from `first` on other numbers."""
    conn.execute(f"update iu_gates.ledger set seq = -seq where seq >= {first}")
    conn.execute(f"update iu_gates.ledger set seq = -seq + {by} where seq < 0")


def forge(conn: psycopg.Connection, seq: int) -> None:
    """Put an entry in that is right in itself and follows the one before it."""
    conn.execute(
        "insert into iu_gates.ledger select %s, at, kind, 'forged', facts, actor, address,"
        " application, previous_hash, hash from iu_gates.ledger order by seq limit 1",
        [seq],
    )
    conn.execute(REHASH.format(seq, seq))


def change(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Change one field of one entry: exactly that entry is named as changed."""
    seq, before = 0, ""
    while fetch_text(conn, seq) == before:  # some facts have no such field
        seq, what = rng.randint(1, size), rng.choice(CHANGES)
        before = fetch_text(conn, seq)
        conn.execute(f"update iu_gates.ledger set {what} where seq = {seq}")
    return lambda found: (
        found[0] == (seq, "the entry was changed") and {n for n, _ in found} <= {seq, seq + 1}
    )


def replace(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Change one entry and hash it anew: it and the next are named."""
    seq = rng.randint(1, size - 1)
    conn.execute(f"update iu_gates.ledger set subject = 'another' where seq = {seq}")
    conn.execute(REHASH.format(seq, seq))
    return lambda found: (
        [n for n, _ in found] == [seq + 1]
        and found[0][1].startswith(f"it does not follow entry {seq}:")
    )


def remove(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Take one entry out: it is named as missing."""
    seq = rng.randint(1, size - 1)
    conn.execute(f"delete from iu_gates.ledger where seq = {seq}")
    return lambda found: found == [(seq + 1, f"entry {seq} is missing")]


def remove_many(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Take some out: they are named as missing."""
    first = rng.randint(1, size - 2)
    last = rng.randint(first + 1, size - 1)
    conn.execute(f"delete from iu_gates.ledger where seq between {first} and {last}")
    return lambda found: found == [(last + 1, f"entries {first} to {last} are missing")]


def close_the_gap(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Take one out and number the rest anew: each of the rest was changed, from its place on."""
    seq = rng.randint(1, size - 1)
    conn.execute(f"delete from iu_gates.ledger where seq = {seq}")
    shift(conn, seq + 1, -1)
    return lambda found: (
        [n for n, what in found if "changed" in what] == [*range(seq, size)]
        and found[1][0] == seq
        and ("does not begin" in found[1][1] if seq == 1 else f"entry {seq - 1}:" in found[1][1])
    )


def insert(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Put one in and number the rest anew: the first after it does not follow it."""
    seq = rng.randint(1, size)
    shift(conn, seq, 1)
    forge(conn, seq)
    return lambda found: (
        [n for n, what in found if "changed" in what] == [*range(seq + 1, size + 2)]
        and any(n == seq + 1 and f"entry {seq}:" in what for n, what in found)
    )


def insert_beyond(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Put one in behind the end, or before the beginning."""
    if rng.random() < 0.5:
        far = size + rng.randint(2, 9)
        forge(conn, far)
        return lambda found: found[0][0] == far and f"{size + 1}" in found[0][1]
    forge(conn, -1)
    return lambda found: (-1, "it was put in: its number is taken or is none") in found


def swap(conn: psycopg.Connection, rng: random.Random, size: int) -> Any:
    """Let two entries change places: both are named."""
    one, other = sorted(rng.sample(range(1, size + 1), 2))
    conn.execute(f"update iu_gates.ledger set seq = -seq where seq in ({one}, {other})")
    conn.execute(f"update iu_gates.ledger set seq = {one + other} + seq where seq < 0")
    return lambda found: [n for n, what in found if "changed" in what] == [one, other]


WAYS: Final[tuple[Way, ...]] = (
    change, replace, remove, remove_many, close_the_gap, insert, insert_beyond, swap,
)  # fmt: skip


@pytest.fixture
def rng() -> random.Random:
    """Give a generator whose seed is printed."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))
    print(f"{SEED}={seed}")  # noqa: T201  shown where the test fails
    return random.Random(seed)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_tampered_entry_is_found_and_named(engine: Engine, rng: random.Random, way: Way) -> None:
    """
    Whatever was changed, removed, put in or reordered, verify says which entry.
    """
    size = engine.fetch_value("select max(seq) from iu_gates.ledger")
    assert verify(engine) == []
    for _ in range(ROUNDS):
        with tampering(engine) as conn:
            is_named = way(conn, rng, size)
            found = verify(engine)
            assert found, "the chain holds"
            assert is_named(found), found


@pytest.mark.parametrize("way", ["cut", "written anew", "last one replaced"])
def test_chain_that_holds_is_found_by_a_pinned_head(
    engine: Engine, rng: random.Random, way: str
) -> None:
    """
    Cut, or hashed anew from a place on, a chain holds; every head kept from that place on tells.
    """
    size = engine.fetch_value("select max(seq) from iu_gates.ledger")
    pins = {seq: pin.Pin(seq, fetch_hash(engine.conn, seq)[:32]) for seq in range(1, size + 1)}
    for _ in range(ROUNDS):
        seq = size if way == "last one replaced" else rng.randint(2, size)
        with tampering(engine) as conn:
            if way == "cut":
                conn.execute(f"delete from iu_gates.ledger where seq >= {seq}")
            else:
                conn.execute(f"update iu_gates.ledger set actor = 'nobody' where seq = {seq}")
                conn.execute(REHASH.format(seq, size))

            assert verify(engine) == []
            for kept, head in pins.items():
                fault = pin.find_fault(conn, head)
                unnumbered = pin.find_fault(conn, pin.Pin(None, head.digits))
                if kept < seq:
                    assert (fault, unnumbered) == (None, None)
                elif way == "cut":
                    assert fault == f"there is no entry {kept}; the ledger ends at entry {seq - 1}"
                else:
                    assert fault == f"entry {kept} has the hash {fetch_hash(conn, kept)}"
                assert (unnumbered is None) == (kept < seq)
