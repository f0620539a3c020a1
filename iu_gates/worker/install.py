"""
The unit, the line, the statement or the phase that runs the worker.

None of them holds the site key or a password (T22): they name the settings file, and the key is a
file that the settings name, on the machine where the worker runs.
"""

from __future__ import annotations

import getpass
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iu_gates.config import Settings
from iu_gates.errors import UsageError

SECONDS: Final = 50
"""`worker once` of a job that starts every minute ends before the next."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What runs the worker: its text, where it belongs, and the command that puts it to work."""

    kind: str
    path: Path | None
    text: str
    next_command: str


def make_unit(kind: str, settings: Settings, config_file: Path | None, cwd: Path) -> Unit:
    """
    Return what runs the worker in a way that the setting `invocation` knows.

    Raises:
        UsageError: No settings file says what the worker needs; it must not stand in a command.
    """
    file = config_file or _given() or cwd / "iu-gates.toml"
    if not file.is_file():
        raise UsageError(
            "no settings file for the worker",
            ident="IUG-111",
            found=f'no file "{file}"',
            wanted="database_url, and site_key_file if that is elsewhere, in a file that its"
            " account can read",
            means="a URL or a key in a unit or a command line is everybody's to read",
            next_command="iu-gates worker install --config /etc/iu-gates/iu-gates.toml",
            more="docs/runbooks/worker.md",
        )
    return MAKERS[kind](_program(), file.resolve(), settings)


def write_unit(unit: Unit, path: Path | None) -> Path:
    """
    Write it to its place, or to `path`; return where.

    Raises:
        UsageError: It has no place of its own, or the place cannot be written.
    """
    target = path or unit.path
    if target is None:
        raise _unwritten(unit, "has no place of its own; --to names one")
    try:
        target.write_text(unit.text, "utf-8")
    except OSError as error:
        raise _unwritten(unit, f"cannot be written to {target}: {error.strerror}") from error
    return target


def _unwritten(unit: Unit, why: str) -> UsageError:
    return UsageError(
        f"what runs a {unit.kind} worker {why}",
        ident="IUG-112",
        means="nothing was written",
        next_command=f"iu-gates worker install --{unit.kind.replace('_', '-')}",
    )


def _given() -> Path | None:
    return Path(os.environ["IU_GATES_CONFIG"]) if os.environ.get("IU_GATES_CONFIG") else None


def _program() -> str:
    """Return the command beside the Python that runs this, which is what the machine has."""
    return shlex.quote(str(Path(sys.executable).parent / "iu-gates"))


def _once(program: str, config: Path, kind: str) -> str:
    variables = f"IU_GATES_CONFIG={shlex.quote(str(config))} IU_GATES_INVOCATION={kind}"
    return f"{variables} {program} worker once --max-seconds {SECONDS}"


def _systemd(program: str, config: Path, settings: Settings) -> Unit:
    text = f"""\
# Its account has to be able to read {config} and the site key ({settings.site_key_file}).
[Unit]
Description=The worker of iu-gates
After=network-online.target
Wants=network-online.target

[Service]
User={getpass.getuser()}
Environment="IU_GATES_CONFIG={config}" IU_GATES_INVOCATION=systemd
ExecStart={program} worker run
Restart=always
RestartSec=5
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
"""
    path = Path("/etc/systemd/system/iu-gates-worker.service")
    return Unit("systemd", path, text, "systemctl enable --now iu-gates-worker")


def _cron(program: str, config: Path, settings: Settings) -> Unit:
    del settings
    line = _once(program, config, "cron").replace("%", r"\%")
    text = f"* * * * * {getpass.getuser()} {line}\n"
    return Unit("cron", Path("/etc/cron.d/iu-gates"), text, "iu-gates status")


def _pg_cron(program: str, config: Path, settings: Settings) -> Unit:
    job = f"copy (select 1) to program {_literal(_once(program, config, 'pg_cron') + ' >&2')}"
    text = f"""\
-- On the server's machine, whose account reads {config} and the site key
-- ({settings.site_key_file}); the role needs pg_execute_server_program.
select cron.schedule('iu-gates', '* * * * *', {_literal(job)});
"""
    return Unit("pg_cron", None, text, "iu-gates status")


def _dot(program: str, config: Path, settings: Settings) -> Unit:
    del settings
    command = _once(program, config, "dot").replace("\\", "\\\\").replace('"', '\\"')
    text = f'iu_gates_worker [label="iu-gates worker", shape=box, command="{command}"];\n'
    return Unit("dot", None, text, "iu-gates status")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


MAKERS: Final[Mapping[str, Callable[[str, Path, Settings], Unit]]] = {
    "systemd": _systemd,
    "cron": _cron,
    "pg_cron": _pg_cron,
    "dot": _dot,
}
