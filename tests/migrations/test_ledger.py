"""The ledger: nothing in it is changed, and if somebody could, it shows."""

from __future__ import annotations

import hashlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from psycopg import errors, sql

from tests.support.databases import Database
from tests.support.engine import Engine, MakeEngine
from tests.support.walk import HOST, State, walk_to


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    """Give a database with a ledger of many entries."""
    return make_engine(State.DRY)


@pytest.fixture
def tamperer(engine: Engine) -> psycopg.Connection:
    """Give a superuser's session in which the triggers of the ledger do not fire."""
    engine.conn.execute("alter table iu_gates.ledger disable trigger all")
    return engine.conn


def verify(engine: Engine) -> list[tuple[int, str]]:
    """Return what `fn_ledger_verify` finds."""
    return [
        (seq, problem) for seq, problem in engine.fetch("select * from iu_gates.fn_ledger_verify()")
    ]


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize(
    "statement",
    [
        "update iu_gates.ledger set facts = '{}' where seq = 1",
        "delete from iu_gates.ledger where seq = 1",
        "delete from iu_gates.ledger where false",
        "truncate iu_gates.ledger",
        "truncate iu_gates.ledger cascade",
        (
            "insert into iu_gates.ledger select * from iu_gates.ledger where seq = 1"
            " on conflict (seq) do update set facts = '{}'"
        ),
        (
            "merge into iu_gates.ledger as l using (values (1)) as v (seq) on l.seq = v.seq"
            " when matched then delete"
        ),
    ],
)
def test_ledger_is_append_only_for_the_owner_too(engine: Engine, statement: str, role: str) -> None:
    """
    P7: no rollback, and nobody else, changes or removes an entry; nor as a replica would.
    """
    engine.conn.execute(f"set session_replication_role = {role}")
    with pytest.raises(errors.DatabaseError, match=r'"iu_gates\.ledger" is append-only') as refused:
        engine.conn.execute(statement)
    assert refused.value.sqlstate == "IUG40"
    assert verify(engine) == []


WRITES = {
    "insert": "insert into iu_gates.ledger (seq, at, kind, subject, facts, actor, address,"
    " application, previous_hash, hash) values (9999, now(), 'verdict', 'live', '{}', 'a', 'b',"
    " 'c', 'd', 'e')",
    "copy": "copy iu_gates.ledger from '/dev/null'",
    "update": "update iu_gates.ledger set facts = '{}'",
    "delete": "delete from iu_gates.ledger",
    "truncate": "truncate iu_gates.ledger",
    "drop": "drop table iu_gates.ledger",
    "trigger": "alter table iu_gates.ledger disable trigger all",
    "another trigger": "create trigger mine before insert on iu_gates.ledger for each row"
    " execute function suppress_redundant_updates_trigger()",
    "rule": "create rule mine as on insert to iu_gates.ledger do instead nothing",
    "function": "create or replace function iu_gates.fn_ledger_verify()"
    " returns table (seq bigint, problem text) language sql as $$ select 1, 'x' where false $$",
    "append": "select iu_gates.fn_ledger_append('verdict', 'live', '{\"outcome\": \"pass\"}')",
    "void": "select iu_gates.fn_void(array['live'], 'x')",
    "replica": "set session_replication_role = replica",
}


@pytest.mark.parametrize(
    "group",
    [
        None,
        "iu_gates_auditor",
        "iu_gates_operator",
        "iu_gates_worker",
        "iu_gates_approver",
        "pg_read_all_data",
        "pg_write_all_data",
    ],
)
def test_nobody_but_the_owner_writes(engine: Engine, group: str | None) -> None:
    """
    P10: whoever is not the owner changes nothing, and puts nothing in, whatever else it may.
    """
    name = f"login {engine.database.name}"
    login = sql.Identifier(name)
    before = engine.fetch("select count(*), max(hash) from iu_gates.ledger")
    engine.conn.execute(sql.SQL("create role {} login").format(login))
    try:
        if group:
            engine.conn.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), login))
        session = engine.make_conn(user=name)
        for what, statement in WRITES.items():
            with pytest.raises(errors.DatabaseError) as refused:
                session.execute(statement)
            # pg_write_all_data has every privilege on tables: there the triggers refuse.
            allowed = (errors.InsufficientPrivilege,)
            if not isinstance(refused.value, allowed):
                assert (group, refused.value.sqlstate) == ("pg_write_all_data", "IUG40"), what
    finally:
        engine.conn.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s",
            [name],
        )
        engine.conn.execute(sql.SQL("drop role {}").format(login))
    assert engine.fetch("select count(*), max(hash) from iu_gates.ledger") == before
    assert verify(engine) == []


def test_default_privileges_of_a_site_do_not_reach_the_ledger(empty_database: Database) -> None:
    """
    P10: ALTER DEFAULT PRIVILEGES hands new tables out; the bootstrap takes the ledger back.
    """
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(HOST)
        conn.execute("alter default privileges grant all on tables to public, pg_monitor")
        walk_to(empty_database.conninfo, "substrate@060")
        query = """
            select distinct a.privilege_type from pg_class as c, aclexplode(c.relacl) as a
            where c.oid = 'iu_gates.ledger'::regclass and a.grantee <> c.relowner
              and a.privilege_type <> 'MAINTAIN'
        """
        assert conn.execute(query).fetchall() == [("SELECT",)]

        conn.execute("grant insert (seq), update (facts) on iu_gates.ledger to pg_monitor")
        walk_to(empty_database.conninfo, "runtime@080")
        query = (
            "select attname from pg_attribute where attrelid = %s::regclass and attacl is not null"
        )
        assert conn.execute(query, ["iu_gates.ledger"]).fetchall() == []


def test_owner_puts_in_what_follows_or_nothing(engine: Engine) -> None:
    """
    An INSERT by hand has to be the very next entry of the chain, by this login.
    """
    copy = (
        "insert into iu_gates.ledger select seq + {0}, at, kind, subject, facts, {1}, address,"
        " application, {2}, hash from iu_gates.ledger order by seq desc limit 1"
    )
    with pytest.raises(errors.DatabaseError, match=r"written by iu_gates\.fn_ledger_append alone"):
        engine.conn.execute(copy.format(1, "actor", "hash"))
    engine.conn.execute(
        "select set_config('role', pg_get_userbyid(relowner), false) from pg_class"
        " where oid = 'iu_gates.ledger'::regclass"
    )
    for by, actor, previous in (
        (1, "actor", "previous_hash"),
        (1, "actor", "hash"),
        (2, "actor", "hash"),
        (1, "'somebody'", "hash"),
    ):
        with pytest.raises(errors.DatabaseError, match="does not follow entry") as refused:
            engine.conn.execute(copy.format(by, actor, previous))
        assert refused.value.sqlstate == "IUG40"
    assert verify(engine) == []


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("way", ["whole", "data only"])
def test_ledger_is_restored(
    engine: Engine, empty_database: Database, tmp_path: Path, way: str
) -> None:
    """
    P9: pg_restore brings the chain back, into nothing or, with --disable-triggers, into tables.
    """
    archive, tools = tmp_path / "ledger.dump", engine.database.bin_dir
    run = partial(subprocess.run, check=True, capture_output=True)
    run([tools / "pg_dump", "-Fc", "-f", archive, engine.database.conninfo])
    options = ["--exit-on-error", "--single-transaction", "-d", empty_database.conninfo]
    if way == "data only":
        run([tools / "pg_restore", "--schema-only", *options, archive])
        options += ["--data-only", "--disable-triggers", "--table=ledger"]
    run([tools / "pg_restore", *options, archive])

    head = "select seq, hash from iu_gates.ledger order by seq desc limit 1"
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        assert conn.execute(head).fetchall() == engine.fetch(head)
        assert conn.execute("select * from iu_gates.fn_ledger_verify()").fetchall() == []
        conn.execute("select iu_gates.fn_ledger_append('drill', 'restored', '{}')")
        assert conn.execute("select * from iu_gates.fn_ledger_verify()").fetchall() == []
        with pytest.raises(errors.DatabaseError, match="append-only"):
            conn.execute("delete from iu_gates.ledger")


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
        (4, "it does not follow entry 3")
    ]


@pytest.mark.parametrize(
    ("removed", "found"),
    [("1", "entry 1 is missing"), ("2, 3", "entries 2 to 3 are missing")],
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
    assert problems[0] == "the entry was changed"
    assert problems[1].startswith("it does not follow entry ")


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


def test_many_writers_make_one_chain(engine: Engine) -> None:
    """
    Sixteen sessions at once, some of which roll back: no gap, no fork, every entry there once.
    """
    sessions, rounds = 16, 25
    begin = Barrier(sessions)
    size = engine.fetch_value("select max(seq) from iu_gates.ledger")

    def work(number: int) -> list[int]:
        conn = engine.make_conn(autocommit=False, application_name=f"writer {number}")
        kept: list[int] = []
        begin.wait()
        for turn in range(rounds):
            row = conn.execute(
                "select iu_gates.fn_ledger_append('drill', %s, '{}')", [f"{number}/{turn}"]
            ).fetchone()
            if (number + turn) % 5 == 0:
                conn.rollback()
                continue
            conn.commit()
            kept += row or ()
        return kept

    with ThreadPoolExecutor(sessions) as pool:
        written = [seq for part in pool.map(work, range(sessions)) for seq in part]

    assert sorted(written) == [*range(size + 1, size + 1 + sessions * rounds * 4 // 5)]
    assert verify(engine) == []
    names = engine.fetch(
        "select count(distinct subject), count(distinct application) from iu_gates.ledger"
        " where subject ~ '^[0-9]+/[0-9]+$'"
    )
    assert names == [(len(written), sessions)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_writer_with_an_old_snapshot_forks_nothing(engine: Engine, level: str) -> None:
    """
    It does not see the newest entry, and is refused rather than given its place.
    """
    old = engine.make_conn(autocommit=False)
    old.execute(f"set transaction isolation level {level}")
    old.execute("select count(*) from iu_gates.ledger")
    engine.fetch("select iu_gates.fn_ledger_append('drill', 'newer', '{}')")
    with pytest.raises(errors.DatabaseError) as refused:
        old.execute("select iu_gates.fn_ledger_append('drill', 'older', '{}')")
    assert isinstance(refused.value, errors.UniqueViolation | errors.SerializationFailure)
    old.rollback()
    assert verify(engine) == []


def test_actor_is_the_session(engine: Engine) -> None:
    """
    Who it was comes from the session: SET ROLE does not change it, and no argument could.
    """
    conn = engine.make_conn(application_name="what the client says")
    conn.execute("set role pg_monitor")
    conn.execute("reset role")
    name = f"owner {engine.database.name}"
    engine.conn.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
    try:
        grants = (
            "grant usage on schema iu_gates to {0};"
            " grant execute on all functions in schema iu_gates to {0}"
        )
        conn.execute(sql.SQL(grants).format(sql.Identifier(name)))
        conn.execute(sql.SQL("set role {}").format(sql.Identifier(name)))
        conn.execute("select iu_gates.fn_ledger_append('drill', 'x', '{\"actor\": \"y\"}')")
    finally:
        conn.execute("reset role")
        engine.conn.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
        engine.conn.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
    last = "select actor, address, application from iu_gates.ledger order by seq desc limit 1"
    assert engine.fetch(last) == [("postgres", "local", "what the client says")]


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
