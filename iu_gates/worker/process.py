"""The connections of one worker process: how they begin, and what ends them."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Final

from iu_gates import db
from iu_gates.errors import RefusedError, UnreachableError
from iu_gates.model import Batch
from iu_gates.worker.bell import Bell
from iu_gates.worker.crew import Crew, idle_batch
from iu_gates.worker.loop import SHORTEST_WAIT, Loop

LONGEST_BACKOFF: Final = 10.0
READ_ONLY: Final = "IUG-084"


def once(crew: Crew) -> list[Batch]:
    """Work until nothing is left; then raise for the first route that failed."""
    with db.connect(crew.settings, "worker") as conn:
        batches = Loop(crew, conn).until_idle()
    for error in crew.failures.values():
        raise db.translate(error) from error
    return batches


def forever(crew: Crew, connections: int) -> list[Batch]:
    """Work on so many connections until stopped; what ends one ends all and is raised."""
    if connections == 1:
        return _stay(crew, 0)
    with ThreadPoolExecutor(connections, "worker") as pool:
        futures = [pool.submit(_stay, crew, number) for number in range(connections)]
        wait(futures, return_when=FIRST_EXCEPTION)
        crew.stop.set()
    return [batch for future in futures for batch in future.result()]


def _stay(crew: Crew, number: int) -> list[Batch]:
    """Work on one connection until stopped; a server that goes away is waited for."""
    backoff = SHORTEST_WAIT
    last: list[Batch] = []
    while not crew.is_over:
        try:
            with db.connect(crew.settings, "worker") as conn:
                loop = Loop(crew, conn, Bell(conn, crew.settings, crew.stop), number)
                while not crew.is_over:
                    last = loop.step()
                    backoff = SHORTEST_WAIT
                    crew.said.pop("-", None)
        except (UnreachableError, RefusedError) as error:
            if isinstance(error, RefusedError) and error.ident != READ_ONLY:
                raise
            crew.tell(idle_batch("-", f"waits for the server: {error.summary}", backoff))
            crew.stop.wait(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF)
    return last
