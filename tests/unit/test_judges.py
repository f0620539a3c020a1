"""
Properties of every judge: pure, deterministic, and no pass where any fact is missing.

For each gate there are facts that pass. Every fact in them is then taken away or spoilt, one at
a time, wherever it stands; none of what comes of it may pass.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iu_gates import audit, gates
from iu_gates.backup import (
    REGISTER,
    Backup,
    Identity,
    LedgerFacts,
    Manifest,
    SiteBackup,
    SnapshotFacts,
)
from iu_gates.config import Settings, build
from iu_gates.errors import BackupError
from iu_gates.evidence import Evidence
from iu_gates.gates.approval import ApprovalFacts
from iu_gates.gates.backup import BackupFacts
from iu_gates.gates.canary import CanaryFacts
from iu_gates.gates.check_relaxed import CheckRelaxedFacts
from iu_gates.gates.disable_proven import DisableFacts
from iu_gates.gates.dry_run import DryRunFacts
from iu_gates.gates.host import HostFacts
from iu_gates.gates.invocation import InvocationFacts
from iu_gates.gates.live import LiveFacts
from iu_gates.gates.rehearsal import RehearsalFacts
from iu_gates.gates.seam import SeamFacts
from iu_gates.gates.substrate import SubstrateFacts
from iu_gates.model import GATES, AuditReport, Finding, Verdict

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALL = ("008", "009", "060", "080", "090", "100", "081", "082")
SETTINGS = build({"invocation": "cron", "dry_run_min_span": "60 s"})
IDENTITY = Identity(
    system_identifier=1, database_oid=2, database_name="app", server_version_num=180004
)
LEDGER = LedgerFacts(
    min_seq=7, hash_at_head="h", step_seq=7, revisions=ALL, fingerprint="f", sha256="0" * 64
)
SITE = SiteBackup(
    "20261123-020000F",
    "pgbackrest",
    taken_at=NOW - timedelta(hours=24),
    restore_tested_at=NOW - timedelta(days=30),
    note="",
    identity=IDENTITY,
    by="dba",
    said_at=NOW,
    seq=3,
)
OWN = build({"invocation": "cron", "backup_kind": "own-objects"})
LEG = {
    "batch_before": True,
    "drained": True,
    "event_during": True,
    "after_barrier": 0,
    "back": True,
    "seconds": 1.0,
}
DRILL = Evidence(
    9,
    NOW,
    {
        "passed": True,
        "legs": [{"scope": "route", **LEG}, {"scope": "gate", **LEG}],
        "live_before": True,
    },
)
PROOF = Evidence(8, NOW, {"passed": True, "pending": []})
REHEARSAL = Evidence(
    9,
    NOW - timedelta(days=7),
    {"passed": True, "package": "p", "states": {" ".join(ALL): "c"}, "archive": "a.dump"},
)
AUDIT = AuditReport(
    "route",
    {"captured": 5, "dry_run": 5, "dead": 0, "late": 0, "waiting": 0},
    tuple(Finding(text, passed=True, found="0") for text in audit.FAULTS.values()),
)
SERVER = {
    "server_version_num": 150000,
    "server_version": "15.0",
    "in_recovery": False,
    "read_only": False,
    "database": "app",
    "login": "me",
    "database_bytes": 1000,
    "may_create": True,
    "may_trigger": True,
    "owns_unit_table": True,
    "may_write_outbox": True,
}
NAMES = {"schema": "public", "unit_table": "unit_version", "outbox_table": "event_outbox"}
CONSTRAINTS = {
    "iu_outbound_route_approval_fkey": True,
    "iu_outbound_route_live_approved_chk": True,
}
HEARTBEAT = {"worker_id": "w", "invocation": "cron", "age_seconds": 300.0}


def make_backup(**changes: Any) -> BackupFacts:
    """Return facts of a backup of exactly the greatest age, that holds exactly the last step."""
    manifest = Manifest(**{**read_manifest(), **changes})
    newest = Backup(Path("/backups/a.dump"), manifest)
    return BackupFacts(Path("/backups"), newest, None, IDENTITY, LEDGER, SITE, NOW)


def read_manifest() -> dict[str, Any]:
    """Return the fields of a manifest that passes; unknown ones are filled by their type."""
    known: dict[str, Any] = {
        "identity": IDENTITY,
        "facts": SnapshotFacts(7, ALL, "f", ledger_hash="h"),
        "snapshot_at": NOW - timedelta(minutes=60),
        "verified_at": NOW - timedelta(minutes=59),
        "archive": "a.dump",
        "sha256": "0" * 64,
        "size_bytes": 10,
        "kind": "full",
        "compression": "zstd:3",
    }
    plain: dict[str, Any] = {"str": "x", "int": 1, "datetime": NOW, "float": 1.0}
    return {f.name: known.get(f.name, plain.get(str(f.type))) for f in fields(Manifest)}


PASSING: dict[str, Any] = {
    "host": HostFacts(SERVER, NAMES, (), 100, ()),
    "backup": make_backup(),
    "substrate": SubstrateFacts(ALL, (), trigger_always=True),
    "invocation": InvocationFacts("cron", "d", ("other",), (), (HEARTBEAT,)),
    "dry_run": DryRunFacts("true", AUDIT, 60.0),
    "seam": SeamFacts(ALL, PROOF),
    "check_relaxed": CheckRelaxedFacts(ALL, CONSTRAINTS, PROOF),
    "disable_proven": DisableFacts(DRILL),
    "rehearsal": RehearsalFacts(REHEARSAL, " ".join(ALL), "c", "p", NOW),
    "approval": ApprovalFacts("d", "me", ("other",), (), NOW),
    "canary": CanaryFacts(ALL, 1, 5, 0, 0, {"event_id": 5, "passed": True, "seen": "duplicate"}),
    "live": LiveFacts(ALL, DRILL, ()),
}
# What a judge does not look at: it may be missing.
NOT_JUDGED = {
    "host": {"gaps", "database", "login", "server_version", "problems"},
    "backup": {"directory", "defect", "ledger", "site", "path"},
    "substrate": {"drift"},
    "invocation": {"digest", "rejected_by", "worker_id"},
    "dry_run": {"route", "captured", "waiting", "found", "wanted", "remedy", "waits", "name"},
    "seam": {"seq", "at", "pending"},
    "check_relaxed": {"seq", "at"},
    "disable_proven": {"seq", "at", "seconds", "live_before"},
    "rehearsal": {"seq", "archive"},
    "approval": {"me", "rejected_by", "expires_at"},
    "canary": {"seen"},
    "live": {"seq", "at", "seconds", "not_in_force"},
}


def judge(gate: str, facts: Any, settings: Settings = SETTINGS) -> Verdict:
    """Return a gate's verdict."""
    result: Verdict = gates.BY_NAME[gate].judge(facts, settings)
    return result


def list_spoilt(  # noqa: C901  one branch for each kind of value
    value: Any, ignored: set[str]
) -> Iterator[tuple[str, Any]]:
    """Give (where, value) for each way to take one fact away, at any depth."""
    if is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            if item.name in ignored:
                continue
            yield from (
                (f"{item.name}{where}", replace(value, **{item.name: spoilt}))
                for where, spoilt in list_spoilt(getattr(value, item.name), ignored)
            )
    elif isinstance(value, dict):
        for key in (k for k in value if k not in ignored):
            yield f"[{key}] missing", {k: v for k, v in value.items() if k != key}
            for where, spoilt in list_spoilt(value[key], ignored):
                yield f"[{key}]{where}", {**value, key: spoilt}
    elif isinstance(value, tuple | list) and value:
        yield " empty", type(value)()
        for number, item in enumerate(value):
            if isinstance(item, dict):
                for where, spoilt in list_spoilt(item, ignored):
                    parts = [*value[:number], spoilt, *value[number + 1 :]]
                    yield f"[{number}]{where}", type(value)(parts)
    elif value is not None and not isinstance(value, tuple | list):
        yield " None", None


SPOILT = [
    (gate, where, facts)
    for gate, passing in PASSING.items()
    if gate not in {"backup", "dry_run"}
    for where, facts in list_spoilt(passing, NOT_JUDGED[gate])
]


def test_every_gate_is_here() -> None:
    """
    Each mandatory gate has facts that pass.
    """
    assert set(PASSING) == set(GATES)
    assert set(gates.BY_NAME) == set(GATES)


@pytest.mark.parametrize("gate", PASSING)
def test_facts_that_meet_every_limit_pass(gate: str) -> None:
    """
    The facts pass exactly at their limits, which are inclusive.
    """
    assert [f for f in judge(gate, PASSING[gate]).findings if not f.passed] == []
    assert judge(gate, PASSING[gate]).outcome == "pass"


@pytest.mark.parametrize("gate", PASSING)
def test_judge_is_pure(gate: str) -> None:
    """
    The same facts give the same verdict, and are left as they were.
    """
    facts = PASSING[gate]
    before = copy.deepcopy(facts)
    assert judge(gate, facts) == judge(gate, facts)
    assert facts == before


@pytest.mark.parametrize("gate", PASSING)
def test_verdict_can_be_kept(gate: str) -> None:
    """
    A verdict is JSON, under the gate's own name, and each finding has a name.
    """
    verdict = judge(gate, PASSING[gate])
    assert verdict.gate == gate
    assert json.loads(json.dumps(verdict.as_dict(), default=str))["passed"]
    assert all(f.name for f in verdict.findings)


@pytest.mark.parametrize(("gate", "where", "facts"), SPOILT, ids=[f"{g}-{w}" for g, w, _ in SPOILT])
def test_missing_fact_fails(gate: str, where: str, facts: Any) -> None:
    """
    A fact that cannot be had fails the gate, whichever it is; and what fails names a remedy.
    """
    try:
        verdict = judge(gate, facts)
    except TypeError:
        pytest.fail(f"without {where} the judge breaks")
    assert not verdict.passed, where
    assert all(f.remedy for f in verdict.failures)


@pytest.mark.parametrize("name", ["dry_run", "dead", "late"])
def test_dry_run_without_a_count_fails(name: str) -> None:
    """
    A count that the audit does not give fails the gate "dry_run".
    """
    counts = {k: v for k, v in AUDIT.counts.items() if k != name}
    facts = replace(PASSING["dry_run"], audit=replace(AUDIT, counts=counts))
    assert not judge("dry_run", facts).passed


@pytest.mark.parametrize("number", range(len(audit.FAULTS)))
@pytest.mark.parametrize("is_there", [True, False])
def test_dry_run_needs_every_finding_of_the_audit(number: int, *, is_there: bool) -> None:
    """
    A fault, or one that was not looked for, fails the gate "dry_run".
    """
    findings = list(AUDIT.findings)
    if is_there:
        findings[number] = replace(findings[number], passed=False)
    else:
        findings.pop(number)
    facts = replace(PASSING["dry_run"], audit=replace(AUDIT, findings=tuple(findings)))
    assert not judge("dry_run", facts).passed


@given(
    found=st.integers(0, 100),
    wanted=st.integers(1, 100),
    span=st.integers(0, 100),
    least=st.integers(0, 100),
)
def test_dry_run_limits_are_inclusive(found: int, wanted: int, span: int, least: int) -> None:
    """
    At least N attempts over at least T; what is short of it waits.
    """
    settings = build({"dry_run_min_events": wanted, "dry_run_min_span": f"{least} s"})
    audited = replace(AUDIT, counts={**AUDIT.counts, "dry_run": found})
    verdict = judge("dry_run", DryRunFacts("true", audited, float(span)), settings)
    assert verdict.passed == (found >= wanted and span >= least)
    assert all(f.waits for f in verdict.failures)


@given(age=st.floats(0, 10_000), limit=st.integers(1, 10_000))
def test_heartbeat_limit_is_inclusive(age: float, limit: int) -> None:
    """
    A heartbeat of exactly the limit counts.
    """
    facts = replace(PASSING["invocation"], heartbeats=({**HEARTBEAT, "age_seconds": age},))
    settings = build({"invocation": "cron", "heartbeat_max_age": f"{limit} s"})
    assert judge("invocation", facts, settings).passed == (age <= limit)


@given(
    logins=st.lists(st.sampled_from("abcde"), max_size=8),
    rejected=st.lists(st.sampled_from("abcde"), max_size=2),
    needed=st.integers(1, 5),
)
def test_approval_counts_logins_not_votes(
    logins: list[str], rejected: list[str], needed: int
) -> None:
    """
    P10: N different logins, and none that rejects; all that is lacking waits for people.
    """
    facts = ApprovalFacts("d", "me", tuple(logins), tuple(rejected), NOW)
    verdict = judge("approval", facts, build({"approvals_needed": needed}))
    assert verdict.passed == (len(set(logins)) >= needed and not rejected)
    assert all(f.waits for f in verdict.failures)


@given(
    sent=st.integers(0, 3),
    quota=st.one_of(st.none(), st.integers(0, 3)),
    dead=st.integers(0, 2),
    again=st.sampled_from(
        [
            {},
            {"event_id": 5, "passed": True},
            {"event_id": 4, "passed": True},
            {"event_id": 5, "passed": False, "seen": "sent"},
        ]
    ),
)
def test_canary_is_exactly_one(
    sent: int, quota: int | None, dead: int, again: dict[str, Any]
) -> None:
    """
    T29: one delivery, the quota spent, no dead letter, and that very event again a no-op.

    While nothing was delivered and nothing else is wrong, all of it waits.
    """
    event_id = 5 if sent else None
    verdict = judge("canary", CanaryFacts(ALL, sent, event_id, quota, dead, again))
    one = sent == 1 and quota == 0 and dead == 0
    assert verdict.passed == (one and again == {"event_id": 5, "passed": True})
    if sent == 0 and dead == 0:
        assert all(f.waits for f in verdict.failures)


@given(
    leg=st.sampled_from([0, 1]),
    change=st.sampled_from(
        [
            {"batch_before": False},
            {"event_during": False},
            {"drained": False},
            {"after_barrier": 1},
            {"back": False},
        ]
    ),
    gate=st.sampled_from(["disable_proven", "live"]),
)
def test_drill_needs_both_halves_whole(leg: int, change: dict[str, Any], gate: str) -> None:
    """
    T43: no load, one attempt after the barrier.

    Or no way back in either half is no pass, even if the entry says that it passed.
    """
    legs = copy.deepcopy(DRILL.facts["legs"])
    legs[leg].update(change)
    drill = replace(DRILL, facts={**DRILL.facts, "legs": legs})
    facts = replace(PASSING[gate], drill=drill)
    assert not judge(gate, facts).passed


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"in_recovery": True}, "primary"),
        ({"server_version_num": 149999}, "server"),
        ({"read_only": True}, "writable"),
        ({"may_create": False}, "right to make schemas"),
        ({"owns_unit_table": False}, "right to make a trigger"),
        ({"may_write_outbox": False}, "right to write the outbox"),
        ({"database_bytes": 1001 * 10}, "room for a dump"),
    ],
)
def test_host_names_what_it_lacks(change: dict[str, Any], name: str) -> None:
    """
    A standby, a server of 14, a login without rights, a full disk: each its own finding.
    """
    verdict = judge("host", replace(PASSING["host"], server={**SERVER, **change}))
    assert [f.name for f in verdict.failures] == [name]


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (replace(make_backup(), newest=None), "backup"),
        (replace(make_backup(), defect=BackupError("it is cut short")), "archive"),
        (replace(make_backup(), newest=Backup(Path("/a"), None)), "archive"),
        (replace(make_backup(), ledger=replace(LEDGER, min_seq=8)), "ledger entry"),
        (replace(make_backup(), ledger=replace(LEDGER, hash_at_head="i")), "ledger chain"),
        (replace(make_backup(), ledger=replace(LEDGER, revisions=ALL[:-1])), "revisions"),
        (replace(make_backup(), ledger=replace(LEDGER, revisions=None)), "revisions"),
        (replace(make_backup(), ledger=replace(LEDGER, fingerprint="g")), "catalog"),
        (replace(make_backup(), ledger=replace(LEDGER, fingerprint=None)), "catalog"),
        (replace(make_backup(), ledger=replace(LEDGER, sha256="1" * 64)), "record"),
        (make_backup(kind="own-objects"), "kind"),
        (
            make_backup(snapshot_at=NOW - timedelta(minutes=60, microseconds=1)),
            "age of the snapshot",
        ),
        (make_backup(identity=replace(IDENTITY, database_oid=3)), "database oid"),
        (make_backup(identity=replace(IDENTITY, system_identifier=2)), "system identifier"),
        (make_backup(facts=SnapshotFacts(None, ALL, "f")), "ledger entry"),
    ],
)
def test_backup_names_what_it_lacks(facts: BackupFacts, name: str) -> None:
    """
    T39: an archive that is missing, broken, too old, of another database.

    Or from before the last step of an earlier gate does not stand behind a step.
    """
    failures = judge("backup", facts).failures

    assert [f.name for f in failures] == [name]
    assert failures[0].remedy.startswith("iu-gates backup create")


def test_own_objects_stand_beside_a_registered_backup() -> None:
    """
    An archive of our objects counts where the settings say so, up to both limits of the site's.
    """
    facts = make_backup(kind="own-objects")

    assert judge("backup", facts, OWN).failures == ()
    assert judge("backup", replace(facts, site=None), OWN).facts["kind"] == "own-objects"


@pytest.mark.parametrize(
    ("site", "name"),
    [
        (None, "site backup"),
        (replace(SITE, identity=replace(IDENTITY, database_oid=3)), "site backup"),
        (
            replace(SITE, taken_at=NOW - timedelta(hours=24, microseconds=1)),
            "age of the site backup",
        ),
        (replace(SITE, taken_at=NOW + timedelta(seconds=1)), "age of the site backup"),
        (replace(SITE, restore_tested_at=None), "restore test of the site"),
        (
            replace(SITE, restore_tested_at=NOW - timedelta(days=30, microseconds=1)),
            "restore test of the site",
        ),
        (
            replace(SITE, restore_tested_at=NOW + timedelta(seconds=1)),
            "restore test of the site",
        ),
    ],
)
def test_own_objects_alone_do_not_do(site: SiteBackup | None, name: str) -> None:
    """
    Unregistered, of another database, too old, in the future, never restored: each is refused.

    Another archive would mend none of it, so none is taken; a full one needs none of it.
    """
    facts = replace(make_backup(kind="own-objects"), site=site)

    verdict = judge("backup", facts, OWN)

    assert [(f.name, f.remedy) for f in verdict.failures] == [(name, REGISTER)]
    assert not gates.backup.is_mended_by_another(verdict)
    assert judge("backup", replace(make_backup(), site=site), OWN).passed


def test_dump_that_takes_longer_than_its_limit_says_what_to_set() -> None:
    """
    Taking it again would go round in a circle, so it is not what the remedy says.
    """
    began = NOW - timedelta(minutes=90)
    facts = make_backup(snapshot_at=began, verified_at=began + timedelta(minutes=61))

    verdict = judge("backup", facts)

    assert [f.name for f in verdict.failures] == ["age of the snapshot"]
    assert "IU_GATES_BACKUP_MAX_AGE='122 min'" in verdict.failures[0].remedy
    assert not gates.backup.is_mended_by_another(verdict)


def test_relaxed_check_must_be_gone() -> None:
    """
    P10: the old CHECK beside the new ones is not what revision 100 makes.
    """
    constraints = {**CONSTRAINTS, "iu_outbound_route_safe_chk": True}
    facts = replace(PASSING["check_relaxed"], constraints=constraints)
    assert not judge("check_relaxed", facts).passed


def test_drift_fails_substrate() -> None:
    """
    T31: any drift fails, and is named.
    """
    verdict = judge("substrate", replace(PASSING["substrate"], drift=("table x: changed",)))
    assert verdict.failures[0].found == "table x: changed"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("package", {"package": "another"}),
        ("catalog", {"catalog": "another"}),
        ("catalog", {"state": " ".join(ALL[:-1])}),
        ("age", {"now": NOW + timedelta(seconds=1)}),
        ("age", {"now": NOW - timedelta(days=8)}),
    ],
)
def test_rehearsal_of_something_else_is_none(name: str, facts: dict[str, Any]) -> None:
    """
    T36: another package, another catalog, a state that was not walked, or one of another day.
    """
    verdict = judge("rehearsal", replace(PASSING["rehearsal"], **facts))
    assert [f.name for f in verdict.failures] == [name]


def test_rehearsal_is_asked_for() -> None:
    """
    Without one there is one finding, with the command; a waiver is not the judge's to see.
    """
    waiver = {"gate": "rehearsal", "who": "me", "why": "x", "until": "2100-01-01"}
    settings = build({"waivers": [waiver]})
    nothing = replace(PASSING["rehearsal"], rehearsal=Evidence(None, None, {}))

    verdict = judge("rehearsal", nothing, settings)

    assert verdict.outcome == "fail"
    (finding,) = verdict.failures
    assert (finding.found, finding.remedy) == ("none", "iu-gates rehearse && iu-gates advance")


def test_rehearsal_names_the_archive_as_restored() -> None:
    """
    A backup is verified by its restore, and the verdict says of which.
    """
    facts = judge("rehearsal", PASSING["rehearsal"]).facts
    assert facts["restored"] == "a.dump"
    assert facts["expires_at"] == NOW.isoformat()
