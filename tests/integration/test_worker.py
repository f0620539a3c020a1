"""The worker's loop: it drains, drains on request, waits for the server, and stands by (P8)."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from iu_gates import config, db, disable, worker
from iu_gates.embedded import Server
from iu_gates.errors import GateError, RefusedError
from tests.support.engine import CURSOR_KEY, GATE_KEY, wait_until
from tests.support.play import MakeStage, Stage, Worker
from tests.support.pooler import PGBOUNCER, pooler
from tests.support.tools import require_tool
from tests.support.walk import HOST, SITE_KEY, State, walk_to


def is_drained(stage: Stage) -> bool:
    """Tell whether every event was attempted."""
    events = int(stage.fetch_value("select count(*) from iu_core.iu_event"))
    return stage.count("sent") == events


def test_once_drains_to_idle(make_stage: MakeStage) -> None:
    """
    P1: `once` works through all there is, a limit a batch, and ends idle.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", *range(1, 27))

    batches = worker.run(stage.settings, once=True, limit=10)

    assert [b.events for b in batches if b.events] == [10, 10, 5]
    assert batches[-1].state == "idle"
    assert is_drained(stage)


def test_schema_of_any_name_is_worked(make_stage: MakeStage) -> None:
    """
    A name with quotes and a percent sign: the worker is seen, and does not sleep as if uninstalled.
    """
    stage = make_stage(None, schema="""it's "10%" core""")
    stage.walk("substrate")
    worker.run(stage.settings, once=True)
    assert [w.invocation for w in stage.status().workers] == ["manual"]


def test_once_goes_on_after_a_lost_race(make_stage: MakeStage) -> None:
    """
    T18: 55P03 is no end of the work: `once` tries again until the lock is free.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    said: list[str] = []
    url = make_conninfo(stage.database.conninfo, options="-c lock_timeout=100ms")
    with psycopg.connect(stage.database.conninfo) as holder:
        holder.execute("select pg_advisory_xact_lock(%s, 0)", [GATE_KEY])

        def on_batch(batch: object) -> None:
            said.append(batch.state)  # type: ignore[attr-defined]
            if len(said) == 1:
                holder.rollback()

        worker.run(stage.with_settings(database_url=url), once=True, on_batch=on_batch)

    assert said[0] == "again (55P03)"
    assert is_drained(stage)


def test_stop_ends_within_the_batch(make_stage: MakeStage) -> None:
    """
    P8: told to stop, a worker finishes the batch in hand and returns; nothing is left half done.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute(
        "insert into public.unit_version (unit, version_seq)"
        " select 'u' || n, 2 from generate_series(1, 3000) as n"
    )
    with stage.worker(limit=10) as running:
        wait_until(lambda: stage.count("sent") >= 20, "batches")
    sent = stage.count("sent")
    assert not running.is_alive()
    assert sent < 3000
    assert sent % 10 == 0
    assert sent == stage.fetch_value("select count(*) from public.event_outbox")


def test_standby_takes_over(make_stage: MakeStage) -> None:
    """
    One worker a route: a second stands by while the cursor is held, and goes on when it is not.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    number = stage.fetch_value("select route_no from iu_core.iu_outbound_route")
    with psycopg.connect(stage.database.conninfo) as active:
        active.execute("select pg_advisory_xact_lock(%s, %s)", [CURSOR_KEY, number])
        with stage.worker() as second:
            wait_until(lambda: [b.state for b in second.batches] == ["standby"], "standby")
            assert stage.count() == 0
            active.rollback()
            wait_until(lambda: is_drained(stage), "it takes over")


def test_two_workers_deliver_each_event_once(make_stage: MakeStage) -> None:
    """
    P2: whoever is active, each event is in the target once and in its unit's order.
    """
    stage = make_stage(State.LIVE)
    with stage.host(pause=0.001) as host, stage.worker(limit=3), stage.worker(limit=3):
        wait_until(lambda: host.written > 150, "the host writes")
    with stage.worker():
        wait_until(lambda: is_drained(stage), "what was left is delivered")
    rows = stage.fetch(
        "select array_agg((payload -> 'data' ->> 'version_seq')::int order by id)"
        " from public.event_outbox group by subject"
    )
    assert all(versions == sorted(set(versions)) for (versions,) in rows)
    assert is_drained(stage)


def test_heartbeat_is_written_at_most_every_ten_seconds(make_stage: MakeStage) -> None:
    """
    T15: many rounds write one heartbeat, and an idle round writes nothing at all.
    """
    stage = make_stage(State.LIVE)
    with stage.worker() as running:
        wait_until(lambda: bool(stage.status().workers), "a heartbeat")
        seen = "select seen_at from iu_core.iu_worker_heartbeat"
        first = stage.fetch_value(seen)
        stage.write("unit", *range(1, 6))
        wait_until(lambda: is_drained(stage), "rounds")
        rounds = stage.fetch_value("select pg_current_wal_insert_lsn()")
        wait_until(lambda: [b.state for b in running.batches][-1] == "idle", "an idle round")
        assert stage.fetch_value(seen) == first
    assert rounds is not None


def test_hold_is_told_once(make_stage: MakeStage) -> None:
    """
    P5: a worker that finds a stop says "hold" once, and moves nothing.
    """
    stage = make_stage(State.LIVE)
    with stage.worker() as running:
        wait_until(lambda: bool(running.batches), "a first round")
        disable.disable(stage.settings)
        stage.write("unit", 1, 2)
        wait_until(lambda: running.batches[-1].state == "hold", "hold")
    assert [b.state for b in running.batches].count("hold") == 1
    assert stage.count() == 0


def test_without_a_site_key_no_work_is_done(make_stage: MakeStage) -> None:
    """
    T42: a worker without the key of its installation could be a clone's: exit 3.
    """
    stage = make_stage(State.LIVE)
    Path(stage.values["site_key_file"]).unlink()
    with pytest.raises(GateError, match="no site key") as raised:
        worker.run(stage.settings, once=True)
    assert raised.value.exit_code == 3
    assert "iu-gates advance" in (raised.value.next_command or "")


def test_other_site_key_is_refused(make_stage: MakeStage) -> None:
    """
    P9, T42: a worker with another site's key delivers nothing: exit 4, IUG-041.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    Path(stage.values["site_key_file"]).write_text("another")
    with pytest.raises(RefusedError, match="belongs to another site") as raised:
        worker.run(stage.settings, once=True)
    assert (raised.value.ident, raised.value.exit_code) == ("IUG-041", 4)
    assert stage.count() == 0


def test_copy_is_refused(make_stage: MakeStage) -> None:
    """
    P9, T22: a TEMPLATE clone, same cluster and same key, delivers nothing: exit 4, IUG-041.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    stage.conn.execute("update iu_gates.installation set database_oid = 1")
    with pytest.raises(RefusedError, match="is a copy") as raised:
        worker.run(stage.settings, once=True)
    assert (raised.value.ident, raised.value.exit_code) == ("IUG-041", 4)
    assert stage.count() == 0


def test_before_the_substrate_it_waits(make_stage: MakeStage) -> None:
    """
    A worker may be started first: without our tables it has nothing to do.
    """
    stage = make_stage()
    config.make_site_key(stage.settings)
    assert worker.run(stage.settings, once=True) == []


def test_worker_of_least_rights(make_stage: MakeStage) -> None:
    """
    A login with nothing but `iu_gates_worker` can do all that a worker does.
    """
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2)
    worker.run(stage.make_settings_of("iu_gates_worker"), once=True)
    assert is_drained(stage)
    assert len(stage.status().workers) == 1


def test_it_survives_a_restart_of_the_server(own_server: Server, tmp_path: Path) -> None:
    """
    P8: the server is killed under a worker and comes back: the same worker goes on.

    What the host had committed is delivered once.
    """
    key = tmp_path / "site-key"
    key.write_text(SITE_KEY)
    url = own_server.conninfo()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(HOST)
    walk_to(url, "substrate@060", "runtime@080", "substrate@090", "substrate@100", "runtime@082")
    settings = config.build({"database_url": url, "site_key_file": str(key)})
    insert = "insert into public.unit_version (unit, version_seq) values (%s, 2)"
    with Worker(settings) as running:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(insert, ("before",))
            wait_until(lambda: count_outbox(conn) == 1, "delivery")
        own_server.kill()
        wait_until(lambda: "waits for the server" in running.batches[-1].state, "it waits")
        own_server.start()
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(insert, ("after",))
            wait_until(lambda: count_outbox(conn) == 2, "delivery")


def count_outbox(conn: psycopg.Connection) -> int:
    """Return how many rows the outbox has."""
    row = conn.execute("select count(*) from public.event_outbox").fetchone()
    assert row is not None
    return int(row[0])


def test_it_works_behind_a_pooler_in_transaction_mode(
    make_stage: MakeStage,
) -> None:
    """
    Worker and disable use locks of transactions only.

    Behind pgbouncer in transaction mode, with other clients on the same two sessions, all is
    delivered, and `disable` drains.
    """
    require_tool("pgbouncer", there=PGBOUNCER is not None)
    stage = make_stage(State.LIVE)
    with pooler(stage.database) as url:
        settings = stage.with_settings(database_url=url)
        with db.connect(settings, "test") as conn:
            assert conn.prepare_threshold is None, "what is prepared is another session's"
        with stage.host(), Worker(settings, limit=3) as one, Worker(settings, limit=3) as two:
            wait_until(lambda: stage.count("sent") > 40, "delivery")
            result = disable.disable(settings)
            sent = stage.count()
            written = stage.fetch_value("select count(*) from iu_core.iu_event")
            wait_until(
                lambda: stage.fetch_value("select count(*) from iu_core.iu_event") > written + 10,
                "the host writes on",
            )
            assert stage.count() == sent
        assert result.drained
        states = {batch.state for running in (one, two) for batch in running.batches}
        assert states <= {"live", "idle", "standby", "hold"}


def test_disable_in_a_batch_ends_the_round(make_stage: MakeStage) -> None:
    """
    P5: with a long queue and small batches a worker sees the stop between two of them.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute(
        "insert into public.unit_version (unit, version_seq)"
        " select 'u' || n, 2 from generate_series(1, 5000) as n"
    )
    with stage.worker(limit=5):
        wait_until(lambda: stage.count("sent") > 20, "batches")
        began = time.monotonic()
        assert disable.disable(stage.settings).drained
        assert time.monotonic() - began < 10
        sent = stage.count("sent")
    assert sent == stage.count("sent") < 5000
