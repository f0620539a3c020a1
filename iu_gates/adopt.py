"""
`adopt`: take over 008, 009 and 060 as they were made by hand, if they are what the revisions give.

What they give is not written down anywhere: it depends on the host's names and on the server. So it
is made, on this very server, in one transaction that is always rolled back: the control schema and
the three revisions in schemas of their own, with a copy of the host's table that has no rows
(`like … including all`: ACCESS SHARE). The control schema that stands, if one does, is renamed in
that transaction, so nothing of it is locked or renewed, and no other session sees any of this.
Both catalogs are then read by the same function, and the names of the throw-away schemas are taken
back to the real ones.

The alternative, hashes shipped with the package, would need one set for each major and each kind
of host, and could not say what differs. Another, to rename the schema that stands and make the
real names anew, would show the host a schema that is being renamed to the trained eye of a DBA, and
gains nothing.

Nothing is guessed: what differs is named, object by object, with the SQL for our own objects, and
run by hand. Owners and the rights of our group roles are not compared: the bootstrap gives them.
Taking over is a matter of the record alone, so it needs no backup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from iu_gates import config, db, drift, lanes, ledger, locks, mending, refusals, site
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError, RefusedError
from iu_gates.model import Adoption, Drift, DriftReport

REVISIONS: Final = ("008", "009", "060")
OURS, HOST, CONTROL = "__iug_ours", "__iug_host", "__iug_control"
"""Ends of the names of throw-away schemas: letters, so that a name is quoted as before."""
THROW_AWAY: Final = re.compile(f"{OURS}|{HOST}|{CONTROL}")
GIVEN: Final = re.compile(r": (owner|comment|privilege \w+ of iu_gates_\w+|default privilege .*)$")
"""What the bootstrap gives, or what moves nothing."""
RENEWED: Final = re.compile(r"^(?!table )|: trigger ")
"""What the bootstrap makes anew in the control schema, whatever stood there."""
ROWS: Final = "40_rows.sql"
MORE: Final = "docs/runbooks/adopt.md"
SWITCH_OFF: Final = (
    "update {schema}.iu_runtime_gate set gate_value = 'false';"
    " update {schema}.iu_outbound_route set dry_run = true"
)
NEXT: Final = "iu-gates adopt --sql > mend.sql"


@dataclass(frozen=True, slots=True)
class Item:
    """The SQL that makes an object, and that which takes it away."""

    definition: str
    removal: str | None


Catalog = dict[str, Item]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The revisions that stand, what they give, and how what stands differs from it."""

    revisions: tuple[str, ...]
    wanted: Catalog
    found: tuple[Drift, ...]


def compare(settings: Settings) -> DriftReport:
    """Return how what stands differs from what the revisions give; changes nothing."""
    with db.connect(settings, "adopt") as conn:
        site.require_home(conn, settings)
        if lanes.list_applied(conn):
            return DriftReport((), "")
        found = drift.with_rows(conn, _compare(conn, settings).found)
        return DriftReport(found, mending.render(found), NEXT)


def adopt(settings: Settings) -> Adoption:
    """
    Record what stands, if it is what the revisions give.

    Raises:
        RefusedError: Something differs, a switch is on, nothing of ours stands, or the login
            may not make what is compared with.
        GateError: The host does not meet the contract.
        LockHeldError: A walk is at work.
    """
    with (
        refusals.recorded(settings, "adopt"),
        db.connect(settings, "adopt") as conn,
    ):
        site.require_home(conn, settings)
        with site.walk_lock(settings, "adopt"):
            if applied := lanes.list_applied(conn):
                return Adoption(
                    applied, 0, "as recorded", "iu-gates status", *ledger.read_head(conn)
                )
            compared = _compare(conn, settings)
            _require_equal(compared.found)
            _require_off(conn, settings)
            config.make_site_key(settings)
            lanes.bootstrap(settings)
            with conn.transaction():
                capture = _record(conn, settings, compared)
            objects = sum(": " not in name for name in compared.wanted)
            seq, head = ledger.read_head(conn)
            return Adoption(compared.revisions, objects, capture, "iu-gates advance", seq, head)


def _compare(conn: Conn, settings: Settings) -> Comparison:
    """Make what the revisions give, read both, and take all of it back."""
    names = _fetch_names(conn, settings)
    with conn.transaction(force_rollback=True):
        try:
            # A savepoint: after it who may do it can still be asked.
            with conn.transaction():
                stages = _make(conn, settings, names)
        except psycopg.errors.InsufficientPrivilege as error:
            raise _no_right(conn, error) from error
        _create(conn, "018_catalog.sql", _variables(settings.schema, names))
        stands = _read(conn, settings.schema)
        control = _differ(_read(conn, f"iu_gates{CONTROL}"), _read(conn, "iu_gates"))
    revisions = _find_revisions(stages, stands)
    wanted = stages[revisions[-1]]
    found = [*_differ(stands, wanted), *_list_kept(control)]
    if "060" in revisions and not found:
        found = list(_differ_rows(conn, settings, names))
    return Comparison(revisions, wanted, tuple(found))


def _no_right(conn: Conn, error: psycopg.Error) -> RefusedError:
    login = db.fetch_one(conn, db.load("adopt_login"))["login"]
    return RefusedError(
        "this login cannot make what the objects are compared with",
        ident="IUG-101",
        found=error.diag.message_primary,
        wanted=f'the right to make schemas, and to rename iu_gates: login "{login}" has it',
        means="nothing was changed; what is made to compare with is rolled back in any case",
        next_command=f"iu-gates adopt --database-url postgresql://{quote(login)}@host/database",
        more=MORE,
    )


def _fetch_names(conn: Conn, settings: Settings) -> dict[str, Any]:
    hostnames = lanes.load_module("hostnames")
    with conn.cursor() as cursor:
        names, problems = hostnames.find(cursor, settings.host)
    if problems:
        raise GateError(
            "the host does not meet the contract; nothing was changed",
            ident="IUG-034",
            found="; ".join(f"{p.name}: {p.found}; wanted {p.wanted}" for p in problems),
            next_command="iu-gates doctor",
        )
    return dict(names)


def _make(conn: Conn, settings: Settings, names: Mapping[str, Any]) -> dict[str, Catalog]:
    """Make the revisions in schemas of their own; return what stands after each."""
    schema, host = f"{settings.schema}{OURS}", f"{names['schema']}{HOST}"
    for name, value in {**locks.timeouts(settings), "search_path": _path(schema)}.items():
        conn.execute("select set_config(%s, %s, true)", (name, value))
    if db.fetch_value(conn, "select to_regnamespace('iu_gates')") is not None:
        conn.execute(
            sql.SQL("alter schema iu_gates rename to {}").format(
                sql.Identifier(f"iu_gates{CONTROL}")
            )
        )
    conn.execute(sql.SQL("create schema {}").format(sql.Identifier(host)))
    conn.execute(
        sql.SQL("create table {} (like {} including all)").format(
            sql.Identifier(host, names["unit_table"]),
            sql.Identifier(names["schema"], names["unit_table"]),
        )
    )
    variables = _variables(schema, {**names, "schema": host})
    for path in sorted((lanes.migrations_dir() / "control").glob("*.sql")):
        _create(conn, path.name, variables)
    stages = {}
    for revision in REVISIONS:
        for text in lanes.render_sql(variables, revision):
            conn.execute(text.encode())
        stages[revision] = _read(conn, schema)
    return stages


def _create(conn: Conn, file: str, variables: Mapping[str, str]) -> None:
    text = (lanes.migrations_dir() / "control" / file).read_text("utf-8")
    conn.execute(lanes.load_module("hostnames").render(text, variables).encode())


def _variables(schema: str, names: Mapping[str, Any]) -> dict[str, str]:
    made: dict[str, str] = lanes.load_module("hostnames").variables(schema, names)
    return made


def _path(schema: str) -> str:
    return f"{sql.Identifier(schema).as_string()}, pg_temp"


def _read(conn: Conn, schema: str) -> Catalog:
    """Return what stands in a schema, under real names and without what the bootstrap gives."""
    rows = db.fetch_all(conn, db.load("catalog"), {"schemas": [schema]})
    clean = (
        {k: v and THROW_AWAY.sub("", v) for k, v in r.items() if k != "home"}
        for r in rows
        if not r["object"].startswith("schema ")
    )
    return {
        r["object"]: Item(r["definition"], r["removal"])
        for r in clean
        if not GIVEN.search(r["object"])
    }


def _find_revisions(stages: Mapping[str, Catalog], stands: Catalog) -> tuple[str, ...]:
    """Return the revisions up to the newest of which anything stands."""
    before: set[str] = set()
    newest = None
    for revision, catalog in stages.items():
        made = {name for name in catalog if ": " not in name or ": trigger " in name} - before
        newest = revision if made & set(stands) else newest
        before |= set(catalog)
    if newest is None:
        raise RefusedError(
            "there is nothing to take over: no object of 008, 009 or 060 stands",
            ident="IUG-048",
            found=", ".join(sorted(stands)[:4]) or "an empty schema",
            next_command="iu-gates advance",
            more=MORE,
        )
    return REVISIONS[: REVISIONS.index(newest) + 1]


def _differ(stands: Catalog, wanted: Catalog) -> list[Drift]:
    """Return what has to be mended for `stands` to become `wanted`."""
    changes = dict.fromkeys(wanted.keys() - stands.keys(), "missing")
    changes |= dict.fromkeys(stands.keys() - wanted.keys(), "added")
    changes |= {
        name: "changed"
        for name in stands.keys() & wanted.keys()
        if stands[name].definition != wanted[name].definition
    }
    return [_drift(name, changes, stands, wanted) for name in sorted(changes)]


def _drift(name: str, changes: Mapping[str, str], stands: Catalog, wanted: Catalog) -> Drift:
    change = changes[name]
    owners = (name[: m.start()] for m in re.finditer(": ", name))
    return Drift(
        name,
        change,
        is_part=change != "changed" and any(changes.get(o) == change for o in owners),
        wanted=wanted[name].definition if name in wanted else None,
        found=stands[name].definition if name in stands else None,
        removal=stands[name].removal if name in stands else None,
    )


def _list_kept(control: list[Drift]) -> Iterator[Drift]:
    """Return what the bootstrap would leave as it is: parts of tables of the control schema."""
    tables = {d.object for d in control if d.change == "missing" and ": " not in d.object}
    for found in control:
        is_made = any(found.object == t or found.object.startswith(f"{t}: ") for t in tables)
        if (
            not is_made
            and not RENEWED.search(found.object)
            and "alembic_version" not in found.object
        ):
            yield found


def _differ_rows(conn: Conn, settings: Settings, names: Mapping[str, Any]) -> Iterator[Drift]:
    """Return the rows of 060 that are not there, or speak of something else."""
    seen = db.fetch_one(conn, db.load("adopt_rows", settings.schema), {"route": config.ROUTE})
    variables = _variables(settings.schema, names)
    folder = next((lanes.migrations_dir() / "versions").glob("060_*/up"))
    text = lanes.load_module("hostnames").render((folder / ROWS).read_text("utf-8"), variables)
    make = f"set search_path = {_path(settings.schema)};\n{text.rstrip().rstrip(';')}"
    for name in ("gate", "route", "cursor"):
        if not seen[f"has_{name}"]:
            yield Drift(f"row of the {name}", "missing", wanted=make)
            return
    target = f"iu.version_applied, workflow: {names['outbox_table']}, enabled"
    if seen["target"] != target:
        yield Drift("row of the route", "changed", found=seen["target"], wanted=f"-- {target}")


def _require_equal(found: tuple[Drift, ...]) -> None:
    if not found:
        return
    texts = [f"{d.object}: {d.change}" for d in found if not d.is_part]
    raise RefusedError(
        f"what stands is not what the revisions give: {texts[0]}"
        + (f" and {len(texts) - 1} more" if len(texts) > 1 else ""),
        ident="IUG-048",
        found="; ".join(texts),
        wanted="the objects of the revisions, and no others of ours",
        means="a step would not know what it stands on; nothing was changed. Read mend.sql, run it"
        " with psql -f, then adopt again",
        next_command=NEXT,
        more=MORE,
        facts={"found": texts},
    )


def _require_off(conn: Conn, settings: Settings) -> None:
    """Raise unless the gate is closed and no route delivers: what is on has passed no gate."""
    if (
        db.fetch_value(
            conn,
            "select to_regclass(%s)",
            sql.Identifier(settings.schema, "iu_runtime_gate").as_string(),
        )
        is None
    ):
        return
    seen = db.fetch_one(conn, db.load("adopt_rows", settings.schema), {"route": config.ROUTE})
    on = ["the worker gate is true"] if seen["is_open"] else []
    on += [f"route {name} is live" for name in seen["live"]]
    if on:
        switch_off = sql.SQL(SWITCH_OFF).format(schema=sql.Identifier(settings.schema))
        raise RefusedError(
            f"what stands is switched on: {', '.join(on)}",
            ident="IUG-048",
            wanted="the worker gate false, every route dry",
            means="whatever is taken over has to pass the gates before it may run",
            next_command=switch_off.as_string(),
            more=MORE,
        )


def _record(conn: Conn, settings: Settings, compared: Comparison) -> str:
    """Look once more, and write version and ledger: one transaction."""
    _create(conn, "015_act_as_owner.sql", {})
    _require_equal(tuple(_differ(_read(conn, settings.schema), compared.wanted)))
    query = "select iu_gates.fn_record_adoption(%s)"
    return str(db.fetch_value(conn, query, list(compared.revisions)))
