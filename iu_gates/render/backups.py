"""What became of old backups, and what was said of the site's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iu_gates.render import words
from iu_gates.render.page import WIDTH, Page

if TYPE_CHECKING:  # the room of backups loads psycopg; a page of help needs none
    from iu_gates.backup import SiteBackup
    from iu_gates.backups import Pruned


def pruned(done: Pruned, width: int = WIDTH) -> Page:
    """Return what went or would go, what could not, and what is broken."""
    page = Page(width)
    verb = "would go" if done.dry_run else "removed"
    if not done.is_limited:
        page.line("nothing goes: neither backup_keep nor backup_keep_for is set")
    elif not done.removed:
        page.line("nothing to remove")
    page.fields(verb, (b.path.name for b in done.removed), most=16)
    page.fields("failed", done.failed, "bad")
    page.field("kept", words.plural(done.kept, "backup"))
    page.fields("broken", (f"{b.path.name}: {b.defect}" for b in done.broken), "bad")
    if done.broken:
        page.field("", "left alone: look into them, then remove them by hand", "dim")
    return page


def site_backup(said: SiteBackup, width: int = WIDTH) -> Page:
    """Return what was registered, and by whom."""
    page = Page(width)
    page.line(("✓", "good"), f' registered "{said.ident}" of {said.tool}')
    tested = words.moment(said.restore_tested_at) if said.restore_tested_at else None
    page.field("taken", words.moment(said.taken_at))
    page.field("restored", tested or "never tested: it will not do", "" if tested else "warn")
    page.field("by", said.by)
    if said.note:
        page.field("note", said.note)
    page.command("next", "iu-gates advance")
    return page
