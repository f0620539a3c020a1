"""
The history as a file that outlives the database: written in one snapshot, read back whole.

    write     one REPEATABLE READ snapshot into a zstd file of JSON Lines, its manifest beside it
    verify    read one back: every line, counted and hashed, against its manifest

A file counts only with its manifest (``<file>.json``). Both are written under a temporary name,
fsynced and then renamed, the manifest last, so that what a killed process or a full disk leaves
behind does not look like an export. The format is in ``docs/history.md``.

    reading     decompress, parse, count, hash
    manifest    what is written down beside the file
    writing     the snapshot, the file, the comparison with the database, the ledger
"""

from iu_gates.export.manifest import Manifest, TableState
from iu_gates.export.reading import Export, verify
from iu_gates.export.writing import write

__all__ = ["Export", "Manifest", "TableState", "verify", "write"]
