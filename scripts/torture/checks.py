"""What must hold after a kill, and what must hold once a way has been walked to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from stage import SITE_KEY, Failure, Stage, poll

from iu_gates import backup, config, lanes
from iu_gates.errors import IuGatesError
from iu_gates.symmetry import Snapshot, snapshot

SUBSTRATE: Final = ("008", "009", "060", "090", "100")
OURS: Final = """
    select count(*) from pg_stat_activity
    where datname = current_database()
      and application_name ~ '^iu-gates (advance|rollback|disable|lock|backup)'
"""
INVALID: Final = """
    select count(*) from pg_index as i join pg_class as c on c.oid = i.indexrelid
    where not i.indisvalid and c.relnamespace::regnamespace::text in ('iu_core', 'public')
"""


def walk_clean(stage: Stage) -> dict[str, Snapshot]:
    """Walk a scratch database with plain Alembic; return the catalog at each substrate revision."""
    catalogs = {}
    settings = {
        "url": stage.url(),
        "schema": "iu_core",
        "host": {},
        "site_key_sha256": config.hash_site_key(SITE_KEY),
        "scratch": True,
        "options": {"lock_timeout": "5s"},
    }
    lanes.bootstrap(stage.settings)
    catalogs["none"] = take_catalog(stage)
    for revision in SUBSTRATE:
        command.upgrade(lanes.make_config(settings), revision)
        catalogs[revision] = take_catalog(stage)
    return catalogs


def take_catalog(stage: Stage) -> Snapshot:
    """Return the catalog of the whole database, our control schema included."""
    with psycopg.connect(stage.url("postgres")) as conn:
        return snapshot(conn)


class Checks:
    """
    The checks of one database; remembers what was seen, so that nothing of it can be lost.

    Args:
        stage: The database.
        clean: The catalogs of a clean walk.
    """

    def __init__(self, stage: Stage, clean: dict[str, Snapshot]) -> None:
        self.stage = stage
        self.clean = clean
        self.head: tuple[int, str] | None = None
        self.verified: set[Path] = set()

    def is_installed(self) -> bool:
        """Tell whether the ledger is there."""
        return self.stage.fetch("select to_regclass('iu_gates.ledger')") != [(None,)]

    def after_kill(self) -> None:
        """Look at everything that a half-done step, verdict or dump would show in."""
        poll(lambda: self.stage.fetch(OURS) == [(0,)], "the sessions of what was killed end")
        self.check_backups()
        if not self.is_installed():
            self._expect("nothing is left of a first call", self._count_schemas(), 0)
            return
        self.check_ledger()
        self.check_catalog()

    def at_rest(self) -> None:
        """As after a kill, and no stop of a drill is left."""
        self.after_kill()
        query = "select epoch, reason from iu_gates.stop where kind = 'drill' and lifted_at is null"
        self._expect("no stop of a drill is left", self.stage.fetch(query), [])
        self._expect("no invalid index is left", self.stage.fetch(INVALID), [(0,)])

    def check_ledger(self) -> None:
        """The chain holds, and what was in it is in it."""
        self._expect(
            "the chain holds", self.stage.fetch("select * from iu_gates.fn_ledger_verify()"), []
        )
        if self.head is not None:
            query = "select hash from iu_gates.ledger where seq = %s"
            found = self.stage.fetch(query, self.head[0])
            self._expect(f"entry {self.head[0]} is kept", found, [(self.head[1],)])
        rows = self.stage.fetch("select seq, hash from iu_gates.ledger order by seq desc limit 1")
        self.head = rows[0] if rows else self.head

    def check_catalog(self) -> None:
        """Catalog and steps in the ledger are those of the revisions applied, nothing half."""
        with self.stage.connect() as conn:
            applied = lanes.list_applied(conn)
        newest = next((r for r in reversed(SUBSTRATE) if r in applied), "none")
        # Alembic makes its table with the first step and keeps it after the last.
        differences = [
            d
            for d in self.clean[newest].diff(take_catalog(self.stage))
            if newest != "none" or "alembic_version" not in d.identity
        ]
        self._expect(f"the catalog at {newest} is that of a clean walk", differences, [])
        self._expect("the steps in the ledger are the revisions", self._list_walked(), set(applied))
        drift = self.stage.fetch("select object, change from iu_gates.fn_drift()")
        self._expect("nothing has drifted", drift, [])

    def check_backups(self) -> None:
        """Each archive that bears a final name and counts as one can be read back whole."""
        directory = self.stage.folder / "backups"
        for found in backup.list_backups(directory):
            if found.path in self.verified:
                continue
            if found.manifest is None:
                # An archive without its manifest does not count, and says so.
                if found.defect is None:
                    raise Failure(f"{found.path.name} has no manifest and no defect")
                continue
            try:
                backup.verify(found.path)
            except IuGatesError as error:
                raise Failure(f"{found.path.name} looks good and is not: {error}") from error
            self.verified.add(found.path)

    def count_delivered(self) -> int:
        """Return the rows of the outbox."""
        return int(self.stage.fetch("select count(*) from public.event_outbox")[0][0])

    def _list_walked(self) -> set[str]:
        rows = self.stage.fetch(
            "select subject, facts ->> 'direction' from iu_gates.ledger"
            " where kind = 'step' order by seq"
        )
        walked: set[str] = set()
        for revision, direction in rows:
            if direction == "up":
                walked.add(revision)
            else:
                walked.discard(revision)
        return walked

    def _count_schemas(self) -> int:
        query = "select count(*) from pg_namespace where nspname in ('iu_gates', 'iu_core')"
        return int(self.stage.fetch(query)[0][0])

    @staticmethod
    def _expect(what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            raise Failure(f"{what}: found {found}, wanted {wanted}")
