"""
What CREATE DATABASE … TEMPLATE does not copy: settings, privileges, limits, the comment.

Without it every revision after one that says ALTER DATABASE … SET would seem to take the setting
away. Subscriptions are not carried: they would take over from that of the trunk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg

QUERY: Final = Path(__file__).with_name("queries") / "server" / "carry.sql"


def carry(conn: psycopg.Connection[Any], origin: str, copy: str) -> None:
    """
    Make a copy's own settings and rights those of its origin.

    Args:
        conn: To any database of the server, autocommit.
        origin: The database that was the template.
        copy: The database that was made from it.
    """
    names = {"origin": origin, "copy": copy}
    for (statement,) in conn.execute(QUERY.read_bytes(), names).fetchall():
        conn.execute(statement)
