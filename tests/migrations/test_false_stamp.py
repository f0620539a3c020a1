"""A stamp that says what no step did is named, stops every path, and is mended by one command."""

from __future__ import annotations

import psycopg
import pytest

from iu_gates import drift, lanes, ledger
from tests.support.command import run_alembic, run_psql, take_picture
from tests.support.databases import Database
from tests.support.engine import Engine, MakeEngine
from tests.support.walk import State, walk_down

HEADS = "select version_num from iu_gates.alembic_version order by 1"


def stamp(engine: Engine, *words: str) -> None:
    """Stamp by the plain command."""
    done = run_alembic("stamp", *words, IU_GATES_DATABASE_URL=engine.database.conninfo)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("state", "stamps", "path", "mend"),
    [
        (State.SUBSTRATE, ["082", "--purge heads"], "downgrade base", "--purge 060"),
        (State.SUBSTRATE, ["082"], "downgrade runtime@base", "--purge 060"),
        (State.SEAM, ["base"], "upgrade 008", "--purge 080 090"),
        (State.LIVE, ["--purge 080"], "downgrade 009", "--purge 082"),
    ],
)
def test_no_path_begins_over_a_false_stamp(
    make_engine: MakeEngine, state: State, stamps: list[str], path: str, mend: str
) -> None:
    """
    Up or down, either lane: refused before the first step, and the command that is named mends it.
    """
    engine = make_engine(state)
    heads = engine.fetch(HEADS)
    for words in stamps:
        stamp(engine, *words.split())
    before = take_picture(engine.database.conninfo)

    done = run_alembic(*path.split(), IU_GATES_DATABASE_URL=engine.database.conninfo)

    assert before.diff(take_picture(engine.database.conninfo)) == []
    assert "Traceback" not in done.stderr
    assert done.returncode != 0
    assert "alembic_version is not as the last step left it; nothing was changed" in done.stderr
    assert f"next: alembic stamp {mend}\n" in done.stderr
    assert drift.name_remedy(engine.conn) == f"alembic stamp {mend}"
    stamp(engine, *mend.split())
    assert engine.fetch(HEADS) == heads
    assert drift.list_names(engine.conn) == ()


def test_right_stamp_is_no_drift(make_engine: MakeEngine) -> None:
    """
    What is stamped as it stands is no drift, nor are rows that overlap: they mean their union.
    """
    engine = make_engine(State.SEAM)
    stamp(engine, "--purge", "080", "090")
    assert drift.list_names(engine.conn) == ()
    engine.conn.execute("insert into iu_gates.alembic_version values ('008'), ('060')")
    assert drift.list_names(engine.conn) == ()
    done = run_alembic("downgrade", "009", IU_GATES_DATABASE_URL=engine.database.conninfo)
    assert "alembic_version is not as" not in done.stderr


def test_stamp_before_any_step_is_compared_with_nothing(make_engine: MakeEngine) -> None:
    """
    The record has not begun: neither the look for drift nor a further stamp breaks.
    """
    engine = make_engine(State.SUBSTRATE)
    engine.conn.execute("drop schema iu_gates cascade")
    stamp(engine, "060")
    assert engine.fetch("select * from iu_gates.fn_false_stamp()") == []
    stamp(engine, "base")


def test_after_the_last_step_down_nothing_is_applied(make_engine: MakeEngine) -> None:
    """
    A stamp over a lane that went down to base is false too, and taken back.
    """
    engine = make_engine(State.SUBSTRATE)
    walk_down(engine.database.conninfo, "base")
    assert drift.list_names(engine.conn) == ()
    stamp(engine, "060")
    assert drift.name_remedy(engine.conn) == "alembic stamp --purge base"
    engine.conn.execute("insert into iu_gates.alembic_version values ('of another project')")
    stamp(engine, "--purge", "base")
    assert engine.fetch(HEADS) == []
    assert drift.list_names(engine.conn) == ()
    newest = "select kind, facts from iu_gates.ledger order by seq desc limit 1"
    assert engine.fetch(newest) == [("stamp", {"heads": "base"})]


def test_purge_where_nothing_is_installed(host_database: Database) -> None:
    """
    As a stamp of any other kind it makes the control schema, and a table without rows.
    """
    url = host_database.conninfo
    done = run_alembic("stamp", "--purge", "base", IU_GATES_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(url) as conn:
        assert conn.execute(HEADS).fetchall() == []
        assert ledger.fetch_newest(conn, "stamp")["facts"] == {"heads": "base"}


@pytest.mark.parametrize(
    ("stamped", "path"), [("082", "downgrade 082:080"), ("060", "upgrade 060:090")]
)
def test_printed_walk_looks_too(make_engine: MakeEngine, stamped: str, path: str) -> None:
    """
    What `--sql` prints knows no database: each step of it asks before it does anything.
    """
    engine = make_engine(State.RELAXED)
    stamp(engine, "--purge", stamped)
    heads = engine.fetch(HEADS)
    done = run_psql(engine.database, run_alembic(*path.split(), "--sql").stdout)
    assert "alembic_version is not as the last step left it" in done.stderr
    assert "HINT:  alembic stamp --purge 080 100" in done.stderr
    assert engine.fetch(HEADS) == heads
    assert engine.fetch("select from iu_gates.ledger where facts ->> 'direction' = 'down'") == []


def test_the_database_knows_what_revisions_stand_on(make_engine: MakeEngine) -> None:
    """
    `fn_with_needs` and `lanes.REVISIONS` say the same of each.
    """
    engine = make_engine(State.SUBSTRATE)
    for name in lanes.BY_NAME:
        said = engine.fetch_value(f"select iu_gates.fn_with_needs(array['{name}'])")
        assert said == sorted(lanes.list_with_needs([name]))
