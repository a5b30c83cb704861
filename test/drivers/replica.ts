// A control plane that can be killed: one process with a process driver on the given folders, for the tests that
// need a death at a named point. Prints one line per step; `hold` takes the workload's lock and keeps it for ever.
import { join } from 'node:path'
import { createProcessDriver } from '../../src/drivers/runtime/process.ts'
import { withLock } from '../../src/drivers/runtime/process-lock.ts'
import { calm, fenceOf, run, specOf } from './runtime.conformance.ts'

const [what, appsDir = '', dataDir = '', subjectId = '', incarnation = ''] = process.argv.slice(2)
const ref = { subjectId, incarnation }
const driver = createProcessDriver({ installation: 'tests', appsDir, dataDir, portRange: { from: 21_000, to: 24_999 } })

if (what === 'hold') {
  await withLock(join(dataDir, 'runtime', '.locks'), `${subjectId}-${incarnation}`, 1000, calm, () => {
    console.log('held')
    return new Promise(() => setInterval(() => {}, 1000))
  })
}
if (what === 'ensure') {
  console.log(JSON.stringify(await run(driver, specOf(ref, 'healthy'), fenceOf(ref, 1))))
  setInterval(() => {}, 1000)
}
if (what === 'ensure-once') {
  // Dies in the very turn in which it started the app, before anyone could ask again.
  await driver.ensure(specOf(ref, 'healthy'), fenceOf(ref, 1), calm)
  process.kill(process.pid, 'SIGKILL')
}
