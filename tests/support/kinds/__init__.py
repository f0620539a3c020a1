"""
Objects of every kind, with every attribute, as DDL that can be gone and come back.
"""

from __future__ import annotations

from typing import Final

from tests.support.kinds import code, hanging, outside, rights, tables, types
from tests.support.kinds.thing import MAKE_ROLES, Made, State, Thing

__all__ = ["MAKE_ROLES", "THINGS", "Made", "State", "Thing"]

_PLAIN: Final = (
    *types.TYPES,
    *types.TEXTS,
    *tables.TABLES,
    *tables.COLUMNS,
    *hanging.CONSTRAINTS,
    *hanging.INDEXES,
    *hanging.ON_TABLES,
    *code.FUNCTIONS,
    *code.AGGREGATES,
    *code.OPERATORS,
    *outside.FOREIGN,
    *outside.REPLICATION,
    *outside.REST,
)
THINGS: Final = (
    *_PLAIN,
    *rights.list_comments(_PLAIN),
    *rights.list_granted(),
    *rights.list_defaults(),
    *rights.LABELS,
    *rights.DATABASE,
)
"""Every thing; each attribute of each kind of the catalog is in one."""
