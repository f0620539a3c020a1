"""What ends a sleep: a signal in the sleeping thread, another thread, or something to read."""

from __future__ import annotations

import os
import signal
import threading
import time

from iu_gates.ending import Ending

LONG = 60.0


def test_signal_ends_a_wait_at_once() -> None:
    """
    `select` goes on waiting after a handler has run; what the handler wrote wakes it.
    """
    ending = Ending()
    before = signal.signal(signal.SIGALRM, lambda *_: ending.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        began = time.monotonic()
        assert ending.wait(LONG)
        assert time.monotonic() - began < LONG / 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_all_who_wait_are_told() -> None:
    """
    What one thread has heard, the others hear too, and whoever asks later.
    """
    ending = Ending()
    threads = [threading.Thread(target=ending.wait, args=(LONG,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    ending.set()
    ending.set()
    for thread in threads:
        thread.join(LONG / 2)
    assert not any(thread.is_alive() for thread in threads)
    assert ending.wait(LONG)
    assert ending.is_set()


def test_wait_ends_by_time_or_by_what_can_be_read() -> None:
    """
    Neither is being told.
    """
    ending = Ending()
    reader, writer = os.pipe()
    try:
        assert not ending.wait(0.0, reader)
        os.write(writer, b".")
        assert not ending.wait(LONG, reader)
        assert not ending.is_set()
    finally:
        os.close(reader)
        os.close(writer)
