"""
What is written down beside an archive, as JSON.

A reader takes a manifest of its own format number only; fields that it does not know are
passed over, so a later version may add some that are optional, and raises the number when
the meaning of one changes. Identifiers that exceed 2^53 are strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from iu_gates.backup.identity import Identity

FORMAT: Final = 1
Kind = Literal["full", "own-objects"]
KINDS: Final[tuple[Kind, ...]] = ("full", "own-objects")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """
    What the caller saw in the very snapshot that is dumped.

    Attributes:
        ledger_seq: Head of the ledger; None if there is no ledger yet.
        ledger_hash: Of that entry; it tells one ledger from another with as many entries.
        revisions: Alembic's revisions, as the caller writes them.
        catalog_fingerprint: Of our objects; None if the caller has none.
        row_counts: Rows of each table that the caller counts.
    """

    ledger_seq: int | None = None
    revisions: tuple[str, ...] = ()
    catalog_fingerprint: str | None = None
    row_counts: Mapping[str, int] = field(default_factory=dict)
    ledger_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    One archive, described.

    Attributes:
        archive: The archive's file name, without a directory.
        sha256: Of the archive, in hexadecimal.
        size_bytes: Of the archive.
        entries: Objects that pg_restore lists in it.
        identity: The database it is of.
        snapshot_at: The server's clock just before the snapshot was taken: what was
            committed by then is inside.
        finished_at: When pg_dump had ended.
        verified_at: When the archive had been read back whole.
        facts: What the caller saw in the snapshot.
        tools: Versions by program name.
        kind: "full" holds the whole database; "own-objects" holds every definition, and
            the rows of our schemas alone.
        compression: As pg_dump was told it.
    """

    archive: str
    sha256: str
    size_bytes: int
    entries: int
    identity: Identity
    snapshot_at: datetime
    finished_at: datetime
    verified_at: datetime
    facts: SnapshotFacts
    tools: Mapping[str, str]
    kind: Kind = "full"
    compression: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, under the names of the file."""
        return {
            "format": FORMAT,
            "archive": self.archive,
            "kind": self.kind,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "entries": self.entries,
            "compression": self.compression,
            "database": {
                "name": self.identity.database_name,
                "oid": self.identity.database_oid,
                "system_identifier": str(self.identity.system_identifier),
                "server_version_num": self.identity.server_version_num,
            },
            "snapshot_at": _timestamp(self.snapshot_at),
            "finished_at": _timestamp(self.finished_at),
            "verified_at": _timestamp(self.verified_at),
            "ledger_seq": self.facts.ledger_seq,
            "ledger_hash": self.facts.ledger_hash,
            "revisions": list(self.facts.revisions),
            "catalog_fingerprint": self.facts.catalog_fingerprint,
            "row_counts": dict(self.facts.row_counts),
            "tools": dict(self.tools),
        }

    def as_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"


def parse_manifest(text: str) -> Manifest:
    """
    Return the manifest that `text` holds.

    Raises:
        ValueError: Not JSON, another format, or a field missing or of another type.
    """
    data = _typed(json.loads(text), dict)
    if data.get("format") != FORMAT:
        message = f"has format {data.get('format')!r}, expected {FORMAT}"
        raise ValueError(message)
    return Manifest(
        archive=_get(data, "archive", str),
        sha256=_get(data, "sha256", str),
        size_bytes=_get(data, "size_bytes", int),
        entries=_get(data, "entries", int),
        identity=_identity(_get(data, "database", dict)),
        snapshot_at=_moment(_get(data, "snapshot_at", str)),
        finished_at=_moment(_get(data, "finished_at", str)),
        verified_at=_moment(_get(data, "verified_at", str)),
        facts=_facts(data),
        tools={name: _typed(v, str) for name, v in _get(data, "tools", dict).items()},
        kind=_kind(_get(data, "kind", str)),
        compression=_get(data, "compression", str),
    )


def _kind(value: str) -> Kind:
    if value not in KINDS:
        message = f"has kind {value!r}, expected one of {', '.join(KINDS)}"
        raise ValueError(message)
    return value


def _identity(data: Mapping[str, Any]) -> Identity:
    return Identity(
        system_identifier=int(_get(data, "system_identifier", str)),
        database_oid=_get(data, "oid", int),
        database_name=_get(data, "name", str),
        server_version_num=_get(data, "server_version_num", int),
    )


def _facts(data: Mapping[str, Any]) -> SnapshotFacts:
    seq, fingerprint = data.get("ledger_seq"), data.get("catalog_fingerprint")
    ledger_hash = data.get("ledger_hash")
    counts = _get(data, "row_counts", dict)
    return SnapshotFacts(
        ledger_seq=None if seq is None else _typed(seq, int),
        revisions=tuple(_typed(r, str) for r in _get(data, "revisions", list)),
        catalog_fingerprint=None if fingerprint is None else _typed(fingerprint, str),
        row_counts={table: _typed(n, int) for table, n in counts.items()},
        ledger_hash=None if ledger_hash is None else _typed(ledger_hash, str),
    )


def _get(data: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    if name not in data:
        message = f"lacks the field {name!r}"
        raise ValueError(message)
    return _typed(data[name], kind)


def _typed(value: object, kind: type[_T]) -> _T:
    # bool is an int to isinstance, and no size
    if not isinstance(value, kind) or isinstance(value, bool):
        message = f"has {value!r} where {kind.__name__} is expected"
        raise ValueError(message)  # noqa: TRY004  one exception for "not a manifest"
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"has the time {text!r} without an offset"
        raise ValueError(message)
    return moment.astimezone(UTC)


def _timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
