// graphile-worker: `setup` installs it and enqueues, `run` works until the queue is empty.
import { createRequire } from "node:module";

const require = createRequire(process.env.BENCH_NODE_MODULES);
const { Logger, run, runMigrations } = require("graphile-worker");
const { Pool } = require("pg");

const [command, count] = [process.argv[2], Number(process.argv[3])];
const deliver = process.env.BENCH_DELIVER.replaceAll("%s", "$1");
const concurrentJobs = 24;
const localQueue = { size: 500 };
const completeJobBatchDelay = 10;
const config = { host: process.env.PGHOST, database: process.env.PGDATABASE, user: "postgres" };
const logger = new Logger(() => () => {});
const pool = new Pool({ ...config, max: concurrentJobs + 8 });
pool.on("error", () => {});

if (command === "setup") {
  await runMigrations({ pgPool: pool, logger });
  await pool.query(
    `select graphile_worker.add_jobs(array_agg(
       json_populate_record(null::graphile_worker.job_spec,
         json_build_object('identifier', 'deliver', 'payload', j.job::json))))
     from (${process.env.BENCH_JOBS.replace("%s", "$1")}) as j (job)`,
    [count],
  );
} else {
  let done = 0;
  let finish, fail;
  const finished = new Promise((resolve, reject) => ([finish, fail] = [resolve, reject]));
  const write = { name: "deliver", text: deliver };
  const began = performance.now();
  const runner = await run({
    pgPool: pool,
    noHandleSignals: true,
    taskList: {
      deliver: async (job) => {
        await pool.query({ ...write, values: [JSON.stringify([job])] }).catch(fail);
        if (++done === count) finish();
      },
    },
    preset: {
      worker: { concurrentJobs, localQueue, completeJobBatchDelay, pollInterval: 1000, logger },
    },
  });
  await finished;
  await runner.stop(); // waits until the completions are written
  const seconds = (performance.now() - began) / 1000;
  const note = `concurrentJobs ${concurrentJobs}, localQueue ${localQueue.size}, completeJobBatchDelay ${completeJobBatchDelay} ms`;
  console.log(JSON.stringify({ seconds, note }));
}
await pool.end().catch(() => {});
