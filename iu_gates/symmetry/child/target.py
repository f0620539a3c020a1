"""
Where the connections of this process are led, whatever it asks for.

An ``env.py`` may take its URL from anywhere: the ini file, the environment, settings, ``-x``.
Where a connection is made, by SQLAlchemy (`do_connect`, its own event for this) or by a driver
itself, the address is replaced by that of the database asked for, so a step cannot reach another
one; ``PG*`` and the variables named by the caller say the same. A database that is no PostgreSQL
is refused.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from .address import DRIVERS, is_there

PASSED_ON: Final = ("host", "port", "user", "password")
ADDRESS: Final = {*PASSED_ON, "dbname", "database", "service", "hostaddr", "dsn", "conninfo"}
LIBPQ: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "hostaddr": "PGHOSTADDR",
    "service": "PGSERVICE",
}


class ElsewhereError(RuntimeError):
    """The project asked a driver for another database than the one it was given."""


class Target:
    """The database that every connection of this process is led to."""

    def __init__(self) -> None:
        self.address: dict[str, str] = {}
        self.engines: set[Any] = set()

    def lead(self, dialect: Any, _record: Any, args: list[Any], params: dict[str, Any]) -> None:
        """Replace the address of a connection that SQLAlchemy is about to make."""
        if dialect.name != "postgresql":
            message = f"it connects to {dialect.name}; --url-variable or -x can give it our URL"
            raise ElsewhereError(message)
        is_libpq = dialect.driver.startswith("psycopg")
        args.clear()
        led = self.leads(params, is_libpq=is_libpq)
        params.clear()
        params.update(led)

    def leads(self, params: Mapping[str, Any], *, is_libpq: bool) -> dict[str, Any]:
        """Return a driver's parameters with our address in place of theirs."""
        kept = {k: v for k, v in params.items() if k not in ADDRESS}
        if is_libpq:
            return {**kept, **self.address}
        ours: dict[str, Any] = {k: self.address[k] for k in PASSED_ON if k in self.address}
        if "port" in ours:
            kept["port"] = int(ours.pop("port"))
        if "sslmode" in self.address:
            kept["ssl"] = self.address["sslmode"]
        return {**kept, **ours, "database": self.address["dbname"]}

    def point(self, address: Mapping[str, str], variables: Mapping[str, str]) -> None:
        """Lead what comes from now on to this database."""
        self.address = dict(address)
        for name, variable in LIBPQ.items():
            if name in address:
                os.environ[variable] = address[name]
            else:
                os.environ.pop(variable, None)
        os.environ.update(variables)

    def note(self, connection: Any, *_branch: bool) -> None:
        """Keep in mind which engine connects; SQLAlchemy 1.4 tells of a branch too."""
        self.engines.add(connection.engine)

    def release(self) -> None:
        """Close what pools keep open: nobody may copy a database with a session in it."""
        for engine in self.engines:
            engine.dispose()
        self.engines.clear()


def listen(target: Target) -> None:
    """Stand where SQLAlchemy and the drivers make their connections."""
    from sqlalchemy import event  # noqa: PLC0415  the project's own SQLAlchemy, and costly
    from sqlalchemy.engine import Engine  # noqa: PLC0415

    event.listen(Engine, "do_connect", target.lead)
    event.listen(Engine, "engine_connect", target.note)
    for name in filter(is_there, DRIVERS):
        lead_driver(importlib.import_module(name), target)


def lead_driver(driver: Any, target: Target) -> None:
    """Lead what connects through a driver itself, past SQLAlchemy."""
    is_libpq = driver.__name__ != "asyncpg"

    def led(connect: Callable[..., Any]) -> Callable[..., Any]:
        def go(*_address: Any, **params: Any) -> Any:
            return connect(**target.leads(params, is_libpq=is_libpq))

        return go

    for name in ("Connection", "AsyncConnection") if driver.__name__ == "psycopg" else ():
        kind = getattr(driver, name)
        kind.connect = led(kind.connect)
    driver.connect = led(driver.connect)
    if not is_libpq:
        driver.connection.connect = driver.connect  # what its pools call
