// pg-boss: `setup` installs it and enqueues, `run` works until the queue is empty.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.BENCH_NODE_MODULES);
const { PgBoss } = await import(pathToFileURL(require.resolve("pg-boss")).href);
const { Pool } = require("pg");

const [command, count] = [process.argv[2], Number(process.argv[3])];
const deliver = process.env.BENCH_DELIVER.replaceAll("%s", "$1");
const batchSize = 1000;
const queue = "deliver";
const config = { host: process.env.PGHOST, database: process.env.PGDATABASE, user: "postgres" };
const boss = new PgBoss({ ...config, supervise: false, schedule: false });
const pool = new Pool({ ...config, max: 2 });
boss.on("error", (error) => console.error(error));
await boss.start();

if (command === "setup") {
  await boss.createQueue(queue);
  const { rows } = await pool.query(process.env.BENCH_JOBS.replace("%s", "$1"), [count]);
  for (let at = 0; at < rows.length; at += 1000) {
    await boss.insert(queue, rows.slice(at, at + 1000).map((row) => ({ data: JSON.parse(row.job) })));
  }
} else {
  // Fetch, write and complete in one transaction, by the `db` option: exactly once.
  const client = await pool.connect();
  const db = { executeSql: (text, values) => client.query(text, values) };
  const began = performance.now();
  for (;;) {
    await client.query("begin");
    const jobs = await boss.fetch(queue, { batchSize, db });
    if (jobs.length > 0) {
      const text = JSON.stringify(jobs.map((job) => job.data));
      await client.query({ name: "deliver", text: deliver, values: [text] });
      await boss.complete(queue, jobs.map((job) => job.id), null, { db });
    }
    await client.query("commit");
    if (jobs.length === 0) break;
  }
  const seconds = (performance.now() - began) / 1000;
  client.release();
  const note = `fetch and complete in one transaction, batchSize ${batchSize}`;
  console.log(JSON.stringify({ seconds, note }));
}
await boss.stop({ graceful: false });
await pool.end();
