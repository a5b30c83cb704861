// One replica of the simulation: a worker as main.ts puts it together, with its own pool, dispatcher and sequencer, on a
// runtime driver that its parent serves. It reconciles when it is told to, one pass at a time, and tells what came of it.
import { openPool } from '../../src/db/client.ts'
import { createLog } from '../../src/log.ts'
import { countMoves, type Told } from '../../src/loops/count.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { startDispatcher } from '../../src/loops/dispatch.ts'
import { startLoop } from '../../src/loops/loop.ts'
import { reconcileInstancesLoop } from '../../src/loops/reconcile-instances.ts'
import { sequenceLoop } from '../../src/loops/sequence.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createSealing } from '../../src/sealing.ts'
import { farDriver } from '../../test/far.ts'

/** What one pass of this replica came to. */
export interface PassSeen {
  readonly items: Readonly<Record<string, number>>
  readonly durationMs: number
  /** CPU of this process while it ran, the dispatcher's share included. */
  readonly cpuMs: number
  readonly fault: string | null
}

/** What a parent may say. */
export type Order = 'pass' | 'end'

const [url = '', workerId = '', callTimeoutMs = ''] = process.argv.slice(2)
const log = createLog({ level: 'warn' })
const metrics = createMetrics()
const pool = openPool({ url, purpose: 'worker', slots: 8, statementTimeoutMs: 10_000 })
const { db } = pool
const driver = farDriver(process)
const sealing = createSealing([{ id: 'simulation', bytes: Buffer.alloc(32, 7) }])
const dispatcher = startDispatcher(deploymentEffects(db, driver, sealing), {
  db,
  metrics,
  log,
  workerId,
  timing: { callTimeoutMs: Number(callTimeoutMs) },
})
const sequencer = startLoop(sequenceLoop(db), { metrics, log })
const told: Told = (rule, count) => {
  countMoves(metrics, rule, count)
  dispatcher.nudge()
}
const loop = reconcileInstancesLoop(db, driver, told)

async function pass(): Promise<PassSeen> {
  const [from, cpu] = [performance.now(), process.cpuUsage()]
  let fault: string | null = null
  const items = await loop.pass(AbortSignal.timeout(loop.deadlineMs)).catch((error: unknown) => {
    fault = String(error)
    return {}
  })
  const { user, system } = process.cpuUsage(cpu)
  return { items, durationMs: performance.now() - from, cpuMs: (user + system) / 1000, fault }
}

process.on('message', async (message: { order?: Order }) => {
  if (message.order === 'pass') process.send?.({ passed: await pass() })
  if (message.order === 'end') {
    await dispatcher.drain(5_000)
    await sequencer.stop()
    await pool.close()
    process.disconnect()
  }
})
process.send?.({ ready: true, everyMs: loop.everyMs })
