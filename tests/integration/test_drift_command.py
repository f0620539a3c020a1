"""`iu-gates drift`, and what the other commands say and do when something has drifted."""

from __future__ import annotations

import json

import pytest

from iu_gates import disable
from iu_gates.cli.main import main
from iu_gates.doctor import doctor
from iu_gates.errors import IuGatesError, RefusedError
from iu_gates.gates import substrate
from iu_gates.rollback import rollback
from tests.support.command import run_psql
from tests.support.play import MakeStage
from tests.support.walk import State

EDIT = "alter function iu_core.fn_iu_capture() cost 7"
GRANT = "grant insert on iu_core.iu_event to public"


def test_without_drift_it_ends_with_0(
    make_stage: MakeStage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Nothing to do is 0, and says so; the SQL is empty.
    """
    url = make_stage(State.SUBSTRATE).database.conninfo
    assert main(["drift", "--database-url", url]) == 0
    assert "our objects are as they were left" in capsys.readouterr().out
    assert main(["drift", "--sql", "--database-url", url]) == 0
    assert capsys.readouterr().out == ""


def test_with_drift_it_ends_with_3_and_prints_what_mends_it(
    make_stage: MakeStage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Each object is named; the SQL is whole, so that psql mends all of it.
    """
    stage = make_stage(State.LIVE)
    url = stage.database.conninfo
    stage.conn.execute(EDIT)
    stage.conn.execute(GRANT)

    assert main(["drift", "--database-url", url]) == 3
    page = capsys.readouterr().out
    assert "2 objects of ours drifted" in page
    assert "changed  function iu_core.fn_iu_capture()" in page
    assert "iu-gates drift --sql" in page
    assert main(["drift", "--json", "--database-url", url]) == 3
    assert json.loads(capsys.readouterr().out)["passed"] is False
    assert main(["drift", "--sql", "--database-url", url]) == 3
    done = run_psql(stage.database, capsys.readouterr().out, "-v", "ON_ERROR_STOP=1")
    assert done.returncode == 0, done.stderr
    assert main(["drift", "--database-url", url]) == 0


def test_status_and_doctor_name_it_with_what_mends_it(make_stage: MakeStage) -> None:
    """
    The next command is the one that prints the SQL; a short statement stands in `doctor` itself.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute(GRANT)
    seen = stage.status()
    assert seen.drift == ("table iu_core.iu_event: privilege INSERT of public: added",)
    assert (seen.next_gate, seen.next_command) == ("substrate", "iu-gates drift --sql")
    (found,) = [c for c in doctor(stage.settings).checks if c.name.startswith("drift of")]
    assert found.remedy == "revoke INSERT on table iu_core.iu_event from public"


def test_advance_is_refused_by_the_gate_substrate(make_stage: MakeStage) -> None:
    """
    The next step is not made; the finding names the object and the command.
    """
    stage = make_stage(State.DRY)
    stage.conn.execute(EDIT)
    with pytest.raises(IuGatesError, match=r"fn_iu_capture\(\): changed") as raised:
        stage.advance()
    assert (raised.value.exit_code, raised.value.next_command) == (3, "iu-gates drift --sql")


def test_disable_works_whatever_drifted(make_stage: MakeStage) -> None:
    """
    P5: it is off and drained, and the runtime lane follows.
    """
    stage = make_stage(State.LIVE)
    stage.conn.execute(EDIT)
    stage.conn.execute("alter table iu_gates.ledger disable trigger ledger_append_only")

    result = disable.disable(stage.settings)

    assert (result.drained, result.lane) == (True, "runtime@base")
    assert stage.list_revisions()[-1] == "100"


def test_false_stamp_is_named_and_stops_advance_and_rollback(
    make_stage: MakeStage, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Revisions that never ran: no backup and no step, the command that mends it; `disable` works.
    """
    stage = make_stage(State.SUBSTRATE)
    url = stage.database.conninfo
    stage.conn.execute("update iu_gates.alembic_version set version_num = '082'")
    mend = "alembic stamp --purge 060"

    status = stage.status()
    assert status.next_command == mend
    (drifted,) = status.drift
    said = "(008 009 060 080 081 082 090 100; the ledger has 008 009 060): changed"
    assert drifted == f"rows of iu_gates.alembic_version {said}"
    assert main(["drift", "--database-url", url]) == 3
    assert mend in capsys.readouterr().out
    with pytest.raises(RefusedError) as advanced:
        stage.advance()
    with pytest.raises(RefusedError) as rolled:
        rollback(stage.settings, "009")
    for refused in (advanced.value, rolled.value):
        assert refused.next_command == mend
        assert "the ledger has 008 009 060" in str(refused.found)
    assert not list(stage.settings.backup_dir.glob("*"))
    result = disable.disable(stage.settings)
    assert result.drained
    why = "alembic_version is not as the last step left it; nothing was changed"
    assert result.lane == f"lane behind: {why}; {mend} && iu-gates disable"
    judged = substrate.judge(substrate.collect(stage.conn, stage.settings), stage.settings)
    assert [f.remedy for f in judged.failures] == [mend]

    assert main(["drift", "--sql", "--database-url", url]) == 3
    run_psql(stage.database, capsys.readouterr().out)
    assert stage.conn.execute("select * from iu_gates.alembic_version").fetchall() == [("060",)]
    assert main(["drift", "--database-url", url]) == 0
    assert disable.disable(stage.settings).lane == "already at runtime@base"
