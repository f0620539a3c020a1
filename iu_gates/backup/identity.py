"""Which database is this: the four facts that a backup and a session must share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

_IDENTITY: Final = """
    select c.system_identifier, d.oid::bigint, d.datname,
           current_setting('server_version_num')::int
      from pg_control_system() c, pg_database d
     where d.datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    A database, told apart from its copies as far as the server can.

    A TEMPLATE clone differs in the oid, a restored dump in the system identifier, a
    pg_upgrade in both identifier and version. A physical clone differs in nothing (trap
    22): the site key is for that.

    Attributes:
        system_identifier: Of the cluster, from its control file.
        database_oid: Of the database within the cluster.
        database_name: As `current_database()` has it.
        server_version_num: For instance 160004.
    """

    system_identifier: int
    database_oid: int
    database_name: str
    server_version_num: int

    @property
    def server_major(self) -> int:
        """The number that pg_dump's own must reach."""
        return self.server_version_num // 10_000

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values: the identifier as text, since numbers there end at 2^53."""
        return asdict(self) | {"system_identifier": str(self.system_identifier)}

    def is_same_database(self, other: Identity) -> bool:
        """Tell whether both are one database, of whatever version its server is now."""
        return replace(self, server_version_num=0) == replace(other, server_version_num=0)


def read_identity(conn: psycopg.Connection[Any]) -> Identity:
    """Return the identity of the database that `conn` is connected to."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_IDENTITY).fetchone()
    assert row is not None  # noqa: S101  the database we are in is in pg_database
    return Identity(*row)
