"""Settings of the login, the database or the server that our sessions would inherit."""

from __future__ import annotations

from functools import partial

import psycopg
import pytest
from psycopg import sql

from iu_gates import db, disable, ledger
from iu_gates.errors import UnreachableError
from tests.support.cli import poll
from tests.support.databases import Database
from tests.support.play import MakeStage, Stage
from tests.support.walk import HOST, walk_to

INHERITED = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "client_encoding": "LATIN1",
    "TimeZone": "Asia/Kathmandu",
    "idle_session_timeout": "300ms",
}
"""Those that change what the server answers, or how long; a dump takes more than that."""


def inherit(database: Database) -> None:
    """Let every session that comes have the styles of somebody else."""
    with psycopg.connect(database.conninfo, autocommit=True) as conn:
        for name, value in INHERITED.items():
            conn.execute(
                sql.SQL("alter database {} set {} = {}").format(
                    sql.Identifier(database.name), sql.Identifier(name), sql.Literal(value)
                )
            )


def is_over(stage: Stage, pid: int) -> bool:
    """Tell whether a session is no more."""
    query = "select not exists (select from pg_stat_activity where pid = %s)"
    return bool(stage.fetch_value(query, pid))


def outstay(stage: Stage, name: str) -> None:
    """Go on in a transaction that a timeout has ended."""
    with db.connect(stage.settings, "test") as conn, conn.transaction():
        conn.execute("select set_config(%s, '1ms', true)", (name,))
        poll(partial(is_over, stage, conn.info.backend_pid), "the session is ended")
        conn.execute("select 1")


def test_walk_reads_what_a_server_of_other_styles_answers(make_stage: MakeStage) -> None:
    """
    Dates, spans and texts come in a form that is read: a backup, three steps, `disable`.
    """
    stage = make_stage()
    inherit(stage.database)

    stage.advance("substrate")

    assert stage.list_steps() == ["up 008", "up 009", "up 060"]
    assert stage.status().drift == ()
    assert disable.disable(stage.settings).drained
    assert ledger.verify(stage.settings) == []


def test_session_that_a_timeout_ends_is_a_lost_connection(make_stage: MakeStage) -> None:
    """
    Exit 5 and the same command, as for any other lost connection; no bug of ours.
    """
    stage = make_stage()
    known = "select name from pg_settings where name = any (%s)"
    for (name,) in stage.fetch(
        known, ["idle_in_transaction_session_timeout", "transaction_timeout"]
    ):
        with pytest.raises(UnreachableError, match="the connection was lost") as raised:
            outstay(stage, name)
        assert (raised.value.ident, raised.value.exit_code) == ("IUG-054", 5)


def test_plain_alembic_sends_what_a_server_of_other_styles_reads(empty_database: Database) -> None:
    """
    The SQL of the revisions holds signs that LATIN1 has not.
    """
    inherit(empty_database)
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        conn.execute(HOST)

    walk_to(empty_database.conninfo, "substrate@060")

    with psycopg.connect(empty_database.conninfo) as conn:
        row = conn.execute("select max(version_num) from iu_gates.alembic_version").fetchone()
    assert row == ("060",)
