"""
A backup into a scratch database: before the data, the scratch mark, the data, the rest.

The mark has to come before the first row of the host (T34), so the archive is restored in the
three sections of pg_restore. Left out, by a list that pg_restore goes by, is what would act
beyond the database, or cannot be in a second one: subscriptions, publications, event triggers,
the credentials of foreign servers, pg_cron; and materialized views are not filled.

A superuser on the same server restores owners and privileges. Any other login owns what it
restores: so rights are not rehearsed there, the gates "host" and "seam" look at those.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from iu_gates import backup as archives
from iu_gates import lanes
from iu_gates.backup import Backup, Tools, find_reader, restoring
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import BackupError
from iu_gates.model import Finding
from iu_gates.rehearsal.place import ELSEWHERE, PAGE, Place

SECTIONS: Final = ("pre-data", "data", "post-data")
LEFT_OUT: Final = re.compile(
    r"(?:COMMENT - |SECURITY LABEL - )?(?:SUBSCRIPTION|PUBLICATION|EVENT TRIGGER|USER MAPPING)\b"
    r"|(?:COMMENT - )?EXTENSION (?:- )?pg_cron\b|(?:TABLE DATA|SEQUENCE SET) cron "
    r"|MATERIALIZED VIEW DATA\b"
)
DEFAULTS: Final = re.compile(r"DEFAULT ACL\b")
REMEDIES: Final = (
    (
        re.compile(r'role "(?P<name>[^"]+)" does not exist'),
        'create role "{name}" nologin',
    ),
    (
        re.compile(r'extension "(?P<name>[^"]+)" is not available|could not open extension'),
        "select * from pg_available_extensions",
    ),
    (
        re.compile(r"permission denied|must be (?:owner|superuser|able)"),
        ELSEWHERE,
    ),
    (
        re.compile(r"No space left|could not extend file"),
        ELSEWHERE,
    ),
)


def find_backup(conn: Conn, settings: Settings) -> Backup | None:
    """
    Return the newest backup of this database, if a rehearsal may begin with it.

    That is: its snapshot holds our control schema and no revision that is not applied now, and
    is not older than a rehearsal may be. It needs not hold the last steps, unlike the one behind
    a step of DDL: they are walked again.

    Raises:
        BackupError: The archive was altered or cut.
    """
    identity, applied = archives.read_identity(conn), set(lanes.list_applied(conn))
    row = conn.execute("select clock_timestamp() - %s", (settings.rehearsal_max_age,)).fetchone()
    for backup in archives.list_backups(settings.backup_dir.absolute()):
        manifest = backup.manifest
        if manifest is None or not manifest.identity.is_same_database(identity):
            continue
        usable = (
            manifest.facts.ledger_seq is not None
            and set(manifest.facts.revisions) <= applied
            and row is not None
            and manifest.snapshot_at >= row[0]
        )
        return archives.quick_check(backup) if usable else None
    return None


def require_backup(conn: Conn, settings: Settings) -> Backup:
    """Return the backup to rehearse with; raises IUG-024 if there is none."""
    backup = find_backup(conn, settings)
    if backup is None:
        raise BackupError(
            "there is no backup to rehearse with",
            ident="IUG-024",
            found=f'none in "{settings.backup_dir}" that is young enough and of a state before',
            wanted="a backup of this database as it is, or as it was on the way here",
            next_command="iu-gates backup create && iu-gates rehearse",
            more=PAGE,
        )
    return backup


def restore(
    scratch: Conn, place: Place, backup: Backup, settings: Settings
) -> tuple[Finding, tuple[str, ...]]:
    """
    Restore an archive and set the scratch mark on the way.

    Returns:
        Whether it could be restored, and the entries that were left out.
    """
    manifest = backup.require_manifest()
    tools = find_reader(manifest, settings.bin_dir)
    with restoring.choosing(tools, backup.path, _chooser(place)) as (use_list, entries):
        left_out = tuple(e for e in entries if not e.startswith(("COMMENT", "SECURITY")))
        for section in SECTIONS:
            options = (f"--section={section}", f"--use-list={use_list}")
            said = _run(tools, scratch, place, backup, options)
            if said is not None:
                return describe_failure(section, said), left_out
            if section == SECTIONS[0]:
                scratch.execute("select iu_gates.fn_mark_scratch()")
    return Finding("restore", passed=True, found="every object and row"), left_out


def keeps_owners(place: Place) -> bool:
    """Tell whether owners are restored as they were."""
    return place.is_same_server and place.is_superuser


def _chooser(place: Place) -> Callable[[str], bool]:
    """Return what tells whether an entry of the archive is left out."""

    def leave_out(entry: str) -> bool:
        is_default = DEFAULTS.match(entry) is not None and not keeps_owners(place)
        return LEFT_OUT.match(entry) is not None or is_default

    return leave_out


def _run(
    tools: Tools, scratch: Conn, place: Place, backup: Backup, options: tuple[str, str]
) -> list[str] | None:
    """Run pg_restore on a part; return None, or what it said if it did not end well."""
    every = (
        *options,
        "--no-tablespaces",
        "--no-subscriptions",
        "--no-publications",
        *([] if keeps_owners(place) else ["--no-owner"]),
        *([] if place.is_same_server else ["--no-privileges"]),
    )
    size_bytes = backup.require_manifest().size_bytes
    return restoring.run_restore(tools, scratch, backup.path, every, size_bytes)


def describe_failure(section: str, said: list[str]) -> Finding:
    """Return the first error that pg_restore named, and what mends it."""
    text = "\n".join(said)
    remedy = "iu-gates rehearse"
    for sign, mend in REMEDIES:
        if match := sign.search(text):
            remedy = mend.format(**match.groupdict())
            break
    first = next((line for line in said if "error:" in line), said[-1] if said else "no message")
    found = f"pg_restore, {section}: {first.removeprefix('pg_restore: error: ')}"
    return Finding("restore", passed=False, found=found, wanted="no error", remedy=remedy)
