"""Our objects as a DBA makes them from the SQL files, without Alembic and without a record."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from iu_gates import lanes

LATER = ("099_record.sql",)
"""What a script of our objects leaves out: it writes the record."""


def make_by_hand(
    conninfo: str,
    revisions: Iterable[str] = ("008", "009", "060"),
    *,
    schema: str = "iu_core",
    host_schema: str = "public",
) -> None:
    """Run the SQL of the control schema and of these revisions, one transaction a text."""
    hostnames = lanes.load_module("hostnames")
    names = {**hostnames.DEFAULTS, "schema": host_schema}
    with psycopg.connect(conninfo, autocommit=True) as conn:
        with conn.cursor() as cursor:
            unit = hostnames.fetch(cursor, names["schema"], names["unit_table"])
            outbox = hostnames.fetch(cursor, names["schema"], names["outbox_table"])
        variables = hostnames.variables(schema, hostnames.resolve(unit, outbox, names)[0])
        conn.execute(sql.SQL("set search_path = {}, pg_temp").format(sql.Identifier(schema)))
        for path in sorted((lanes.migrations_dir() / "control").glob("*.sql")):
            if path.name not in LATER:
                conn.execute(hostnames.render(path.read_text("utf-8"), variables).encode())
        for revision in revisions:
            folder = next((lanes.migrations_dir() / "versions").glob(f"{revision}_*/up"))
            for path in sorted(folder.glob("*.sql")):
                conn.execute(hostnames.render(path.read_text("utf-8"), variables).encode())
