"""
A network that dies without a word: how long either end waits for the other.

Three bounds, because no one of them sees everything:

- *The client's kernel* asks after a server that says nothing (keepalives), and gives up what it has
  sent and nobody acknowledged (tcp_user_timeout): a cable, a route, a machine that is gone.
- *The server's kernel* does the same for the sessions that hold something of ours. Its own
  default is two hours, in which a session that nobody is behind keeps its place, and its locks.
- *The client itself* asks by another connection, after as long without an answer, whether the
  server is at work on what it was asked: a pooler or a server that hangs is acknowledged by a
  kernel that does not, and an answer may be lost on the way. A statement may take its time.

**Why nothing is lost or repeated by giving up.** A batch is one statement and one transaction, so
what was sent commits or does not, whether or not anybody is there to be told; it holds no lock once
it has. The next batch, of whoever comes, begins where the cursor stands. A request that was under
way when the client gave up may be worked later still: it is one more batch, and finds the cursor
where it is then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg.waiting import Ready

NO_ANSWER: Final = "no answer comes from the server"
PROBES: Final = 3
AT_WORK: Final = """
select pg_backend_pid(),
       (select a.state = 'active' from pg_stat_activity as a where a.pid = %(pid)s)
"""
KEEPALIVE: Final = """
select set_config(o.name, o.value, false)
from (values ('tcp_keepalives_idle', %(idle)s), ('tcp_keepalives_interval', %(interval)s),
             ('tcp_keepalives_count', %(count)s), ('tcp_user_timeout', %(wait)s),
             ('idle_session_timeout', '0')) as o (name, value)
"""
"""For a session of our own that waits: behind a pooler it would stay with the pooler's."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """
    A connection that asks, by another one, why it is not answered.

    Attributes:
        patience: Seconds without an answer after which it asks; None waits for ever.
        way: The parameters of the other connection; None: it gives up instead.
    """

    patience: float | None = None
    way: Mapping[str, Any] | None = None

    def wait(self, gen: PQGen[RV], *arguments: Any, **named: Any) -> RV:
        """Wait for an answer as long as the server is at work on it; else close the connection."""
        if self.patience is not None:
            gen = self._bounded(gen, self.patience)
        return super().wait(gen, *arguments, **named)

    def _bounded(self, gen: PQGen[RV], patience: float) -> PQGen[RV]:
        until, is_over = time.monotonic() + patience, self.way is None
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                # psycopg looks in ten times a second where nothing comes.
                if ready == Ready.NONE and time.monotonic() > until:
                    at_work = None if is_over else self._is_at_work()
                    if at_work is None:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(NO_ANSWER)
                    # An answer that is on its way has as long again to come.
                    until, is_over = time.monotonic() + patience, not at_work
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: RV = end.value
            return answer

    def _is_at_work(self) -> bool | None:
        """
        Tell whether the server works on what was asked; None if it is not reached.

        Behind a pooler its session cannot be told, and is taken to be at work.
        """
        way = {**(self.way or {}), "connect_timeout": str(math.ceil(self.patience or 0))}
        try:
            with BoundedConnection.connect(autocommit=True, prepare_threshold=None, **way) as other:
                other.patience = self.patience
                row = other.execute(AT_WORK, {"pid": self.info.backend_pid}).fetchone()
                own, at_work = row or (None, None)
                return bool(at_work or own != other.info.backend_pid)
        except psycopg.errors.ConnectionTimeout:
            return None
        except psycopg.OperationalError as error:
            # It said something, if only that it takes no more sessions or is down.
            return None if str(error) == NO_ANSWER else True


def with_keepalives(url: str, wait: timedelta) -> str:
    """Return a conninfo in which a silent network ends a connection; what the URL says wins."""
    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Told where it is opened.
        return url
    beats = _beats(wait)
    ours = {
        "keepalives_idle": beats["idle"],
        "keepalives_interval": beats["interval"],
        "keepalives_count": beats["count"],
        "tcp_user_timeout": beats["wait"],
    }
    return make_conninfo("", **{**ours, **known})


def keep_alive(conn: psycopg.Connection[Any], wait: timedelta) -> None:
    """Let the server notice, within that time, that the machine of our client is gone."""
    conn.execute(KEEPALIVE, _beats(wait))


def _beats(wait: timedelta) -> dict[str, str]:
    """Return when to ask and how often, so that the last answer is due after `wait`."""
    seconds = wait.total_seconds()
    interval = max(1, round(seconds / (2 * PROBES)))
    return {
        "idle": str(max(1, round(seconds / 2))),
        "interval": str(interval),
        "count": str(PROBES),
        "wait": str(round(seconds * 1000)),
    }
