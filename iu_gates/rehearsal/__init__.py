"""
The rehearsal: the latest backup restored, and the rest of the way walked on it, there and back.

What it shows and nothing else does: that the archive can be restored, row for row; that the
steps to come can be walked, and undone, on this data and not on a fixture's; how long each
held its locks; and that our objects come out of it as they stand in production.

    place     the server: its own, or `rehearsal_url`; rights, version, room
    scratch   a database there, made, marked and dropped, and what a killed one left
    restore   the archive into it, with the scratch mark before the first row (T34)
    load      the sink before the first step (T42), synthetic changes at the top (T43)
    walking   up, proof in each state, down, the catalog each time as before

Production is only read: its catalog, its ledger, and one entry written at the end, of kind
"rehearsal". No lock is held there, no walk kept waiting, and the walk's lock is not taken: a
rehearsal beside an `advance` is of a state that was, and the gate compares it with what is.

What goes wrong inside (an archive that cannot be restored, a step, a count) is evidence too: a
check that failed, in the report and in the ledger. What lets no rehearsal be held at all (no
right to make a database, no room) is an error, and no evidence of anything.

A backup need not hold the last steps, unlike the one behind a step of DDL: they are walked
again, and our objects must then be the present ones. Owners and privileges are restored where
a superuser rehearses on the same server, and left out of the comparison everywhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from iu_gates import db, digest, lanes, ledger, proof, refusals, site
from iu_gates.backup import Backup, Manifest
from iu_gates.config import ROUTE, Settings
from iu_gates.db import Conn
from iu_gates.model import Finding, Leftover, RehearsalReport
from iu_gates.rehearsal import load, scratch
from iu_gates.rehearsal.place import Place, cannot, choose, judge_room
from iu_gates.rehearsal.restore import find_backup, keeps_owners, require_backup, restore
from iu_gates.rehearsal.walking import Walk, Walked

__all__ = ["clean", "find_backup", "rehearse", "run"]

UNCOUNTED: Final = ("iu_gates.scratch_mark",)
NO_ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "own-objects": ("ROWS of the host: the archive is of our own objects",)
}
Notify = Callable[[str], None]


def rehearse(settings: Settings, notify: Notify = lambda _: None) -> RehearsalReport:
    """
    Rehearse, and write what was seen into the ledger.

    Raises:
        GateError: IUG-085, it cannot be held; IUG-086, the scratch database is still there.
        BackupError: There is no backup to rehearse with, or it was altered.
    """
    with (
        refusals.recorded(settings, "rehearse"),
        db.connect(settings, "rehearse", as_owner=True) as conn,
    ):
        db.require_installed(conn)
        site.require_home(conn, settings)
        return run(conn, settings, notify)


def clean(settings: Settings) -> list[Leftover]:
    """Drop the scratch databases that killed rehearsals left, and say which."""
    with db.connect(settings, "rehearse", as_owner=True) as conn:
        return scratch.clean(choose(conn, settings))


def run(conn: Conn, settings: Settings, notify: Notify) -> RehearsalReport:
    """As `rehearse`, with `conn` for what is read of production and for the ledger."""
    if "060" not in (applied := lanes.list_applied(conn)):
        raise cannot(
            "there is nothing to rehearse yet",
            found=f"revisions {', '.join(applied) or 'none'}",
            wanted="revision 060",
            next_command="iu-gates advance --to substrate",
        )
    place = choose(conn, settings)
    for leftover in scratch.clean(place):
        why = f", {leftover.reason}" if leftover.reason else ""
        word = "dropped" if leftover.dropped else "left"
        notify(f"{word} {leftover.database}, of another rehearsal{why}")
    backup = require_backup(conn, settings)
    source = db.fetch_one(conn, db.load("rehearsal_source"))
    room = judge_room(place, source["size_bytes"])
    began = time.perf_counter()
    with scratch.open_scratch(place, source) as url:
        held = _Rehearsal(conn, settings, place, backup, notify)
        held.run(url, source)
        report = held.report(room, time.perf_counter() - began)
        # Before the drop: what was seen is not lost where somebody is in the scratch database.
        ledger.append(conn, "rehearsal", ROUTE, _facts(conn, settings, report, held.walked))
    return report


class _Rehearsal:
    """One rehearsal, from the empty scratch database to what was seen in it."""

    def __init__(
        self, conn: Conn, settings: Settings, place: Place, backup: Backup, notify: Notify
    ) -> None:
        self.conn = conn
        self.settings = settings
        self.place = place
        self.backup = backup
        self.manifest = backup.require_manifest()
        self.notify = notify
        self.checks: list[Finding] = []
        self.off: tuple[str, ...] = ()
        self.restore_seconds = 0.0
        self.walked = Walked()

    def run(self, url: str, source: Mapping[str, Any]) -> None:
        """Restore, compare, fit the sink, walk; what fails ends it and is in the checks."""
        with scratch.open_patient(url) as inside:
            megabytes = self.manifest.size_bytes / 2**20
            self.notify(f"restores {self.manifest.archive} ({megabytes:.1f} MiB)")
            began = time.perf_counter()
            restored, left_out = restore(inside, self.place, self.backup, self.settings)
            self.off = (*NO_ROWS.get(self.manifest.kind, ()), *left_out)
            self.restore_seconds = round(time.perf_counter() - began, 1)
            self.checks.append(restored)
            if not restored.passed:
                return
            self.checks += [
                _judge_counts(inside, self.manifest),
                _judge_fingerprint(inside, self.manifest, self.place, source),
            ]
            names = proof.fetch_names(inside, self.settings)
            _analyze(inside, names)
            self.off += load.fit_sink(inside, self.settings.schema, names)
            self.walked = Walk(inside, url, self.settings, self.notify).go()
            self.checks += [*self.walked.checks, self._judge_present()]

    def report(self, room: Finding, seconds: float) -> RehearsalReport:
        """Return what was seen."""
        return RehearsalReport(
            archive=str(self.backup.path),
            sha256=self.manifest.sha256,
            size_bytes=self.manifest.size_bytes,
            place=self.place.name,
            restore_seconds=self.restore_seconds,
            seconds=round(seconds, 1),
            steps=tuple(self.walked.steps),
            checks=(room, *self.checks),
            not_rehearsed=self.off,
        )

    def _judge_present(self) -> Finding:
        """Hold our objects in production against those that the walk came to in the same state."""
        state = " ".join(lanes.list_applied(self.conn))
        here, there = digest.fetch_catalog(self.conn), self.walked.states.get(state)
        differing = sorted(
            name
            for name in here.keys() | (there or {})
            if here.get(name) != (there or {}).get(name)
        )
        found = f"{len(here)} objects, all alike"
        if there is None:
            found = f"the walk did not come to {state.rpartition(' ')[2]}"
        elif differing:
            found = f"{len(differing)} differ: {', '.join(differing[:3])}"
        passed = there is not None and not differing
        remedy = "" if passed else "iu-gates status"
        return Finding("our objects in production", passed, found, "as the walk made them", remedy)


def _judge_counts(conn: Conn, manifest: Manifest) -> Finding:
    """Hold the rows of each table that the manifest counted against what was restored."""
    wanted = {t: n for t, n in manifest.facts.row_counts.items() if t not in UNCOUNTED}
    tables = db.fetch_all(conn, db.load("rehearsal_counts"), {"labels": list(wanted)})
    found = {}
    for table in tables:
        place = sql.Identifier(table["schema"], table["name"])
        query = sql.SQL("select count(*) as rows from {}").format(place)
        found[table["label"]] = int(db.fetch_one(conn, query)["rows"])
    differing = [
        f"{t}: {found.get(t, 'missing')}, wanted {n}"
        for t, n in wanted.items()
        if found.get(t) != n
    ]
    return Finding(
        "rows restored",
        not differing,
        "; ".join(differing) or f"{sum(found.values())} in {len(found)} tables",
        "as the manifest counted them in the snapshot",
        "iu-gates backup create && iu-gates rehearse" if differing else "",
    )


def _judge_fingerprint(
    conn: Conn, manifest: Manifest, place: Place, source: Mapping[str, Any]
) -> Finding:
    """Hold our catalog against the manifest's, where owners and privileges are the same."""
    name, wanted = "catalog restored", manifest.facts.catalog_fingerprint or "not recorded"
    if not (keeps_owners(place) or (place.is_same_server and source["owner"] == place.login)):
        found = "not compared with the manifest: restored under another login"
        return Finding(name, passed=True, found=found)
    query = "select iu_gates.fn_fingerprint(iu_gates.fn_catalog_hashes())"
    found = db.fetch_value(conn, query)
    passed = found == wanted
    remedy = "" if passed else "iu-gates backup create && iu-gates rehearse"
    return Finding(name, passed, f"fingerprint {found[:12]}", f"{wanted[:12]}", remedy)


def _analyze(conn: Conn, names: Mapping[str, str]) -> None:
    """Let the planner know the tables that are walked on: pg_restore brings no statistics."""
    host = names["iu_host_schema"]
    tables = [(host, names["iu_unit_table"]), (host, names["iu_outbox_table"])]
    tables += [(t["schema"], t["name"]) for t in db.fetch_all(conn, db.load("row_counts"))]
    for table in tables:
        conn.execute(sql.SQL("analyze {}").format(sql.Identifier(*table)))


def _facts(
    conn: Conn, settings: Settings, report: RehearsalReport, walked: Walked
) -> dict[str, Any]:
    """Return what the ledger says of a rehearsal; the gate reads it."""
    held = [s.held_ms for s in report.steps if s.held_ms is not None]
    return {
        "passed": report.passed,
        "failed": [f"{c.name}: {c.found}" for c in report.checks if not c.passed],
        "archive": Path(report.archive).name,
        "sha256": report.sha256,
        "size_bytes": report.size_bytes,
        "restored": report.checks[1].passed,
        "restore_seconds": report.restore_seconds,
        "seconds": report.seconds,
        "place": report.place,
        "checks": {c.name: c.found for c in report.checks},
        "steps": [
            {"revision": s.revision, "way": s.direction, "ms": s.milliseconds, "held_ms": s.held_ms}
            for s in report.steps
        ],
        "longest_held_ms": max(held, default=None),
        "not_rehearsed": list(report.not_rehearsed),
        "package": digest.compute(digest.fetch_way(conn, settings)),
        "states": {state: digest.compute(objects) for state, objects in walked.states.items()},
    }
