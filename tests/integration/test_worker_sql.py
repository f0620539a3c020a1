"""The worker's function: crash, company, refusals (P2, P6, P9)."""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest
from psycopg import sql

from tests.support.databases import Servers, cloned_database
from tests.support.engine import (
    LAG,
    ROUTE_KEY,
    Batch,
    Engine,
    Event,
    MakeEngine,
    drain,
    in_background,
    run_batch,
    write,
    write_bulk,
)
from tests.support.walk import HOST, SITE_KEY, State, require_template, walk_to


def lock_outbox(engine: Engine) -> psycopg.Connection:
    """Return a session in whose transaction nobody else can write into the outbox."""
    session = engine.make_conn(autocommit=False)
    session.execute("lock table public.event_outbox in share mode")
    return session


@pytest.mark.long_on_each_major
def test_killed_batch_leaves_nothing(live: Engine) -> None:
    """
    P2, P8: a batch whose backend dies has delivered nothing; the next run delivers once.
    """
    write_bulk(live.conn, "unit", 2, 101)
    assert run_batch(live.conn, limit=40).sent == 40
    holder, worker = lock_outbox(live), live.make_conn()
    with in_background(run_batch, worker) as batch:
        live.wait_until_waiting(worker)
        live.fetch_value("select pg_terminate_backend(%s, 10000)", worker.info.backend_pid)
        with pytest.raises(psycopg.errors.AdminShutdown):
            batch.result()
    holder.rollback()
    assert len(live.list_outbox()) == live.count_attempts() == 40

    drain(live.conn, limit=40)

    assert live.list_outbox() == live.list_captured() == live.list_attempted("sent")
    assert live.count_attempts() == 100


def test_client_that_dies_after_the_batch_has_delivered_once(live: Engine) -> None:
    """
    P2: a batch whose commit was never confirmed is either whole or gone, and is not repeated.
    """
    write_bulk(live.conn, "unit", 2, 11)
    worker = live.make_conn(autocommit=False)
    assert run_batch(worker).sent == 10
    live.fetch_value("select pg_terminate_backend(%s, 10000)", worker.info.backend_pid)
    with suppress(psycopg.OperationalError):
        worker.commit()
    assert live.list_outbox() == []

    drain(live.conn)

    assert live.list_outbox() == live.list_captured()
    assert live.count_attempts() == 10


@pytest.mark.long_on_each_major
def test_second_worker_stands_by_and_takes_over(live: Engine) -> None:
    """
    P2: of two workers one works, the other says "standby", and goes on where the first ended.
    """
    write_bulk(live.conn, "unit", 2, 11)
    first, second = live.make_conn(autocommit=False), live.make_conn()
    assert run_batch(first, limit=4).state == "live"
    assert run_batch(second).state == "standby"
    first.rollback()
    assert run_batch(second, limit=4).sent == 4
    assert run_batch(first, limit=4).sent == 4
    assert run_batch(second).state == "standby"
    first.commit()

    drain(second)

    assert live.list_outbox() == live.list_captured()
    assert live.count_attempts() == 10


def test_worker_that_waited_reads_the_cursor_anew(live: Engine) -> None:
    """
    P2: a worker that waited for its key, while another did the work, does not do it again.
    """
    write_bulk(live.conn, "unit", 2, 11)
    holder, worker = live.make_conn(), live.make_conn()
    holder.execute(
        "select pg_advisory_lock(%s, route_no) from iu_core.iu_outbound_route", [ROUTE_KEY]
    )
    with in_background(run_batch, worker, 6) as batch:
        live.wait_until_waiting(worker)
        assert run_batch(holder, limit=6).sent == 6  # a session does not wait for its own key
        holder.execute("select pg_advisory_unlock_all()")
    assert batch.result() == Batch("live", 4, sent=4, duplicates=0, dead=0)
    assert live.list_outbox() == live.list_captured()
    assert live.count_attempts() == 10


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_isolation_is_read_committed(live: Engine, isolation: str) -> None:
    """
    T14: a worker whose snapshot may be from before disable raises, also where nothing is to do.
    """
    session = live.make_conn()
    session.execute(f"begin isolation level {isolation}")
    with pytest.raises(psycopg.Error, match="needs READ COMMITTED") as raised:
        run_batch(session)
    assert raised.value.sqlstate == "IUG10"


@pytest.mark.parametrize("key", ["another site", "", None])
def test_other_site_key_is_refused(live: Engine, key: str | None) -> None:
    """
    T22, P9: a worker with another site key, or none, delivers nothing.
    """
    write(live.conn, "unit", 2)
    with pytest.raises(psycopg.Error, match="another site") as raised:
        run_batch(live.conn, site_key=key)
    assert raised.value.sqlstate == "IUG41"
    assert live.count_attempts() == 0


def test_worker_without_a_key_is_refused_where_none_is_recorded(live: Engine) -> None:
    """
    T22, P9: no key on either side is no match.
    """
    live.conn.execute("update iu_gates.installation set site_key_sha256 = null")
    with pytest.raises(psycopg.Error, match="another site") as raised:
        run_batch(live.conn, site_key=None)
    assert raised.value.sqlstate == "IUG41"


@pytest.mark.every_major
def test_template_clone_never_delivers(servers: Servers, major: int) -> None:
    """
    T22, T42, P9: a clone has the same cluster and the same key, and is refused by its oid.
    """
    server = servers.get(major)
    with (
        cloned_database(server, require_template(server, State.LIVE)) as clone,
        psycopg.connect(clone.conninfo, autocommit=True) as conn,
    ):
        write(conn, "unit", 2)
        with pytest.raises(psycopg.Error, match="is a copy") as raised:
            run_batch(conn)
        assert raised.value.sqlstate == "IUG41"
        assert conn.execute("select count(*) from public.event_outbox").fetchone() == (0,)


def test_other_cluster_is_refused(live: Engine) -> None:
    """
    T22, P9: a dump restored into another cluster brings the installation's row along.
    """
    live.conn.execute("update iu_gates.installation set system_identifier = system_identifier - 1")
    with pytest.raises(psycopg.Error, match="is a copy") as raised:
        run_batch(live.conn)
    assert raised.value.sqlstate == "IUG41"


def test_cursor_of_another_cluster_is_refused(live: Engine) -> None:
    """
    T22, P9: snapshots of another cluster mean nothing here, even if the installation matches.
    """
    write(live.conn, "unit", 2)
    live.conn.execute("update iu_core.iu_route_cursor set cluster_id = cluster_id - 1")
    with pytest.raises(psycopg.Error, match="belongs to cluster") as raised:
        run_batch(live.conn)
    assert raised.value.sqlstate == "IUG41"


def test_events_of_another_cluster_are_refused(live: Engine) -> None:
    """
    T22, P9: an event captured elsewhere stops the route, delivers nothing and moves nothing.
    """
    write(live.conn, "unit", 2)
    live.conn.execute(
        "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
        " values (1, 'iu.version_applied', 'foreign', 2, '{}')"
    )
    with pytest.raises(psycopg.Error, match="events of another cluster") as raised:
        run_batch(live.conn)
    assert raised.value.sqlstate == "IUG41"
    assert live.count_attempts() == 0


def test_scratch_database_is_refused(servers: Servers, major: int) -> None:
    """
    T34, T42: a rehearsal that walked to live has no worker.
    """
    with (
        cloned_database(servers.get(major), template=None) as scratch,
        psycopg.connect(scratch.conninfo, autocommit=True) as conn,
    ):
        conn.execute(HOST)
        walk_to(scratch.conninfo, "heads", scratch=True)
        write(conn, "unit", 2)
        with pytest.raises(psycopg.Error, match="scratch database") as raised:
            run_batch(conn)
        assert raised.value.sqlstate == "IUG41"


def fetch_counts(engine: Engine) -> dict[str, int]:
    """Return the rows ever written into each table, by the server's own count of this session."""
    tables = engine.fetch(
        "select n.nspname, c.relname from pg_class as c join pg_namespace as n"
        " on n.oid = c.relnamespace where c.relkind = 'r'"
        " and n.nspname in ('public', 'iu_core', 'iu_gates')"
    )
    counts = {}
    for schema, table in tables:
        query = sql.SQL(
            "select count(*), coalesce(sum(hashtext(t.*::text)::bigint), 0) from {} as t"
        )
        found = engine.conn.execute(query.format(sql.Identifier(schema, table))).fetchone()
        counts[f"{schema}.{table}"] = hash(found)
    return counts


@pytest.mark.parametrize("state", [State.DRY, State.SEAM, State.RELAXED])
def test_dry_run_writes_attempts_and_cursor_only(make_engine: MakeEngine, state: State) -> None:
    """
    P6: dry-run and a heartbeat change attempts, cursor and heartbeat, and no other row.
    """
    engine = make_engine(state)
    write_bulk(engine.conn, "unit", 2, 11)
    before = fetch_counts(engine)

    drain(engine.conn, limit=4)
    engine.conn.execute("select iu_core.fn_iu_worker_beat('w', 'manual', 'here', 1, '0', 'dry')")

    after = fetch_counts(engine)
    assert {name for name in after if after[name] != before[name]} == {
        "iu_core.iu_route_attempt",
        "iu_core.iu_route_cursor",
        "iu_core.iu_worker_heartbeat",
    }
    assert engine.list_attempted("dry_run") == engine.list_captured()


def test_dry_run_rings_no_bell(dry: Engine) -> None:
    """
    P6: a dry route of kind notify sends no notification.
    """
    dry.conn.execute(
        "update iu_core.iu_outbound_route set target_kind = 'notify', target_ref = 'bell'"
    )
    listener = dry.make_conn()
    listener.execute("listen bell")
    write(dry.conn, "unit", 2)
    drain(dry.conn)
    assert list(listener.notifies(timeout=0)) == []
    assert dry.list_attempted("dry_run") == [Event("unit", 2)]


def test_worker_needs_no_right_but_its_function(live: Engine) -> None:
    """
    P9: a login of the worker's role runs batches and can touch no switch.
    """
    live.conn.execute("drop role if exists night_shift")
    live.conn.execute("create role night_shift login in role iu_gates_worker")
    write(live.conn, "unit", 2)
    session = live.make_conn(user="night_shift")

    assert run_batch(session, site_key=SITE_KEY).sent == 1

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("update iu_core.iu_outbound_route set enabled = false")
    session.close()
    live.conn.execute("drop role night_shift")


def test_lag_counts_what_waits(live: Engine) -> None:
    """
    The figure of a route is what its cursor has before it, and 0 once that was delivered.
    """
    write(live.conn, "a", 2, 3, 4)
    assert live.fetch_value(LAG) == 3
    drain(live.conn)
    assert live.fetch_value(LAG) == 0
