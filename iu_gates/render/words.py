"""Numbers, times and sizes, as they are written everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from iu_gates.render.page import NO_BREAK

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))
_KIB: Final = 1024
_SHORT: Final = 12
_HEAD: Final = 32
"""128 bits: nobody makes another entry whose hash begins so."""
_HASH: Final = re.compile(r"\b[0-9a-f]{32,}\b")


def number(value: object) -> str:
    """Return a count with its thousands apart; what is no number, as it is."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def age(seconds: float) -> str:
    """Return a span of time in its largest unit: ``2 s``, ``31 h``."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def size(size_bytes: int) -> str:
    """Return a size with its binary unit: ``412 MiB``."""
    value, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= _KIB and len(units) > 1:
        value, units = value / _KIB, units[1:]
    digits = 1 if value < 10 and units[0] != "B" else 0  # noqa: PLR2004  one digit tells enough
    return f"{value:.{digits}f} {units[0]}"


def moment(at: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if at else "never"


def short(hexadecimal: str) -> str:
    """Return the beginning of a hash."""
    return hexadecimal[:_SHORT]


def head(seq: int, hexadecimal: str) -> str:
    """Return the head of the ledger as ``--expect-head`` takes it: ``41:9f2c41ab…``, 32 digits."""
    return f"{seq}:{hexadecimal[:_HEAD]}" if seq else "empty"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 step``, ``2 steps``."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number(count)} {noun}"


def counts(values: Mapping[str, int], names: Sequence[str] = ()) -> str:
    """Return counts on one line; those in `names` first and in that order."""
    order = [n for n in names if n in values] + [n for n in values if n not in names]
    pairs = (f"{n.replace('_', ' ')} {number(values[n])}" for n in order)
    return "  ".join(pair.replace(" ", NO_BREAK) for pair in pairs)


def value(thing: Any) -> str:
    """Return a JSON value on one line, readable; hashes are cut short."""
    if isinstance(thing, Mapping):
        return ", ".join(f"{k}:{NO_BREAK}{value(v)}" for k, v in thing.items()) or "none"
    if isinstance(thing, (list, tuple)):
        return ", ".join(value(v) for v in thing) or "none"
    if thing is None or isinstance(thing, bool):
        return {None: "none", True: "yes", False: "no"}[thing]
    return _HASH.sub(lambda found: f"{short(found[0])}…", number(thing))
