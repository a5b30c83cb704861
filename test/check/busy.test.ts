// No false alarm: while callers and runners go on, every check finds nothing, round after round.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkProvisioner, checkRuntime } from '../../src/check-drivers.ts'
import { openPool, type Pool } from '../../src/db/client.ts'
import { answerChecks } from '../../src/resolvers/answer-check.ts'
import { runCheck } from '../../src/resolvers/check.ts'
import { eventChecks } from '../../src/resolvers/event-check.ts'
import { rowChecks } from '../../src/resolvers/row-check.ts'
import { checkSealed, references } from '../../src/resolvers/sealed-check.ts'
import { unitChecks } from '../../src/resolvers/unit-check.ts'
import { workChecks } from '../../src/resolvers/work-check.ts'
import { testSealing } from '../row.ts'
import { type Busy, openBusy } from './busy.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 60)
let busy: Busy
let pool: Pool
beforeAll(async () => {
  busy = await openBusy()
  pool = openPool({ url: busy.url, purpose: 'worker', slots: 1, statementTimeoutMs: 60_000 })
}, 60_000)
afterAll(async () => {
  await pool?.close()
  await busy?.close()
})

const stored = [...eventChecks, ...rowChecks, ...workChecks, ...answerChecks, ...unitChecks, references]

test('while callers and runners go on nothing is found, in any round', { timeout: 600_000 }, async () => {
  const { db } = pool
  const { runtime, postgres, redis } = busy.outside
  const found: string[] = []
  const looked = new Map<string, string>()
  for (let round = 1; round <= rounds && found.length === 0; round++) {
    const note = (name: string, { lines, looked: at }: { lines: readonly string[]; looked: string }) => {
      looked.set(name, at)
      found.push(...lines.map((line) => `round ${round}: ${name}: ${line}`))
    }
    for (const check of stored) note(check.name, await runCheck(db, check))
    note('sealed', await checkSealed(db, testSealing))
    note('runtime', await checkRuntime(db, runtime))
    note('provision POSTGRES', await checkProvisioner(db, postgres))
    note('provision REDIS', await checkProvisioner(db, redis))
  }
  if (found.length > 0 || process.env.PAWL_ROUNDS)
    console.log([...looked].map((l) => l.join(': ')).join('\n'), busy.figures())
  expect(found).toEqual([])
})
