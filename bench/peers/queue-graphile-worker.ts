// The peer graphile-worker, as it comes or as its pages say that it is fastest: jobs fetched ahead in batches into a local queue, and
// completed in batches. It works on as many jobs at a time as a lane of ours.
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { type Job, serve, stopDeployment } from './queue-job.ts'

const [url = '', atOnce = '', way = ''] = process.argv.slice(2)
const concurrentJobs = Number(atOnce)
const tuned = { localQueue: { size: 4 * concurrentJobs }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
const utils = await makeWorkerUtils({ connectionString: url })
await utils.migrate()
serve({
  queue: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: 'stop', payload }))),
  begin: () =>
    run({
      logger: new Logger(() => () => {}),
      preset: {
        worker: {
          connectionString: url,
          concurrentJobs,
          maxPoolSize: concurrentJobs + 2,
          ...(way === 'plain' ? {} : tuned),
        },
      },
      taskList: {
        stop: async (job, { withPgClient }) => {
          if (way !== 'empty') await withPgClient((client) => stopDeployment(client, job as Job))
        },
      },
    }),
})
