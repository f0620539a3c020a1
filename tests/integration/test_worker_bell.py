"""The bell: a worker sleeps without a query, is woken, and misses nothing (P1, T5, T9, T15)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from iu_gates import config
from iu_gates.embedded import Server
from iu_gates.worker import bell, loop
from tests.support.cli import poll
from tests.support.databases import SETTINGS
from tests.support.play import INSERT, Worker
from tests.support.walk import HOST, SITE_KEY, walk_down, walk_to

STEPS = ("substrate@060", "runtime@080", "substrate@090", "substrate@100", "runtime@082")
AWAKE = 0.3
"""A worker that polls asks more often than that; one that sleeps does not."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a live database on a server without prepared transactions, where there is a bell."""
    settings = {**SETTINGS, "max_prepared_transactions": 0}
    server = Server(tmp_path_factory.mktemp("bell"), settings=settings)
    server.start()
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute(HOST)
        walk_to(server.conninfo(), *STEPS)
        yield server.conninfo()
    finally:
        server.wipe()


@pytest.fixture
def conn(url: str) -> Iterator[psycopg.Connection]:
    """Give a session (autocommit) on that database."""
    with psycopg.connect(url, autocommit=True) as session:
        yield session


@pytest.fixture
def sleeper(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Give a worker whose naps take a minute: what it does before, a ring has made it do."""
    monkeypatch.setattr(bell, "NAP_SECONDS", 60.0)
    monkeypatch.setattr(loop, "NAP_SECONDS", 60.0)
    with Worker(make_settings(url, tmp_path)) as running:
        yield running


def make_settings(url: str, folder: Path) -> config.Settings:
    """Return the settings of a worker of this database."""
    (folder / "site-key").write_text(SITE_KEY)
    return config.build({"database_url": url, "site_key_file": str(folder / "site-key")})


def fetch_value(conn: psycopg.Connection, query: str, *parameters: object) -> object:
    """Return the one value of a query."""
    row = conn.execute(query, parameters or None).fetchone()
    assert row is not None
    return row[0]


def is_asleep(conn: psycopg.Connection) -> bool:
    """Tell whether the worker has armed the bell, and asked nothing for longer than it polls."""
    query = (
        "select count(*) = 1 from pg_stat_activity where application_name = 'iu-gates worker'"
        f" and clock_timestamp() - state_change > interval '{AWAKE} s'"
        " and (select last_value > 1 from iu_core.iu_bell)"
    )
    return fetch_value(conn, query) is True


def is_polling(conn: psycopg.Connection) -> bool:
    """Tell whether the worker has armed the bell, and asks on."""
    query = (
        "select count(*) = 1 from pg_stat_activity where application_name = 'iu-gates worker'"
        f" and clock_timestamp() - state_change < interval '{AWAKE} s' and query ~ 'routes_due'"
        " and (select last_value > 1 from iu_core.iu_bell)"
    )
    return fetch_value(conn, query) is True


def is_delivered(conn: psycopg.Connection, unit: str) -> bool:
    """Tell whether the outbox has an event of a unit."""
    query = "select exists (select from public.event_outbox where subject = %s)"
    return fetch_value(conn, query, unit) is True


def test_sleeper_is_woken_by_a_commit(conn: psycopg.Connection, sleeper: Worker) -> None:
    """
    T5: a capture rings while somebody sleeps, and is silent again once that one is awake.
    """
    unit = str(uuid.uuid4())
    poll(lambda: is_asleep(conn), "it sleeps", 10)
    conn.execute("listen iu_gates_bell")
    conn.execute(INSERT, (unit, 2))
    poll(lambda: is_delivered(conn, unit), "delivery", 5)
    assert len(list(conn.notifies(timeout=0, stop_after=2))) == 1

    poll(lambda: fetch_value(conn, "select last_value from iu_core.iu_bell") == 1, "silence", 5)
    conn.execute(INSERT, (unit, 3))
    assert list(conn.notifies(timeout=0)) == []
    assert sleeper.is_alive()


def test_writer_that_saw_a_silent_bell_is_waited_for(
    url: str, conn: psycopg.Connection, sleeper: Worker
) -> None:
    """
    P1: who looked before the bell was armed does not ring; the worker polls until it has ended.
    """
    unit = str(uuid.uuid4())
    poll(lambda: is_asleep(conn), "it sleeps", 10)
    with psycopg.connect(url) as early:
        conn.execute(INSERT, (str(uuid.uuid4()), 2))
        poll(lambda: fetch_value(conn, "select last_value from iu_core.iu_bell") == 1, "silence", 5)
        early.execute(INSERT, (unit, 2))
        poll(lambda: is_polling(conn), "it polls with the bell armed", 10)
        assert not is_asleep(conn)
        early.commit()
        poll(lambda: is_delivered(conn, unit), "delivery", 5)
    poll(lambda: is_asleep(conn), "then it sleeps", 10)
    assert sleeper.is_alive()


def test_old_snapshot_does_not_hide_the_bell(
    url: str, conn: psycopg.Connection, sleeper: Worker
) -> None:
    """
    P1: a REPEATABLE READ writer whose snapshot is older than the arming still rings.
    """
    unit = str(uuid.uuid4())
    with psycopg.connect(url) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select 1 from public.unit_version limit 1")
        conn.execute(INSERT, (str(uuid.uuid4()), 2))
        poll(lambda: is_asleep(conn), "it sleeps", 10)
        old.execute(INSERT, (unit, 2))
        old.commit()
    poll(lambda: is_delivered(conn, unit), "delivery", 5)
    assert sleeper.is_alive()


def test_idling_spends_no_transaction_id(
    url: str, conn: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    T15: looks and renewals of the bell, many of them, take no xid.
    """
    monkeypatch.setattr(bell, "NAP_SECONDS", 0.05)
    monkeypatch.setattr(loop, "NAP_SECONDS", 0.05)
    until = "select last_value from iu_core.iu_bell"
    xmax = "select pg_snapshot_xmax(pg_current_snapshot())"

    def renew(milliseconds: int) -> None:
        armed = int(str(fetch_value(conn, until)))
        poll(lambda: int(str(fetch_value(conn, until))) > armed + milliseconds, "renewals", 10)

    with Worker(make_settings(url, tmp_path)):
        # What an earlier worker has armed, or none: the first change is this one's.
        renew(0)

        def renews_for_nothing() -> bool:
            before = fetch_value(conn, xmax)
            renew(500)
            return fetch_value(conn, xmax) == before

        # A heartbeat or autovacuum may spend one now and then; half a second of naps does not.
        poll(renews_for_nothing, "half a second without a transaction id", 20)


def test_stop_ends_a_sleep(conn: psycopg.Connection, sleeper: Worker) -> None:
    """
    P8: a worker asleep for a minute ends at once when it is told to, without an event.
    """
    poll(lambda: is_asleep(conn), "it sleeps", 10)
    sleeper.stop.set()
    sleeper.join(5)
    assert not sleeper.is_alive()


def test_sleeper_outlives_the_substrate(
    url: str, conn: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What it sleeps on is taken away and comes back: it waits meanwhile, and works on.
    """
    monkeypatch.setattr(bell, "NAP_SECONDS", 0.05)
    monkeypatch.setattr(loop, "NAP_SECONDS", 0.05)
    conn.execute("create database moved")
    there = make_conninfo(url, dbname="moved")
    asks = (
        "select count(*) = 1 from pg_stat_activity where datname = 'moved'"
        " and application_name = 'iu-gates worker' and query ~ %s"
    )
    with psycopg.connect(there, autocommit=True) as host:
        host.execute(HOST)
        walk_to(there, "substrate@060", "runtime@080")
        with Worker(make_settings(there, tmp_path)) as worker:
            until = "select last_value from iu_core.iu_bell"
            poll(lambda: fetch_value(host, until) != 1, "it sleeps", 10)
            walk_down(there, "runtime@base", "base")
            poll(
                lambda: not worker.is_alive() or fetch_value(conn, asks, "to_regclass") is True,
                "it waits",
                10,
            )
            assert worker.is_alive(), worker.error
            walk_to(there, "substrate@060", "runtime@080")
            host.execute(INSERT, (str(uuid.uuid4()), 2))
            tried = "select count(*) from iu_core.iu_route_attempt"
            poll(lambda: fetch_value(host, tried) == 1, "it works on", 10)
    conn.execute("drop database moved")


def test_bell_of_a_dead_worker_runs_out(conn: psycopg.Connection) -> None:
    """
    A worker killed asleep leaves no bell that makes each transaction of the host queue.
    """
    conn.execute("select iu_core.fn_iu_bell_arm(null)")
    conn.execute("listen iu_gates_bell")
    conn.execute(INSERT, (str(uuid.uuid4()), 2))
    assert len(list(conn.notifies(timeout=0, stop_after=1))) == 1
    poll(
        lambda: (
            fetch_value(
                conn,
                "select last_value < extract(epoch from clock_timestamp()) * 1000"
                " from iu_core.iu_bell",
            )
            is True
        ),
        "2 s",
        5,
    )
    conn.execute(INSERT, (str(uuid.uuid4()), 2))
    assert list(conn.notifies(timeout=0)) == []


def test_no_bell_is_cut_short_that_another_has_armed(conn: psycopg.Connection) -> None:
    """
    Two sleepers: the one that was rung for silences its own bell, never the other's younger one.
    """
    (first,) = conn.execute("select until from iu_core.fn_iu_bell_arm(null)").fetchone() or ()
    (second,) = conn.execute("select until from iu_core.fn_iu_bell_arm(null)").fetchone() or ()
    conn.execute("select iu_core.fn_iu_bell_still(%s)", [first])
    assert fetch_value(conn, "select last_value from iu_core.iu_bell") == second
    conn.execute("select iu_core.fn_iu_bell_still(%s)", [second])
    assert fetch_value(conn, "select last_value from iu_core.iu_bell") == 1
