"""
The Alembic environment of both lanes.

What it adds to a plain environment:

- the control schema is bootstrapped before anything is written (upgrade and stamp, never
  current or history), because Alembic cannot create the home of its own version table;
- the whole path is looked at before its first step: what the guard would refuse, what would
  lose history, and a host that does not meet the contract are raised and nothing has changed,
  the bootstrap included, which is taken back with them (T30, T32);
- one transaction a revision, with the step's ledger entry in it;
- names of the host come from settings or from the catalog (`hostnames`), and once installed
  from the database, so that an upgrade and its downgrade speak of the same things.

The URL comes from ``IU_GATES_DATABASE_URL``, ``-x url=…`` or libpq's ``PG*``; `iu_gates.lanes`
hands over its own settings in ``config.attributes["iu_gates"]``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from logging.config import fileConfig
from pathlib import Path
from typing import Any

import hostnames
import psycopg
import sqlfiles
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, pool

CONTROL = Path(__file__).parent / "control"
GUARDED = ("080", "090", "100", "081", "082")
NEEDS_BACKUP = ("090", "100")
KEEPS_HISTORY = ("008", "009")
NEEDS_HOST = ("060", "090")
PG_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE", "PGPORT", "PGUSER")
HOST_SETTINGS = (
    "schema",
    "unit_table",
    "outbox_table",
    "unit_column",
    "version_column",
    "key_column",
    "payload_column",
    "type_column",
    "subject_column",
)


class RefusalError(CommandError):
    """The path is refused before its first step; `kind` is "guard", "history" or "host"."""

    def __init__(self, kind: str, summary: str, findings: list[str], remedy: str) -> None:
        super().__init__("\n  ".join([summary, *findings, f"next: {remedy}"]))
        self.kind = kind
        self.summary = summary
        self.findings = findings
        self.remedy = remedy


def read_settings() -> dict[str, Any]:
    """Return what `iu_gates.lanes` handed over, or the same from ``-x`` and the environment."""
    if given := context.config.attributes.get("iu_gates"):
        return dict(given)
    x = context.get_x_argument(as_dictionary=True)
    env = os.environ
    host: dict[str, Any] = {
        k: x.get(k) or env.get(f"IU_GATES_HOST_{k.upper()}") for k in HOST_SETTINGS
    }
    host["schema"] = x.get("host_schema") or env.get("IU_GATES_HOST_SCHEMA")
    if constants := env.get("IU_GATES_HOST_OUTBOX_CONSTANTS"):
        host["outbox_constants"] = read_constants(constants)
    site_key = env.get("IU_GATES_SITE_KEY")
    return {
        "url": x.get("url") or env.get("IU_GATES_DATABASE_URL"),
        "schema": x.get("schema") or env.get("IU_GATES_SCHEMA") or "iu_core",
        "host": {k: v for k, v in host.items() if v},
        "site_key_sha256": hashlib.sha256(site_key.encode()).hexdigest() if site_key else None,
        "scratch": "scratch" in x,
        "options": {"lock_timeout": env.get("IU_GATES_LOCK_TIMEOUT", "5s")},
    }


def read_constants(text: str) -> dict[str, Any]:
    """Return the constants of the outbox's columns, given as a JSON object."""
    try:
        return dict(json.loads(text))
    except ValueError as error:
        message = (
            f"IU_GATES_HOST_OUTBOX_CONSTANTS is no JSON object: {error}\n"
            """  next: export IU_GATES_HOST_OUTBOX_CONSTANTS='{"column": "value"}'"""
        )
        raise CommandError(message) from error


def connect(settings: Mapping[str, Any]) -> psycopg.Connection[Any]:
    """Open the connection of the walk; plain URLs and SQLAlchemy's spelling of them both work."""
    url = settings["url"]
    if not url and not any(os.environ.get(name) for name in PG_VARIABLES):
        message = (
            "no database given\n"
            "  next: export IU_GATES_DATABASE_URL=postgresql://user@host/database"
        )
        raise CommandError(message)
    url = (url or "").replace("postgresql+psycopg://", "postgresql://", 1)
    return psycopg.connect(
        url, application_name=settings.get("application_name", "iu-gates alembic")
    )


def fetch_names(
    cursor: Any, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], list[hostnames.Problem]]:
    """Return the host's names as the catalog and the settings give them."""
    wanted = {**hostnames.DEFAULTS, **settings["host"]}
    unit = hostnames.fetch(cursor, wanted["schema"], wanted["unit_table"])
    outbox = hostnames.fetch(cursor, wanted["schema"], wanted["outbox_table"])
    return hostnames.resolve(unit, outbox, settings["host"])


def fetch_installed(cursor: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the schema and the host's names as they were installed, or None."""
    cursor.execute("select to_regclass('iu_gates.installation')")
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute("select iu_schema, host from iu_gates.installation")
    row: tuple[str, dict[str, Any]] | None = cursor.fetchone()
    return row


def bootstrap(
    cursor: Any, settings: Mapping[str, Any], names: Mapping[str, Any], variables: Mapping[str, str]
) -> None:
    """Make or renew the control schema; safe to run again."""
    for text in sqlfiles.read_folder(CONTROL, variables):
        cursor.execute(text)
    cursor.execute(
        "select iu_gates.fn_install(%s::jsonb, %s)",
        (json.dumps(names), settings.get("site_key_sha256")),
    )
    if settings.get("scratch"):
        cursor.execute("select iu_gates.fn_mark_scratch()")


def require_path(
    cursor: Any,
    steps: Sequence[MigrationInfo],
    problems: Sequence[hostnames.Problem],
) -> None:
    """Raise `RefusalError` for all that would be refused on the way, before the first step."""
    up = [s.up_revision_id or "" for s in steps if s.is_upgrade and not s.is_stamp]
    down = [s.up_revision_id for s in steps if not s.is_upgrade and not s.is_stamp]
    host = [f"{p.name}: {p.found}; wanted {p.wanted}; {p.remedy}" for p in problems]
    host = host if set(up) & set(NEEDS_HOST) else []
    for place, revision in enumerate(up):
        findings = list_guarded(cursor, revision, up[:place])
        if findings:
            raise RefusalError(
                "guard",
                f"revision {revision} is refused by the guard; nothing was changed",
                host + findings,
                "iu-gates advance, which walks the gates in order",
            )
    if host:
        summary = "the host does not meet the contract; nothing was changed"
        raise RefusalError("host", summary, host, "iu-gates doctor")
    if tables := list_history(cursor) if set(down) & set(KEEPS_HISTORY) else []:
        raise RefusalError(
            "history",
            "the downgrade is refused while history exists; nothing was changed",
            [f"{name} holds history" for name in tables],
            "iu-gates rollback --to 009, which keeps the history",
        )


def list_guarded(cursor: Any, revision: str, before: Sequence[str]) -> list[str]:
    """Return what the guard has against a revision, if the revisions `before` it go first."""
    if revision not in GUARDED:
        return []
    cursor.execute("select iu_gates.fn_guard_findings(%s), iu_gates.fn_is_scratch()", (revision,))
    findings, is_scratch = cursor.fetchone()
    if before and revision in NEEDS_BACKUP and not is_scratch:
        # The backup has to be newer than every step of an earlier gate (T39).
        findings.append(f'gate "backup": step {before[-1]} of this walk would come after it')
    return list(findings)


def list_history(cursor: Any) -> list[str]:
    """Return the tables of ours that hold history."""
    cursor.execute("select table_name from iu_gates.fn_history() where row_exists")
    return [name for (name,) in cursor.fetchall()]


def record_step(*, step: MigrationInfo, **_: object) -> None:
    """Write the step into the ledger, in the step's own transaction."""
    if step.is_stamp:
        heads = ", ".join(step.destination_revision_ids) or "base"
        facts = sqlfiles.quote_literal(json.dumps({"heads": heads}))
        sqlfiles.execute(
            f"select iu_gates.fn_ledger_append('stamp', 'alembic_version', {facts}::jsonb);"
        )
        return
    direction = "up" if step.is_upgrade else "down"
    sqlfiles.execute(f"select iu_gates.fn_record_step('{step.up_revision_id}', '{direction}');")


OPTIONS: dict[str, Any] = {
    "version_table_schema": "iu_gates",
    "transaction_per_migration": True,
    "on_version_apply": record_step,
}


def prepare(
    raw: psycopg.Connection[Any], settings: Mapping[str, Any], steps: Sequence[MigrationInfo]
) -> None:
    """Look at the whole path, bootstrap, and set the session up for the steps."""
    cursor = raw.cursor()
    schema, names = fetch_installed(cursor) or (settings["schema"], None)
    problems: list[hostnames.Problem] = []
    if names is None or _may_rename(cursor):
        names, problems = fetch_names(cursor, settings)
    variables = hostnames.variables(schema, names)
    context.config.attributes["iu_variables"] = variables
    cursor.execute(f"set search_path = {sqlfiles.quote_identifier(schema)}, pg_temp")
    if settings.get("bootstrap") or any(s.is_upgrade or s.is_stamp for s in steps):
        cursor.execute("select pg_advisory_xact_lock(18773006, 0)")
        bootstrap(cursor, settings, names, variables)
    if steps:
        cursor.execute(
            "select set_config('iu_gates.stops_seen', iu_gates.fn_stops_in_force()::text, false)"
        )
    for name, value in settings.get("options", {}).items():
        cursor.execute("select set_config(%s, %s, false)", (name, value))
    if steps:
        # In the transaction of the bootstrap: whoever is refused leaves nothing behind.
        require_path(cursor, steps, problems)
    raw.commit()


def _may_rename(cursor: Any) -> bool:
    """True until the capture trigger stands: up to then the host's names may still change."""
    cursor.execute(
        "select not exists (select from pg_trigger where tgname = 'iu_unit_version_capture')"
    )
    return bool(cursor.fetchone()[0])


def run_online() -> None:
    """Walk on the database."""
    settings = read_settings()
    raw = connect(settings)
    engine = create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=pool.StaticPool)
    try:
        with engine.connect() as connection:
            walk(connection, raw, settings)
    finally:
        engine.dispose()
        raw.close()


def walk(connection: Connection, raw: psycopg.Connection[Any], settings: Mapping[str, Any]) -> None:
    """Look at the path, then go it."""
    context.configure(connection=connection, **OPTIONS)
    ctx = context.get_context()
    if not ctx.opts.get("dont_mutate"):
        steps = fetch_path(ctx)
        connection.rollback()
        prepare(raw, settings, [step.info for step in steps])
        ctx._migrations_fn = lambda *_: steps  # noqa: SLF001  as in fetch_path
        if not steps:
            return
    with context.begin_transaction():
        context.run_migrations()


def fetch_path(ctx: MigrationContext) -> list[RevisionStep]:
    """Return the steps that Alembic is about to go; it has no public way to ask."""
    find = ctx._migrations_fn  # noqa: SLF001
    heads = () if ctx.purge else ctx.get_current_heads()
    return list(find(heads, ctx)) if find else []


def run_offline() -> None:
    """Print the SQL of the walk; the guard is asked when it is run."""
    settings = read_settings()
    usual = {"type_column": "event_type", "subject_column": "subject"}
    names = {**hostnames.DEFAULTS, **usual, **settings["host"]}
    # What was found out with a connection is better than what is assumed here.
    install = (
        f"select iu_gates.fn_install({sqlfiles.quote_literal(json.dumps(names))}::jsonb, null)"  # noqa: S608
        " where not exists (select from iu_gates.installation);"
    )
    variables = hostnames.variables(settings["schema"], names)
    context.config.attributes["iu_variables"] = variables
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        for text in (
            "set lock_timeout = '1s';",
            "set statement_timeout = '60s';",
            f"set search_path = {sqlfiles.quote_identifier(settings['schema'])}, pg_temp;",
            *sqlfiles.read_folder(CONTROL, variables),
            install,
        ):
            sqlfiles.execute(text)
        context.run_migrations()


if context.config.config_file_name and "iu_gates" not in context.config.attributes:
    fileConfig(context.config.config_file_name)
if context.is_offline_mode():
    run_offline()
else:
    run_online()
