"""What is written down beside an export, and the digest that stands for all of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
SUFFIX: Final = ".jsonl.zst"


@dataclass(frozen=True, slots=True)
class TableState:
    """
    One table of the history, as its lines say.

    Attributes:
        rows: How many.
        content: The sum of the first 60 bits of each line's SHA-256, in decimal; the database
            computes the same from its rows (``iu_gates.fn_history_state``).
        sha256: Of all its lines, with their line breaks, in the order of the file.
        columns: Name to PostgreSQL's type.
    """

    rows: int
    content: str
    sha256: str
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    What an export holds, and of what it is.

    Attributes:
        file: Its name, without the directory.
        sha256: Of the file's bytes.
        snapshot_at: The server's clock at BEGIN: what had committed by then is in the file.
        database: system_identifier (text), oid, name, server_version_num.
        ledger: Head of the ledger in that snapshot: seq, hash.
        tables: By name, in the order of the file.
        upto: It holds what is about the events up to this one; None is the whole history.
    """

    file: str
    sha256: str
    size_bytes: int
    snapshot_at: datetime
    database: Mapping[str, Any]
    revisions: tuple[str, ...]
    ledger: Mapping[str, Any]
    tables: Mapping[str, TableState]
    upto: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all other fields as canonical JSON: sorted keys, no spaces, ASCII."""
        text = json.dumps(self._fields(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, the digest among them."""
        return self._fields() | {"digest": self.digest}

    def as_json(self) -> str:
        """Return the text of the manifest's file."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"

    def states(self) -> dict[str, dict[str, Any]]:
        """Return rows and content of each table, as the database gives them."""
        return {n: {"rows": t.rows, "content": t.content} for n, t in self.tables.items()}

    def _fields(self) -> dict[str, Any]:
        return asdict(self) | {
            "format": FORMAT,
            "snapshot_at": self.snapshot_at.isoformat(),
            "revisions": list(self.revisions),
        }


def manifest_path(path: Path) -> Path:
    """Return where the manifest of an export is."""
    return path.with_name(f"{path.name}.json")


def parse(text: str) -> Manifest:
    """
    Return the manifest that a text holds.

    Raises:
        ValueError: It is none, is of another format, or was altered: the digest is not its own.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        if fields.pop("format") != FORMAT:
            message = f"it is not of format {FORMAT}"
            raise ValueError(message)
        digest = fields.pop("digest")
        fields["snapshot_at"] = datetime.fromisoformat(fields["snapshot_at"])
        fields["revisions"] = tuple(fields["revisions"])
        fields["tables"] = {n: TableState(**t) for n, t in fields["tables"].items()}
        manifest = Manifest(**fields)
    except (KeyError, TypeError, AttributeError) as error:
        message = f"it is no manifest of an export: {error}"
        raise ValueError(message) from error
    if manifest.digest != digest:
        message = "it was altered: its digest is another"
        raise ValueError(message)
    return manifest
