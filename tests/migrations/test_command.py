"""The plain alembic command, as a user types it: a process, a URL in the environment."""

from __future__ import annotations

import subprocess
from typing import Any

import pglast
import psycopg
import pytest

from iu_gates.config import Settings
from iu_gates.status import fetch_status
from tests.support.command import bootstrap, run_alembic, run_psql, take_catalog, take_picture
from tests.support.databases import Database
from tests.support.engine import MakeEngine, drain, run_batch, write
from tests.support.walk import SITE_KEY, State


def alembic(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a database."""
    return run_alembic(*arguments, IU_GATES_DATABASE_URL=database.conninfo)


def require(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command said; it has to have succeeded."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def list_heads(database: Database) -> list[str]:
    """Return the revisions that `alembic current` names."""
    lines = require(alembic(database, "current")).splitlines()
    return sorted(line.split()[0] for line in lines if line)


def fetch_ledger(database: Database) -> list[tuple[Any, ...]]:
    """Return the entries of the ledger: kind, subject, facts."""
    with psycopg.connect(database.conninfo) as conn:
        query = "select kind, subject, facts from iu_gates.ledger order by seq"
        return conn.execute(query).fetchall()


def test_current_and_history_write_nothing(host_database: Database) -> None:
    """
    T33: looking makes no schema: before an upgrade the database is as the host made it.
    """
    before = take_picture(host_database.conninfo)

    assert require(alembic(host_database, "current")) == ""
    history = require(alembic(host_database, "history"))
    require(alembic(host_database, "history", "--indicate-current"))

    for revision in ("008", "009", "060", "080", "090", "100", "081", "082"):
        assert f"{revision} " in history
    assert before.diff(take_picture(host_database.conninfo)) == []


def test_both_lanes_go_up_and_down_by_the_plain_command(host_database: Database) -> None:
    """
    P11: `upgrade substrate@060`, `downgrade 009`, `downgrade base`, and `current` says where.
    """
    require(alembic(host_database, "upgrade", "substrate@060"))
    assert list_heads(host_database) == ["060"]
    require(alembic(host_database, "downgrade", "009"))
    assert list_heads(host_database) == ["009"]
    require(alembic(host_database, "downgrade", "base"))
    assert list_heads(host_database) == []
    steps = [
        (kind, subject, facts["direction"])
        for kind, subject, facts in fetch_ledger(host_database)
        if kind == "step"
    ]
    assert [step[1:] for step in steps] == [
        ("008", "up"),
        ("009", "up"),
        ("060", "up"),
        ("060", "down"),
        ("009", "down"),
        ("008", "down"),
    ]


def test_runtime_base_leaves_the_schema_alone(make_engine: MakeEngine) -> None:
    """
    `downgrade runtime@base` on a live database closes the switches and drops nothing of 100.
    """
    live = make_engine(State.LIVE)
    catalog = take_catalog(live.database.conninfo)

    require(alembic(live.database, "downgrade", "runtime@base"))

    assert list_heads(live.database) == ["100"]
    assert catalog.diff(take_catalog(live.database.conninfo)) == []
    switches = "select enabled, dry_run from iu_core.iu_outbound_route"
    assert live.fetch(switches) == [(True, True)]
    assert live.fetch("select gate_value from iu_core.iu_runtime_gate") == [("false",)]


def test_downgrade_009_undoes_the_runtime_lane_first(make_engine: MakeEngine) -> None:
    """
    P7: `downgrade 009` on a live database with history works, and keeps the history.
    """
    live = make_engine(State.LIVE)
    write(live.conn, "unit", 1, 2, 3)
    drain(live.conn)

    require(alembic(live.database, "downgrade", "009"))

    assert list_heads(live.database) == ["009"]
    assert live.list_outbox() == live.list_attempted("sent") == live.list_captured() != []
    down = [
        s for k, s, f in fetch_ledger(live.database) if k == "step" and f["direction"] == "down"
    ]
    assert down[0] == "082"
    assert down.index("080") < down.index("060") == len(down) - 1


@pytest.mark.parametrize("start", ["base", "060"])
def test_upgrade_heads_is_no_way_to_live(host_database: Database, start: str) -> None:
    """
    T30: `upgrade heads` without verdicts is refused with the reason, and changes nothing.

    Nothing in the catalog, no row, no entry in the ledger, and from base not even the schema.
    """
    if start != "base":
        require(alembic(host_database, "upgrade", "substrate@060"))
    before = take_picture(host_database.conninfo)

    refused = alembic(host_database, "upgrade", "heads")

    assert refused.returncode != 0
    assert "is refused by the guard; nothing was changed" in refused.stderr
    assert 'gate "host": no verdict yet' in refused.stderr
    assert 'gate "backup": no verdict yet' in refused.stderr
    assert "next: iu-gates advance" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert before.diff(take_picture(host_database.conninfo)) == []


def test_upgrade_on_a_database_that_is_empty_names_the_contract(empty_database: Database) -> None:
    """
    T34: 060 without the host's tables is refused before 008 is applied, naming the tables.
    """
    for target in ("heads", "substrate@060"):
        refused = alembic(empty_database, "upgrade", target)
        assert refused.returncode != 0
        assert "table public.unit_version: there is no such table" in refused.stderr
        assert "docs/host-contract.md" in refused.stderr
    bootstrapped = alembic(empty_database, "-x", "scratch=1", "upgrade", "heads")
    assert "table public.unit_version: there is no such table" in bootstrapped.stderr
    with psycopg.connect(empty_database.conninfo) as conn:
        assert conn.execute("select to_regnamespace('iu_gates')").fetchone() == (None,)


def test_stamp_is_no_way_to_live(make_engine: MakeEngine) -> None:
    """
    T30: `stamp 082` moves no switch; the ledger has it, and status says what does not agree.
    """
    engine = make_engine(State.SUBSTRATE)
    write(engine.conn, "unit", 1, 2)
    switches = "select enabled, dry_run, quota, live_from from iu_core.iu_outbound_route"
    before = engine.fetch(switches)

    require(alembic(engine.database, "stamp", "082"))

    assert engine.fetch(switches) == before == [(True, True, None, None)]
    assert engine.fetch("select gate_value from iu_core.iu_runtime_gate") == [("false",)]
    assert run_batch(engine.conn, site_key=SITE_KEY).state == "hold"
    assert engine.list_outbox() == []
    kind, subject, facts = fetch_ledger(engine.database)[-1]
    assert (kind, subject) == ("stamp", "alembic_version")
    assert "082" in facts["heads"]
    said = fetch_status(Settings(database_url=engine.database.conninfo)).disagreements
    assert any("worker gate is false" in s and "has 080" in s for s in said)
    assert any("is dry" in s and "has 081" in s for s in said)


def test_downgrade_base_with_history_is_refused(make_engine: MakeEngine) -> None:
    """
    P7, T32: the command's refusal names what holds history and changes nothing.
    """
    live = make_engine(State.LIVE)
    write(live.conn, "unit", 2)
    before = take_picture(live.database.conninfo)

    refused = alembic(live.database, "downgrade", "base")

    assert refused.returncode != 0
    assert "iu_event holds history" in refused.stderr
    assert "next: iu-gates rollback --to 009" in refused.stderr
    assert before.diff(take_picture(live.database.conninfo)) == []


def test_without_a_url_it_says_which_variable_to_set() -> None:
    """
    No URL is a message with the next command, neither a traceback nor a server of its own.
    """
    refused = run_alembic("current")
    assert refused.returncode != 0
    assert "no database given" in refused.stderr
    assert "export IU_GATES_DATABASE_URL=postgresql://" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_sqlalchemys_spelling_of_the_url_works_too(host_database: Database) -> None:
    """
    A URL copied from another Alembic project, `postgresql+psycopg://`, is understood.
    """
    url = host_database.conninfo.replace("postgresql://", "postgresql+psycopg://", 1)
    assert require(run_alembic("current", IU_GATES_DATABASE_URL=url)) == ""


def render_heads() -> str:
    """Return the SQL of the whole walk; it asks for no database."""
    return require(run_alembic("upgrade", "heads", "--sql"))


def test_sql_of_the_walk_is_sql() -> None:
    """
    `upgrade heads --sql` prints what PostgreSQL's own parser takes: one transaction a revision.

    And one before them, for the bootstrap.
    """
    kinds = [type(statement.stmt).__name__ for statement in pglast.parse_sql(render_heads())]
    assert kinds.count("TransactionStmt") == 2 * (1 + 8)
    assert "CreateFunctionStmt" in kinds


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("options", [["-v", "ON_ERROR_STOP=1"], []], ids=["stops", "goes on"])
def test_sql_of_the_walk_stops_at_the_guard(host_database: Database, options: list[str]) -> None:
    """
    T30: run by psql, the printed walk applies the substrate and then meets the guard.

    Even if psql goes on after an error, no later step is applied and live stays impossible.
    """
    done = run_psql(host_database, render_heads(), *options)

    assert "is refused by the guard" in done.stderr
    assert list_heads(host_database) == ["060"]
    with psycopg.connect(host_database.conninfo) as conn:
        conn.execute("insert into public.unit_version (unit, version_seq) values ('u', 2)")
        assert conn.execute("select count(*) from iu_core.iu_event").fetchone() == (1,)
        assert conn.execute("select gate_value from iu_core.iu_runtime_gate").fetchone() == (
            "false",
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="iu_outbound_route_safe_chk"):
            conn.execute("update iu_core.iu_outbound_route set enabled = true, dry_run = false")


def test_sql_of_the_walk_does_what_the_walk_does(
    host_database: Database, make_engine: MakeEngine
) -> None:
    """
    On a scratch database the printed walk runs to its end, with the same catalog as a real one.
    """
    bootstrap(host_database.conninfo, scratch=True)

    done = run_psql(host_database, render_heads(), "-v", "ON_ERROR_STOP=1")

    assert done.returncode == 0, done.stderr
    assert list_heads(host_database) == ["082", "100"]
    walked = take_catalog(make_engine(State.LIVE).database.conninfo)
    assert walked.diff(take_catalog(host_database.conninfo)) == []


def test_sql_of_the_walk_keeps_the_names_that_are_installed(make_engine: MakeEngine) -> None:
    """
    Printed without a connection, the names in it are assumed; they replace none that are known.
    """
    engine = make_engine(State.DRY)
    query = "select host from iu_gates.installation"
    before = engine.fetch_value(query)
    script = require(run_alembic("upgrade", "060:090", "--sql"))

    run_psql(engine.database, script)

    assert before["key_index"] == "event_outbox_idempotency_key_key"
    assert engine.fetch_value(query) == before


def test_printed_sql_of_060_checks_the_names_it_assumes(empty_database: Database) -> None:
    """
    P10: a trigger under a wrong name would fail every INSERT of the host: 060 refuses instead.
    """
    with psycopg.connect(empty_database.conninfo) as conn:
        conn.execute(
            "create table unit_version (doc text, version_seq int, unique (doc, version_seq))"
        )
    done = run_psql(empty_database, require(run_alembic("upgrade", "substrate@060", "--sql")))
    assert "column u.unit does not exist" in done.stderr
    with psycopg.connect(empty_database.conninfo) as conn:
        conn.execute("insert into unit_version values ('d', 2)")
