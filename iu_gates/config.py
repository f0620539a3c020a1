"""
Settings: from the command line, the environment, ``iu-gates.toml`` or ``[tool.iu-gates]``.

The nearer wins: an option, then ``IU_GATES_*``, then the file, then libpq's ``PG*``, then the
default. A key that is not known is an error, because a misspelt limit is no limit.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import secrets
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from iu_gates.errors import SAME, UsageError
from iu_gates.model import GATES, ROUTE_GATES, Waiver

ROUTE: Final = "iu.version_applied.workflow"
EMBEDDED: Final = "embedded"
INVOCATIONS: Final = ("systemd", "cron", "pg_cron", "dot", "manual")
PG_VARIABLES: Final = ("PGHOST", "PGDATABASE", "PGSERVICE", "PGUSER", "PGPORT", "PGHOSTADDR")
BACKUP_KINDS: Final = ("full", "own-objects")
SITE_BACKUP_TOOLS: Final = ("pgbackrest", "barman", "snapshot", "pitr", "other")
WAIVABLE: Final = ("rehearsal",)
HOST_NAMES: Final = (
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
    "outbox_constants",
)
WAIVER_FIELDS: Final = ("gate", "who", "why", "until")
COMPRESSION: Final = re.compile(r"\d|(none|gzip|lz4|zstd)(:[\w=,]+)?")
_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What an installation decides for itself; the defaults are for production.

    Attributes:
        database_url: libpq URL or conninfo; None leaves it to ``PG*``.
        schema: Schema of our objects.
        host: Names of the host's schema, tables and columns; see docs/host-contract.md.
        backup_dir: Where archives are kept.
        backup_max_age: A backup of exactly this age still counts.
        backup_kind: "full", or "own-objects" beside a registered backup of the site's own.
        backup_compress: As pg_dump takes it, such as "zstd:3"; None is what measured best.
        backup_keep: So many newest archives are kept at least; None and None keep all.
        backup_keep_for: So old an archive is kept at least; None is no limit of its own.
        history_keep: What was captured no longer ago than this is never pruned; None is all.
        history_dir: Where `history prune` puts its exports.
        site_backup_max_age: How old the site's own backup may be.
        site_restore_test_max_age: How long ago its restore may have been tested.
        bin_dir: Where pg_dump and pg_restore are; None searches.
        invocation: How the worker is run; one of `INVOCATIONS`.
        heartbeat_max_age: A worker seen longer ago is not there.
        dry_run_min_events: Organic dry-run attempts that the gate "dry_run" asks for.
        dry_run_min_span: The time that they must span.
        approvals_needed: Logins, other than the one that advances, that must approve.
        approval_valid_for: A vote counts this long.
        drill_wait: How long a drill waits for organic events and for batches.
        barrier_wait: How long `disable` waits for batches in hand.
        lock_wait: How long a step waits for a lock in all; each try is 100 ms.
        network_wait: How long a network that says nothing is borne, by either end.
        rehearsal_url: A server on which a rehearsal may make its scratch database; None is the
            database's own.
        rehearsal_max_age: A rehearsal, and the backup it restores, count this long.
        waivers: Gates that are let pass by name.
        site_key_file: Holds the key of this installation, outside the database.
    """

    database_url: str | None = None
    schema: str = "iu_core"
    host: Mapping[str, Any] = field(default_factory=dict)
    backup_dir: Path = Path("backups")
    backup_max_age: timedelta = timedelta(minutes=60)
    backup_kind: str = "full"
    backup_compress: str | None = None
    backup_keep: int | None = None
    backup_keep_for: timedelta | None = None
    history_keep: timedelta | None = None
    history_dir: Path = Path("exports")
    site_backup_max_age: timedelta = timedelta(hours=24)
    site_restore_test_max_age: timedelta = timedelta(days=30)
    bin_dir: Path | None = None
    invocation: str | None = None
    heartbeat_max_age: timedelta = timedelta(minutes=5)
    dry_run_min_events: int = 3
    dry_run_min_span: timedelta = timedelta(0)
    approvals_needed: int = 1
    approval_valid_for: timedelta = timedelta(hours=24)
    drill_wait: timedelta = timedelta(seconds=30)
    barrier_wait: timedelta = timedelta(seconds=10)
    lock_wait: timedelta = timedelta(seconds=30)
    network_wait: timedelta = timedelta(seconds=15)
    rehearsal_url: str | None = None
    rehearsal_max_age: timedelta = timedelta(days=7)
    waivers: tuple[Waiver, ...] = ()
    site_key_file: Path = field(default_factory=lambda: default_config_dir() / "site-key")

    def waiver(self, gate: str, now: datetime) -> Waiver | None:
        """Return the waiver of a gate that has not run out, if there is one."""
        return next((w for w in self.waivers if w.gate == gate and w.until > now), None)


def name_advance(route: str | None = None) -> str:
    """Return the command that walks the gates of a route; None is the first."""
    return f"iu-gates advance --route {route}" if route not in {None, ROUTE} else "iu-gates advance"


def name_further(route: str | None) -> str | None:
    """Return the name of a further route, as the scope of its gates; None for the first."""
    return None if route == ROUTE else route


def require_gate(gate: str | None, further: str | None) -> None:
    """Raise `UsageError` unless it is a gate: of a further route, or of the first (None)."""
    known = ROUTE_GATES if further else GATES
    if gate is not None and gate not in known:
        raise UsageError(
            f'"{gate}" is no gate' + (f' of "{further}"' if further else ""),
            ident="IUG-018",
            wanted=f"one of {', '.join(known)}",
            next_command="iu-gates advance --help",
        )


def default_config_dir() -> Path:
    """Return ``$XDG_CONFIG_HOME/iu-gates`` or ``~/.config/iu-gates``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "iu-gates"


def load(
    database_url: str | None = None, config_file: Path | None = None, cwd: Path | None = None
) -> Settings:
    """
    Read the settings for one call.

    Args:
        database_url: The option ``--database-url``.
        config_file: The option ``--config``; it must exist then.
        cwd: Where ``iu-gates.toml`` and ``pyproject.toml`` are looked for.

    Raises:
        UsageError: A file cannot be read, or holds a key or value that is not known.
    """
    file = config_file or _env_path("IU_GATES_CONFIG")
    data = read_file(file, required=True) if file else _find_file(cwd or Path.cwd())
    values = {**data, **_from_environment()}
    if host := _host_from_environment():
        values["host"] = {**(data.get("host") or {}), **host}
    if database_url:
        values["database_url"] = database_url
    return build(values)


def build(values: Mapping[str, Any]) -> Settings:
    """Turn plain values, as a TOML file holds them, into settings; raises `UsageError`."""
    _require_known(values, [f.name for f in fields(Settings)], "")
    settings = replace(
        Settings(), **{k: _convert(k, v) for k, v in values.items() if v is not None}
    )
    if settings.invocation is not None and settings.invocation not in INVOCATIONS:
        raise _bad("invocation", settings.invocation, f"one of {', '.join(INVOCATIONS)}")
    if settings.backup_kind not in BACKUP_KINDS:
        raise _bad("backup_kind", settings.backup_kind, f"one of {', '.join(BACKUP_KINDS)}")
    compress = settings.backup_compress
    if compress is not None and not COMPRESSION.fullmatch(compress):
        raise _bad("backup_compress", compress, 'such as "zstd:3", "gzip:6", "lz4" or "none"')
    return settings


def _require_known(values: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    """Raise for the first key that is not known: a misspelt limit is no limit."""
    if unknown := sorted(set(values) - set(known)):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise UsageError(
            f'unknown setting "{prefix}{unknown[0]}"',
            ident="IUG-011",
            wanted=f'"{prefix}{near[0]}"' if near else f"one of {', '.join(known)}",
            next_command=SAME,
            more="docs/settings.md",
        )


def require_url(settings: Settings) -> str:
    """
    Return the database's URL, empty where libpq's ``PG*`` says it all.

    Raises:
        UsageError: Nothing names a database; an embedded server is never a fallback.
    """
    if settings.database_url:
        return settings.database_url
    if any(os.environ.get(name) for name in PG_VARIABLES):
        return ""
    raise UsageError(
        "no database given",
        ident="IUG-012",
        wanted=(
            "--database-url URL, IU_GATES_DATABASE_URL, database_url in iu-gates.toml or"
            " [tool.iu-gates], or libpq's PGHOST, PGDATABASE, PGSERVICE"
        ),
        means="a typo must not act on a toy: the embedded server is used only when named",
        next_command="iu-gates status --database-url postgresql://user@host/database",
        more="docs/settings.md",
    )


def read_file(path: Path, *, required: bool) -> dict[str, Any]:
    """Return the table of a TOML file: the whole ``iu-gates.toml``, or ``[tool.iu-gates]``."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if not required:
            return {}
        raise UsageError(
            f'no settings file "{path}"',
            ident="IUG-013",
            next_command=f"ls -l {shlex.quote(str(path.parent))}",
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f'cannot read settings file "{path}": {error}',
            ident="IUG-013",
            next_command=f"ls -l {shlex.quote(str(path))}",
        ) from error
    if path.name == "pyproject.toml":
        return dict(data.get("tool", {}).get("iu-gates", {}))
    return data


def read_site_key(settings: Settings) -> str | None:
    """Return the site key, from ``IU_GATES_SITE_KEY`` or its file; None if there is none."""
    if key := os.environ.get("IU_GATES_SITE_KEY"):
        return key
    try:
        return settings.site_key_file.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f'cannot read the site key "{settings.site_key_file}": {error}',
            ident="IUG-014",
            next_command=f"ls -l {shlex.quote(str(settings.site_key_file))}",
        ) from error


def is_key_given() -> bool:
    """Tell whether ``IU_GATES_SITE_KEY`` is set, which wins over the file."""
    return bool(os.environ.get("IU_GATES_SITE_KEY"))


def make_site_key(settings: Settings) -> str:
    """Return the site key, making its file (mode 0600) the first time."""
    if key := read_site_key(settings):
        return key
    try:
        settings.site_key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(settings.site_key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    except OSError as error:
        raise UsageError(
            f'cannot write the site key "{settings.site_key_file}": {error}',
            ident="IUG-014",
            next_command=f"ls -ld {shlex.quote(str(settings.site_key_file.parent))}",
        ) from error
    return read_site_key(settings) or ""


def hash_site_key(key: str) -> str:
    """Return the hash of a site key as the database keeps it."""
    return hashlib.sha256(key.encode()).hexdigest()


def parse_duration(text: str) -> timedelta:
    """Return a duration written like ``90 s``, ``60 min``, ``24 h`` or ``7 d``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*", text)
    if not match:
        raise ValueError(text)
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def _find_file(cwd: Path) -> dict[str, Any]:
    return read_file(cwd / "iu-gates.toml", required=False) or read_file(
        cwd / "pyproject.toml", required=False
    )


def _env_path(name: str) -> Path | None:
    return Path(os.environ[name]) if os.environ.get(name) else None


def _from_environment() -> dict[str, Any]:
    names = [f.name for f in fields(Settings) if f.name not in ("host", "waivers")]
    found = {n: os.environ.get(f"IU_GATES_{n.upper()}") for n in names}
    return {n: v for n, v in found.items() if v}


def _host_from_environment() -> dict[str, Any]:
    """Return the host's names, from the same variables as the plain alembic command reads."""
    found: dict[str, Any] = {n: os.environ.get(f"IU_GATES_HOST_{n.upper()}") for n in HOST_NAMES}
    if text := found["outbox_constants"]:
        try:
            found["outbox_constants"] = dict(json.loads(text))
        except (TypeError, ValueError) as error:
            raise _bad("host.outbox_constants", text, "a JSON object") from error
    return {n: v for n, v in found.items() if v}


def _convert(name: str, value: Any) -> Any:
    kind = Settings.__annotations__[name]
    convert = CONVERTERS.get(name) or CONVERTERS.get(kind.partition(" ")[0], str)
    try:
        return convert(value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        wanted = 'a duration such as "60 min"' if kind.startswith("timedelta") else kind
        raise _bad(name, value, wanted) from error


def _duration(value: Any) -> timedelta:
    return value if isinstance(value, timedelta) else parse_duration(str(value))


def _path(value: Any) -> Path:
    return Path(value).expanduser()


def _whole(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError(value)
    return number


def _host(value: Any) -> dict[str, Any]:
    host = dict(value)
    _require_known(host, HOST_NAMES, "host.")
    return host


def _waiver(entry: Mapping[str, Any]) -> Waiver:
    if not isinstance(entry, Mapping):
        raise TypeError(entry)
    _require_known(entry, WAIVER_FIELDS, "waivers.")
    if lacking := [k for k in WAIVER_FIELDS if not entry.get(k)]:
        raise _bad(f"waivers.{lacking[0]}", entry.get(lacking[0]), "who, why and until of a waiver")
    gate = entry["gate"]
    if gate not in WAIVABLE:
        raise _bad("waivers.gate", gate, f"a gate that can be waived: {', '.join(WAIVABLE)}")
    until = entry["until"]
    until = until if isinstance(until, datetime) else datetime.fromisoformat(str(until))
    return Waiver(
        gate,
        str(entry["who"]),
        str(entry["why"]),
        until if until.tzinfo else until.replace(tzinfo=UTC),
    )


def _bad(name: str, value: object, wanted: str) -> UsageError:
    return UsageError(
        f'setting "{name}" cannot be {value!r}',
        ident="IUG-011",
        wanted=wanted,
        next_command=SAME,
        more="docs/settings.md",
    )


def _waivers(value: Any) -> tuple[Waiver, ...]:
    return tuple(w if isinstance(w, Waiver) else _waiver(w) for w in value)


CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "host": _host,
    "waivers": _waivers,
    "timedelta": _duration,
    "Path": _path,
    "int": _whole,
}
"""By the setting's name, else by its type."""
