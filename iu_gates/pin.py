"""
A head of the ledger that was kept elsewhere, and whether the ledger still holds it.

Whoever owns the tables can write the whole chain anew, or cut its end off: it holds in itself,
and only somebody who knows what it was can tell. So every command that writes prints the head,
and ``--expect-head`` takes it back, this one or any older: that entry has to be there, with that
hash, in a chain that holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from iu_gates import db, ledger
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import RefusedError, UsageError

SHORTEST: Final = 16
"""Digits of the hash that a pin must have at least; commands print 32, as hard to forge as any."""

_FORM: Final = re.compile(r"(?:(?P<seq>[1-9][0-9]{0,17}):)?(?P<digits>[0-9a-f]{16,64})")
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Pin:
    """An entry by its number, if that was given, and the beginning of its hash."""

    seq: int | None
    digits: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.digits}" if self.seq else self.digits


def parse(text: str) -> Pin:
    """Return the pin that a user typed; raises `UsageError` if it is none."""
    if (form := _FORM.fullmatch(text.strip().lower())) is None:
        raise UsageError(
            f'"{text}" is no head of the ledger',
            wanted=f"SEQ:HASH or HASH, at least {SHORTEST} digits of it, as commands print it",
            means="nothing was done",
            next_command="iu-gates ledger verify",
        )
    return Pin(int(form["seq"]) if form["seq"] else None, form["digits"])


def find_fault(conn: Conn, pin: Pin) -> str | None:
    """Return why the ledger does not hold this entry, or None if it does."""
    if not db.is_installed(conn):
        return "there is no ledger in this database"
    rows = db.fetch_all(conn, db.load("pinned_entry"), {"seq": pin.seq, "digits": pin.digits})
    if any(row["matches"] for row in rows):
        return None
    if rows:
        return f"entry {pin.seq} has the hash {rows[0]['hash']}"
    end = f"the ledger ends at entry {ledger.read_head(conn)[0]}"
    if pin.seq is None:
        return f"no entry has this hash; {end}"
    return f"there is no entry {pin.seq}; {end}"


def require(
    settings: Settings, pin: Pin, *, chain: bool = True, effect: str = "nothing was done"
) -> None:
    """
    Raise `RefusedError` unless the ledger holds this entry.

    Args:
        settings: Whose ledger.
        pin: The entry.
        chain: The chain must hold too, or what is pinned says nothing of what came before it.
        effect: What this means for the command.
    """
    with db.connect(settings, "ledger") as conn:
        fault = find_fault(conn, pin)
        broken = ledger.list_problems(conn) if db.is_installed(conn) and (fault or chain) else []
    if fault is None and not broken:
        return
    found = [*([fault] if fault else []), *(f"entry {seq}: {what}" for seq, what in broken)]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    raise RefusedError(
        f"the ledger is not the one in which {pin} was an entry",
        ident="IUG-049",
        found="; ".join([*found[:_SHOWN], *more]),
        wanted=f"entry {pin}, in a chain that holds",
        means=f"it was cut, written anew or changed, or this is another database; {effect}",
        next_command="iu-gates ledger verify",
        more="docs/ledger.md",
        facts={
            "expected": str(pin),
            "problems": [{"seq": seq, "problem": what} for seq, what in broken],
        },
    )
