"""
What a project's process reads, recorded: a verdict holds as long as none of it has changed.

It listens before anything of the project is there. Each file that Python opens to read, each folder
that it lists, and each environment variable that is asked for is one line on a descriptor of the
caller's: F and its path; D, a digest of the names in it, and its path; V and its name. A process
that is started can read whatever it likes: X, and no verdict of this one is kept.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from types import FrameType
from typing import Any, Final

STARTS: Final = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
CACHED: Final = f".{sys.implementation.cache_tag}."
WRITES: Final = os.O_WRONLY | os.O_RDWR
LISTS: Final = ("os.listdir", "os.scandir")
"""`glob` and `pathlib` go through these."""
IMPORTERS: Final = ("importlib", "_frozen_importlib_external", "importlib_metadata")
"""They list folders on the way to a module, which is opened when it is found."""


def record(descriptor: int) -> None:
    """Write down what this process reads from now on."""
    seen: set[str] = set()
    # What is installed is in the key by its version.
    passed_over = tuple(
        {os.path.join(p, "") for p in (*sysconfig.get_paths().values(), "/proc", "/dev", "/sys")}  # noqa: PTH118
    )

    def tell(line: str) -> None:
        if line not in seen:
            seen.add(line)
            os.write(descriptor, line.encode("utf-8", "surrogateescape") + b"\n")

    def is_told(path: str) -> bool:
        inside = os.path.join(path, "")  # noqa: PTH118
        return bool(path) and "\n" not in path and not inside.startswith(passed_over)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and is_told(path := _read_from(arguments)):
            tell(f"F {path}")
        elif event in LISTS and is_told(folder := _listed_by(sys._getframe(1), arguments[0])):  # noqa: SLF001
            tell(f"D {hash_names(folder)} {folder}")
        elif event in STARTS:
            tell("X")

    sys.addaudithook(hear)
    _listen_to_environment(tell)


def _listed_by(caller: FrameType, folder: Any) -> str:
    """Return the path of a folder that is listed; "" for Python itself, and for ourselves."""
    module = caller.f_globals.get("__name__", "").partition(".")[0]
    is_ours = caller.f_code is hash_names.__code__
    if is_ours or module in IMPORTERS or isinstance(folder, int):
        return ""
    return os.path.abspath(os.fsdecode(folder or "."))  # noqa: PTH100  as below


def hash_names(folder: str) -> str:
    """Return the SHA-256 of the names in a folder; "-" where they cannot be read."""
    try:
        names = sorted(name for name in os.listdir(folder) if name != "__pycache__")  # noqa: PTH208
    except OSError:
        return "-"
    return hashlib.sha256("/".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _read_from(arguments: tuple[Any, ...]) -> str:
    """Return the path of a file that is opened to read; "" if it is to write, or no file."""
    path, mode, flags = arguments
    writes = set(mode) & set("wax+") if isinstance(mode, str) else flags & WRITES
    if writes or not isinstance(path, (str, bytes, os.PathLike)):
        return ""
    found = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  pathlib would raise this event
    folder, name = os.path.split(found)
    parent, last = os.path.split(folder)
    if last == "__pycache__" and CACHED in name:
        return os.path.join(parent, name.partition(CACHED)[0] + ".py")  # noqa: PTH118
    return found


def _listen_to_environment(tell: Any) -> None:
    kind = type(os.environ)
    get = kind.__getitem__

    def get_item(self: Any, key: str) -> str:
        if "\n" not in key:
            tell(f"V {key}")
        return get(self, key)

    kind.__getitem__ = get_item  # type: ignore[method-assign]
