"""
The gate "host": may this database carry a route at all?

Judged before anything is written, and again at every `advance`. What capture would miss
(partitions written directly) is named, and so are triggers of
the host that run inside the proof; they are facts, not faults.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from iu_gates import db, lanes
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.model import Finding, Verdict, verdict

NAME: Final = "host"
OLDEST: Final = 150_000


@dataclass(frozen=True, slots=True)
class HostFacts:
    """
    The server, the rights, the host's tables.

    Attributes:
        server: A row of ``queries/host_server.sql``.
        names: The host's names, as far as they could be found.
        problems: Where its tables do not meet the contract: name, found, wanted, remedy.
        free_bytes: Room where the backups go; None if that cannot be told.
        gaps: What capture would not see.
    """

    server: dict[str, Any]
    names: dict[str, Any]
    problems: tuple[dict[str, str], ...]
    free_bytes: int | None
    gaps: tuple[str, ...]


def collect(conn: Conn, settings: Settings) -> HostFacts:
    """Read the catalog; works on any server, installed or not, and writes nothing."""
    hostnames = lanes.load_module("hostnames")
    wanted = {**hostnames.DEFAULTS, **settings.host}
    place = {k: wanted[k] for k in ("schema", "unit_table", "outbox_table")}
    with conn.cursor() as cursor:
        names, problems = hostnames.find(cursor, settings.host)
    server = db.fetch_one(conn, db.load("host_server"), place)
    told = tuple(asdict(p) for p in problems)
    return HostFacts(server, names, told, _free(settings.backup_dir), _gaps(server))


def judge(facts: HostFacts, settings: Settings) -> Verdict:
    """Decide whether the server, the rights and the tables will do; one finding a limit."""
    findings = [*_judge_server(facts.server), *_judge_contract(facts)]
    findings.append(_judge_room(facts, settings))
    return verdict(NAME, findings, _json(facts))


def _judge_server(s: Mapping[str, Any]) -> list[Finding]:
    """Judge the server; what is not known (None) fails."""
    version = s.get("server_version_num")
    recovery, read_only = s.get("in_recovery"), s.get("read_only")
    database = _quote(s.get("database"))
    return [
        Finding(
            "server",
            version is not None and version >= OLDEST,
            f"PostgreSQL {s.get('server_version', 'of a version not known')}",
            "15 or newer",
            "iu-gates doctor --database-url postgresql://user@newer-server/database",
        ),
        Finding(
            "primary",
            recovery is False,
            _word(recovery, "a standby", "a primary"),
            "a primary",
            "iu-gates doctor --database-url postgresql://user@primary/database",
        ),
        Finding(
            "writable",
            read_only is False,
            _word(read_only, "read-only", "writable"),
            "writable",
            f"alter database {database} reset default_transaction_read_only",
        ),
    ]


def _judge_contract(facts: HostFacts) -> list[Finding]:
    """Judge the host's tables, and the rights on them where the tables will do."""
    if facts.problems:
        return [
            Finding(
                p["name"], passed=False, found=p["found"], wanted=p["wanted"], remedy=p["remedy"]
            )
            for p in facts.problems
        ]
    unit, outbox = (
        ".".join(str(facts.names.get(k)) for k in ("schema", table))
        for table in ("unit_table", "outbox_table")
    )
    whole = all(facts.names.get(k) for k in ("schema", "unit_table", "outbox_table"))
    found = f"{unit} and {outbox} meet it" if whole else "names are missing"
    contract = Finding("host contract", whole, found, "names of all tables", "iu-gates doctor")
    return [*_judge_rights(facts.server, unit, outbox), contract]


def _judge_rights(s: Mapping[str, Any], unit: str, outbox: str) -> list[Finding]:
    login, database = _quote(s.get("login")), _quote(s.get("database"))
    create = s.get("may_create") is True
    trigger = s.get("may_trigger") is True and s.get("owns_unit_table") is True
    write = s.get("may_write_outbox") is True
    return [
        Finding(
            "right to make schemas",
            create,
            _word(create, "has it", "has it not"),
            "create on the database",
            f"grant create, temporary on database {database} to {login}",
        ),
        Finding(
            "right to make a trigger",
            trigger,
            _word(trigger, "has it", "has it not"),
            f"ownership of {unit}",
            "iu-gates doctor",
        ),
        Finding(
            "right to write the outbox",
            write,
            _word(write, "has it", "has it not"),
            "insert and select",
            f"grant select, insert on {outbox} to {login}",
        ),
    ]


def _judge_room(facts: HostFacts, settings: Settings) -> Finding:
    size = facts.server.get("database_bytes")
    need = None if size is None else size // 10
    found = "not known" if facts.free_bytes is None else f"{facts.free_bytes / 2**20:.0f} MiB free"
    return Finding(
        "room for a dump",
        need is not None and facts.free_bytes is not None and facts.free_bytes >= need,
        f"{found} in {settings.backup_dir}",
        "not known" if need is None else f"{need / 2**20:.0f} MiB",
        "export IU_GATES_BACKUP_DIR=/path/with/more/room && iu-gates advance",
    )


def _quote(name: object) -> str:
    return sql.Identifier(str(name)).as_string()


def _word(fact: object, yes: str, no: str) -> str:
    if fact is None:
        return "not known"
    return yes if fact else no


def _gaps(server: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what capture would not see."""
    if number := server["partitions"]:
        text = "an INSERT straight into one is captured only by its own trigger"
        return (f"{number} partitions: {text}",)
    return ()


def _free(directory: Path) -> int | None:
    place = directory.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def _json(facts: HostFacts) -> dict[str, Any]:
    # What changes by itself (sizes) stays out, so that an unchanged host is an unchanged verdict.
    server = {k: v for k, v in facts.server.items() if k != "database_bytes"}
    return {
        "server": server,
        "names": facts.names,
        "problems": list(facts.problems),
        "gaps": list(facts.gaps),
    }
