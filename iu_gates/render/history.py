"""History that leaves: an export, and what a purge removes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from iu_gates.model import PurgePreview, PurgeResult
from iu_gates.render import words
from iu_gates.render.page import WIDTH, Page

if TYPE_CHECKING:  # it loads psycopg and zstandard; a page of help needs neither
    from iu_gates.export import Export


def export(made: Export, width: int = WIDTH) -> Page:
    """Return what an export holds, as it was read back."""
    page, manifest = Page(width), made.manifest
    page.line(("✓", "good"), " ", (str(made.path), "head"))
    page.field("holds", _rows({n: t.rows for n, t in manifest.tables.items()}))
    page.field("size", words.size(manifest.size_bytes))
    page.field(
        "of",
        f"{manifest.database['name']}, snapshot {words.moment(manifest.snapshot_at)},"
        f" ledger {words.head(manifest.ledger['seq'], manifest.ledger['hash'])}",
    )
    page.field("digest", manifest.digest)
    page.field("", "read back whole")
    return page


def purge_preview(preview: PurgePreview, width: int = WIDTH) -> Page:
    """Return what a purge would remove for good, and who approved."""
    page = Page(width)
    page.line(("purge of the history", "head"))
    page.field("removes", _rows(preview.lost))
    page.field("of these", f"{words.plural(preview.never_delivered, 'event')} never delivered")
    page.field("export", f"{preview.file}, digest {words.short(preview.export)}")
    page.field("approved", f"by {', '.join(preview.approved_by)}")
    page.field("stays", "the ledger, the votes, the host's rows; there is no way back")
    return page


def purge(result: PurgeResult, width: int = WIDTH) -> Page:
    """Return what a purge removed."""
    page = Page(width)
    page.line(("✓", "good"), " the history was removed; the export holds it")
    page.field("removed", _rows(result.removed))
    page.field("export", f"digest {result.export}")
    page.field("approved", f"by {', '.join(result.approved_by)}")
    page.field("backup", result.backup)
    page.command("next", "iu-gates rollback --to base")
    return page


def _rows(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{table} {words.number(rows)}" for table, rows in counts.items()) or "nothing"
