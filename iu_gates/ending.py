"""How a process that sleeps is told to come to its end."""

from __future__ import annotations

import os
import select
import weakref


class Ending:
    """
    Told once, by a signal handler or another thread; whoever waits for it wakes at once.

    Not a `threading.Event`: the thread that a signal interrupts may hold its lock, and `select`,
    which waits for the server as well, goes on waiting after a handler has run.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._reader, self._writer = os.pipe()
        weakref.finalize(self, _close, self._reader, self._writer)

    def set(self) -> None:
        """Tell it."""
        if not self._is_set:
            self._is_set = True
            os.write(self._writer, b".")

    def is_set(self) -> bool:
        """Return whether it was told."""
        return self._is_set

    def wait(self, seconds: float, *descriptors: int) -> bool:
        """Wait to be told, or until one of these can be read, at most so long; True if told."""
        select.select([self._reader, *descriptors], [], [], max(seconds, 0.0))
        return self._is_set


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
