"""
What a reader needs to know of an exception.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

from .address import DRIVERS


def describe(error: BaseException) -> dict[str, Any]:
    """Return what a reader needs to know of an exception."""
    origin = getattr(error, "orig", None) or error
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if Path(f.filename).parent != Path(__file__).parent]
    where = [f for f in theirs if not is_of_library(f.filename)] or theirs
    diag = getattr(origin, "diag", None)
    by_design = isinstance(error, NotImplementedError) and theirs[-1:] == where[-1:]
    return {
        "kind": type(error).__name__,
        "message": str(origin).strip() or type(error).__name__,
        "sqlstate": getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or "",
        "detail": getattr(diag, "message_detail", None) or "",
        "is_refusal": by_design,
        "at": f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else "",
    }


def is_of_library(file: str) -> bool:
    """Tell whether a file is none of the project's, but below it."""
    modules = (sys.modules.get(name) for name in ("alembic", "sqlalchemy", "anyio", *DRIVERS))
    folders = [Path(m.__file__).parent for m in modules if m is not None and m.__file__]
    path = Path(file)
    is_stdlib = path.is_relative_to(Path(os.__file__).parent) and "site-packages" not in path.parts
    return (
        is_stdlib or file.startswith("<") or any(path.is_relative_to(folder) for folder in folders)
    )
