"""pgqueuer: `setup` installs it and enqueues, `run` works until the queue is empty."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import asyncpg
from pgqueuer import AsyncpgPoolDriver, Job, Queries, QueueManager
from pgqueuer.domain.types import QueueExecutionMode

BATCH, POOL = 200, 20
URL, DELIVER, JOBS = os.environ["BENCH_URL"], os.environ["BENCH_DELIVER"], os.environ["BENCH_JOBS"]


async def setup(count: int) -> None:
    """Install the schema and enqueue."""
    async with asyncpg.create_pool(URL, min_size=2, max_size=2) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        await queries.install()
        jobs = [row[0] for row in await pool.fetch(JOBS.replace("%s", "$1"), count)]
        for at in range(0, count, 1000):
            some = [job.encode() for job in jobs[at : at + 1000]]
            await queries.enqueue(["deliver"] * len(some), some, [0] * len(some))


async def run() -> float:
    """Work off the queue; return the seconds it took."""
    statement = DELIVER.replace("%s", "$1")
    async with asyncpg.create_pool(URL, min_size=POOL, max_size=POOL) as pool:
        manager = QueueManager(Queries(AsyncpgPoolDriver(pool)))

        @manager.entrypoint("deliver")
        async def deliver(job: Job) -> None:
            await pool.execute(statement, f"[{(job.payload or b'').decode()}]")

        began = time.perf_counter()
        await manager.run(batch_size=BATCH, mode=QueueExecutionMode.drain)
        return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1] == "setup":
        asyncio.run(setup(int(sys.argv[2])))
    else:
        seconds = asyncio.run(run())
        note = f"asyncpg, pool of {POOL}, batch_size {BATCH}"
        print(json.dumps({"seconds": seconds, "note": note}))
