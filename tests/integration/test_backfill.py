"""What the trigger could not see is captured once, and in order (T1, T7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from iu_gates import audit, backfill
from iu_gates.errors import GateError
from iu_gates.model import BackfillResult
from tests.support.databases import Servers
from tests.support.moving import assert_each_once_and_in_order, list_outbox, work
from tests.support.play import ROUTE, Stage, stages
from tests.support.walk import State, walk_down, walk_to

OFF = "alter table public.unit_version disable trigger iu_unit_version_capture"
ON = "alter table public.unit_version enable always trigger iu_unit_version_capture"


@pytest.fixture
def live(servers: Servers, major: int, tmp_path: Path) -> Iterator[Stage]:
    """Give a live database."""
    with stages(servers, major, tmp_path) as make:
        yield make(State.LIVE)


def write_unseen(stage: Stage, unit: str, *versions: int) -> None:
    """Write versions while nothing captures."""
    stage.conn.execute(OFF)
    stage.write(unit, *versions)
    stage.conn.execute(ON)


def run(
    stage: Stage, *, dry_run: bool = False, late: bool = False, before_capture: bool = False
) -> BackfillResult:
    """Backfill in small batches."""
    return backfill.backfill(
        stage.settings, dry_run=dry_run, late=late, before_capture=before_capture, limit=2
    )


def test_missed_rows_are_captured_once_and_in_order(live: Stage) -> None:
    """
    T1: counted first, captured as the trigger would have, delivered in order; then nothing is left.
    """
    live.write("seen", 1, 2)
    write_unseen(live, "b", 1, 3, 2, 4)
    write_unseen(live, "a", 2)

    counted = run(live, dry_run=True)
    assert (counted.missing, counted.late, counted.captured) == (4, 0, 0)
    assert counted.examples[:2] == ("a version 2", "b version 2")
    assert live.fetch_value("select count(*) from iu_core.iu_event") == 1
    assert run(live).captured == 4
    work(live.conn)

    assert_each_once_and_in_order(live.conn)
    assert list_outbox(live.conn)[1:] == [("a", 2), ("b", 2), ("b", 3), ("b", 4)]
    assert audit.audit(live.settings, ROUTE)[0].passed
    assert run(live).missing == 0
    kinds = live.fetch("select subject from iu_gates.ledger where kind = 'backfill' order by seq")
    assert kinds == [("begun",), ("done",)]
    payloads = "select count(distinct payload - 'unit' - 'version_seq') from iu_core.iu_event"
    assert live.fetch_value(payloads) == 1


def test_late_row_is_left_out_unless_asked_for(live: Stage) -> None:
    """
    P3: what could only be delivered after a later version is named and left; --late delivers it.
    """
    write_unseen(live, "unit", 2)
    live.write("unit", 3)
    work(live.conn)
    write_unseen(live, "unit", 4)

    first = run(live)
    assert (first.missing, first.late, first.captured) == (2, 1, 1)
    assert first.late_examples == ("unit version 2",)
    work(live.conn)
    assert list_outbox(live.conn) == [("unit", 3), ("unit", 4)]
    assert run(live, late=True).captured == 1
    work(live.conn)
    assert list_outbox(live.conn) == [("unit", 3), ("unit", 4), ("unit", 2)]
    assert audit.audit(live.settings, ROUTE)[0].passed


def test_gap_of_060_is_filled_and_what_came_before_is_not(live: Stage) -> None:
    """
    T7: a gap between 060 down and up is filled; rows from before the first 060 only when asked for.
    """
    url = live.database.conninfo
    live.write("unit", 2)
    work(live.conn)
    walk_down(url, "runtime@base", "substrate@009")
    live.write("unit", 3, 4)
    walk_to(url, "substrate@060")
    live.write("other", 2)
    assert audit.audit(live.settings, ROUTE)[0].counts["gap"] == 2
    live.conn.execute(
        "insert into iu_gates.capture_baseline (span_no, subject, max_version_seq)"
        " select min(span_no), 'old', 3 from iu_gates.capture_span"
    )
    write_unseen(live, "old", 2, 3)

    assert run(live).captured == 2
    assert audit.audit(live.settings, ROUTE)[0].counts["gap"] == 0
    assert run(live, before_capture=True).captured == 2


def test_killed_backfill_goes_on(live: Stage) -> None:
    """
    P8: a batch that fails leaves the ones before it; the next run captures the rest, nothing twice.
    """
    write_unseen(live, "unit", *range(2, 9))
    live.conn.execute(
        "alter table iu_core.iu_event add constraint bad check (version_seq <> 5) not valid"
    )
    with pytest.raises(Exception, match="bad"):
        run(live)
    assert live.fetch_value("select count(*) from iu_core.iu_event") == 2
    live.conn.execute("alter table iu_core.iu_event drop constraint bad")

    assert run(live).captured == 5
    work(live.conn)
    assert_each_once_and_in_order(live.conn)


def test_host_is_not_held_up(live: Stage) -> None:
    """
    A host with an open transaction on its table neither waits for a backfill nor delays it.
    """
    write_unseen(live, "unit", 2)
    with psycopg.connect(live.database.conninfo) as host:
        host.execute("insert into public.unit_version (unit, version_seq) values ('other', 2)")
        host.execute("set lock_timeout = '1s'")
        assert run(live).captured == 1
        host.execute("insert into public.unit_version (unit, version_seq) values ('unit', 3)")
    work(live.conn)
    assert_each_once_and_in_order(live.conn)


def test_without_capture_it_is_refused(live: Stage) -> None:
    """
    While nothing captures, the gap would go on behind what was filled.
    """
    live.conn.execute(OFF)
    with pytest.raises(GateError) as raised:
        run(live)
    assert raised.value.ident == "IUG-116"
