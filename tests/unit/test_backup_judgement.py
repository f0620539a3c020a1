"""The judge of a backup: pure, so with made-up manifests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iu_gates.backup import Identity, LedgerFacts, Manifest, SnapshotFacts, judge_manifest
from iu_gates.model import Finding

TAKEN = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HERE = Identity(7_300_000_000_000_000_001, 16_384, "app", 180_004)
MANIFEST = Manifest(
    archive="app-20261123T020000Z-abcdef.dump",
    sha256="0" * 64,
    size_bytes=1,
    entries=1,
    identity=HERE,
    snapshot_at=TAKEN,
    finished_at=TAKEN + timedelta(minutes=10),
    verified_at=TAKEN + timedelta(minutes=20),
    facts=SnapshotFacts(5, ("008",), "f00d", ledger_hash="a" * 64),
    tools={"pg_dump": "18.4", "pg_restore": "18.4"},
)
LEDGER = LedgerFacts(
    min_seq=5,
    hash_at_head="a" * 64,
    step_seq=5,
    revisions=("008",),
    fingerprint="f00d",
    sha256="0" * 64,
)


def judged(
    manifest: Manifest = MANIFEST,
    identity: Identity = HERE,
    ledger: LedgerFacts = LEDGER,
    now: datetime = TAKEN + HOUR,
    max_age: timedelta = HOUR,
) -> dict[str, Finding]:
    """Return the findings by name."""
    findings = judge_manifest(manifest, identity=identity, ledger=ledger, now=now, max_age=max_age)
    return {finding.name: finding for finding in findings}


def failures(findings: dict[str, Finding]) -> list[str]:
    """Return the names of what did not pass."""
    return [name for name, finding in findings.items() if not finding.passed]


def test_backup_of_this_database_after_the_last_step_and_within_the_limit_passes() -> None:
    """
    At exactly the limit, holding exactly the entry that is asked for, all ten findings pass.
    """
    findings = judged()

    assert failures(findings) == []
    assert len(findings) == 10
    assert all(not finding.remedy for finding in findings.values())


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("system identifier", replace(HERE, system_identifier=1)),
        ("database oid", replace(HERE, database_oid=1)),
        ("database name", replace(HERE, database_name="App")),
        ("server version", replace(HERE, server_version_num=180_005)),
    ],
)
def test_foreign_database_is_told_by_what_differs(name: str, other: Identity) -> None:
    """
    A backup of another database fails in the one finding that names the difference.
    """
    findings = judged(identity=other)

    assert failures(findings) == [name]
    assert findings[name].found != findings[name].wanted
    assert findings[name].remedy == "iu-gates backup create"


@given(held=st.none() | st.integers(1, 9), wanted=st.none() | st.integers(1, 9))
def test_snapshot_must_hold_the_last_lane_step(held: int | None, wanted: int | None) -> None:
    """
    T39: the entry of the last lane step must be in the snapshot; without one, anything will do.
    """
    manifest = replace(MANIFEST, facts=SnapshotFacts(ledger_seq=held))

    finding = judged(manifest, ledger=replace(LEDGER, min_seq=wanted))["ledger entry"]

    assert finding.passed == (wanted is None or (held is not None and held >= wanted))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("record", {"sha256": "1" * 64}),
        ("ledger chain", {"hash_at_head": "b" * 64}),
        ("ledger chain", {"hash_at_head": None}),
        ("revisions", {"revisions": ("008", "009")}),
        ("revisions", {"revisions": ()}),
        ("revisions", {"revisions": None}),
        ("catalog", {"fingerprint": "beef"}),
        ("catalog", {"fingerprint": None}),
    ],
)
def test_what_the_ledger_says_otherwise_is_named(name: str, change: dict[str, Any]) -> None:
    """
    T39: swapped, of a ledger that was restored since, or of a state that no lane step left.
    """
    findings = judged(ledger=replace(LEDGER, **change))

    assert failures(findings) == [name]
    assert findings[name].found != findings[name].wanted
    assert findings[name].remedy.startswith("iu-gates backup create")


def test_before_the_first_step_there_is_no_state_to_compare() -> None:
    """
    A backup from before the substrate, or from before there was a ledger, has nothing to match.
    """
    manifest = replace(MANIFEST, facts=SnapshotFacts())

    assert failures(judged(manifest, ledger=LedgerFacts())) == []
    assert failures(judged(ledger=replace(LEDGER, step_seq=None, revisions=None))) == []


@given(st.timedeltas(min_value=timedelta(days=-2), max_value=timedelta(days=2)))
def test_age_counts_from_the_snapshot(age: timedelta) -> None:
    """
    A snapshot passes from age zero to the limit; one from the future (a clock set back) does not.
    """
    finding = judged(now=TAKEN + age)["age of the snapshot"]

    assert finding.passed == (timedelta(0) <= age <= HOUR)


def test_age_just_over_the_limit_does_not_read_like_the_limit() -> None:
    """
    Ages are rounded up, so "1 h 1 s old" stands against "at most 1 h old".
    """
    finding = judged(now=TAKEN + HOUR + timedelta(microseconds=1))["age of the snapshot"]

    assert (finding.found, finding.wanted) == ("1 h 1 s old", "at most 1 h old")
    assert "ahead" in judged(now=TAKEN - HOUR)["age of the snapshot"].found
