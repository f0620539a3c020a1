"""procrastinate: `setup` installs it and enqueues, `run` works until the queue is empty."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time

import procrastinate
import psycopg
import psycopg_pool

CONCURRENCY = 20
URL, DELIVER, JOBS = os.environ["BENCH_URL"], os.environ["BENCH_DELIVER"], os.environ["BENCH_JOBS"]
logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=URL, min_size=CONCURRENCY, max_size=CONCURRENCY + 5
    )
)
pool = psycopg_pool.AsyncConnectionPool(
    URL, min_size=CONCURRENCY, max_size=CONCURRENCY, open=False, kwargs={"autocommit": True}
)


@app.task(name="deliver")
async def deliver(job: dict[str, object]) -> None:
    """Write the two rows of an event."""
    async with pool.connection() as conn:
        await conn.execute(DELIVER, (json.dumps([job]),), prepare=True)


async def setup(count: int) -> None:
    """Install the schema and enqueue."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        with psycopg.connect(URL) as conn:
            jobs = [json.loads(row[0]) for row in conn.execute(JOBS, (count,))]
        for at in range(0, count, 500):
            await deliver.batch_defer_async(*({"job": job} for job in jobs[at : at + 500]))


async def run() -> float:
    """Work off the queue; return the seconds it took."""
    async with app.open_async(), pool:
        began = time.perf_counter()
        await app.run_worker_async(
            wait=False,
            concurrency=CONCURRENCY,
            delete_jobs="successful",
            install_signal_handlers=False,
        )
        return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1] == "setup":
        asyncio.run(setup(int(sys.argv[2])))
    else:
        seconds = asyncio.run(run())
        note = f"worker, concurrency {CONCURRENCY}, delete_jobs successful"
        print(json.dumps({"seconds": seconds, "note": note}))
