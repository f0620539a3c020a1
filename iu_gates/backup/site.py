"""
A backup of the site's own, beside which an archive of our objects may stand.

We cannot read pgBackRest's repository or a cloud's snapshots, so somebody who can says what is
there: an entry of the ledger, by the login that made it. It counts for the database in which it
was said, as long as both the backup and the last test of a restore are young enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iu_gates.backup.judgement import judge_age
from iu_gates.model import Finding

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from iu_gates.backup.identity import Identity

REGISTER: Final = (
    "iu-gates backup register --id ID --tool TOOL --taken-at TIME --restore-tested-at TIME"
)


@dataclass(frozen=True, slots=True)
class SiteBackup:
    """
    What a login has said of the site's own backup.

    Attributes:
        ident: Under which the tool knows it: a label, a snapshot's name, a timeline and LSN.
        tool: One of `config.SITE_BACKUP_TOOLS`.
        taken_at: The moment to which it can be restored.
        restore_tested_at: When a restore was last tried out, and worked; None if never.
        identity: The database in which it was said.
        by: The login that said so (session_user).
        said_at: The server's clock when it did.
        seq: Its entry in the ledger.
    """

    ident: str
    tool: str
    taken_at: datetime
    restore_tested_at: datetime | None
    note: str
    identity: Identity
    by: str
    said_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """How old the site's backup, and the last test of a restore, may be; both inclusive."""

    max_age: timedelta
    restore_test_max_age: timedelta


def judge_site(
    site: SiteBackup | None, *, identity: Identity, now: datetime, limits: SiteLimits
) -> list[Finding]:
    """
    Decide whether a registered backup may stand beside an archive of our objects. Pure.

    Returns:
        One finding if there is none; else three: its database, its age, the restore test.
    """
    if site is None:
        found = "none: an archive of our objects does not hold the host's rows"
        return [_finding("site backup", passed=False, found=found, wanted="one registered")]
    said = f'"{site.ident}" of {site.tool}, by {site.by} in ledger entry {site.seq}'
    here = site.identity.is_same_database(identity)
    wanted = "" if here else "one of this database"
    return [
        _finding("site backup", passed=here, found=said, wanted=wanted),
        judge_age("age of the site backup", site.taken_at, now, limits.max_age, REGISTER),
        _judge_test(site, now, limits.restore_test_max_age),
    ]


def _judge_test(site: SiteBackup, now: datetime, max_age: timedelta) -> Finding:
    name = "restore test of the site"
    if site.restore_tested_at is None:
        return _finding(name, passed=False, found="none", wanted="a restore that worked")
    return judge_age(name, site.restore_tested_at, now, max_age, REGISTER)


def _finding(name: str, *, passed: bool, found: str, wanted: str) -> Finding:
    return Finding(name, passed, found, wanted, remedy="" if passed else REGISTER)
