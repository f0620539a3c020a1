"""
What a project's process reads, recorded: a verdict holds as long as none of it has changed.

Run in that process before `iu_gates.symmetry.child`, so it imports nothing of ours. Each file that
Python opens to read and each environment variable that is asked for is one line on a descriptor of
the caller's: F and its path, V and its name. A process that is started can read whatever it likes:
X, and no verdict of this one is kept.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import Any, Final

STARTS: Final = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
CACHED: Final = f".{sys.implementation.cache_tag}."
WRITES: Final = os.O_WRONLY | os.O_RDWR


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

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path = _read_from(arguments)
            if path and "\n" not in path and not path.startswith(passed_over):
                tell(f"F {path}")
        elif event in STARTS:
            tell("X")

    sys.addaudithook(hear)
    _listen_to_environment(tell)


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
