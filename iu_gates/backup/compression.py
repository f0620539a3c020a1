"""
Which compression a backup gets: the one that measured best, of those that can be read back.

`scripts/bench/compression` measures; docs/decisions/0008-compression.md says what it showed.
A pg_dump that writes zstd is of no use beside a pg_restore that does not read it, so both are
asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iu_gates.backup.probing import PLAIN_LEVELS_UNTIL

if TYPE_CHECKING:
    from iu_gates.backup.tools import Tools

BEST: Final = "zstd:3"
FALLBACK: Final = "gzip:6"


def choose(tools: Tools) -> str:
    """Return the best compression that this pair can write and read."""
    return BEST if tools.is_able(algorithm_of(BEST)) else FALLBACK


def argument(tools: Tools, compress: str) -> str:
    """Return a compression as this pg_dump takes it: up to 15 a bare level."""
    algorithm, _, level = compress.partition(":")
    if tools.major <= PLAIN_LEVELS_UNTIL and algorithm in ("none", "gzip"):
        compress = "0" if algorithm == "none" else (level or "6")
    return f"--compress={compress}"


def algorithm_of(compress: str) -> str:
    """Return the algorithm of a compression; a bare level is gzip's, no word is none."""
    if compress.isdigit():
        return "none" if compress == "0" else "gzip"
    return compress.partition(":")[0] or "none"
