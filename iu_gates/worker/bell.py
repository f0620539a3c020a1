"""
The bell: how a worker sleeps and cannot miss an event.

A NOTIFY in each transaction of the host would make its commits queue (T5), so captures notify
only while the bell is armed, and it is armed only while a worker sleeps. The bell is the value of
an unlogged sequence, *until when* captures ring. Three things follow from that:

- It is read as it stands, whatever snapshot the reader has, and set without an xid or WAL.
- A worker that dies asleep leaves an armed bell for 2 s, not for ever.
- It is armed before the look that finds nothing, never after.

**Why nothing is missed.** Let a transaction C capture an event, and a worker W arm the bell at a
moment A. C has its xid and has written its event before it looks at the bell.

1. C looked after A. It saw the bell armed and notifies; W has listened since its connection
   began, so the notification of C's commit wakes it, also if it comes before W has gone to sleep:
   it waits in the socket then.
2. C looked before A, and saw nothing. Its xid was assigned before A, so it is below W's *fence*,
   an xid that W takes right after A. W does not sleep until a look of its own, in a snapshot
   whose xmin has reached the fence, has found nothing: C had ended then, and its event was in
   that look. Until then W polls. xmax of a snapshot would not do as a fence: a running xid may
   lie above it (T9).

W renews the bell while it sleeps. If it comes too late for that (the database's clock has passed
what it was promised) captures may have seen a silent bell meanwhile, and there is a new fence.
Otherwise there is none: idling spends no xid.

**Who silences it.** Whoever hears a ring, after a round of work, and only if no other worker has
armed it since: who had armed it before hears the same ring, who armed it after sleeps and needs it.
Arming and silencing take turns by an advisory key.

**Where there is no bell**, the worker polls every 50 ms and says so: behind a pooler, which keeps
no session for LISTEN (the server's pid is not the one that the connection was told), and where
max_prepared_transactions is not 0, because a transaction that has notified cannot be prepared,
and a host's commit must not fail for our sleep.

What would break it: a capture that looks at the bell before its transaction has an xid; a bell in a
table, which a REPEATABLE READ writer would read as it was; arming after the look; going to sleep on
a bell that has run out, which is why it is renewed before sleep whenever its half time is over. A
process that was stopped for a second just then finds out by its next look, at most 1 s later. As
long as a write transaction from before A runs anywhere in the cluster, W does not sleep but polls
(every 50 ms), and C of that kind alone may be found by a poll instead of a ring.
"""

from __future__ import annotations

import time
from typing import Final

from iu_gates import db, network
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.ending import Ending

CHANNEL: Final = "iu_gates_bell"
NAP_SECONDS: Final = 1.0
"""How long a worker sleeps at a stretch; half of what the bell is armed for."""


class Bell:
    """One connection's part in the bell; `lacks` says why there is none, or is empty."""

    def __init__(self, conn: Conn, settings: Settings, stop: Ending) -> None:
        self.lacks = ""
        self._conn = conn
        self._stop = stop
        self._schema = settings.schema
        self._until: int | None = None
        self._fence: int | None = None
        self._armed_at = 0.0
        self._heard = False
        if db.fetch_value(conn, "select pg_backend_pid()") != conn.info.backend_pid:
            self.lacks = "a pooler keeps no session for LISTEN"
            return
        # A session of our own, which a pooler has not: what is asked again is parsed once.
        conn.prepare_threshold = 0
        network.keep_alive(conn, settings.network_wait)
        if db.fetch_value(conn, "show max_prepared_transactions") != "0":
            self.lacks = "max_prepared_transactions is not 0"
        if self.lacks:
            return
        conn.add_notify_handler(self._on_ring)
        conn.execute(f"listen {CHANNEL}")

    def _on_ring(self, _: object) -> None:
        self._heard = True

    @property
    def is_armed(self) -> bool:
        """True if captures ring, as far as we know."""
        return self._until is not None

    @property
    def due_in(self) -> float:
        """Seconds until it has to be renewed; 0 if that is now."""
        return max(self._armed_at + NAP_SECONDS - time.monotonic(), 0.0)

    def arm(self) -> None:
        """Arm or renew it; afterwards look once more before you sleep."""
        query = db.load("bell_arm", self._schema)
        row = db.fetch_one(self._conn, query, {"until": self._until})
        self._until, self._armed_at = row["until"], time.monotonic()
        self._fence = row["fence"] if row["fence"] is not None else self._fence

    def lets_sleep(self, seen: str) -> bool:
        """Return whether a look in the snapshot `seen` that found nothing lets us sleep."""
        if self._fence is not None and int(seen.split(":", 1)[0]) >= self._fence:
            self._fence = None
        return self.is_armed and self._fence is None

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, or to be told to stop, at most so long; return whether it rang."""
        if not self._listen():
            self._stop.wait(seconds, self._conn.fileno())
            self._listen()
        return self._heard

    def silence(self) -> None:
        """After a ring, and after what it rang for: captures need not ring any more."""
        if not self._heard:
            return
        if self._until is not None:
            query = db.load("bell_still", self._schema)
            self._conn.execute(query, {"until": self._until})
        self._until, self._fence, self._heard = None, None, False

    def _listen(self) -> bool:
        """Take in what the server has sent; a ring may also have come with the last answer."""
        self._conn.pgconn.consume_input()
        while self._conn.pgconn.notifies():
            self._heard = True
        return self._heard
