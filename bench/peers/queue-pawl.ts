// Our dispatcher alone, as a worker runs it, on a runtime driver that does everything at once. Its parent says when it begins.
import { openPool } from '../../src/db/client.ts'
import { done } from '../../src/drivers/outcome.ts'
import type { RuntimeDriver } from '../../src/drivers/runtime/driver.ts'
import { createLog } from '../../src/log.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { startDispatcher } from '../../src/loops/dispatch.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createSealing } from '../../src/sealing.ts'

const [url = ''] = process.argv.slice(2)
const nothing = async () => done(null)
const instant: RuntimeDriver = {
  name: 'fake',
  reserves: () => false,
  resolveImage: async (image) => done({ image }),
  reserve: async ({ subjectId }) => done({ url: `http://${subjectId}` }),
  ensure: async ({ subjectId }, { operationId }) =>
    done({ instanceId: `run-${operationId}`, url: `http://${subjectId}` }),
  observe: async () => done({ state: 'absent' }),
  observeInstance: async () => ({ state: 'gone', reason: 'nothing runs here' }),
  stop: nothing,
  remove: nothing,
  logs: async () => done(''),
  listOwned: async () => done([]),
}

const pool = openPool({ url, purpose: 'worker', slots: 8, statementTimeoutMs: 10_000 })
const sealing = createSealing([{ id: 'bench', bytes: Buffer.alloc(32, 7) }])
process.once('message', () => {
  startDispatcher(deploymentEffects(pool.db, instant, sealing), {
    db: pool.db,
    metrics: createMetrics(),
    log: createLog({ level: 'warn' }),
    workerId: `bench-${process.pid}`,
  })
})
process.once('disconnect', () => process.exit())
await pool.db.execute('select 1')
process.send?.({ ready: true })
