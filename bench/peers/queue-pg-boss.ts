// The peer pg-boss: one worker that fetches in batches and at once again while they are full, which is its fastest way that works
// on as many jobs at a time as a lane of ours. A batch is completed together. Or, `plain`, as many workers that fetch one job at each poll, the shortest there is.
import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { type Job, serve, stopDeployment } from './queue-job.ts'

const [url = '', atOnce = '', way = ''] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString: url, max: 8 })
const boss = new PgBoss({ connectionString: url, max: 8, supervise: false, schedule: false })
boss.on('error', (error) => process.stderr.write(`${error.message}\n`))
await boss.start()
await pool.query('select 1')
await boss.createQueue('stop')
serve({
  queue: (jobs) =>
    boss.insert(
      'stop',
      jobs.map((data) => ({ data })),
    ),
  begin: () =>
    boss.work<Job>(
      'stop',
      way === 'plain'
        ? { localConcurrency: Number(atOnce), pollingIntervalSeconds: 0.5 }
        : { batchSize: Number(atOnce), burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
      async (jobs) => {
        if (way !== 'empty') await Promise.all(jobs.map(({ data }) => stopDeployment(pool, data)))
      },
    ),
})
