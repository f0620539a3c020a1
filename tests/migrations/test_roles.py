"""Who may do what: nothing for PUBLIC, little for each role."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors, sql

from tests.support.engine import Engine, MakeEngine, run_batch, write
from tests.support.walk import State

OURS = "(select oid from pg_namespace where nspname in ('iu_gates', 'iu_core'))"
TO_PUBLIC = f"""
    select 'schema ' || nspname, a.privilege_type
    from pg_namespace, aclexplode(nspacl) as a where oid in {OURS} and a.grantee = 0
    union all
    select 'table ' || relname, a.privilege_type
    from pg_class, aclexplode(relacl) as a where relnamespace in {OURS} and a.grantee = 0
    union all
    select 'column ' || attname, a.privilege_type
    from pg_attribute, pg_class as c, aclexplode(attacl) as a
    where c.oid = attrelid and c.relnamespace in {OURS} and a.grantee = 0
    union all
    select 'function ' || p.oid::regprocedure, a.privilege_type
    from pg_proc as p, aclexplode(coalesce(proacl, acldefault('f', proowner))) as a
    where pronamespace in {OURS} and a.grantee = 0
    union all
    select 'type ' || t.oid::regtype, a.privilege_type
    from pg_type as t, aclexplode(coalesce(typacl, acldefault('T', typowner))) as a
    where typnamespace in {OURS} and t.typelem = 0 and a.grantee = 0
    union all
    select 'default ' || defaclobjtype::text, a.privilege_type
    from pg_default_acl, aclexplode(defaclacl) as a
    where defaclnamespace in {OURS} and a.grantee = 0
"""
EXECUTABLE = f"""
    select p.proname from pg_proc as p
    where p.pronamespace in {OURS} and has_function_privilege(%s, p.oid, 'execute')
"""
WRITABLE = """
    select c.oid::regclass::text, x.privilege
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    cross join unnest(array['insert', 'update', 'delete', 'truncate', 'trigger']) as x (privilege)
    where c.relkind in ('r', 'p') and n.nspname in ('iu_gates', 'iu_core', 'public')
      and has_table_privilege(%s, c.oid, x.privilege)
"""
READERS = {
    "fn_is_scratch", "fn_is_stopped", "fn_stops_in_force", "fn_catalog", "fn_catalog_hashes",
    "fn_drift", "fn_not_in_force", "fn_votes", "fn_route_definition_hash", "fn_fingerprint",
    "fn_ledger_verify", "fn_ledger_hash", "fn_batches_in_hand", "fn_history", "fn_kept_catalog",
    "fn_role_grants", "fn_iu_route_mode", "fn_iu_route_takes", "fn_iu_cursor_current",
    "fn_iu_cursor_has_passed", "fn_iu_cursor_pending", "fn_with_needs", "fn_false_stamp",
}  # fmt: skip
STOPPERS = {"fn_stop", "fn_disable", "fn_take_barrier", "fn_fold_stops"}
MAY = {
    "iu_gates_worker": {
        "fn_iu_route_worker_run",
        "fn_iu_worker_beat",
        "fn_iu_routes_due",
        "fn_iu_routes_sift",
        "fn_iu_bell_arm",
        "fn_iu_bell_still",
        "fn_iu_worker_figures",
    },
    "iu_gates_auditor": READERS | {"fn_capture_baseline"},
    "iu_gates_operator": READERS | STOPPERS | {"fn_capture_baseline"},
    "iu_gates_approver": READERS | STOPPERS | {"fn_vote"},
}
DEFINERS = {
    "fn_batches_in_hand(integer)",
    "fn_capture_always()",
    "fn_capture_baseline()",
    "fn_disable(text,text)",
    "fn_fold_stops()",
    "fn_is_stopped(text)",
    "fn_iu_bell_arm(bigint)",
    "fn_iu_bell_still(bigint)",
    "fn_iu_capture()",
    "fn_iu_routes_due(pg_snapshot,bigint)",
    "fn_iu_routes_sift(text[],text)",
    "fn_iu_worker_figures()",
    "fn_iu_route_worker_run(text,integer,text)",
    "fn_iu_worker_beat(text,text,text,integer,text,text)",
    "fn_ledger_append(text,text,jsonb)",
    "fn_stops_in_force()",
    "fn_take_barrier(integer,integer)",
    "fn_vote(text,text,text)",
    "fn_votes(text)",
}
"""Each was read: none of its texts becomes SQL. Read a new one before it is put here."""


@pytest.fixture
def live(make_engine: MakeEngine) -> Engine:
    """Give a live database."""
    return make_engine(State.LIVE)


@pytest.fixture
def login_as(live: Engine) -> Iterator[psycopg.Connection]:
    """Give a session without rights; `grant` makes it a member of a group."""
    name = f"login_{live.database.name}"
    live.conn.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    yield live.make_conn(user=name)
    live.conn.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def join(live: Engine, session: psycopg.Connection, group: str) -> None:
    """Make the session's login a member of a group."""
    names = map(sql.Identifier, (group, session.info.user))
    live.conn.execute(sql.SQL("grant {} to {}").format(*names))


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("state", [State.SUBSTRATE, State.LIVE])
def test_nothing_is_granted_to_public(make_engine: MakeEngine, state: State) -> None:
    """
    P10: no schema, table, column or function of ours; a new function is PUBLIC's by default.
    """
    assert make_engine(state).fetch(TO_PUBLIC) == []


@pytest.mark.long_on_each_major
def test_every_function_pins_its_search_path(live: Engine) -> None:
    """
    Ours first and pg_temp last, so that no temporary table stands in for one of ours.

    But for one that is parsed when it is made (`return …`), which looks up nothing later.
    """
    found = live.fetch(
        f"""
        select p.proname, p.prosecdef,
               (select c from unnest(p.proconfig) as c where c like 'search_path=%')
        from pg_proc as p where p.pronamespace in {OURS} and p.prosqlbody is null
        """
    )
    assert len(found) > 50
    assert {path for _, _, path in found} == {"search_path=iu_core, pg_temp"}
    assert any(is_definer for _, is_definer, _ in found)
    parsed = live.fetch(
        f"select proname, prosecdef from pg_proc where pronamespace in {OURS}"
        " and prosqlbody is not null order by 1"
    )
    names = ("cloud_event", "cursor_has_passed", "idempotency_key", "route_takes")
    assert parsed == [(f"fn_iu_{name}", False) for name in names]


@pytest.mark.long_on_each_major
def test_functions_with_rights_of_their_own_are_these(live: Engine) -> None:
    """
    P10: a new SECURITY DEFINER function is noticed, and none is owned by a superuser but one.

    That one lets the capture trigger fire always, which only the owner of the host's table may;
    here that is a superuser.
    """
    found = live.fetch(
        f"""
        select replace(replace(p.oid::regprocedure::text, 'iu_gates.', ''), 'iu_core.', ''),
               pg_get_userbyid(p.proowner)
        from pg_proc as p where p.pronamespace in {OURS} and p.prosecdef
        """
    )
    assert {name for name, _ in found} == DEFINERS
    assert {name for name, owner in found if owner != "iu_gates_owner"} == {"fn_capture_always()"}


@pytest.mark.long_on_each_major
def test_nobody_else_makes_objects_in_the_schemas_of_the_search_path(live: Engine) -> None:
    """
    P10: our schemas, their tables and functions are iu_gates_owner's; only it creates there.
    """
    owners = live.fetch(
        f"""
        select nspname, pg_get_userbyid(nspowner) from pg_namespace where oid in {OURS}
        union all
        select relname, pg_get_userbyid(relowner) from pg_class where relnamespace in {OURS}
        union all
        select proname, pg_get_userbyid(proowner) from pg_proc
        where pronamespace in {OURS} and proname <> 'fn_capture_always'
        """
    )
    assert {owner for _, owner in owners} == {"iu_gates_owner"}
    creators = live.fetch(
        f"""
        select a.grantee::regrole::text from pg_namespace, aclexplode(nspacl) as a
        where oid in {OURS} and a.privilege_type = 'CREATE'
        """
    )
    assert set(creators) == {("iu_gates_owner",)}


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("group", MAY)
def test_group_may_run_these_functions_and_write_no_table(live: Engine, group: str) -> None:
    """
    P10: what a role can do is a list of functions; it writes no table of ours or of the host.
    """
    assert {name for (name,) in live.fetch(EXECUTABLE, group)} == MAY[group]
    assert live.fetch(WRITABLE, group) == []


def test_group_reads_the_record_from_the_first_step_on(make_engine: MakeEngine) -> None:
    """
    `status` of an auditor works after one upgrade: the version table is Alembic's, made late.

    A worker's login has no business with it.
    """
    engine = make_engine(State.SUBSTRATE)
    for group in MAY.keys() - {"iu_gates_worker"}:
        query = "select has_table_privilege(%s, 'iu_gates.alembic_version', 'select')"
        assert engine.fetch_value(query, group), group


def test_login_without_a_group_may_nothing(live: Engine, login_as: psycopg.Connection) -> None:
    """
    P10: who is nobody here does not even see the schemas.
    """
    for statement in (
        "select * from iu_gates.ledger",
        "select * from iu_core.iu_event",
        "select iu_gates.fn_stop(null, 'disable', 'x')",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            login_as.execute(statement)


def test_approver_votes_and_nothing_else(live: Engine, login_as: psycopg.Connection) -> None:
    """
    P10: the vote is the login's own and goes into the ledger; routes and ledger stay closed.
    """
    join(live, login_as, "iu_gates_approver")
    login_as.execute("select iu_gates.fn_vote(repeat('c', 64), 'approve', 'looked at it')")
    votes = live.fetch("select login, choice from iu_gates.fn_votes(repeat('c', 64))")
    assert votes == [(login_as.info.user, "approve")]
    last = live.fetch("select kind, actor from iu_gates.ledger order by seq desc limit 1")
    assert last == [("vote", login_as.info.user)]

    for statement in (
        "update iu_core.iu_outbound_route set enabled = false",
        "update iu_core.iu_runtime_gate set gate_value = 'true'",
        "insert into iu_gates.vote (digest, choice) values (repeat('c', 64), 'approve')",
        "insert into iu_gates.approval (route_name) values ('x')",
        "select iu_gates.fn_grant_approval('r', 'h', repeat('c', 64), 1, '1 day')",
        "select iu_gates.fn_ledger_append('verdict', 'live', '{}')",
        "insert into iu_gates.ledger select * from iu_gates.ledger",
        "delete from iu_gates.stop",
        "select iu_gates.fn_lift_stops(null)",
        "select iu_gates.fn_stop('iu.version_applied.workflow', 'trip', 'forged')",
        "select iu_gates.fn_stop(null, 'drill', 'forged')",
        "select * from iu_core.fn_iu_route_worker_run('r', 1, 'k')",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            login_as.execute(statement)


def test_worker_delivers_and_nothing_else(live: Engine, login_as: psycopg.Connection) -> None:
    """
    P10: the worker's login needs no right on the outbox; the function has it.
    """
    join(live, login_as, "iu_gates_worker")
    events = write(live.conn, "unit", 2, 3)
    assert run_batch(login_as).sent == 2
    assert live.list_outbox() == events
    for statement in (
        "insert into public.event_outbox (event_type) values ('t')",
        "select iu_core.fn_iu_route_deliver('r', '{1}')",
        "select iu_core.fn_iu_gate_set('true')",
        "update iu_core.iu_outbound_route set quota = null",
        "delete from iu_core.iu_route_attempt",
        "select iu_gates.fn_stop(null, 'disable', 'x')",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            login_as.execute(statement)
