"""What every test database begins with."""

from __future__ import annotations


def build_template(conninfo: str) -> None:
    """
    Fill the template database; `database` of each test is a clone of it.

    Called once a session for each major version, as the superuser `postgres`, on a database
    that is empty. It must leave no session and no prepared transaction behind.
    """
