"""What is on record: the ledger, the backups, what waits for approval, the worker's log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from iu_gates.model import Batch, LedgerEntry, LedgerExport, PendingApproval
from iu_gates.render import words
from iu_gates.render.page import WIDTH, Page, clip

if TYPE_CHECKING:  # the room of backups loads psycopg; a page of help needs none
    from iu_gates.backup.archive import Backup

_HASH: Final = 8
_ACTOR: Final = 16
_PROBLEMS: Final = 20
_TELLING: Final = ("outcome", "direction", "id", "reason", "why", "digest", "epoch")
"""Facts that say in a word or two what an entry is about; the first that it has is shown."""


def ledger(entries: Sequence[LedgerEntry], width: int = WIDTH) -> Page:
    """Return one line for each entry, the newest last."""
    page = Page(width)
    if not entries:
        page.line("the ledger holds no such entry")
        return page
    seqs = max(len(str(e.seq)) for e in entries) + 1
    kinds = min(max(len(e.kind) for e in entries), 16)
    for entry in entries:
        start = f"{f'#{entry.seq}':>{seqs}}  {words.moment(entry.at)}  "
        room = width - len(start) - kinds - _HASH - 4
        by = f", by {clip(entry.actor, _ACTOR)}"
        text = clip(_about(entry), room - len(by)) + by
        page.line(
            (start, "dim"),
            (f"{clip(entry.kind, kinds):<{kinds}}  ", "head"),
            f"{text:<{room}}  ",
            (entry.hash[:_HASH], "dim"),
        )
    return page


def ledger_verified(
    problems: Sequence[tuple[int, str]], seq: int, head: str, width: int = WIDTH
) -> Page:
    """Return whether the chain holds, and where it does not."""
    page = Page(width)
    if not problems:
        page.line(("✓", "good"), f" the chain holds: {words.plural(seq, 'entry')}")
    else:
        count = words.plural(len(problems), "problem")
        page.line(("✗", "bad"), f" the ledger is not as it was written: {count}")
        for number, problem in problems[:_PROBLEMS]:
            page.field(f"#{number}", problem)
        if (more := len(problems) - _PROBLEMS) > 0:
            page.field("", f"… and {words.number(more)} more; --json has all", "dim")
    if head:
        page.field("head", words.head(seq, head))
        page.field("", head, "dim")
    return page


def ledger_exported(made: LedgerExport, width: int = WIDTH) -> Page:
    """Return where the ledger was written, and whether it holds."""
    page = Page(width)
    if made.broken_at is None:
        page.line(("✓", "good"), f" the chain holds: {words.plural(made.entries, 'entry')}")
    else:
        page.line(("✗", "bad"), f" the chain is broken at entry {made.broken_at}")
        page.command("next", "iu-gates ledger verify")
    if made.path:
        page.field("file", made.path)
    page.field("head", words.head(made.entries, made.ledger_hash))
    return page


def backups(found: Sequence[Backup], width: int = WIDTH) -> Page:
    """Return the backups, the newest first; the broken ones with their defect."""
    page = Page(width)
    for backup in found:
        _backup(page, backup)
    if not found:
        page.line("no backup yet")
        page.command("next", "iu-gates backup create")
    return page


def backup(made: Backup, width: int = WIDTH) -> Page:
    """Return one backup, as it was taken or verified."""
    page = Page(width)
    _backup(page, made)
    return page


def pending(request: PendingApproval, width: int = WIDTH) -> Page:
    """Return what would be approved, whole: its contents are what the digest is about."""
    page = Page(width)
    page.line((f"{request.subject} waits for approval", "head"))
    page.field("digest", request.digest)
    page.field("asked", f"by {request.requested_by}, {words.moment(request.requested_at)}")
    logins = words.plural(request.needed, "login")
    page.field("needs", f"{logins} other than the one that advances")
    page.fields("votes", request.votes or ("none yet",), most=16)
    page.blank()
    columns = min(max((len(str(k)) for k in request.contents), default=0), 24) + 2
    for name, value in request.contents.items():
        page.field(str(name), words.value(value), columns=columns)
    return page


def batch(done: Batch, width: int = WIDTH) -> Page:
    """Return one line of the worker's log."""
    page = Page(width)
    counts = {"events": done.events, "sent": done.sent}
    rare = {"duplicates": done.duplicates, "parked": done.parked, "dead": done.dead}
    counts |= {name: count for name, count in rare.items() if count}
    page.line(f"{done.route}  {done.state}  {words.counts(counts)}  {done.seconds:.3f} s")
    return page


def _about(entry: LedgerEntry) -> str:
    """Return to what it happened, and the first that its facts say of it."""
    said = (words.value(entry.facts[name]) for name in _TELLING if entry.facts.get(name))
    passed = entry.facts.get("passed")
    how = {True: "passed", False: "failed"}.get(passed, "") if passed is not None else ""
    return " ".join(filter(None, (entry.subject, how or next(said, ""))))


def _backup(page: Page, backup: Backup) -> None:
    defect, manifest = backup.defect, backup.manifest
    page.line(("✗", "bad") if defect else ("✓", "good"), " ", (str(backup.path), "head"))
    if defect:
        page.field("", f"{defect.ident} {defect.summary}", "bad", columns=0)
    if manifest:
        page.field(
            "",
            f"{manifest.identity.database_name}, {manifest.kind},"
            f" {words.size(manifest.size_bytes)},"
            f" snapshot {words.moment(manifest.snapshot_at)},"
            f" sha256 {words.short(manifest.sha256)}",
            columns=0,
        )
