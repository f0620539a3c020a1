"""
Names as the catalog prints them: qualified, and quoted where they have to be.
"""

from __future__ import annotations

import re
from typing import Final

PART: Final = re.compile(r'"(?:[^"]|"")+"|[^."]+')


def parts(identity: str) -> list[str]:
    """Split a qualified name into its parts, as they are quoted."""
    return PART.findall(identity)


def plain(part: str) -> str:
    """Return a part of a name without its quotes."""
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def split(identity: str) -> tuple[str, str]:
    """Split off the last part of a name: what it is on, and how it is called there."""
    *on, name = parts(identity)
    return ".".join(on), name


def literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    quoted = text.replace("'", "''")
    return f"E'{quoted}'".replace("\\", "\\\\") if "\\" in text else f"'{quoted}'"


def quote(name: str) -> str:
    """Return a name as an identifier, quoted if it is not a plain one."""
    if re.fullmatch("[a-z_][a-z0-9_]*", name):
        return name
    return '"{}"'.format(name.replace('"', '""'))
