"""
A project's settings, and the URL of a database as they want it.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

DIALECT: Final = "postgresql"
DRIVERS: Final = ("psycopg", "psycopg2", "asyncpg")
"""The first can do both, with and without asyncio."""


def is_there(module: str) -> bool:
    """Tell whether the project's interpreter has a module."""
    return importlib.util.find_spec(module) is not None


def can_load(driver: str) -> bool:
    """Tell whether SQLAlchemy finds a driver here."""
    from sqlalchemy import exc, make_url  # noqa: PLC0415

    try:
        make_url(f"{driver}://").get_dialect().import_dbapi()
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError):
        return False
    return True


def list_drivers(given: str, config: str, section: str) -> list[str]:
    """Return the given one; or that of the ini file, SQLAlchemy's default, and what is there."""
    if given:
        return [given]
    parser = read_config(config, section).file_config
    written = parser.get(section, "sqlalchemy.url", raw=True, fallback="").partition(":")[0]
    names = dict.fromkeys((written, DIALECT, *(f"{DIALECT}+{name}" for name in DRIVERS)))
    return [n for n in names if n.startswith(DIALECT) and can_load(n)] or [DIALECT]


def read_config(file: str, section: str) -> Any:
    """Return Alembic's configuration of an ini file, or of a ``pyproject.toml``, or of both."""
    from alembic.config import Config  # noqa: PLC0415

    if "toml_file" not in inspect.signature(Config).parameters:
        return Config(file, ini_section=section)
    if Path(file).suffix == ".toml":
        return Config(toml_file=file, ini_section=section)
    return Config(file, toml_file="pyproject.toml", ini_section=section)


def make_url(driver: str, address: Mapping[str, str]) -> str:
    """Return SQLAlchemy's URL of a database; a unix socket's folder goes into the query."""
    from sqlalchemy.engine import URL  # noqa: PLC0415

    host, port = address.get("host", ""), address.get("port")
    is_socket = host.startswith("/")
    url = URL.create(
        driver,
        username=address.get("user"),
        password=address.get("password"),
        host=None if is_socket else host or None,
        port=int(port) if port and not is_socket else None,
        database=address.get("dbname"),
        query={"host": host, **({"port": port} if port else {})} if is_socket else {},
    )
    return url.render_as_string(hide_password=False)
