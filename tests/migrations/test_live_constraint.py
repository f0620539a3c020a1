"""P10: the database itself refuses a live route without an approval of this very definition."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from tests.support.engine import Engine, MakeEngine, run_batch, wait_until, write
from tests.support.walk import ROUTE, State

LIVE = "update iu_core.iu_outbound_route set enabled = true, dry_run = false"
APPROVED = """
    update iu_core.iu_outbound_route as r set
        enabled = true, dry_run = false, approval_id = a.approval_id,
        approval_granted_at = a.granted_at, approval_expires_at = a.expires_at
    from iu_gates.approval as a where a.approval_id = %s and r.route_name = %s
"""
INSERT = """
    insert into iu_core.iu_outbound_route (
        route_name, event_type, target_kind, target_ref, enabled, dry_run)
    values ('other', 'iu.version_applied', 'notify', 'bell', true, false)
"""
CHECK = "iu_outbound_route_live_approved_chk"
KEY = "iu_outbound_route_approval_fkey"


@pytest.fixture
def relaxed(make_engine: MakeEngine) -> Engine:
    """Give a database at 100: only an approval stands between the route and live."""
    return make_engine(State.RELAXED)


@pytest.fixture
def writer(relaxed: Engine) -> Iterator[psycopg.Connection]:
    """Give a session of a role that may write routes and read approvals, and nothing else."""
    name = sql.Identifier(f"writer_{relaxed.database.name}")
    for statement in (
        "create role {} login",
        "grant usage on schema iu_core, iu_gates to {}",
        "grant select, insert, update on iu_core.iu_outbound_route to {}",
        "grant select on iu_gates.approval to {}",
        "grant execute on function iu_core.fn_iu_route_definition to {}",
    ):
        relaxed.conn.execute(sql.SQL(statement).format(name))
    yield relaxed.make_conn(user=f"writer_{relaxed.database.name}")
    for statement in ("drop owned by {}", "drop role {}"):
        relaxed.conn.execute(sql.SQL(statement).format(name))


def approve(engine: Engine, **values: Any) -> int:
    """Write an approval (of the route as it is, for an hour, unless said otherwise)."""
    given = {"route": ROUTE, "hash": None, "granted": "-1 hour", "expires": "1 hour"} | values
    return int(
        engine.conn.execute(
            """
            insert into iu_gates.approval (
                route_name, definition_hash, digest, logins, granted_at, expires_at)
            select %(route)s::text,
                   coalesce(%(hash)s, iu_gates.fn_route_definition_hash(%(route)s), 'none'),
                   repeat('b', 64), '{alice}', clock_timestamp() + %(granted)s::interval,
                   clock_timestamp() + %(expires)s::interval
            returning approval_id
            """,
            given,
        ).fetchall()[0][0]
    )


def fetch_route(engine: Engine) -> tuple[Any, ...]:
    """Return the switches of the route."""
    (row,) = engine.fetch("select enabled, dry_run from iu_core.iu_outbound_route")
    return row


@pytest.mark.every_major
@pytest.mark.parametrize("state", [State.SUBSTRATE, State.SEAM])
def test_before_100_no_route_is_live(make_engine: MakeEngine, state: State) -> None:
    """
    P10: by UPDATE or by INSERT, even for the superuser: `iu_outbound_route_safe_chk`.
    """
    engine = make_engine(state)
    for statement in (LIVE, INSERT):
        with pytest.raises(errors.CheckViolation) as refused:
            engine.conn.execute(statement)
        assert refused.value.diag.constraint_name == "iu_outbound_route_safe_chk"
    assert fetch_route(engine) == (True, True)


@pytest.mark.every_major
def test_after_100_no_route_is_live_without_an_approval(
    relaxed: Engine, writer: psycopg.Connection
) -> None:
    """
    P10: the same statements, by the superuser and by a role with plain rights on the table.
    """
    for session in (relaxed.conn, writer):
        for statement in (LIVE, INSERT):
            with pytest.raises(errors.CheckViolation) as refused:
                session.execute(statement)
            assert refused.value.diag.constraint_name == CHECK
    assert fetch_route(relaxed) == (True, True)


def test_approval_that_stands_lets_it_live(relaxed: Engine, writer: psycopg.Connection) -> None:
    """
    P10: with an approval of this route as it is defined now, the same role may take it live.

    The time is the server's, whatever the statement says.
    """
    writer.execute(APPROVED, [approve(relaxed), ROUTE])
    assert fetch_route(relaxed) == (True, False)
    writer.execute("update iu_core.iu_outbound_route set live_since = '2001-01-01'")
    assert relaxed.fetch_value(
        "select live_since > now() - interval '1 minute' and live_from <= live_since"
        " from iu_core.iu_outbound_route"
    )


@pytest.mark.parametrize(
    ("approval", "constraint"),
    [
        pytest.param({"expires": "-1 s"}, CHECK, id="expired"),
        pytest.param({"granted": "1 min"}, CHECK, id="not granted yet"),
        pytest.param({"hash": "0" * 64}, KEY, id="another definition"),
        pytest.param({"route": "other", "hash": None}, KEY, id="another route"),
    ],
)
def test_approval_that_does_not_stand_is_refused(
    relaxed: Engine, writer: psycopg.Connection, approval: dict[str, Any], constraint: str
) -> None:
    """
    P10, T35: expired, of tomorrow, of the route as it was, or of another route.
    """
    with pytest.raises(errors.IntegrityError) as refused:
        writer.execute(APPROVED, [approve(relaxed, **approval), ROUTE])
    assert refused.value.diag.constraint_name == constraint
    assert fetch_route(relaxed) == (True, True)


@pytest.mark.parametrize(
    ("forged", "constraint"),
    [
        ("approval_expires_at = 'infinity'", KEY),
        ("approval_granted_at = '2001-01-01', approval_expires_at = 'infinity'", KEY),
        ("approval_id = -1, approval_expires_at = 'infinity'", KEY),
        ("approval_expires_at = null", CHECK),
        ("approval_granted_at = null, approval_expires_at = 'infinity'", CHECK),
        ("approval_id = null, approval_expires_at = 'infinity'", CHECK),
        ("live_since = now() - interval '90 min'", CHECK),
        ("live_from = now() - interval '90 min', live_since = now() - interval '90 min'", CHECK),
    ],
)
def test_forged_times_are_refused(
    relaxed: Engine, writer: psycopg.Connection, forged: str, constraint: str
) -> None:
    """
    P10: an expired approval is not made good by what the statement says of it.

    A null in the composite key, which would switch the foreign key off, meets the CHECK.
    """
    expired = approve(relaxed, granted="-2 hours", expires="-1 hour")
    stamps = "approval_id = a.approval_id, approval_granted_at = a.granted_at,"
    stamps += " approval_expires_at = a.expires_at"
    given = [s for s in stamps.split(", ") if s.split(" = ")[0] not in forged]
    statement = (
        f"update iu_core.iu_outbound_route set enabled = true, dry_run = false, {forged},"
        f" {', '.join(given)} from iu_gates.approval as a where a.approval_id = {expired}"
    )
    with pytest.raises(errors.IntegrityError) as refused:
        writer.execute(statement)
    assert refused.value.diag.constraint_name == constraint
    assert fetch_route(relaxed) == (True, True)


@pytest.mark.long_on_each_major
@pytest.mark.parametrize(
    "change",
    [
        "target_ref = 'elsewhere'",
        "target_kind = 'notify'",
        "event_type = 'iu.other'",
        "on_dead_letter = 'hold'",
    ],
)
def test_live_route_is_not_retargeted(
    relaxed: Engine, writer: psycopg.Connection, change: str
) -> None:
    """
    P10, T35: what was approved is this definition; while it is live it cannot become another.
    """
    writer.execute(APPROVED, [approve(relaxed), ROUTE])
    with pytest.raises(errors.ForeignKeyViolation) as refused:
        writer.execute(f"update iu_core.iu_outbound_route set {change}")
    assert refused.value.diag.constraint_name == KEY


def test_dry_route_that_was_retargeted_needs_an_approval_of_its_own(
    relaxed: Engine, writer: psycopg.Connection
) -> None:
    """
    P10: dry, retargeted, live again with the approval of what it was: refused.
    """
    approval = approve(relaxed)
    writer.execute("update iu_core.iu_outbound_route set target_ref = 'elsewhere'")
    with pytest.raises(errors.ForeignKeyViolation):
        writer.execute(APPROVED, [approval, ROUTE])
    writer.execute(APPROVED, [approve(relaxed), ROUTE])
    assert fetch_route(relaxed) == (True, False)


def test_inserted_route_needs_an_approval_of_its_own(
    relaxed: Engine, writer: psycopg.Connection
) -> None:
    """
    P10: a route that is live from its first moment stands on an approval like any other.
    """
    insert = """
        insert into iu_core.iu_outbound_route (
            route_name, event_type, target_kind, target_ref, enabled, dry_run,
            approval_id, approval_granted_at, approval_expires_at)
        select 'other', 'iu.version_applied', 'notify', 'bell', true, false,
               a.approval_id, a.granted_at, a.expires_at
        from iu_gates.approval as a where a.approval_id = %s
    """
    definition = relaxed.fetch_value(
        "select iu_core.fn_iu_route_definition("
        "'other', 'iu.version_applied', 'notify', 'bell', 'pass', null)"
    )
    with pytest.raises(errors.ForeignKeyViolation):
        writer.execute(insert, [approve(relaxed)])
    writer.execute(insert, [approve(relaxed, route="other", hash=definition)])
    assert relaxed.fetch_value(
        "select live_since is not null from iu_core.iu_outbound_route where route_name = 'other'"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "update iu_gates.approval set expires_at = 'infinity'",
        "delete from iu_gates.approval",
        "truncate iu_gates.approval cascade",
    ],
)
def test_approval_is_never_changed(relaxed: Engine, statement: str) -> None:
    """
    P10: not even by the owner; history is kept.
    """
    approve(relaxed)
    with pytest.raises(errors.DatabaseError, match="is append-only") as refused:
        relaxed.conn.execute(statement)
    assert refused.value.sqlstate == "IUG40"


def test_plain_role_cannot_write_approvals(relaxed: Engine, writer: psycopg.Connection) -> None:
    """
    P10: rights on the route are no rights on what it stands on.
    """
    for statement in (
        "insert into iu_gates.approval (route_name) values ('x')",
        "select iu_gates.fn_fixture_approval('r', 'h')",
        "select iu_gates.fn_grant_approval('r', 'h', 'd', 1, '1 day')",
        "alter table iu_core.iu_outbound_route drop constraint iu_outbound_route_live_approved_chk",
        "alter table iu_core.iu_outbound_route disable trigger all",
        "set session_replication_role = replica",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            writer.execute(statement)


@pytest.fixture
def outlived(relaxed: Engine) -> Engine:
    """Give a database whose route is live under an approval that has expired since."""
    approval = approve(relaxed, expires="1.5 s")
    relaxed.conn.execute(APPROVED, [approval, ROUTE])
    query = "select expires_at < clock_timestamp() from iu_gates.approval where approval_id = %s"
    wait_until(lambda: bool(relaxed.fetch_value(query, approval)), "the approval to expire")
    return relaxed


def test_approval_has_to_be_used_in_time_and_no_longer(outlived: Engine) -> None:
    """
    T35: what is live stays live when its approval expires; but dry and live again needs another.
    """
    outlived.conn.execute("update iu_core.iu_outbound_route set quota = 5")
    assert fetch_route(outlived) == (True, False)
    outlived.conn.execute("update iu_core.iu_outbound_route set dry_run = true")
    with pytest.raises(errors.CheckViolation) as refused:
        outlived.conn.execute(LIVE)
    assert refused.value.diag.constraint_name == CHECK


@pytest.mark.long_on_each_major
def test_dump_of_a_live_database_restores(outlived: Engine) -> None:
    """
    T35, P9: the constraints look at stamped times, so a dump loads when the approval is long over.

    The copy is whole, its constraints are validated, and its worker refuses to run.
    """
    write(outlived.conn, "unit", 2, 3)
    source, name = outlived.database, f"{outlived.database.name}_restored"
    archive = subprocess.run(
        [source.bin_dir / "pg_dump", "-Fc", source.conninfo], check=True, capture_output=True
    ).stdout
    outlived.conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    restored = make_conninfo(source.conninfo, dbname=name)
    try:
        subprocess.run(
            [source.bin_dir / "pg_restore", "--exit-on-error", "-d", restored],
            input=archive,
            check=True,
        )
        with psycopg.connect(restored, autocommit=True) as conn:
            query = "select enabled, dry_run, live_since::text from iu_core.iu_outbound_route"
            assert conn.execute(query).fetchall() == outlived.fetch(query)
            assert conn.execute(
                "select bool_and(convalidated and not condeferrable) from pg_constraint"
                " where conname in (%s, %s)",
                [CHECK, KEY],
            ).fetchall() == [(True,)]
            assert conn.execute("select count(*) from iu_core.iu_event").fetchall() == [(2,)]
            assert conn.execute("select * from iu_gates.fn_ledger_verify()").fetchall() == []
            with pytest.raises(errors.DatabaseError, match="copy of the one that was installed"):
                run_batch(conn)
    finally:
        outlived.conn.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
