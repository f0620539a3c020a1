"""Where a walk takes its settings and its connection from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import psycopg
from alembic import context
from alembic.util import CommandError

PLAIN_OPTIONS = {"statement_timeout": "60s", "idle_in_transaction_session_timeout": "15s"}
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
    "content_mode",
)


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
    except (TypeError, ValueError) as error:
        message = (
            f"IU_GATES_HOST_OUTBOX_CONSTANTS is no JSON object: {error}\n"
            """  next: export IU_GATES_HOST_OUTBOX_CONSTANTS='{"column": "value"}'"""
        )
        raise CommandError(message) from error


def connect(settings: Mapping[str, Any]) -> psycopg.Connection[Any]:
    """Open the connection of the walk; plain URLs and SQLAlchemy's spelling of them both work."""
    if "connect" in settings:
        opened: psycopg.Connection[Any] = settings["connect"]()
        return opened
    url = settings["url"]
    if not url and not any(os.environ.get(name) for name in PG_VARIABLES):
        message = (
            "no database given\n"
            "  next: export IU_GATES_DATABASE_URL=postgresql://user@host/database"
        )
        raise CommandError(message)
    url = (url or "").replace("postgresql+psycopg://", "postgresql://", 1)
    return psycopg.connect(
        url,
        application_name="iu-gates alembic",
        client_encoding="utf8",
        prepare_threshold=None,
    )
