"""
The Alembic environment of both lanes.

What it adds to a plain environment:

- the control schema is bootstrapped before anything is written (upgrade and stamp, never
  current or history), because Alembic cannot create the home of its own version table;
- the whole path is looked at before its first step: what the guard would refuse, what would
  lose history, and a host that does not meet the contract are raised and nothing has changed,
  the bootstrap included, which is taken back with them (T30, T32);
- one transaction a revision, with the step's ledger entry in it, and what was looked at before is
  looked at again in it: drift, stops, the backup, the host's tables;
- time-outs and search_path are local to each transaction: behind a pooler the session is not ours;
- names of the host come from settings or from the catalog (`hostnames`), and once installed
  from the database, so that an upgrade and its downgrade speak of the same things.

The URL comes from ``IU_GATES_DATABASE_URL``, ``-x url=…`` or libpq's ``PG*``; `iu_gates.lanes`
hands over its own settings in ``config.attributes["iu_gates"]``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from logging.config import fileConfig
from pathlib import Path
from typing import Any

import hostnames
import psycopg
import sqlfiles
import walkpath
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, pool
from sqlalchemy.exc import DBAPIError
from walksettings import connect, read_settings

HERE = Path(__file__).parent
CONTROL = HERE / "control"
AS_OWNER = (CONTROL / "015_act_as_owner.sql").read_text("utf-8")


def set_locally(cursor: Any, options: Mapping[str, str]) -> None:
    """Set the session's options for the transaction that begins here."""
    query = "select set_config(o.key, o.value, true) from jsonb_each_text(%s::jsonb) as o"
    cursor.execute(query, (json.dumps(options),))


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
    """Make or renew roles and rights as far as the login may, and the control schema."""
    note_catalog(cursor, variables)
    cursor.execute("set local role none")
    cursor.execute(render_mending(variables))
    for text in sqlfiles.read_folder(CONTROL, variables):
        cursor.execute(text)
    cursor.execute(
        "select iu_gates.fn_install(%s::jsonb, %s)",
        (json.dumps(names), settings.get("site_key_sha256")),
    )
    if settings.get("scratch"):
        cursor.execute("select iu_gates.fn_mark_scratch()")


def note_catalog(cursor: Any, variables: Mapping[str, str]) -> None:
    """Note what stands before the bootstrap mends it; at its end the ledger says what it was."""
    text = sqlfiles.render((CONTROL / "018_catalog.sql").read_text("utf-8"), variables)
    try:
        with cursor.connection.transaction():
            cursor.execute(AS_OWNER)
            cursor.execute(text)
            cursor.execute("reset role")
    except (psycopg.errors.InvalidSchemaName, psycopg.errors.InsufficientPrivilege):
        # Not installed yet, or not the owner's any more: then it is noted after the mending.
        return


def render_mending(variables: Mapping[str, str]) -> str:
    """Return the SQL that gives our roles what they lack, as far as the login may."""
    rights = sqlfiles.render((HERE / "rights.sql").read_text("utf-8"), variables)
    return sqlfiles.render((HERE / "mend.sql").read_text("utf-8"), {"iu_rights": rights})


def record_step(*, step: MigrationInfo, **_: object) -> None:
    """Write the step into the ledger, in the step's own transaction."""
    if step.is_stamp:
        heads = ", ".join(step.destination_revision_ids) or "base"
        facts = sqlfiles.quote_literal(json.dumps({"heads": heads}))
        sqlfiles.execute(
            f"select iu_gates.fn_ledger_append('stamp', 'alembic_version', {facts}::jsonb);"
        )
        return
    if step.up_revision_id in walkpath.SUBSTRATE:
        sqlfiles.execute("select iu_gates.fn_grant_roles();")
    direction = "up" if step.is_upgrade else "down"
    sqlfiles.execute(f"select iu_gates.fn_record_step('{step.up_revision_id}', '{direction}');")


OPTIONS: dict[str, Any] = {
    "version_table_schema": "iu_gates",
    "transaction_per_migration": True,
    "on_version_apply": record_step,
}


def begin(cursor: Any, options: Mapping[str, str]) -> None:
    """Begin a transaction: its options, and whom it acts for."""
    set_locally(cursor, options)
    cursor.execute(AS_OWNER)


def prepare(
    raw: psycopg.Connection[Any], settings: dict[str, Any], steps: Sequence[MigrationInfo]
) -> None:
    """Look at the whole path, bootstrap, and settle the options of the steps' transactions."""
    cursor, options = raw.cursor(), settings["options"]
    set_locally(cursor, options)
    cursor.execute(AS_OWNER)
    schema, names = fetch_installed(cursor) or (settings["schema"], None)
    if names is None or _may_rename(cursor):
        names, problems = hostnames.find(cursor, settings["host"])
    else:
        problems = walkpath.find_problems(cursor, names)
    variables = hostnames.variables(schema, names)
    context.config.attributes["iu_variables"] = variables
    context.config.attributes["iu_checks"] = (partial(walkpath.require_host, raw, names),)
    # Quoted as PostgreSQL does it: functions keep this text.
    cursor.execute("select quote_ident(%s) || ', pg_temp'", (schema,))
    (options["search_path"],) = cursor.fetchall()[0]
    set_locally(cursor, options)
    if settings["bootstrap"] or any(s.is_upgrade or s.is_stamp for s in steps):
        cursor.execute("select pg_advisory_xact_lock(18773006, 0)")
        bootstrap(cursor, settings, names, variables)
    cursor.execute(AS_OWNER)
    if steps and "iu_gates.stops_seen" not in options:
        cursor.execute("select iu_gates.fn_stops_in_force()::text")
        (options["iu_gates.stops_seen"],) = cursor.fetchone() or ("{}",)
    if steps:
        # In the transaction of the bootstrap: whoever is refused leaves nothing behind.
        set_locally(cursor, options)
        walkpath.require_path(cursor, steps, problems)
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
    settings["options"] = dict(settings.get("options", {}))
    raw = connect(settings)
    engine = create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=pool.StaticPool)
    event.listen(engine, "begin", lambda _: begin(raw.cursor(), settings["options"]))
    try:
        with engine.connect() as connection:
            walk(connection, raw, settings)
    except (psycopg.Error, DBAPIError) as error:
        if "iu_gates" not in context.config.attributes and (said := explain(error)):
            raise CommandError(said) from error
        raise
    finally:
        engine.dispose()
        raw.close()


def explain(error: psycopg.Error | DBAPIError) -> str | None:
    """Return what the plain command says of a lock that it did not get, or of a raise of ours."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(origin, psycopg.Error):
        return None
    primary, hint = origin.diag.message_primary, origin.diag.message_hint
    if isinstance(origin, psycopg.errors.LockNotAvailable):
        hint = "iu-gates advance"
    elif not (origin.sqlstate or "").startswith("IUG"):
        return None
    return f"{primary}; nothing of this step was applied\n  next: {hint}"


def walk(connection: Connection, raw: psycopg.Connection[Any], settings: dict[str, Any]) -> None:
    """Look at the path, then go it."""
    context.configure(connection=connection, **OPTIONS)
    ctx = context.get_context()
    if not ctx.opts.get("dont_mutate"):
        steps = fetch_path(ctx)
        connection.rollback()
        settings["bootstrap"] = settings.get("bootstrap") or ctx.purge
        prepare(raw, settings, [step.info for step in steps])
        ctx._migrations_fn = lambda *_: look_first(connection, raw, settings, steps)  # noqa: SLF001  as in fetch_path
        if not steps:
            if ctx.purge:
                purge(connection, ctx)
            return
    with context.begin_transaction():
        context.run_migrations()


def purge(connection: Connection, ctx: MigrationContext) -> None:
    """Empty Alembic's table, and say so in the ledger: of ``stamp --purge base`` it is all."""
    with connection.begin():
        ctx._ensure_version_table(purge=True)  # noqa: SLF001  as in fetch_path
        facts = """'{"heads": "base"}'"""
        connection.exec_driver_sql(
            f"select iu_gates.fn_ledger_append('stamp', 'alembic_version', {facts})"
        )


def look_first(
    connection: Connection,
    raw: psycopg.Connection[Any],
    settings: dict[str, Any],
    steps: Sequence[RevisionStep],
) -> Iterator[RevisionStep]:
    """Give each step after a look at who would hold it up, with no transaction open meanwhile."""
    look = settings.get("before_step")
    for step in steps:
        # Alembic has read its version table, or made it, in a transaction of its own by now.
        connection.commit()
        if look is not None and not step.info.is_stamp:
            direction = "up" if step.info.is_upgrade else "down"
            names = context.config.attributes["iu_variables"]
            settings["options"].update(look(raw, step.info.up_revision_id, direction, names))
        yield step


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
            "set lock_timeout = '100ms';",
            "set statement_timeout = '60s';",
            f"set search_path = {sqlfiles.quote_identifier(settings['schema'])}, pg_temp;",
            "begin;",
            render_mending(variables),
            *sqlfiles.read_folder(CONTROL, variables),
            install,
            "commit;",
            # Here each step is a transaction of the script's own.
            AS_OWNER.replace(", true)", ", false)"),
        ):
            sqlfiles.execute(text)
        context.run_migrations()


if context.config.config_file_name and "iu_gates" not in context.config.attributes:
    fileConfig(context.config.config_file_name)
if context.is_offline_mode():
    run_offline()
else:
    run_online()
