"""What was refused, in the ledger: to whom, what was wanted, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from iu_gates import db, ledger
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import (
    GateError,
    IuGatesError,
    LockHeldError,
    NotDrainedError,
    RefusedError,
)
from iu_gates.model import scope_gate

PATIENCE: Final = "2s"
FOREIGN: Final = "IUG-041"


@contextmanager
def recorded(settings: Settings, command: str, **facts: Any) -> Iterator[None]:
    """
    Write what is refused inside into the ledger, if this login can; it is raised all the same.

    The error then carries the head of the ledger, as "ledger_seq" and "ledger_hash". A gate that
    is not satisfied has its verdict there already. A copy, or another site's database, is left
    as it is, its ledger too.

    Args:
        settings: Whose ledger.
        command: The subject of the entry.
        facts: What was asked for, as JSON values.
    """
    try:
        yield
    except (GateError, RefusedError, LockHeldError, NotDrainedError) as error:
        if error.ident != FOREIGN:
            with suppress(IuGatesError):
                _record(settings, command, error, facts)
        raise


def _record(
    settings: Settings, command: str, error: IuGatesError, facts: Mapping[str, Any]
) -> None:
    # On a connection of its own: the one in use may be lost, or in a transaction that failed.
    with db.connect(settings, command, as_owner=True) as conn:
        if not db.is_installed(conn):
            return
        if not _has_verdict(conn, error):
            said = {
                "id": error.ident,
                "exit_code": error.exit_code,
                "summary": error.summary,
                "found": error.found,
                "did": error.facts.get("did", []),
            }
            with conn.transaction():
                conn.execute("select set_config('lock_timeout', %s, true)", (PATIENCE,))
                ledger.append(conn, "refusal", command, {**said, **facts})
        error.facts["ledger_seq"], error.facts["ledger_hash"] = ledger.read_head(conn)


def _has_verdict(conn: Conn, error: IuGatesError) -> bool:
    """Tell whether the newest verdict of the gate says what the error says."""
    verdict = error.facts.get("verdict")
    if not isinstance(verdict, Mapping):
        return False
    subject = scope_gate(verdict["gate"], verdict["route"])
    newest = ledger.fetch_newest(conn, "verdict", subject).get("facts", {})
    return bool(newest.get("outcome") == verdict["outcome"])
