"""
Where the program begins: it is run by its path, in the project's interpreter.

Its modules are loaded from beside it, under a name that no project has. What the project reads is
recorded before anything of the project is there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Final

NAME: Final = "_iu_gates_symmetry"


def load() -> None:
    """Give the folder of this file its name."""
    spec = importlib.util.spec_from_file_location(NAME, Path(__file__).with_name("__init__.py"))
    assert spec is not None  # noqa: S101  the file is there
    assert spec.loader is not None  # noqa: S101  as above
    sys.modules[NAME] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load()
    importlib.import_module(f"{NAME}.recorder").record(int(sys.argv.pop(1)))
    importlib.import_module(f"{NAME}.program").main()
