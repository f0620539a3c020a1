"""The consumer proof: it sees what a delivery would meet, and leaves nothing behind (T40, T41)."""

from __future__ import annotations

import psycopg
import pytest

from iu_gates import db, hostrow, proof
from iu_gates.errors import GateError
from iu_gates.model import ProofReport
from tests.support.engine import GATE_KEY
from tests.support.play import MakeStage, Stage
from tests.support.walk import State

REJECT = """
create function public.reject() returns trigger language plpgsql as $$
begin raise exception 'the outbox is closed today'; end $$;
create trigger reject before insert on public.event_outbox
for each row execute function public.reject();
"""
SWALLOW = """
create function public.swallow() returns trigger language plpgsql as $$
begin return null; end $$;
create trigger swallow before insert on public.event_outbox
for each row execute function public.swallow();
"""
# A host that writes to the outbox itself, under the key that the route will use.
TAKE_KEY = """
create function public.take_key() returns trigger language plpgsql as $$
begin
    insert into public.event_outbox (event_type, subject, payload, idempotency_key)
    values ('other', 'other', '{}', 'iu.version_applied.workflow:iu.version_applied:'
            || new.version_seq || ':' || new.unit);
    return null;
end $$;
create trigger take_key after insert on public.unit_version
for each row execute function public.take_key();
"""


def read_all(stage: Stage) -> dict[str, int]:
    """Return the rows of every table but the ledger, which keeps the proof's own entry."""
    with db.connect(stage.settings, "test") as conn:
        counts = db.count_rows(conn)
    counts.pop("iu_gates.ledger")
    for table in ("public.unit_version", "public.event_outbox"):
        counts[table] = stage.fetch_value(f"select count(*) from {table}")
    return counts


def found(report: ProofReport) -> dict[str, str]:
    """Return what was found, of the checks that failed."""
    return {c.name: c.found for c in report.checks if not c.passed}


def require_nothing_left(stage: Stage, pending: tuple[str, ...]) -> None:
    """Prove; fail unless it passes and all is as before but for one ledger entry."""
    stage.write("unit", 1, 2)
    before = (read_all(stage), stage.status().routes, stage.status().drift)

    report = proof.prove(stage.settings)

    assert found(report) == {}
    assert report.passed
    assert report.pending == pending
    assert (read_all(stage), stage.status().routes, stage.status().drift) == before
    assert stage.list_kinds()[-1] == "proof"
    locks = "select count(*) from pg_locks where locktype = 'advisory' and classid between"
    assert stage.fetch_value(f"{locks} 18773001 and 18773009 and database = %s", oid(stage)) == 0


def oid(stage: Stage) -> int:
    """Return the oid of a stage's database."""
    query = "select oid::bigint from pg_database where datname = current_database()"
    return int(stage.fetch_value(query))


@pytest.mark.every_major
def test_passes_with_100_inside_and_leaves_nothing(make_stage: MakeStage) -> None:
    """
    T40, T41: sent once, a no-op by its key the second time, with 100 applied inside.

    No row, no object and no switch is other than before.
    """
    require_nothing_left(make_stage(State.SEAM), ("100",))


@pytest.mark.parametrize("state", [State.RELAXED, State.LIVE])
def test_passes_on_the_state_as_it_is(make_stage: MakeStage, state: State) -> None:
    """
    T40: the full proof, dry and live; a live route stays live, and nothing of it is delivered.
    """
    require_nothing_left(make_stage(state), ())


def test_outbox_that_rejects_is_told(make_stage: MakeStage) -> None:
    """
    A trigger of the host that raises: nothing is sent, and its own words are in the report.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(REJECT)

    report = proof.prove(stage.settings)

    assert not report.passed
    assert "the outbox is closed today" in str(found(report))
    assert stage.fetch("select * from iu_core.iu_route_dead_letter") == []


def test_outbox_that_swallows_is_told(make_stage: MakeStage) -> None:
    """
    A trigger of the host that quietly drops the row: there is no row in the target.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(SWALLOW)

    report = proof.prove(stage.settings)

    assert not report.passed
    assert "0" in found(report)["rows in the target under its key"]


def test_key_that_is_taken_by_other_content_is_told(make_stage: MakeStage) -> None:
    """
    T17: a foreign row under our key is a collision and a dead letter, no delivery.
    """
    stage = make_stage(State.RELAXED)
    stage.conn.execute(TAKE_KEY)

    report = proof.prove(stage.settings)

    assert not report.passed
    assert "collision" in found(report)["dead letters"]
    assert found(report)["delivered at the first try"] == "0"


def test_failed_proof_does_not_pass_the_gate(make_stage: MakeStage) -> None:
    """
    The gate "seam" names the check that failed, and passes once it is mended.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute(REJECT)
    with pytest.raises(GateError, match="the outbox is closed today"):
        stage.advance()
    stage.conn.execute("drop trigger reject on public.event_outbox")

    assert stage.advance().reports[0].verdict.gate == "seam"


def test_lock_that_cannot_be_had_is_no_verdict(make_stage: MakeStage) -> None:
    """
    T41: a batch in hand holds the key: the proof gives up after 100 ms, and says to try again.
    """
    stage = make_stage(State.RELAXED)
    with psycopg.connect(stage.database.conninfo) as session:
        session.execute("select pg_advisory_xact_lock_shared(%s, 0)", [GATE_KEY])

        report = proof.prove(stage.settings)

    assert not report.passed
    assert [c.waits for c in report.checks if not c.passed] == [True]
    assert report.held_ms < 1500


def test_before_090_there_is_nothing_to_prove(make_stage: MakeStage) -> None:
    """
    Without a seam the proof is refused with the command that builds it.
    """
    with pytest.raises(GateError, match="no delivery seam") as raised:
        proof.prove(make_stage(State.DRY).settings)
    assert raised.value.next_command == "iu-gates advance --to seam"


def test_proof_does_not_need_a_free_unit(make_stage: MakeStage) -> None:
    """
    Where the unit refers to another table, an existing one is used, far ahead of its versions.
    """
    stage = make_stage(State.RELAXED)
    stage.write("unit", 1, 2)
    stage.conn.execute(
        "create table public.unit (name text primary key);"
        "insert into public.unit values ('unit');"
        "alter table public.unit_version add foreign key (unit) references public.unit (name)"
    )

    assert found(proof.prove(stage.settings)) == {}

    with db.connect(stage.settings, "test") as conn:
        names = proof.fetch_names(conn, stage.settings)
        assert "1000000" in hostrow.build_insert(conn, names).as_string(conn)
