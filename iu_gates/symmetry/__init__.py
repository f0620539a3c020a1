"""
The catalog as a value, and what differs between two of them. Knows nothing of routes.
"""

from iu_gates.symmetry.difference import Difference
from iu_gates.symmetry.rows import RowDigest, row_digests
from iu_gates.symmetry.snapshot import KINDS, Snapshot, snapshot

__all__ = ["KINDS", "Difference", "RowDigest", "Snapshot", "row_digests", "snapshot"]
