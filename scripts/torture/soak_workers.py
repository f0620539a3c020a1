"""The worker processes of a soak: started, killed, stopped and continued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from stage import ROOT, SITE_KEY, WORKER, Failure, Stage

KINDS: Final = (("--limit", "1000"), ("--limit", "7"), ("--limit", "100", "--connections", "2"))
SECONDS: Final = 30.0
"""No worker takes as long to end at a SIGTERM, on a busy machine neither."""


class Workers:
    """Several `worker run`, each of its own kind; one that ends by itself is a failure."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def see_to(self) -> None:
        """Start those that do not run; raise if one ended that nobody has ended."""
        for number, process in self._running.items():
            if process.poll() is not None:
                raise Failure(
                    f"worker {number} ended by itself with {process.returncode}:"
                    f" {self._log(number).read_text()[-2000:]}"
                )
        for number in range(len(KINDS)):
            if number not in self._running:
                self._running[number] = self._start(number)

    def kill(self, number: int) -> None:
        """End one by SIGKILL."""
        process = self._running.pop(number)
        process.kill()
        process.wait()

    def end(self, number: int) -> None:
        """End one by SIGTERM: with 0, within its bound."""
        process = self._running.pop(number)
        process.terminate()
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failure(f"worker {number} did not end at SIGTERM") from None
        if code:
            raise Failure(f"worker {number} ended with {code} at SIGTERM")

    def pause(self, number: int) -> None:
        """Stop one in its tracks."""
        os.kill(self._running[number].pid, signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        """Let one go on."""
        os.kill(self._running[number].pid, signal.SIGCONT)

    def close(self) -> None:
        """End all that run."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
        self._running.clear()

    def _log(self, number: int) -> Path:
        return self._stage.folder / f"worker {number}.log"

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "IU_GATES_"))}
        told = {
            "HOME": str(self._stage.folder),
            "PYTHONPATH": str(ROOT),
            "IU_GATES_DATABASE_URL": self._stage.url(WORKER),
            "IU_GATES_SITE_KEY": SITE_KEY,
        }
        with self._log(number).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "iu_gates", "worker", "run", *KINDS[number]],
                cwd=self._stage.folder,
                env=inherited | told,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
