"""A server that was promoted, upgraded or replicated, and the live route on it (P8, P9)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from iu_gates import rebase
from iu_gates.config import Settings, build
from iu_gates.embedded import Server, find_installs
from iu_gates.embedded.server import SOCKET_PORT
from iu_gates.errors import RefusedError
from tests.support.cli import end, poll, start_command
from tests.support.databases import SETTINGS
from tests.support.engine import Engine, wait_until, write, write_bulk
from tests.support.moving import (
    assert_each_once_and_in_order,
    list_outbox,
    make_standby,
    move,
    restored,
    work,
)
from tests.support.walk import HOST, SITE_KEY, STEPS, rehome, walk_to

ALL = tuple(target for _, target in STEPS.values())
OFF = "alter table public.unit_version disable trigger iu_unit_version_capture"
ON = "alter table public.unit_version enable always trigger iu_unit_version_capture"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Give the file of the site's key."""
    path = tmp_path / "site-key"
    path.write_text(SITE_KEY)
    return path


def settings(conninfo: str, key: Path) -> Settings:
    """Return the settings for a database of the site."""
    return build({"database_url": conninfo, "site_key_file": str(key)})


def take(conninfo: str, key: Path) -> dict[str, int]:
    """Take a copy into use; return what each route carried over."""
    done = rebase.rebase(settings(conninfo, key), moved=True, as_new_site=False)
    assert done is not None
    return dict(done.carried)


def open_window(conninfo: str) -> None:
    """Leave a window open half-way, with a late committer in it, and more behind it."""
    with (
        psycopg.connect(conninfo, autocommit=True) as conn,
        psycopg.connect(conninfo) as late,
    ):
        write(late, "late", 2)
        write_bulk(conn, "done", 2, 11)
        work(conn)
        late.commit()
        write_bulk(conn, "window", 2, 11)
        work(conn, 4, batches=1)
        write(conn, "behind", 2, 3)


@pytest.mark.long
def test_promoted_standby_goes_on_by_itself(
    live: Engine, own_server: Server, tmp_path: Path, key: Path
) -> None:
    """
    P8, P9: same cluster, same numbers, same key: the worker goes on in the middle of its window.
    """
    name = live.database.name
    with restored(name, live.database.server, own_server, name) as home:
        take(home, key)
        with make_standby(own_server, tmp_path / "standby") as standby:
            lost = psycopg.connect(home)
            write(lost, "lost", 2)
            open_window(home)
            with psycopg.connect(home, autocommit=True) as conn:
                ((here,),) = conn.execute("select pg_current_wal_flush_lsn()::text").fetchall()
                with psycopg.connect(standby.conninfo(name), autocommit=True) as seen:
                    arrived = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
                    wait_until(
                        lambda: seen.execute(arrived, [here]).fetchone() == (True,), "the replay"
                    )
            own_server.kill()
            lost.close()
            with psycopg.connect(standby.conninfo(name), autocommit=True) as conn:
                conn.execute("select pg_promote()")
                write(conn, "after", 2)
                work(conn, 3)
                assert_each_once_and_in_order(conn)
                assert len(list_outbox(conn)) == 1 + 10 + 10 + 2 + 1


@pytest.mark.long
def test_worker_goes_on_by_itself_after_a_failover(
    live: Engine, own_server: Server, tmp_path: Path, key: Path
) -> None:
    """
    P2, P3, P8: one process, whose URL names both servers, delivers what the promoted one has.

    The primary dies in the middle of a burst; while there is none, the worker waits.
    """
    name = live.database.name
    with (
        restored(name, live.database.server, own_server, name) as home,
        make_standby(own_server, tmp_path / "standby") as standby,
    ):
        take(home, key)
        url = make_conninfo(
            host=f"{own_server.socket_dir},{standby.socket_dir}",
            port=f"{SOCKET_PORT},{SOCKET_PORT}",
            dbname=name,
            user="postgres",
            target_session_attrs="read-write",
        )
        log, told = tmp_path / "log", {"IU_GATES_SITE_KEY": SITE_KEY}
        words = ("worker", "run", "--json", "--limit", "5")
        with psycopg.connect(home, autocommit=True) as conn:
            for unit in ("burst", "other"):
                write_bulk(conn, unit, 2, 2000)
        with log.open("w") as file:
            process = start_command(
                tmp_path, *words, stdout=file, IU_GATES_DATABASE_URL=url, **told
            )
        try:
            with psycopg.connect(standby.conninfo(name), autocommit=True) as conn:
                poll(lambda: len(list_outbox(conn)) > 20, "the standby sees deliveries")
                own_server.kill()
                poll(lambda: "waits for the server" in log.read_text(), "the worker waits")
                before = len(list_outbox(conn))
                conn.execute("select pg_promote()")
                write(conn, "after", 2, 3)
                captured = conn.execute("select count(*) from iu_core.iu_event").fetchone()
                poll(lambda: (len(list_outbox(conn)),) == captured, "all is delivered")
                assert_each_once_and_in_order(conn)
                assert before < 4000, "it died in the middle"
            assert process.poll() is None
        finally:
            end(process)


@pytest.mark.long
def test_logical_replication_to_another_cluster(
    live: Engine, own_server: Server, key: Path
) -> None:
    """
    T22, P9: all tables replicated; while they still are it is refused, then it goes on.
    """
    source, name = live.database.conninfo, f"{live.database.name}_subscriber"
    open_window(source)
    with psycopg.connect(own_server.conninfo(), autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    home = own_server.conninfo(name)
    move(source, home, own_server, "--schema-only")
    live.conn.execute("create publication everything for all tables")
    with psycopg.connect(home, autocommit=True) as conn:
        conn.execute(OFF)
        quoted = source.replace("'", "''")
        conn.execute(f"create subscription everything connection '{quoted}' publication everything")
        write(live.conn, "behind", 4)
        count = "select count(*) from iu_core.iu_event where subject = 'behind'"
        wait_until(lambda: conn.execute(count).fetchone() == (3,), "the rows of the original")
        ready = "select bool_and(srsubstate = 'r') from pg_subscription_rel"
        wait_until(lambda: conn.execute(ready).fetchone() == (True,), "every table")
        with pytest.raises(RefusedError) as raised:
            take(home, key)
        assert raised.value.next_command == 'alter subscription "everything" disable'
        conn.execute("drop subscription everything")
        conn.execute(ON)
        for table in ("unit_version", "event_outbox"):
            conn.execute(
                f"select setval(pg_get_serial_sequence('public.{table}', 'id'), max(id))"
                f" from public.{table}"
            )

        # late is in the four that were worked through.
        assert sum(take(home, key).values()) == 1 + 10 - 4 + 3

        write(conn, "after", 2)
        work(conn, 3)
        assert_each_once_and_in_order(conn)


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Server]:
    """Give a server of 18 with what a live database of 16 left, half-way through a window."""
    if not {16, 18} <= set(find_installs()):
        pytest.fail("PostgreSQL 16 and 18 are not both at hand")
    old = Server(tmp_path / "16", major=16, settings=SETTINGS)
    new = Server(tmp_path / "18", major=18, settings=SETTINGS)
    try:
        for server in (old, new):
            server.start()
        with psycopg.connect(old.conninfo(), autocommit=True) as conn:
            conn.execute("create database app")
        with psycopg.connect(old.conninfo("app")) as conn:
            conn.execute(HOST)
        walk_to(old.conninfo("app"), *ALL)
        rehome(old.conninfo("app"))
        open_window(old.conninfo("app"))
        for server in (old, new):
            server.stop()
        _upgrade(old, new, tmp_path)
        new.start()
        yield new
    finally:
        for server in (old, new):
            server.wipe()


def _upgrade(old: Server, new: Server, directory: Path) -> None:
    """Run pg_upgrade; 18 has checksums unless told otherwise, 16 has not."""
    here = directory / "18"
    for command in (
        [old.bin_dir / "pg_checksums", "--enable", "-D", old.data],
        [
            new.bin_dir / "pg_upgrade",
            *("-b", old.bin_dir, "-B", new.bin_dir, "-d", old.data, "-D", new.data),
            *("-U", "postgres", "--socketdir", new.socket_dir, "--no-sync"),
        ],
    ):
        line = f"cd {shlex.quote(str(new.socket_dir))} && {shlex.join(map(str, command))}"
        done = new._account.run(["sh", "-c", line])
        assert done.returncode == 0, f"{here}: {done.stdout}"


@pytest.mark.long
def test_pg_upgrade(upgraded: Server, key: Path) -> None:
    """
    T22, P9: the system identifier is another one; after the re-base nothing is lost or repeated.
    """
    home = upgraded.conninfo("app")
    with psycopg.connect(home, autocommit=True) as conn:
        write(conn, "behind", 4)
        with pytest.raises(psycopg.Error) as raised:
            work(conn)
        assert (raised.value.sqlstate, raised.value.diag.message_hint) == (
            "IUG41",
            "iu-gates rebase",
        )
        assert sum(take(home, key).values()) == 1 + 10 - 4 + 3
        write(conn, "after", 2)
        work(conn, 3)
        assert_each_once_and_in_order(conn)
        assert len(list_outbox(conn)) == 1 + 10 + 10 + 3 + 1
