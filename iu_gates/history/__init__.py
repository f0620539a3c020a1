"""
Real histories for the demo: where a host's changes come from.

A history is a sequence of versions of units, oldest first. It is read from a file
(`read_jsonl`), from a git repository (`read_repository`) or made up (`generate`);
`choose` decides which, and `split` cuts it into the four parts that the demo plays.
"""

from iu_gates.history.choose import choose
from iu_gates.history.generated import generate
from iu_gates.history.jsonl import read_jsonl
from iu_gates.history.parts import MIN_APPLIED, Parts, split
from iu_gates.history.repository import read_repository
from iu_gates.history.version import History, Version, parse_instant

__all__ = [
    "MIN_APPLIED",
    "History",
    "Parts",
    "Version",
    "choose",
    "generate",
    "parse_instant",
    "read_jsonl",
    "read_repository",
    "split",
]
