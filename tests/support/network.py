"""
A network that fails: TCP on the loopback before a server's socket, with a switch for each way.

    Network     `reset` ends every connection at once; `silence` forwards nothing more, and says
                nothing; `come_back` forwards again, what was held first

What is silent here is still acknowledged by a kernel, as behind a pooler that hangs: keepalives see
nothing of it, only who waits for an answer does. A route that drops packets is libpq's to notice.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal, Self

from psycopg.conninfo import make_conninfo

from iu_gates.embedded.server import SOCKET_PORT
from tests.support.databases import Database

Way = Literal["up", "down"]
"""From the client to the server, and back."""

LINGER_NOT: Final = struct.pack("ii", 1, 0)
CHUNK: Final = 65536


class Network:
    """The way between clients on the loopback and one server."""

    def __init__(self, path: str) -> None:
        self.held: dict[Way, int] = {"up": 0, "down": 0}
        """Bytes that came and were not forwarded since it went silent, each way."""
        self._path = path
        self._flows: dict[Way, threading.Event] = {
            "up": threading.Event(),
            "down": threading.Event(),
        }
        self._mark: bytes | None = None
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.come_back()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread in accept() is not woken by close().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.come_back()
        self.reset()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def reset(self) -> None:
        """End every connection: the client is told by RST, the server by the end of the file."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            with suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def silence(self, *ways: Way) -> None:
        """Forward nothing more; new connections are taken, and nobody answers."""
        self.held = {"up": 0, "down": 0}
        for way in ways or ("up", "down"):
            self._flows[way].clear()

    def silence_at(self, mark: bytes) -> None:
        """Go silent both ways as soon as a client sends this, which is not forwarded."""
        self._mark = mark

    def come_back(self) -> None:
        """Forward what was held, and what comes."""
        self._mark = None
        for flows in self._flows.values():
            flows.set()

    @property
    def is_silent(self) -> bool:
        """True from `silence` to `come_back`."""
        return not all(flows.is_set() for flows in self._flows.values())

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._path)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            for way, ends in (("up", (client, server)), ("down", (server, client))):
                threading.Thread(target=self._pump, args=(way, *ends), daemon=True).start()

    def _pump(self, way: Way, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if way == "up" and self._mark is not None and self._mark in data:
                    self.silence()
                if not self._flows[way].is_set():
                    self.held[way] += len(data)
                self._flows[way].wait()
                sink.sendall(data)
            self._flows[way].wait()
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def network(database: Database) -> Iterator[tuple[Network, str]]:
    """Give a network before a database's server, and the conninfo of the database behind it."""
    path = database.server.socket_dir / f".s.PGSQL.{SOCKET_PORT}"
    with Network(str(path)) as made:
        yield made, make_conninfo(database.conninfo, host="127.0.0.1", port=made.port)
