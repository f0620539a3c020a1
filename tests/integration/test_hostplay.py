"""
The host of the demo: its tables, and how a history is played into them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import psycopg
import pytest

from iu_gates.history import Version, generate, parse_instant
from iu_gates.hostplay import BackgroundPlayer, make_host, replay
from tests.support.databases import Database

MakeConn = Callable[..., psycopg.Connection]
HISTORY = generate(1, 10, 100).versions


@pytest.fixture
def host(empty_database: Database, make_empty_conn: MakeConn) -> psycopg.Connection:
    """Give an autocommit session on an empty host."""
    conn = make_empty_conn()
    make_host(conn)
    return conn


@pytest.fixture
def make_empty_conn(empty_database: Database, request: pytest.FixtureRequest) -> MakeConn:
    """Give a maker of sessions on the empty database."""

    def make(*, autocommit: bool = True) -> psycopg.Connection:
        made = psycopg.connect(empty_database.conninfo, autocommit=autocommit)
        request.addfinalizer(made.close)
        return made

    return make


def list_written(conn: psycopg.Connection) -> list[tuple[str, int]]:
    """Return unit and number of the rows, in the order in which they were written."""
    query = "select unit, version_seq from public.unit_version order by id"
    return [(unit, seq) for unit, seq in conn.execute(query)]


def numbered(versions: tuple[Version, ...]) -> list[tuple[str, int]]:
    """Return unit and number of each version."""
    return [(version.unit, version.version_seq) for version in versions]


@pytest.mark.every_major
def test_host_is_made_once(host: psycopg.Connection) -> None:
    """
    The host's tables are made, a second time changes nothing, and all is named and explained.
    """
    replay(host, HISTORY[:3])

    make_host(host)

    assert list_written(host) == numbered(HISTORY[:3])
    constraints = host.execute(
        "select conname from pg_constraint where conrelid = any (%s::regclass[])"
        " and contype <> 'n' order by conname",
        [["public.unit_version", "public.event_outbox"]],
    )
    assert [name for (name,) in constraints] == [
        "event_outbox_idempotency_key_key",
        "event_outbox_pkey",
        "unit_version_pkey",
        "unit_version_unit_version_seq_key",
        "unit_version_version_seq_chk",
    ]
    unexplained = host.execute(
        "select a.attrelid::regclass, a.attname from pg_attribute a"
        " where attrelid = any (%s::regclass[]) and attnum > 0"
        " and col_description(attrelid, attnum) is null",
        [["public.unit_version", "public.event_outbox"]],
    )
    assert unexplained.fetchall() == []


def test_replay_keeps_order_and_commits(host: psycopg.Connection) -> None:
    """
    Rows are written in the history's order, a transaction for each of its commits.
    """
    seen: list[int] = []

    played = replay(host, HISTORY, batch=7, on_progress=seen.append)

    assert played == len(HISTORY) == seen[-1]
    assert all(before < after for before, after in pairwise(seen))
    assert list_written(host) == numbered(HISTORY)
    commits = host.execute(
        "select commit_hash from public.unit_version group by xmin, commit_hash order by min(id)"
    )
    assert [name for (name,) in commits] == list(dict.fromkeys(x.commit for x in HISTORY))


def test_replay_writes_what_the_history_says(host: psycopg.Connection) -> None:
    """
    A row holds the content's name, the commit and the committer's clock.
    """
    version = Version("a 'b'\n", 2, "c0ffee", "2020-03-13T23:27:19+13:00", "b10b")

    replay(host, [version])

    row = host.execute(
        "select unit, version_seq, body, commit_hash, created_at from public.unit_version"
    ).fetchone()
    assert row == ("a 'b'\n", 2, {"blob": "b10b"}, "c0ffee", parse_instant(version.committed_at))


def test_version_without_commit_has_its_own_transaction(host: psycopg.Connection) -> None:
    """
    Versions without a commit are not taken for one change; without a clock now counts.
    """
    replay(host, [Version("a", 1), Version("a", 2)])

    row = host.execute(
        "select count(distinct xmin::text), bool_and(created_at > now() - interval '1 hour')"
        " from public.unit_version"
    ).fetchone()
    assert row == (2, True)


def test_replay_stops_at_an_error(host: psycopg.Connection) -> None:
    """
    What came before a row that is refused is committed, its own commit and the rest are not.
    """
    versions = [Version("a", 1, "x"), Version("b", 1, "y"), Version("a", 1, "y"), Version("c", 1)]

    with pytest.raises(psycopg.errors.UniqueViolation):
        replay(host, versions)

    assert list_written(host) == [("a", 1)]
    assert replay(host, versions[1:2]) == 1


def test_replay_refuses_a_session_in_a_transaction(
    host: psycopg.Connection, make_empty_conn: MakeConn
) -> None:
    """
    All commits of the history in one transaction would be no replay, so that is refused.
    """
    with host.transaction(), pytest.raises(ValueError, match="autocommit"):
        replay(host, HISTORY)
    with pytest.raises(ValueError, match="autocommit"):
        replay(make_empty_conn(autocommit=False), HISTORY)

    assert list_written(host) == []


def test_player_plays_all(host: psycopg.Connection, empty_database: Database) -> None:
    """
    Left alone, the player plays everything in order and counts it.
    """
    with BackgroundPlayer(empty_database.conninfo, HISTORY, rate=100_000) as player:
        assert player.wait_for(len(HISTORY), timeout=60)

    assert player.played == len(HISTORY)
    assert player.remaining == ()
    assert list_written(host) == numbered(HISTORY)


def test_player_that_is_stopped_leaves_the_rest(
    host: psycopg.Connection, empty_database: Database
) -> None:
    """
    Stopped, the player has committed what it counted, and what remains can be replayed.
    """
    player = BackgroundPlayer(empty_database.conninfo, HISTORY, rate=1).start()
    assert player.wait_for(1, timeout=60)

    played = player.stop()

    assert 1 <= played < len(HISTORY)
    assert list_written(host) == numbered(HISTORY[:played])
    assert replay(host, player.remaining) == len(HISTORY) - played
    assert list_written(host) == numbered(HISTORY)


def test_player_keeps_its_rate(host: psycopg.Connection, empty_database: Database) -> None:
    """
    A hundred versions a second need a second for the hundredth, not less.
    """
    versions = [Version("a", seq) for seq in range(1, 52)]
    with BackgroundPlayer(empty_database.conninfo, versions, rate=100) as player:
        assert not player.wait_for(51, timeout=0.3)
        assert player.wait_for(51, timeout=60)


def test_player_waits_in_vain_for_more_than_there_is(
    host: psycopg.Connection, empty_database: Database
) -> None:
    """
    Waiting for more than there is to play ends when all is played, not at the timeout.
    """
    with BackgroundPlayer(empty_database.conninfo, HISTORY[:2], rate=100_000) as player:
        began = time.monotonic()
        assert not player.wait_for(3, timeout=60)
        assert time.monotonic() - began < 30


def test_error_of_the_player_is_raised_where_it_is_used(
    host: psycopg.Connection, empty_database: Database
) -> None:
    """
    A refused row, or a host that cannot be reached, is raised by wait_for, stop and the end.
    """
    twice = [Version("a", 1), Version("a", 1)]

    player = BackgroundPlayer(empty_database.conninfo, twice, rate=100_000).start()
    with pytest.raises(psycopg.errors.UniqueViolation):
        player.wait_for(2, timeout=60)
    assert player.stop() == 1

    unreachable = BackgroundPlayer("host=/nowhere dbname=none", twice, rate=1).start()
    with pytest.raises(psycopg.OperationalError):
        unreachable.stop()

    with (
        pytest.raises(psycopg.errors.UniqueViolation),
        BackgroundPlayer(empty_database.conninfo, [Version("a", 1)], rate=1) as player,
    ):
        player._thread.join()


def test_error_of_the_block_is_not_hidden(empty_database: Database) -> None:
    """
    Where the block fails by itself, that is what is raised.
    """
    with (
        pytest.raises(ZeroDivisionError),
        BackgroundPlayer("host=/nowhere dbname=none", [Version("a", 1)], rate=1),
    ):
        raise ZeroDivisionError
