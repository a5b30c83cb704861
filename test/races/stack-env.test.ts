// The environment of a stack under many editors: no key is lost, nothing that was refused is stored, what was accepted is, and
// a deletion comes either before a merge or after it, at every interleaving of the two. Who waits too long is told so.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { isRefusal, type Refusal } from '../../src/refusals.ts'
import { deleteStack, mergeStackEnv, redeployStack } from '../../src/resolvers/stack.ts'
import { stacksById } from '../../src/resolvers/stack-read.ts'
import { type Hold, hold, holdCounters, holdKey, holdRow, underWay, untilBlocked } from '../interleave.ts'
import { contextFor } from '../row.ts'
import { liveStackGuard, merging, openStackWorld, type StackWorld, seenStack, stackOutcome } from './stack-world.ts'
import { chainOf } from './world.ts'

let real: StackWorld
let bare: StackWorld
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openStackWorld(), openStackWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const keysOf = async (world: StackWorld, id: string) => Object.keys((await seenStack(world, id)).env).sort()
const merge = (world: StackWorld, id: string, key: string, more: object = {}) =>
  mergeStackEnv(world.context, merging(id, key, more))
/** Merged into what the snapshot shows instead of what the lock shows. */
const ofSnapshot = {
  name: 'mergeStackEnv',
  from: '"found"."env"',
  to: '(select s0.env from stack s0 where s0.id = found.id)',
}

/** Two calls that queue behind a stranger, the first one first. */
async function inTurn(world: StackWorld, id: string, first: () => Promise<object>, second: () => Promise<object>) {
  const row = await holdRow(world.stranger, 'stack', id)
  const one = underWay(first())
  await untilBlocked(world.stranger, 'mergeStackEnv')
  const two = underWay(second())
  await untilBlocked(world.stranger, 'mergeStackEnv', 2)
  await row.release()
  return [await one, await two] as const
}

test('R40 two editors of one stack keep both keys, each with a revision of its own and an honest count', async () => {
  const play = async (world: StackWorld) => {
    const id = await world.stack({ state: 'HEALTHY' })
    const results = await inTurn(
      world,
      id,
      () => merge(world, id, 'FIRST'),
      () => merge(world, id, 'SECOND'),
    )
    const { env } = await seenStack(world, id)
    return {
      counts: results.map((result) => ({ ...result, stack: undefined, operation: undefined })),
      revisions: Object.fromEntries(Object.entries(env).map(([key, { revision }]) => [key, revision])),
    }
  }
  const told = (totalKeys: number) => ({ keysSet: 1, keysDeleted: 0, totalKeys, replayed: false })
  expect(await play(real)).toEqual({ counts: [told(1), told(2)], revisions: { FIRST: 1, SECOND: 2 } })
  expect((await play(bare.withMutants(ofSnapshot))).revisions).toEqual({ SECOND: 2 })
})

test('R40 of one key the last writer wins; with `expect` all but the first are told who was faster', async () => {
  const play = async (world: StackWorld, more: object) => {
    const id = await world.stack({ state: 'HEALTHY' })
    const value = (text: string) => ({ set: [{ key: 'A', value: text }], ...more })
    const results = await inTurn(
      world,
      id,
      () => merge(world, id, 'A', value('one')),
      () => merge(world, id, 'A', value('two')),
    )
    const { env } = await seenStack(world, id)
    return { outcomes: results.map(stackOutcome), second: results[1], stored: env.A?.value, revision: env.A?.revision }
  }
  expect(await play(real, {})).toMatchObject({ outcomes: ['HEALTHY', 'HEALTHY'], stored: 'two', revision: 2 })
  const absent = { expect: [{ key: 'A', absent: true }] }
  const { second, ...rest } = await play(real, absent)
  expect(rest).toEqual({ outcomes: ['HEALTHY', 'EnvConflict'], stored: 'one', revision: 1 })
  const keys = [{ key: 'A', revision: 1, changedAt: expect.any(String), changedBy: real.team.actor.id }]
  expect(second).toMatchObject({ facts: { keys } })
  const hopeful = { name: 'mergeStackEnv', from: 'is distinct from x.revision', to: 'is null and false' }
  expect(await play(bare.withMutants(hopeful), absent)).toMatchObject({ outcomes: ['HEALTHY', 'HEALTHY'] })
})

test('R42 what a merge answers is what is stored: values, revisions, counts and version', async () => {
  const id = await real.stack({ state: 'HEALTHY' })
  await merge(real, id, 'OLD')
  const patch = { set: [{ key: 'A', value: '1' }], unset: ['OLD', 'NEVER'] }
  const result = await merge(real, id, '', patch)
  if (isRefusal(result)) throw new Error(result.message)
  const row = await seenStack(real, id)
  expect(result).toMatchObject({ keysSet: 1, keysDeleted: 1, totalKeys: Object.keys(row.env).length })
  expect([result.stack.env, result.stack.version, result.stack.specVersion]).toEqual([
    row.env,
    row.version,
    row.specVersion,
  ])
})

test('R42 a merge that stores nothing never answers success', async () => {
  const play = async (world: StackWorld) => {
    const id = await world.stack({ state: 'HEALTHY' })
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const ending = deleteStack(world.context, { id })
    await untilBlocked(world.stranger, 'deleteStack')
    const patch = underWay(merge(world, id, 'LATE'))
    await untilBlocked(world.stranger, 'mergeStackEnv')
    await counters.release()
    await ending
    return { success: !isRefusal(await patch), stored: await keysOf(world, id) }
  }
  expect(await play(real)).toEqual({ success: false, stored: [] })
  const hopeful = { name: 'mergeStackEnv', from: 'left join "moved" on', to: 'left join found "moved" on' }
  expect(await play(bare.withMutants(hopeful))).toEqual({ success: true, stored: [] })
})

test('R22 R23 a merge under one key happens once, and the repeat is told the same counts', async () => {
  const id = await real.stack({ state: 'HEALTHY' })
  await merge(real, id, 'OLD')
  const patch = { set: [{ key: 'A', value: '1' }], unset: ['OLD'], idempotencyKey: crypto.randomUUID() }
  const results = await inTurn(
    real,
    id,
    () => merge(real, id, '', patch),
    () => merge(real, id, '', patch),
  )
  expect(results.map(stackOutcome)).toEqual(['HEALTHY', 'replayed'])
  for (const result of results) expect(result).toMatchObject({ keysSet: 1, keysDeleted: 1, totalKeys: 1 })
  await merge(real, id, 'LATER')
  expect(await merge(real, id, '', patch)).toMatchObject({ replayed: true, keysSet: 1, keysDeleted: 1, totalKeys: 1 })
  expect((await seenStack(real, id)).specVersion).toBe(4)
})

describe('R43', () => {
  const play = async (world: StackWorld) => {
    const id = await world.stack({ state: 'HEALTHY' })
    await merge(world, id, 'KEPT')
    // The redeploy waits behind a merge that is not committed yet: it must not bring back what was before it.
    const key = await holdKey(world.stranger, world.team.actor.id, 'mergeStackEnv', 'r43')
    const last = underWay(merge(world, id, 'LAST', { idempotencyKey: 'r43' }))
    await untilBlocked(world.stranger, 'mergeStackEnv')
    const redeploy = underWay(redeployStack(world.context, { id }))
    await untilBlocked(world.stranger, 'redeployStack')
    await key.undo()
    expect([stackOutcome(await last), stackOutcome(await redeploy)]).toEqual(['HEALTHY', 'BUILDING'])
    return keysOf(world, id)
  }

  test('R43 a redeploy keeps every variable, also that of a merge which it waited for', async () => {
    expect(await play(real)).toEqual(['KEPT', 'LAST'])
    const env = '(select s0.env from stack s0 where s0.id = found.id)'
    const dropping = { name: 'redeployStack', from: 'set "version" = ', to: `set "env" = ${env}, "version" = ` }
    expect(await play(bare.withMutants(dropping))).toEqual(['KEPT'])
  })
})

describe('a merge against a deletion', () => {
  /**
   * M: the merge is sent, m: it commits; D and d: the deletion. Each is held half-way, at its key and at the counters, with
   * its row moved if it has the row; who has not is seen to wait for the other one.
   */
  const schedules = ['MmDd', 'MDmd', 'MDdm', 'DdMm', 'DMdm', 'DMmd'] as const
  const play = async (world: StackWorld, schedule: string) => {
    const id = await world.stack({ state: 'HEALTHY' })
    const idempotencyKey = crypto.randomUUID()
    const { stranger, team } = world
    const holds: Record<'M' | 'D', Hold> = {
      M: await holdKey(stranger, team.actor.id, 'mergeStackEnv', idempotencyKey),
      D: await holdCounters(stranger, team.teamId),
    }
    const calls: Record<string, Promise<object>> = {}
    for (const step of schedule) {
      if (step === 'M') calls.M = underWay(merge(world, id, 'KEY', { idempotencyKey }))
      if (step === 'D') calls.D = underWay(deleteStack(world.context, { id }))
      if (step === 'm') await holds.M.undo()
      if (step === 'd') await holds.D.release()
      if (step === 'M' || step === 'D') {
        const seen = underWay(untilBlocked(stranger, step === 'M' ? 'mergeStackEnv' : 'deleteStack'))
        // After the deletion is over nothing is in the merge's way but its own guard.
        await (schedule === 'DdMm' && step === 'M' ? Promise.race([calls.M, seen]) : seen)
      }
    }
    const [merged, deleted] = [stackOutcome((await calls.M) ?? {}), stackOutcome((await calls.D) ?? {})]
    const { state } = await seenStack(world, id)
    const chain = (await chainOf(world, id)).map((event) => event.split(' ')[0])
    return { merged, deleted, state, keys: await keysOf(world, id), chain }
  }
  const before = {
    merged: 'HEALTHY',
    deleted: 'DELETING',
    state: 'DELETING',
    keys: ['KEY'],
    chain: ['mergeStackEnv', 'deleteStack'],
  }
  const after = { merged: 'StackDeleting', deleted: 'DELETING', state: 'DELETING', keys: [], chain: ['deleteStack'] }

  test.each(schedules)(
    '%s: merged and then deleting, or StackDeleting and nothing stored; never both',
    async (schedule) => {
      expect(await play(real, schedule)).toEqual(schedule.startsWith('M') ? before : after)
    },
  )

  test.each(schedules.filter((schedule) => schedule.startsWith('D')))(
    '%s without its guard is both',
    async (schedule) => {
      const careless = bare.withMutants({ name: 'mergeStackEnv', from: liveStackGuard, to: 'true' })
      expect(await play(careless, schedule)).toMatchObject({ merged: 'DELETING', state: 'DELETING', keys: ['KEY'] })
    },
  )

  test('a deletion that is undone lets the merge through that waited for it', async () => {
    const id = await real.stack({ state: 'HEALTHY' })
    const counters = await holdCounters(real.stranger, real.team.teamId)
    const deletion = underWay(deleteStack(real.context, { id }))
    const [pid] = await untilBlocked(real.stranger, 'deleteStack')
    const merged = underWay(merge(real, id, 'KEY'))
    await untilBlocked(real.stranger, 'mergeStackEnv')
    await real.stranger`select pg_terminate_backend(${pid ?? 0}, 5000)`
    expect(stackOutcome(await merged)).toBe('HEALTHY')
    await counters.release()
    expect(stackOutcome(await deletion)).toBe('TemporarilyUnavailable')
    expect(await seenStack(real, id)).toMatchObject({ state: 'HEALTHY', env: { KEY: { value: 'new' } } })
  })
})

describe('a row that somebody else holds', () => {
  test('is waited for as long as the connection says, then Busy, retryable, and nothing was changed', async () => {
    const id = await real.stack({ state: 'HEALTHY' })
    const row = await holdRow(real.stranger, 'stack', id)
    const brief = { purpose: 'api', slots: 1, statementTimeoutMs: 5_000, lockTimeoutMs: 200 } as const
    const pool = openPool({ url: real.url, ...brief })
    const context = contextFor(pool.db, real.team.actor)
    const idempotencyKey = crypto.randomUUID()
    const input = merging(id, 'A', { idempotencyKey })
    const answer = (await mergeStackEnv(context, input)) as Refusal
    expect(answer).toMatchObject({ refusal: 'Busy', retryable: true, retryAfterMs: expect.any(Number) })
    await row.release()
    expect(await keysOf(real, id)).toEqual([])
    // The refusal is not stored under the key: the repeat is the merge.
    expect(await mergeStackEnv(context, input)).toMatchObject({ replayed: false, keysSet: 1 })
    await pool.close()
  })

  test('is given up after 3 s; everybody else is served meanwhile, the stack’s readers too', async () => {
    const id = await real.stack({ state: 'HEALTHY' })
    const row = await hold(real.stranger, `select 1 from stack where id = '${id}' for update`)
    const startedAt = performance.now()
    const busy = underWay(merge(real, id, 'A').then((result) => ({ result, afterMs: performance.now() - startedAt })))
    await untilBlocked(real.stranger, 'mergeStackEnv')
    let others = 0
    while (performance.now() - startedAt < 2_500) {
      expect(stackOutcome(await merge(real, await real.stack({ state: 'HEALTHY' }), 'A'))).toBe('HEALTHY')
      expect(await stacksById(real.context.db, real.team.teamId, [id])).toMatchObject([{ id, version: 1 }])
      others++
    }
    const { result, afterMs } = await busy
    expect(result).toMatchObject({ refusal: 'Busy', retryable: true })
    expect(afterMs).toBeGreaterThan(2_800)
    expect(afterMs).toBeLessThan(4_500)
    console.log(`busy after ${Math.round(afterMs)} ms; ${others} other merges meanwhile`)
    await row.release()
    expect(await seenStack(real, id)).toMatchObject({ version: 1, env: {} })
  })
})
