"""`history purge`: the one way in which history goes, and everything that stands before it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from iu_gates import approvals, audit, disable, export, ledger, purge, rollback
from iu_gates.errors import (
    IuGatesError,
    LockHeldError,
    NotDrainedError,
    RefusedError,
    UsageError,
)
from tests.support.cli import run_command
from tests.support.engine import GATE_KEY, run_batch, wait_until
from tests.support.play import MakeStage, Stage
from tests.support.walk import State, walk_to

HISTORY = (
    "iu_event",
    "iu_route_attempt",
    "iu_route_dead_letter",
    "iu_route_redrive",
    "iu_route_parked",
    "iu_route_cursor",
    "iu_route_carry_over",
)


@pytest.fixture
def kept(make_stage: MakeStage) -> Stage:
    """Give a stage that was live, with delivered and captured events, rolled back to 009."""
    stage = make_stage(State.LIVE)
    stage.write("unit", 1, 2, 3)
    run_batch(stage.conn, 10)
    stage.write("unit", 4)
    rollback.rollback(stage.settings, "009")
    return stage


def write_export(stage: Stage, tmp_path: Path, name: str = "h.zst") -> str:
    """Export and return the digest."""
    return export.write(stage.settings, tmp_path / name).manifest.digest


def ask(stage: Stage, digest: str) -> str:
    """Ask for the purge; return the digest that is to be voted on."""
    with pytest.raises(RefusedError, match="approved by 0 of 1 logins") as raised:
        purge.purge(stage.settings, digest)
    assert raised.value.ident == "IUG-083"
    about: str = raised.value.facts["digest"]
    return about


def make_approved(stage: Stage, tmp_path: Path) -> tuple[str, str]:
    """Export, ask, approve; return the export's digest and the purge's."""
    digest = write_export(stage, tmp_path)
    about = ask(stage, digest)
    assert stage.approve() == "purge"
    return digest, about


def test_refused_purge_turns_nothing_on(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    P5: what a half-done rollback had stopped stays stopped, whatever is refused after it.
    """
    live = make_stage(State.LIVE)
    live.write("unit", 1, 2)
    digest = write_export(live, tmp_path)
    live.conn.execute("select iu_gates.fn_stop(null, 'drill', 'rollback to 009')")
    with pytest.raises(RefusedError):
        purge.purge(live.settings, digest)
    assert live.status().routes[0].mode == "hold"


def count_history(stage: Stage) -> dict[str, int]:
    """Return the rows of the tables that a purge empties."""
    return {n: stage.fetch_value(f"select count(*) from iu_core.{n}") for n in HISTORY}


@pytest.mark.long_on_each_major
def test_purge_removes_what_was_exported_and_the_ledger_keeps_the_record(
    kept: Stage, tmp_path: Path
) -> None:
    """
    P7: asked, approved by another login, backed up, purged: the tables are empty.

    The entry with digests, counts and logins stays, and `rollback --to base` is open.
    """
    before = count_history(kept)
    digest, about = make_approved(kept, tmp_path)

    result = purge.purge(kept.settings, digest[:12])

    assert set(count_history(kept).values()) == {0}
    assert result.removed == before
    entry = ledger.fetch_newest(kept.conn, "purge")["facts"]
    assert (entry["export"], entry["digest"]) == (digest, about)
    assert entry["file_sha256"] == export.verify(tmp_path / "h.zst").manifest.sha256
    assert entry["tables"]["iu_event"]["rows"] == before["iu_event"]
    assert entry["never_delivered"] == 1
    assert list(entry["logins"]) == list(result.approved_by)
    assert ledger.verify(kept.settings) == []
    assert kept.status().stops == ()
    assert Path(result.backup).exists()
    kinds = kept.list_kinds()
    assert kinds.index("request") < kinds.index("vote") < kinds.index("purge")
    assert kinds[kinds.index("purge") - 2 : kinds.index("purge")] == ["backup", "verdict"]

    undone = rollback.rollback(kept.settings, "base").undone

    assert undone == ("substrate/009", "substrate/008")
    assert kept.fetch_value("select to_regclass('iu_core.iu_event') is null")


@pytest.mark.parametrize("way", ["009", "base"])
def test_up_again_after_a_purge_delivers_nothing_twice(
    kept: Stage, tmp_path: Path, way: str
) -> None:
    """
    P2, P7: up again from 009 or from base, what the target has is not delivered a second time.

    The host's rows are baseline, or a gap, and not missed, the target's rows are explained, and
    what the host writes from now on is delivered once.
    """
    digest, _ = make_approved(kept, tmp_path)
    purge.purge(kept.settings, digest)
    kept.write("unit", 5)  # while nothing captures
    if way == "base":
        rollback.rollback(kept.settings, "base")
    targets = kept.fetch("select * from public.event_outbox order by id")
    walk_to(kept.database.conninfo, "substrate@060", "runtime@080", "substrate@090")
    walk_to(kept.database.conninfo, "substrate@100", "runtime@081", "runtime@082")

    assert run_batch(kept.conn, 100).sent == 0
    kept.write("unit", 6, 7)
    assert run_batch(kept.conn, 100).sent == 2

    assert kept.fetch("select * from public.event_outbox order by id")[: len(targets)] == targets
    (report,) = audit.audit(kept.settings)
    assert report.passed, report.findings
    assert [report.counts[n] for n in ("host", "baseline", "gap")] == [6, 3, 1]
    assert report.counts["delivered"] == 2


def test_audit_after_a_purge_still_finds_what_is_wrong(kept: Stage, tmp_path: Path) -> None:
    """
    P7: what a purge explains is what was purged: a stranger's row in the target is still named.
    """
    digest, _ = make_approved(kept, tmp_path)
    purge.purge(kept.settings, digest)
    walk_to(kept.database.conninfo, "substrate@060", "runtime@080", "substrate@090")
    for key in ("iu.version_applied:9:unit", "iu.version_applied:2:another", "nonsense"):
        kept.conn.execute(
            "insert into public.event_outbox (idempotency_key, event_type, subject, payload)"
            " values ('iu.version_applied.workflow:' || %s, 'x', 'x', '{}')",
            (key,),
        )
    (report,) = audit.audit(kept.settings)
    assert report.counts["unexplained"] == 3
    assert report.counts["missed"] == 0


def write_event(stage: Stage) -> None:
    """Write an event, as a host whose row was captured late would."""
    stage.conn.execute(
        "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
        " values (1, 'iu.version_applied', 'late', 2, '{}')"
    )


def write_attempt(stage: Stage) -> None:
    """Write an attempt on the event that has none."""
    stage.conn.execute(
        "insert into iu_core.iu_route_attempt (route_name, event_id, status, idempotency_key)"
        " select route_name, 4, 'failed', 'k' from iu_core.iu_outbound_route"
    )


def swap_payload(stage: Stage) -> None:
    """Change a row and keep the count, past the triggers."""
    stage.conn.execute("alter table iu_core.iu_event disable trigger iu_event_append_only")
    stage.conn.execute("update iu_core.iu_event set payload = '{}' where event_id = 1")
    stage.conn.execute("alter table iu_core.iu_event enable trigger iu_event_append_only")


CHANGES = {"event": write_event, "attempt": write_attempt, "content": swap_payload}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["the command", "the database"])
def test_rows_that_came_since_the_export_are_never_lost(
    kept: Stage, tmp_path: Path, change: str, by: str
) -> None:
    """
    P7: a row more, or another content, and the approved purge is refused: "export again".
    """
    digest, about = make_approved(kept, tmp_path)
    kept.conn.execute("select iu_core.fn_iu_event_seq()")
    CHANGES[change](kept)
    before = count_history(kept)

    if by == "the command":
        with pytest.raises(RefusedError, match=r"rows now, \d in the export") as raised:
            purge.purge(kept.settings, digest)
        assert "history export" in (raised.value.next_command or "")
    else:
        with pytest.raises(psycopg.Error, match="rows now") as refused:
            kept.conn.execute("select iu_gates.fn_purge_history(%s)", (about,))
        assert refused.value.sqlstate == "IUG83"

    assert count_history(kept) == before
    assert kept.status().stops == ()


def test_host_that_writes_all_the_while_loses_nothing(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    P7: while capture is on, a purge is refused; what the host wrote during it all is there.
    """
    stage = make_stage(State.LIVE)
    with stage.host(pause=0.002) as host, stage.worker():
        wait_until(lambda: host.written > 50, "the host writes")
        disable.disable(stage.settings)
        digest = write_export(stage, tmp_path)
        with pytest.raises(RefusedError, match="capture is on") as raised:
            purge.purge(stage.settings, digest)
        assert (raised.value.next_command or "").startswith("iu-gates rollback --to 009")
        about = "0" * 64
        with pytest.raises(psycopg.Error, match="purge is refused"):
            stage.conn.execute("select iu_gates.fn_purge_history(%s)", (about,))
    captured = stage.fetch_value("select count(*) from iu_core.iu_event")
    written = stage.fetch_value("select count(*) from public.unit_version where version_seq > 1")
    assert captured == written > 0


def test_transaction_that_ends_after_the_export_is_seen(kept: Stage, tmp_path: Path) -> None:
    """
    P7: a writer that is open during the export and commits before the purge: refused.

    One that is still open during the purge holds the table, and the purge gives up.
    """
    with closing(psycopg.connect(kept.database.conninfo)) as late:
        late.execute(
            "insert into iu_core.iu_event (cluster_id, event_type, subject, version_seq, payload)"
            " values (1, 'iu.version_applied', 'late', 2, '{}')"
        )
        digest, _ = make_approved(kept, tmp_path)
        with pytest.raises(LockHeldError):
            purge.purge(kept.settings, digest)
        late.commit()
    with pytest.raises(RefusedError, match="iu_event: 4 rows now, 3 in the export"):
        purge.purge(kept.settings, digest)
    assert kept.status().stops == ()


def forge_request(stage: Stage, about: str) -> None:
    """Ask under the same digest for something else."""
    facts = {"digest": about, "contents": {"needed": 0, "valid_for_s": 9e9}, "needed": 0}
    ledger.append(stage.conn, "request", "purge", facts)


def test_request_is_what_its_digest_says(kept: Stage, tmp_path: Path) -> None:
    """
    P10: an entry that says something else under an approved digest is not what was approved.
    """
    digest = write_export(kept, tmp_path)
    about = ask(kept, digest)
    forge_request(kept, about)
    with pytest.raises(psycopg.Error, match="approved by 0 of 1 logins"):
        kept.conn.execute("select iu_gates.fn_purge_history(%s)", (about,))


def vote_as_asker(stage: Stage, about: str) -> None:
    """Vote, past the command, as the login that asked."""
    stage.conn.execute("select iu_gates.fn_vote(%s, 'approve', '')", (about,))


def vote_and_reject(stage: Stage, about: str) -> None:
    """Let one approve and another reject."""
    for choice in ("approve", "reject"):
        approvals.vote(stage.make_settings_of("iu_gates_approver"), about, choice)


def vote_long_ago(stage: Stage, about: str) -> None:
    """Approve, a day and more ago."""
    stage.approve()
    stage.conn.execute("alter table iu_gates.vote disable trigger vote_append_only")
    stage.conn.execute("update iu_gates.vote set voted_at = now() - interval '25 h'")
    stage.conn.execute("alter table iu_gates.vote enable trigger vote_append_only")


UNAPPROVED: dict[str, tuple[Callable[[Stage, str], None], str]] = {
    "nobody": (lambda _stage, _about: None, "approved by 0 of 1"),
    "the asker": (vote_as_asker, "approved by 0 of 1"),
    "rejected": (vote_and_reject, "rejected by"),
    "expired": (vote_long_ago, "approved by 0 of 1"),
}


@pytest.mark.parametrize("who", UNAPPROVED)
def test_database_refuses_what_was_not_approved(kept: Stage, tmp_path: Path, who: str) -> None:
    """
    P10: by the command and by the function itself, whoever calls: votes are counted there.
    """
    vote, message = UNAPPROVED[who]
    digest = write_export(kept, tmp_path)
    about = ask(kept, digest)
    vote(kept, about)
    before = count_history(kept)

    with pytest.raises(RefusedError, match=message):
        purge.purge(kept.settings, digest)
    with pytest.raises(psycopg.Error, match=message):
        kept.conn.execute("select iu_gates.fn_purge_history(%s)", (about,))
    with pytest.raises(psycopg.Error, match=message):
        kept.conn.execute("insert into iu_gates.purge (digest) values (%s)", (about,))

    assert count_history(kept) == before


def test_who_purges_has_no_say_either(kept: Stage, tmp_path: Path) -> None:
    """
    P10: a second owner who approved what the first asked for does not purge on his own vote.
    """
    _, about = make_approved(kept, tmp_path)
    login = kept.fetch_value("select login from iu_gates.vote where digest = %s", about)
    kept.conn.execute(f'alter role "{login}" superuser')
    with (
        psycopg.connect(kept.database.conninfo_as(login)) as conn,
        pytest.raises(psycopg.Error, match="approved by 0 of 1"),
    ):
        conn.execute("select iu_gates.fn_purge_history(%s)", (about,))


def test_database_refuses_a_purge_without_a_backup(kept: Stage, tmp_path: Path) -> None:
    """
    P10, T39: all is approved, but no backup was taken since the last step: refused by name.
    """
    _, about = make_approved(kept, tmp_path)
    with pytest.raises(psycopg.Error, match="backup: step down 060 came after its snapshot"):
        kept.conn.execute("select iu_gates.fn_purge_history(%s)", (about,))
    assert count_history(kept)["iu_event"] == 3


@pytest.mark.parametrize("table", HISTORY[:3])
@pytest.mark.parametrize("statement", ["delete from", "truncate", "update"])
def test_history_is_append_only_but_for_a_purge(kept: Stage, table: str, statement: str) -> None:
    """
    P7: nobody removes or changes a row by hand; a setting of the session is no way past.
    """
    name = f"iu_core.{table}"
    column = {"iu_event": "subject", "iu_route_attempt": "message"}.get(table, "reason")
    query = {
        "update": f"update {name} set {column} = 'x'",
        "truncate": f"truncate {name} cascade",
        "delete from": f"delete from {name}",
    }[statement]
    kept.conn.execute("set iu_gates.switch_by = 'function'")
    with pytest.raises(psycopg.Error, match="is append-only") as raised:
        kept.conn.execute(query)
    assert raised.value.sqlstate == "IUG40"


def test_row_of_a_purge_cannot_be_made_up(kept: Stage, tmp_path: Path) -> None:
    """
    P10: the row that opens the tables is written by its trigger alone, and serves once.
    """
    digest, about = make_approved(kept, tmp_path)
    with pytest.raises(psycopg.Error, match="nobody asked"):
        kept.conn.execute(
            "insert into iu_gates.purge (digest, contents, logins, purged_by, purged_at, xact_id)"
            " values (repeat('0', 64), '{}', '{a}', 'a', now(), pg_current_xact_id())"
        )
    purge.purge(kept.settings, digest)
    write_event(kept)
    with pytest.raises(psycopg.Error, match="append-only"):
        kept.conn.execute("truncate iu_core.iu_event")
    with pytest.raises(psycopg.Error, match="append-only"):
        kept.conn.execute("update iu_gates.purge set xact_id = pg_current_xact_id()")
    with pytest.raises(psycopg.Error):
        kept.conn.execute("select iu_gates.fn_purge_history(%s)", (about,))
    assert count_history(kept)["iu_event"] == 1


def test_export_that_is_damaged_or_another_is_refused(kept: Stage, tmp_path: Path) -> None:
    """
    P7: the file is read back again now; altered, gone or exchanged, nothing is removed.
    """
    digest, _ = make_approved(kept, tmp_path)
    file, other = tmp_path / "h.zst", tmp_path / "other.zst"
    write_export(kept, tmp_path, "other.zst")
    with pytest.raises(RefusedError, match="another export"):
        purge.purge(kept.settings, digest, other)
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(RefusedError, match="no whole export"):
        purge.purge(kept.settings, digest)
    file.unlink()
    with pytest.raises(RefusedError, match="no whole export"):
        purge.purge(kept.settings, digest)
    assert count_history(kept)["iu_event"] == 3
    moved = tmp_path / "moved.zst"
    moved.write_bytes(data)
    (tmp_path / "h.zst.json").rename(tmp_path / "moved.zst.json")
    assert purge.purge(kept.settings, digest, moved).removed["iu_event"] == 3


@pytest.mark.parametrize("digest", ["0" * 64, "abc", ""])
def test_unknown_export_is_a_usage_error(kept: Stage, tmp_path: Path, digest: str) -> None:
    """
    A digest that the ledger does not know, or a beginning that is too short, does nothing.
    """
    write_export(kept, tmp_path)
    with pytest.raises(UsageError):
        purge.purge(kept.settings, digest)
    assert "request" not in kept.list_kinds()


def test_export_of_another_database_is_refused(
    kept: Stage, make_stage: MakeStage, tmp_path: Path
) -> None:
    """
    P9: an entry of somebody else's export, brought along, is not of this database.
    """
    other = make_stage(State.LIVE)
    other.write("unit", 1, 2, 3)
    write_export(other, tmp_path)
    facts = ledger.fetch_newest(other.conn, "export")["facts"]
    ledger.append(kept.conn, "export", "history", facts)
    with pytest.raises(RefusedError) as raised:
        purge.purge(kept.settings, facts["digest"])
    assert raised.value.ident == "IUG-083"


def test_drift_is_refused(kept: Stage, tmp_path: Path) -> None:
    """
    P7: where something is not as it was left, nothing is removed before it is looked at.
    """
    digest = write_export(kept, tmp_path)
    kept.conn.execute("create table iu_core.mine ()")
    with pytest.raises(RefusedError, match=r"drift: table iu_core\.mine"):
        purge.purge(kept.settings, digest)


def test_batch_in_hand_keeps_the_purge_away(kept: Stage, tmp_path: Path) -> None:
    """
    P5: a purge drains first; who holds a batch is named, exit 7, and nothing was removed.
    """
    digest, _ = make_approved(kept, tmp_path)
    with psycopg.connect(kept.database.conninfo) as holder:
        holder.execute("select pg_advisory_xact_lock_shared(%s, 0)", (GATE_KEY,))
        pid = holder.info.backend_pid
        settings = kept.with_settings(barrier_wait="0.2 s")
        with pytest.raises(NotDrainedError) as raised:
            purge.purge(settings, digest)
    assert f"pid {pid}" in (raised.value.found or "")
    assert count_history(kept)["iu_event"] == 3
    assert kept.status().stops == ()


def test_without_a_backup_nothing_is_removed(kept: Stage, tmp_path: Path) -> None:
    """
    T39: a purge takes a backup first; where it cannot, everything is as it was.
    """
    digest, _ = make_approved(kept, tmp_path)
    empty = tmp_path / "no tools"
    empty.mkdir()
    with pytest.raises(IuGatesError) as raised:
        purge.purge(kept.with_settings(bin_dir=str(empty)), digest)
    assert raised.value.exit_code == 3
    assert count_history(kept)["iu_event"] == 3
    assert kept.status().stops == ()


def test_readers_go_on_while_it_is_checked(kept: Stage, tmp_path: Path) -> None:
    """
    The guard keeps writers out while it compares, but nobody who reads.
    """
    _, about = make_approved(kept, tmp_path)
    with psycopg.connect(kept.database.conninfo) as purging:
        with pytest.raises(psycopg.Error, match="backup"):
            purging.execute("select iu_gates.fn_purge_history(%s)", (about,))
        purging.rollback()
        purging.execute("lock table iu_core.iu_event in exclusive mode")
        kept.conn.execute("set lock_timeout = '1s'")
        assert kept.fetch_value("select count(*) from iu_core.iu_event") == 3


@pytest.mark.long
def test_purge_by_the_command_line(kept: Stage, tmp_path: Path) -> None:
    """
    The refusal of base says how to go on, with names of its own, and each of them runs.
    """
    for name in ("site-key",):
        key = Path(kept.values["site_key_file"]).read_text()
        assert key, name
    variables = {
        "IU_GATES_DATABASE_URL": kept.database.conninfo,
        "IU_GATES_SITE_KEY": key,
        "IU_GATES_BIN_DIR": str(kept.database.bin_dir),
    }
    refused = run_command(tmp_path, "rollback", "--to", "base", "--yes", **variables).expect(4)
    line = refused.next_command.split()
    assert line[:3] == ["iu-gates", "history", "export"]
    made = run_command(tmp_path, *line[1:], "--json", **variables).expect(0).json
    arguments = ("history", "purge", "--export", made["digest"][:12], "--yes")
    asked = run_command(tmp_path, *arguments, "--json", **variables).expect(4).json
    assert asked["error"] == "IUG-083"
    kept.approve()
    done = run_command(tmp_path, *arguments, **variables).expect(0)
    assert done.next_command == "iu-gates rollback --to base"
    run_command(tmp_path, "rollback", "--to", "base", "--yes", **variables).expect(0)


def test_contents_of_a_request_tell_what_goes(kept: Stage, tmp_path: Path) -> None:
    """
    Who votes reads what is removed, of which database, and how much was never delivered.
    """
    digest = write_export(kept, tmp_path)
    ask(kept, digest)
    pending = approvals.require_pending(kept.settings)
    assert pending.subject == "purge"
    assert pending.contents["export"] == digest
    assert pending.contents["tables"]["iu_event"]["rows"] == 3
    assert pending.contents["never_delivered"] == 1
    assert pending.contents["database"]["name"] == kept.database.name
    query = "select iu_gates.fn_purge_digest(%s)"
    assert kept.fetch_value(query, Jsonb(dict(pending.contents))) == pending.digest
