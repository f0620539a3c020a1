"""
Each role, logged in: everything that it must not do, and everything that it must be able to.

What it must not do is read from the catalog, so that a new table or function is covered by
itself: all tables, columns, sequences and functions of ours, and the host's two tables.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql

from iu_gates import (
    approvals,
    audit,
    backups,
    disable,
    ledger,
    ledger_export,
    plan,
    proof,
    rollback,
    worker,
)
from iu_gates.doctor import doctor
from iu_gates.errors import GateError, IuGatesError, NotDrainedError, RefusedError
from iu_gates.status import fetch_status
from tests.support.engine import GATE_KEY
from tests.support.play import MakeStage, Stage, Worker
from tests.support.walk import ROUTE, SITE_KEY, State

GROUPS = ("iu_gates_operator", "iu_gates_approver", "iu_gates_worker", "iu_gates_auditor")
TABLES = """
select format('%I.%I', n.nspname, c.relname),
       (select quote_ident(a.attname) from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          and a.attidentity = '' and a.attgenerated = '' order by a.attnum limit 1)
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname in ('iu_gates', 'iu_core', 'public')
"""
ON_TABLE = (
    "insert into {table} ({column}) select null where false",
    "update {table} set {column} = null where false",
    "delete from {table} where false",
    "truncate {table}",
    "lock table {table} in access exclusive mode",
    "alter table {table} add column x integer",
    "alter table {table} disable trigger all",
    "alter table {table} enable row level security",
    "alter table {table} owner to current_user",
    "create index on {table} ({column})",
    "create trigger x before insert on {table} execute function iu_gates.fn_append_only()",
    "create rule x as on insert to {table} do instead nothing",
    "create policy x on {table}",
    "comment on table {table} is 'x'",
    "drop table {table}",
)
FUNCTIONS = """
select p.oid::regprocedure::text, has_function_privilege(%s, p.oid, 'execute'),
       format('select %%I.%%I(%%s)', n.nspname, p.proname, (
           select string_agg(format('null::%%s', a::regtype), ', ')
           from unnest(p.proargtypes) as a))
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
where n.nspname in ('iu_gates', 'iu_core')
"""
ON_FUNCTION = (
    "alter function {function} owner to current_user",
    "alter function {function} reset all",
    "alter function {function} security definer",
    "drop function {function}",
)
SEQUENCES = """
select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'S' and n.nspname in ('iu_gates', 'iu_core')
"""
ELSEWHERE = (
    "create table iu_gates.x (y integer)",
    "create table iu_core.x (y integer)",
    "create function iu_core.x() returns void language sql as ''",
    "create or replace function iu_core.fn_iu_event_seq() returns bigint return 1",
    "create type iu_core.x as enum ('y')",
    "drop schema iu_core cascade",
    "drop schema iu_gates cascade",
    "alter schema iu_core owner to current_user",
    "set session_replication_role = replica",
    "set session authorization iu_gates_owner",
    "alter role iu_gates_operator inherit",
    "grant iu_gates_owner to current_user",
    "drop trigger iu_unit_version_capture on public.unit_version",
)
FOR_THE_OWNER = [
    "set role iu_gates_owner",
    # On 15 a member need not say SET ROLE first.
    "alter default privileges for role iu_gates_owner grant all on tables to public",
]
SPOOFS = {
    "iu_gates.walk": "live",
    "iu_gates.stops_seen": "{1,2,3,4,5,6,7,8,9}",
    "iu_gates.switch_by": "function",
    "iu_gates.catalog_before": "{}",
    "iu_gates.control_mended": "{}",
}
"""Settings that our functions read; any login may set them."""


@pytest.fixture
def live(make_stage: MakeStage) -> Stage:
    """Give a live database with some history."""
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2, 3)
    worker.run(stage.settings, once=True)
    return stage


def open_as(stage: Stage, login: str) -> psycopg.Connection:
    """Return a session of a login."""
    return psycopg.connect(stage.database.conninfo_as(login), autocommit=True)


def list_attempts(stage: Stage, login: str) -> list[str]:
    """
    Return every statement that no group may run, and calls of what this one may not call.

    What it may call is a list of its own: tests/migrations/test_roles.py.
    """
    statements = [
        text.format(table=table, column=column)
        for table, column in stage.fetch(TABLES)
        for text in ON_TABLE
    ]
    for function, may_run, call in stage.fetch(FUNCTIONS, login):
        statements += [text.format(function=function) for text in ON_FUNCTION]
        statements += [] if may_run else [call]
    for (name,) in stage.fetch(SEQUENCES):
        statements += [f"select nextval('{name}')", f"select setval('{name}', 1)"]
        statements += [f"alter sequence {name} restart"]
    return [*statements, *ELSEWHERE]


def try_out(session: psycopg.Connection, statements: list[str]) -> list[str]:
    """Run each statement in a transaction of its own, rolled back; return those not refused."""
    passed = []
    for statement in statements:
        try:
            with session.transaction(force_rollback=True):
                session.execute(statement)
        except errors.InsufficientPrivilege:
            continue
        except psycopg.Error as error:
            passed.append(f"{statement}: {error.sqlstate} {error}")
        else:
            passed.append(statement)
    return passed


@pytest.mark.long_on_each_major
@pytest.mark.parametrize("group", GROUPS)
def test_group_is_refused_all_that_is_not_its_business(live: Stage, group: str) -> None:
    """
    P10: every table, function and sequence of ours, refused for want of a right, not by luck.

    An operator is one of them until it says SET ROLE; nobody else may say that.
    """
    login = live.make_login(group)
    with open_as(live, login) as session:
        statements = list_attempts(live, login)
        assert len(statements) > 600
        assert try_out(session, statements) == []
        if group != "iu_gates_operator":
            assert try_out(session, FOR_THE_OWNER) == []

        for name, value in SPOOFS.items():
            session.execute("select set_config(%s, %s, false)", (name, value))
        assert try_out(session, statements) == []


def test_attempts_are_refused_because_of_the_role(live: Stage) -> None:
    """
    The test above can fail: one grant too many, and it names what has become possible.
    """
    login = live.make_login("iu_gates_worker")
    name = sql.Identifier(login)
    live.conn.execute(sql.SQL("grant update on iu_core.iu_runtime_gate to {}").format(name))
    live.conn.execute(sql.SQL("grant usage on schema iu_gates to {}").format(name))
    live.conn.execute(
        sql.SQL("grant select on iu_gates.installation, iu_gates.scratch_mark to {}").format(name)
    )
    live.conn.execute(
        sql.SQL(
            "grant execute on function iu_core.fn_iu_worker_require(text), iu_gates.fn_is_scratch()"
            " to {}"
        ).format(name)
    )
    statements = list_attempts(live, "iu_gates_worker")

    with open_as(live, login) as session:
        passed = try_out(session, statements)

    # Who may UPDATE may LOCK; the functions raise or answer, and want no right.
    assert sorted(text.split(" null")[0].split("(")[0] for text in passed) == [
        "lock table iu_core.iu_runtime_gate in access exclusive mode",
        "select iu_core.fn_iu_worker_require",
        "select iu_gates.fn_is_scratch",
        "update iu_core.iu_runtime_gate set gate_name =",
    ]


def test_worker_is_held_whatever_it_says_it_has_seen(live: Stage) -> None:
    """
    P5, P10: settings that our functions read and temporary tables of our names change nothing.
    """
    login = live.make_login("iu_gates_worker")
    disable.disable(live.with_settings(), reason="a test")
    live.write("later", 2)
    before = live.count()

    with open_as(live, login) as session:
        for name, value in SPOOFS.items():
            session.execute("select set_config(%s, %s, false)", (name, value))
        session.execute("create temporary table iu_runtime_gate (gate_name text, gate_value text)")
        session.execute(
            "insert into iu_runtime_gate values ('iu_core.route_worker_enabled', 'true')"
        )
        session.execute("create temporary table stop (route_name text, lifted_at timestamptz)")
        session.execute("set search_path = pg_temp, iu_core")
        state = session.execute(
            "select state from iu_core.fn_iu_route_worker_run(%s, 10, %s)", (ROUTE, SITE_KEY)
        ).fetchone()

    assert state == ("hold",)
    assert live.count() == before


@pytest.mark.long_on_each_major
def test_whole_way_is_gone_by_an_operator_with_a_worker_and_an_approver(
    make_stage: MakeStage,
) -> None:
    """
    From nothing to live and back, each by its own login; nobody is a superuser after the install.

    The ledger names the logins, not the owner for whom the operator acts.
    """
    stage = make_stage()
    stage.walk("host")
    operator = stage.make_login("iu_gates_operator", "pg_read_all_data")
    worker_settings = stage.make_settings_of("iu_gates_worker")
    stage.values["database_url"] = stage.database.conninfo_as(operator)
    head = ledger.fetch_head(stage.settings)[0]

    with stage.host(), Worker(worker_settings):
        stage.walk("live")
        assert stage.status().blocks == ()
        assert disable.disable(stage.settings).lane == "runtime@base"
        stage.walk("live")
    assert proof.prove(stage.settings).passed
    rollback.rollback(stage.settings, "009")

    assert stage.list_revisions() == ("008", "009")
    entries = [e for e in ledger.list_entries(stage.settings) if e.seq > head]
    assert {e.actor for e in entries if e.kind in ("step", "verdict", "drill")} == {operator}
    owners = stage.fetch(
        "select distinct pg_get_userbyid(c.relowner) from pg_class as c"
        " join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname in ('iu_gates', 'iu_core')"
    )
    assert owners == [("iu_gates_owner",)]


def test_auditor_reads_everything_from_the_first_audit_on(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    The first audit counts a baseline, and the auditor needs no right to write for that.
    """
    stage = make_stage(None)
    stage.write("old", 1, 2, 3)
    stage.walk("host")
    auditor = stage.make_settings_of("iu_gates_auditor")
    stage.walk("substrate")
    stage.write("new", 1, 2)
    worker.run(stage.settings, once=True)

    (report,) = audit.audit(auditor)

    assert report.passed
    assert report.counts["baseline"] == 2
    assert fetch_status(auditor).installed
    assert plan.make_plan(auditor).next_gate
    assert ledger.verify(auditor) == []
    assert ledger.list_entries(auditor, limit=1)
    ledger_export.write(auditor, tmp_path / "ledger.jsonl")
    assert all(c.passed for c in doctor(auditor).checks if c.name in ("login", "ledger"))


def test_terminate_without_the_right_names_the_grant(live: Stage) -> None:
    """
    P5: another login's batch stays in hand, the next command is the grant, and it is enough.
    """
    login = live.make_login("iu_gates_operator")
    settings = live.settings_as(login, barrier_wait="0.2 s")
    (told,) = [c for c in doctor(settings).checks if c.name == "right for disable --terminate"]
    with closing(open_as(live, live.make_login("iu_gates_worker"))) as holder:
        holder.execute("begin")
        holder.execute("select pg_advisory_xact_lock_shared(%s, 0)", [GATE_KEY])
        with pytest.raises(NotDrainedError) as raised:
            disable.disable(settings, terminate=True)
        grant = raised.value.next_command or ""
        assert grant == f'grant pg_signal_backend to "{login}"'
        assert grant in told.found

        live.conn.execute(grant.encode())

        assert len(disable.disable(settings, terminate=True).terminated) == 1
        with pytest.raises(psycopg.OperationalError):
            holder.execute("select")


@pytest.mark.parametrize("group", ["iu_gates_auditor", "iu_gates_worker", "iu_gates_approver"])
def test_who_is_no_operator_is_told_so(live: Stage, group: str) -> None:
    """
    IUG-087, with the place where the grant stands, and nothing has begun.
    """
    settings = live.make_settings_of(group)
    before = live.list_kinds()
    for call in (
        lambda: backups.create_backup(settings),
        lambda: rollback.rollback(settings, "009"),
        lambda: proof.prove(settings),
    ):
        with pytest.raises(RefusedError) as raised:
            call()
        assert raised.value.ident == "IUG-087"
        assert "doctor" in (raised.value.next_command or "")
    assert live.list_kinds() == before


@pytest.mark.parametrize("group", ["iu_gates_operator", "iu_gates_approver"])
@pytest.mark.parametrize("route", [None, ROUTE])
def test_operator_and_approver_disable(live: Stage, group: str, route: str | None) -> None:
    """
    P5: off and drained with either; the lane follows an operator, and is left to one else.
    """
    settings = live.make_settings_of(group)

    result = disable.disable(settings, route=route)

    assert result.drained
    followed = {None: "runtime@base", ROUTE: "runtime@080"}[route]
    is_operator = group == "iu_gates_operator"
    assert (result.lane == followed) is is_operator
    assert is_operator or result.lane.startswith("lane behind: this login is no operator")
    live.write("later", 2)
    assert {b.state for b in worker.run(live.settings, once=True)} <= {"hold"}


def test_disable_leaves_the_session_with_its_login(live: Stage) -> None:
    """
    Behind a pooler the session is another's next: nothing of SET ROLE stays in it.
    """
    login = live.make_login("iu_gates_operator")
    with open_as(live, login) as session:
        with session.transaction():
            epoch = session.execute("select iu_gates.fn_stop(null, 'disable', 'x')").fetchone()
            session.execute("select iu_gates.fn_take_barrier(null, 1000)")
        assert epoch is not None
        assert session.execute("select current_user = session_user").fetchone() == (True,)


def test_approver_votes_and_the_one_that_asks_does_not_count(make_stage: MakeStage) -> None:
    """
    An operator that is an approver as well does not approve its own request.
    """
    stage = make_stage()
    stage.walk("host")
    both = stage.make_settings_of("iu_gates_operator", "iu_gates_approver", "pg_read_all_data")
    stage.values["database_url"] = both.database_url
    with pytest.raises(GateError, match="invocation"):
        stage.advance("invocation")
    with pytest.raises(RefusedError, match="asked for itself"):
        approvals.vote(both, approvals.require_pending(both).digest, "approve")
    stage.approve()
    with Worker(stage.make_settings_of("iu_gates_worker")):
        assert "invocation" in stage.walk("invocation")


def test_doctor_names_what_a_dump_could_not_read(live: Stage) -> None:
    """
    An operator's pg_dump reads the host's tables: doctor prints the grant, and it is enough.
    """
    login = live.make_login("iu_gates_operator")
    settings = live.settings_as(login)
    (finding,) = [c for c in doctor(settings).checks if c.name == "rights for a backup"]
    assert "event_outbox" in finding.found
    with pytest.raises(IuGatesError):
        backups.create_backup(settings)

    live.conn.execute(finding.remedy)

    assert [c for c in doctor(settings).checks if not c.passed] == []
    backups.create_backup(settings)


def test_host_trigger_that_our_owner_may_not_run_is_named_by_the_proof(
    make_stage: MakeStage,
) -> None:
    """
    What a trigger of the host needs on the outbox, our owner needs: the proof says so.
    """
    stage = make_stage(State.SEAM)
    stage.conn.execute(
        """
        create table public.log (subject text);
        create function public.log() returns trigger language plpgsql as $$
        begin insert into public.log values (new.subject); return new; end $$;
        create trigger log before insert on public.event_outbox
        for each row execute function public.log();
        """
    )
    report = proof.prove(stage.settings)
    assert not report.passed
    assert any("permission denied for table log" in c.found for c in report.checks)

    stage.conn.execute("grant insert on public.log to iu_gates_owner")
    assert proof.prove(stage.settings).passed
