"""Walks through pgbouncer in transaction mode: nothing is left on a session that is not ours."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg
import pytest

from iu_gates import disable, rollback, site
from iu_gates.errors import LockHeldError
from tests.support.command import run_alembic
from tests.support.play import MakeStage
from tests.support.pooler import PGBOUNCER, pooler
from tests.support.tools import require_tool
from tests.support.walk import State

SIZE = 2
SETTINGS = (
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "search_path",
    "role",
    "iu_gates.walk",
    "iu_gates.stops_seen",
    "iu_gates.barrier_wait",
)


@pytest.fixture
def make_stage(make_stage: MakeStage) -> MakeStage:
    """Give a maker of stages; there has to be a pgbouncer."""
    require_tool("pgbouncer", there=PGBOUNCER is not None)
    return make_stage


def read_settings(conn: psycopg.Connection) -> dict[str, str]:
    """Return what a session is set to; a setting that is not there counts as empty."""
    query = "select coalesce(current_setting(s, true), '') from unnest(%s::text[]) as s"
    values = conn.execute(query, [list(SETTINGS)]).fetchall()
    return dict(zip(SETTINGS, (v for (v,) in values), strict=True))


def list_pooled(url: str) -> dict[int, dict[str, str]]:
    """Return what each session of the pool is set to, by its pid."""
    seen = {}
    with ExitStack() as stack:
        for _ in range(SIZE):
            conn = stack.enter_context(psycopg.connect(url, prepare_threshold=None))
            row = conn.execute("select pg_backend_pid()").fetchone()
            assert row is not None
            seen[row[0]] = read_settings(conn)
    assert len(seen) == SIZE
    return seen


def test_disable_leaves_nothing_on_a_pooled_session(make_stage: MakeStage) -> None:
    """
    P5: its follow-up walks the lane down behind a pooler; the next client finds a clean session.
    """
    stage = make_stage(State.LIVE)
    with psycopg.connect(stage.database.conninfo) as conn:
        clean = read_settings(conn)
    with pooler(stage.database, size=SIZE) as url:
        before = list_pooled(url)

        result = disable.disable(stage.with_settings(database_url=url), reason="behind a pooler")

        assert result.lane == "runtime@base"
        after = list_pooled(url)
        assert after.keys() == before.keys()
        assert list(after.values()) == [clean, clean]


def test_plain_alembic_leaves_nothing_on_a_pooled_session(make_stage: MakeStage) -> None:
    """
    `alembic upgrade` and `downgrade` work behind a pooler, and prepare no statement there.
    """
    stage = make_stage(State.RELAXED)
    with psycopg.connect(stage.database.conninfo) as conn:
        clean = read_settings(conn)
    with pooler(stage.database, size=SIZE) as url:
        for arguments in (("downgrade", "009"), ("upgrade", "substrate@060"), ("current",)):
            done = run_alembic(*arguments, IU_GATES_DATABASE_URL=url)
            assert done.returncode == 0, done.stderr
        assert list(list_pooled(url).values()) == [clean, clean]
    assert "060" in stage.list_revisions()


@pytest.mark.parametrize("size", [1, 2])
def test_walk_is_refused_where_its_lock_cannot_be_held(make_stage: MakeStage, size: int) -> None:
    """
    In transaction mode the lock of the walk would be everybody's.

    That is said before anything is done (exit 6).
    """
    stage = make_stage(State.LIVE)
    with pooler(stage.database, size=size) as url:
        settings = stage.with_settings(database_url=url)
        with pytest.raises(LockHeldError, match="cannot be held through") as raised:
            rollback.rollback(settings, "100")
    assert (raised.value.ident, raised.value.exit_code) == ("IUG-064", 6)
    assert "082" in stage.list_revisions()
    held = "select count(*) from pg_locks where locktype = 'advisory' and classid = 18773005"
    assert stage.fetch_value(held) == 0


def test_in_session_mode_the_lock_is_held(make_stage: MakeStage) -> None:
    """
    A pool in session mode gives each client a session of its own, and that will do.
    """
    stage = make_stage(State.DRY)
    with pooler(stage.database, mode="session", size=6) as url:
        settings = stage.with_settings(database_url=url)
        with (
            site.walk_lock(settings, "advance"),
            pytest.raises(LockHeldError, match="is at work") as raised,
            site.walk_lock(stage.settings, "rollback"),
        ):
            pass
        assert raised.value.ident == "IUG-060"
