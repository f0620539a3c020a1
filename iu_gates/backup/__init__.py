"""
Backups that a gate may stand on: taken by `pg_dump -Fc`, read back whole, judged.

    create          connect, hold a snapshot, collect facts in it, dump, read back, publish
    verify          the same checks on what lies on disk, each defect with its own id
    quick_check     size and sha256 alone, for the moment before a DDL step
    list_backups    what lies in a directory, the broken ones with their defect
    judge_manifest  is it of this database, as the ledger left it, young enough (pure)
    judge_site      may the site's own backup stand beside an archive of our objects (pure)
    choose_removable, remove    old archives that nothing stands on

An archive counts only with its manifest (``<archive>.json``) beside it. Both are written
under a temporary name, fsynced and then renamed, the manifest last: so whatever a killed
process, a full disk or a cut connection leaves behind, it does not look like a backup.

    defects     every way in which a backup is none, as errors with their ids
    identity    which database is this
    manifest    what is written down beside an archive
    tools       where pg_dump and pg_restore are
    files       temporary names, locks, modes, fsync, room on the disk
    process     pg_dump as a child that never sees a password on its command line
    archive     reading archives back
    creation    taking one
    probing     which compressions pg_dump and pg_restore know
    compression which of them is taken
    judgement   judging one
    site        judging what was registered of the site's own
    retention   which old ones go
"""

from iu_gates.backup.archive import Backup, find_reader, list_backups, quick_check, verify
from iu_gates.backup.creation import Progress, create
from iu_gates.backup.defects import MISSING
from iu_gates.backup.identity import Identity, read_identity
from iu_gates.backup.judgement import AGAIN, LedgerFacts, judge_manifest, words_of
from iu_gates.backup.manifest import KINDS, Kind, Manifest, SnapshotFacts
from iu_gates.backup.retention import Retention, choose_removable, remove
from iu_gates.backup.site import REGISTER, SiteBackup, SiteLimits, judge_site
from iu_gates.backup.tools import Tools, find_tools

__all__ = [
    "AGAIN",
    "KINDS",
    "MISSING",
    "REGISTER",
    "Backup",
    "Identity",
    "Kind",
    "LedgerFacts",
    "Manifest",
    "Progress",
    "Retention",
    "SiteBackup",
    "SiteLimits",
    "SnapshotFacts",
    "Tools",
    "choose_removable",
    "create",
    "find_reader",
    "find_tools",
    "judge_manifest",
    "judge_site",
    "list_backups",
    "quick_check",
    "read_identity",
    "remove",
    "verify",
    "words_of",
]
