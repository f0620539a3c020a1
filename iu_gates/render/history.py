"""History that leaves: an export, and what a prune or a purge removes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from iu_gates.model import PrunePreview, PruneResult, PurgePreview, PurgeResult
from iu_gates.render import words
from iu_gates.render.page import WIDTH, Page

if TYPE_CHECKING:  # it loads psycopg and zstandard; a page of help needs neither
    from iu_gates.export import Export


def export(made: Export, width: int = WIDTH) -> Page:
    """Return what an export holds, as it was read back."""
    page, manifest = Page(width), made.manifest
    page.line(("✓", "good"), " ", (str(made.path), "head"))
    page.field("holds", _rows({n: t.rows for n, t in manifest.tables.items()}))
    if manifest.upto is not None:
        page.field("bound", f"what is about the events up to {words.number(manifest.upto)}")
    page.field("size", words.size(manifest.size_bytes))
    page.field(
        "of",
        f"{manifest.database['name']}, snapshot {words.moment(manifest.snapshot_at)},"
        f" ledger {words.head(manifest.ledger['seq'], manifest.ledger['hash'])}",
    )
    page.field("digest", manifest.digest)
    page.field("", "read back whole")
    return page


def prune_preview(preview: PrunePreview, width: int = WIDTH) -> Page:
    """Return what a prune would export and remove."""
    page = Page(width)
    page.line(("prune of the history", "head"))
    could = f"{words.plural(preview.events, 'event')}, up to event {words.number(preview.upto)}"
    page.field("could go", could if preview.events else "nothing")
    if preview.age is not None:
        page.field(
            "keeps", f"what was captured in the last {words.age(preview.age.total_seconds())}"
        )
    if preview.kept:
        page.field(
            "stays", f"{words.plural(preview.kept, 'event')}: a dead letter, or to be tried again"
        )
    page.field("oldest", words.moment(preview.oldest))
    return page


def prune(result: PruneResult, width: int = WIDTH) -> Page:
    """Return what a prune removed, and where it is now."""
    page = Page(width)
    if result.prune_no is None:
        page.line(("✓", "good"), " nothing to prune: no event is old enough and done with")
        return page
    page.line(
        ("✓", "good"), f" pruned up to event {words.number(result.upto)}; the export holds it"
    )
    page.field("removed", _rows(result.removed))
    if result.kept:
        page.field(
            "stays", f"{words.plural(result.kept, 'event')}: waiting, or newer than the export"
        )
    page.field("export", f"{result.file}, digest {result.export}")
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
