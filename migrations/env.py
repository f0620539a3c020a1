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

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from logging.config import fileConfig
from pathlib import Path
from typing import Any

import hostnames
import psycopg
import sqlfiles
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo, RevisionStep
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, pool
from sqlalchemy.exc import DBAPIError

HERE = Path(__file__).parent
CONTROL = HERE / "control"
AS_OWNER = (CONTROL / "015_act_as_owner.sql").read_text("utf-8")
GUARDED = ("080", "090", "100", "081", "082")
NEEDS_BACKUP = ("090", "100")
KEEPS_HISTORY = ("008", "009")
SUBSTRATE = ("008", "009", "060", "090", "100")
NEEDS_HOST = ("060", "090")
PLAIN_OPTIONS = {"statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s"}
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
        "bootstrap": "bootstrap" in x,
        "options": PLAIN_OPTIONS | {"lock_timeout": env.get("IU_GATES_LOCK_TIMEOUT", "100ms")},
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
    name = settings.get("application_name", "iu-gates alembic")
    return psycopg.connect(url, application_name=name, prepare_threshold=None)


def set_locally(cursor: Any, options: Mapping[str, str]) -> None:
    """Set the session's options for the transaction that begins here."""
    query = "select set_config(o.key, o.value, true) from jsonb_each_text(%s::jsonb) as o"
    cursor.execute(query, (json.dumps(options),))


def fetch_names(
    cursor: Any, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], list[hostnames.Problem]]:
    """Return the host's names as the catalog and the settings give them."""
    wanted = {**hostnames.DEFAULTS, **settings["host"]}
    unit = hostnames.fetch(cursor, wanted["schema"], wanted["unit_table"])
    outbox = hostnames.fetch(cursor, wanted["schema"], wanted["outbox_table"])
    return hostnames.resolve(unit, outbox, settings["host"])


def find_problems(cursor: Any, names: Mapping[str, Any]) -> list[hostnames.Problem]:
    """Return where the host's tables do not meet the contract under names that are settled."""
    unit = hostnames.fetch(cursor, names["schema"], names["unit_table"])
    outbox = hostnames.fetch(cursor, names["schema"], names["outbox_table"])
    now, problems = hostnames.resolve(unit, outbox, names)
    return problems or [
        hostnames.Problem(
            f"{names['schema']}.{names['outbox_table']}",
            f"{key.replace('_', ' ')} {now.get(key)}",
            f"{names[key]}, as the steps before found it",
            "take the change of the table back, or iu-gates rollback --to 009",
        )
        for key in ("key_index", "column_types")
        if now.get(key) != names.get(key)
    ]


def require_host(
    raw: psycopg.Connection[Any], names: Mapping[str, Any], revision: str, direction: str
) -> None:
    """Raise, in a step's transaction, if the host's tables are not what its SQL speaks of."""
    if direction != "up" or revision not in NEEDS_HOST:
        return
    cursor = raw.cursor()
    if not find_problems(cursor, names):
        # From here on nobody alters them before this step has ended.
        tables = (names["unit_table"], names["outbox_table"])
        schema = sqlfiles.quote_identifier(names["schema"])
        places = ", ".join(f"{schema}.{sqlfiles.quote_identifier(table)}" for table in tables)
        cursor.execute(f"lock table {places} in access share mode")
    if problems := find_problems(cursor, names):
        raise refused_by_host(problems)


def refused_by_host(problems: Sequence[hostnames.Problem]) -> RefusalError:
    """Return the refusal of a host that does not meet the contract."""
    summary = "the host does not meet the contract; nothing was changed"
    return RefusalError("host", summary, [tell(p) for p in problems], "iu-gates doctor")


def tell(problem: hostnames.Problem) -> str:
    """Return a problem in one line."""
    return f"{problem.name}: {problem.found}; wanted {problem.wanted}; {problem.remedy}"


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


def require_path(
    cursor: Any,
    steps: Sequence[MigrationInfo],
    problems: Sequence[hostnames.Problem],
) -> None:
    """Raise `RefusalError` for all that would be refused on the way, before the first step."""
    up = [s.up_revision_id or "" for s in steps if s.is_upgrade and not s.is_stamp]
    down = [s.up_revision_id for s in steps if not s.is_upgrade and not s.is_stamp]
    problems = problems if set(up) & set(NEEDS_HOST) else []
    # The runtime lane goes down whatever has drifted: that switches off.
    if up or set(down) & set(SUBSTRATE):
        require_no_drift(cursor)
    for place, revision in enumerate(up):
        findings = list_guarded(cursor, revision, up[:place])
        if findings:
            raise RefusalError(
                "guard",
                f"revision {revision} is refused by the guard; nothing was changed",
                [tell(p) for p in problems] + findings,
                "iu-gates advance, which walks the gates in order",
            )
    if problems:
        raise refused_by_host(problems)
    if tables := list_history(cursor) if set(down) & set(KEEPS_HISTORY) else []:
        raise RefusalError(
            "history",
            "the downgrade is refused while history exists; nothing was changed",
            [f"{name} holds history" for name in tables],
            "iu-gates rollback --to 009, which keeps the history",
        )


def require_no_drift(cursor: Any) -> None:
    """Raise `RefusalError` if an object of ours is not as it was left, or nobody recorded it."""
    try:
        cursor.execute("select iu_gates.fn_require_no_drift()")
    except psycopg.Error as error:
        if error.sqlstate != "IUG46":
            raise
        raise RefusalError(
            "drift",
            f"{error.diag.message_primary}; nothing was changed",
            (error.diag.message_detail or "").splitlines(),
            error.diag.message_hint or "iu-gates doctor",
        ) from error


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
    if step.up_revision_id in SUBSTRATE:
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
        names, problems = fetch_names(cursor, settings)
    else:
        problems = find_problems(cursor, names)
    variables = hostnames.variables(schema, names)
    context.config.attributes["iu_variables"] = variables
    context.config.attributes["iu_checks"] = (partial(require_host, raw, names),)
    # Quoted as PostgreSQL does it: functions keep this text.
    cursor.execute("select quote_ident(%s) || ', pg_temp'", (schema,))
    (options["search_path"],) = cursor.fetchall()[0]
    set_locally(cursor, options)
    if settings.get("bootstrap") or any(s.is_upgrade or s.is_stamp for s in steps):
        cursor.execute("select pg_advisory_xact_lock(18773006, 0)")
        bootstrap(cursor, settings, names, variables)
    cursor.execute(AS_OWNER)
    if steps and "iu_gates.stops_seen" not in options:
        cursor.execute("select iu_gates.fn_stops_in_force()::text")
        (options["iu_gates.stops_seen"],) = cursor.fetchone() or ("{}",)
    if steps:
        # In the transaction of the bootstrap: whoever is refused leaves nothing behind.
        set_locally(cursor, options)
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
        hint = "the same command again, or iu-gates advance, which waits and names who holds it"
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
        prepare(raw, settings, [step.info for step in steps])
        ctx._migrations_fn = lambda *_: look_first(connection, raw, settings, steps)  # noqa: SLF001  as in fetch_path
        if not steps:
            return
    with context.begin_transaction():
        context.run_migrations()


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
