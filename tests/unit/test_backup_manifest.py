"""The manifest as a file: what is written is what is read, and nothing else is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iu_gates.backup import KINDS, Identity, Manifest, SnapshotFacts
from iu_gates.backup.manifest import parse_manifest

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
MOMENTS = st.datetimes(timezones=st.just(UTC))
MANIFESTS = st.builds(
    Manifest,
    archive=NAMES,
    sha256=st.just("0" * 64),
    size_bytes=st.integers(0, 2**62),
    entries=st.integers(1, 10**6),
    identity=st.builds(
        Identity, st.integers(0, 2**63 - 1), st.integers(1, 2**32 - 1), NAMES, st.just(160_004)
    ),
    snapshot_at=MOMENTS,
    finished_at=MOMENTS,
    verified_at=MOMENTS,
    facts=st.builds(
        SnapshotFacts,
        ledger_seq=st.none() | st.integers(0, 2**62),
        revisions=st.lists(NAMES).map(tuple),
        catalog_fingerprint=st.none() | NAMES,
        row_counts=st.dictionaries(NAMES, st.integers(0, 2**62)),
        ledger_hash=st.none() | NAMES,
    ),
    tools=st.dictionaries(NAMES, NAMES),
    kind=st.sampled_from(KINDS),
    compression=NAMES,
)
SAMPLE = Manifest(
    archive="a.dump",
    sha256="0" * 64,
    size_bytes=1,
    entries=1,
    identity=Identity(7_300_000_000_000_000_001, 5, "app", 160_004),
    snapshot_at=datetime(2026, 11, 23, 2, 2, tzinfo=UTC),
    finished_at=datetime(2026, 11, 23, 2, 3, tzinfo=UTC),
    verified_at=datetime(2026, 11, 23, 2, 4, tzinfo=UTC),
    facts=SnapshotFacts(7, ("substrate@060",), "f00", {"t": 3}),
    tools={"pg_dump": "16.4"},
).as_dict()


@given(MANIFESTS)
def test_manifest_survives_its_file(manifest: Manifest) -> None:
    """
    What is written is read back equal: names in any script, identifiers beyond 2^53, None.
    """
    assert parse_manifest(manifest.as_json()) == manifest


def test_manifest_is_safe_for_readers_with_floating_point_numbers() -> None:
    """
    The system identifier is a string and times are RFC 3339 in UTC, so jq and JavaScript agree.
    """
    assert SAMPLE["database"]["system_identifier"] == "7300000000000000001"
    assert SAMPLE["snapshot_at"] == "2026-11-23T02:02:00Z"


def test_unknown_field_is_passed_over() -> None:
    """
    A later version may add an optional field without making its backups unreadable to us.
    """
    assert parse_manifest(json.dumps({**SAMPLE, "restored_at": "x"})).archive == "a.dump"


@pytest.mark.parametrize(
    "name", [n for n in SAMPLE if n not in ("ledger_seq", "ledger_hash", "catalog_fingerprint")]
)
def test_missing_field_is_an_error(name: str) -> None:
    """
    A manifest without a field that counts is no manifest.
    """
    data = {key: value for key, value in SAMPLE.items() if key != name}

    with pytest.raises(ValueError, match=name):
        parse_manifest(json.dumps(data))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2),
        ("size_bytes", "1"),
        ("size_bytes", True),
        ("ledger_seq", "7"),
        ("ledger_hash", 7),
        ("kind", "half"),
        ("revisions", "060"),
        ("row_counts", {"t": 1.5}),
        ("database", []),
        ("snapshot_at", "yesterday"),
        ("snapshot_at", "2026-11-23T02:02:00"),
    ],
)
def test_value_of_another_kind_is_an_error(name: str, value: Any) -> None:
    """
    Nothing is guessed: another type, another format or a time without an offset is refused.
    """
    with pytest.raises(ValueError, match=r"\S"):
        parse_manifest(json.dumps({**SAMPLE, name: value}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"a.dump"'])
def test_text_that_is_no_object_is_an_error(text: str) -> None:
    """
    A half-written or foreign file raises ValueError and nothing else.
    """
    with pytest.raises(ValueError, match=r"\S"):
        parse_manifest(text)
