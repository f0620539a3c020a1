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

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from iu_gates import backup as archives
from iu_gates import lanes
from iu_gates.backup import Backup, Tools, defects, find_tools, process
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import BackupError
from iu_gates.model import Finding
from iu_gates.rehearsal.place import PAGE, Place

SECTIONS: Final = ("pre-data", "data", "post-data")
LEFT_OUT: Final = re.compile(
    r"(?:COMMENT - |SECURITY LABEL - )?(?:SUBSCRIPTION|PUBLICATION|EVENT TRIGGER|USER MAPPING)\b"
    r"|(?:COMMENT - )?EXTENSION (?:- )?pg_cron\b|(?:TABLE DATA|SEQUENCE SET) cron "
    r"|MATERIALIZED VIEW DATA\b"
)
DEFAULTS: Final = re.compile(r"DEFAULT ACL\b")
ENTRY: Final = re.compile(r"\d+; \d+ \d+ (?P<entry>.+)")
NEWER_SETTING: Final = 'unrecognized configuration parameter "transaction_timeout"'
"""What pg_restore 17 and newer asks of any server, and servers before 17 do not know."""
KNOWS_NEWER_SETTING: Final = 17
WORTH_JOBS_BYTES: Final = 64 * 2**20
MOST_JOBS: Final = 4
REMEDIES: Final = (
    (
        re.compile(r'role "(?P<name>[^"]+)" does not exist'),
        'create role "{name}" nologin, on the server of the rehearsal',
    ),
    (
        re.compile(r'extension "(?P<name>[^"]+)" is not available|could not open extension'),
        "install that extension on the server of the rehearsal",
    ),
    (
        re.compile(r"permission denied|must be (?:owner|superuser|able)"),
        "rehearse as a superuser, or on a server of yours by rehearsal_url",
    ),
    (
        re.compile(r"No space left|could not extend file"),
        "set rehearsal_url to a server that has room",
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
    major = backup.require_manifest().tools.get("pg_dump", "0").partition(".")[0]
    tools = find_tools(int(major), settings.bin_dir)
    with _list_entries(tools, backup, place) as (use_list, left_out):
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


@contextmanager
def _list_entries(
    tools: Tools, backup: Backup, place: Place
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give a file with the entries to restore, for ``--use-list``, and those left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "entries"
        with path.open("wb") as file:
            said = process.read_archive(tools.pg_restore, ["--list", str(backup.path)], file)
        if said is not None:
            raise defects.unreadable(backup.path, said)
        kept, left_out = [], []
        for line in path.read_text("utf-8", errors="surrogateescape").splitlines(keepends=True):
            match = ENTRY.match(line)
            entry = match["entry"] if match else ""
            is_default = DEFAULTS.match(entry) and not keeps_owners(place)
            if LEFT_OUT.match(entry) or is_default:
                left_out.append(entry.strip())
            else:
                kept.append(line)
        path.write_text("".join(kept), "utf-8", errors="surrogateescape")
        yield path, tuple(e for e in left_out if not e.startswith(("COMMENT", "SECURITY")))


def _run(
    tools: Tools, scratch: Conn, place: Place, backup: Backup, options: tuple[str, str]
) -> list[str] | None:
    """Run pg_restore on a part; return None, or what it said if it did not end well."""
    child = process.child_connection(scratch)
    # The one setting that an older server does not know is passed over, and nothing else.
    is_newer = int(tools.restore_version.partition(".")[0]) >= KNOWS_NEWER_SETTING > place.major
    command = [
        str(tools.pg_restore),
        *options,
        f"--dbname={scratch.info.dbname}",
        *child.arguments,
        "--no-password",
        "--no-tablespaces",
        "--no-subscriptions",
        "--no-publications",
        *([] if keeps_owners(place) else ["--no-owner"]),
        *([] if place.is_same_server else ["--no-privileges"]),
        *([] if is_newer else ["--exit-on-error", f"--jobs={_count_jobs(backup)}"]),
        str(backup.path),
    ]
    with Path(os.devnull).open("wb") as nowhere:
        returncode, said = process.run_dump(command, child, nowhere.fileno(), lambda: None)
    if returncode == 0 or (is_newer and is_only_newer_setting(said)):
        return None
    return said


def is_only_newer_setting(said: list[str]) -> bool:
    """Tell whether pg_restore said nothing but that an old server lacks a setting of its own."""
    errors = [line for line in said if "error:" in line]
    return (
        len(errors) == 1
        and NEWER_SETTING in errors[0]
        and any(line.endswith("errors ignored on restore: 1") for line in said)
    )


def _count_jobs(backup: Backup) -> int:
    """Return how many sessions are worth their start."""
    if backup.require_manifest().size_bytes < WORTH_JOBS_BYTES:
        return 1
    return min(MOST_JOBS, os.cpu_count() or 1)


def describe_failure(section: str, said: list[str]) -> Finding:
    """Return the first error that pg_restore named, and what mends it."""
    text = "\n".join(said)
    remedy = PAGE
    for sign, mend in REMEDIES:
        if match := sign.search(text):
            remedy = mend.format(**match.groupdict())
            break
    first = next((line for line in said if "error:" in line), said[-1] if said else "no message")
    found = f"pg_restore, {section}: {first.removeprefix('pg_restore: error: ')}"
    return Finding("restore", passed=False, found=found, wanted="no error", remedy=remedy)
