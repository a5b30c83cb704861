// A passing state whose work was lost (by a restore, or a defect) is not for ever: past its declared deadline it gets its
// operation again, one, at the same generation, and then comes to its end. In time, or with live work, it is left alone.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PoolOptions } from '../../src/db/client.ts'
import { deploymentMachine } from '../../src/lifecycle/deployment.ts'
import type { Machine } from '../../src/lifecycle/machine.ts'
import { operationMachine } from '../../src/lifecycle/operation.ts'
import { resourceMachine } from '../../src/lifecycle/resource.ts'
import { stackMachine } from '../../src/lifecycle/stack.ts'
import { resourceEffects } from '../../src/loops/resource-effect.ts'
import { stackEffects } from '../../src/loops/stack-effect.ts'
import { sweepLoop } from '../../src/loops/sweep.ts'
import { hold, type Mutation, mutating, untilBlocked } from '../interleave.ts'
import { openResourceStage, type ResourceStage } from '../resources/fixture.ts'
import { putResource, putResourceOperation } from '../resources/row.ts'
import { putDeployment, putOperation, testSealing } from '../row.ts'
import { giveStackRoom, putStack, putStackOperation } from '../stacks/row.ts'
import { keepingLog, until } from './fixture.ts'

let stage: ResourceStage
beforeAll(async () => {
  stage = await openResourceStage()
  await giveStackRoom(stage.sql, stage.teamId)
})
afterAll(() => stage.close())

type Table = 'deployment' | 'stack' | 'resource'
const machineOf: Readonly<Record<Table, Machine>> = {
  deployment: deploymentMachine,
  stack: stackMachine,
  resource: resourceMachine,
}
/** Written down by hand: which work each state waits for, and where it comes to with that. */
const expected: readonly (readonly [table: Table, state: string, kind: string, comesTo: string])[] = [
  ['deployment', 'BUILDING', 'deployment.roll_out', 'HEALTHY'],
  ['deployment', 'DEPLOYING', 'deployment.roll_out', 'HEALTHY'],
  ['deployment', 'STOPPING', 'deployment.stop', 'STOPPED'],
  ['stack', 'BUILDING', 'stack.roll_out', 'HEALTHY'],
  ['stack', 'DEPLOYING', 'stack.roll_out', 'HEALTHY'],
  ['resource', 'PROVISIONING', 'resource.provision', 'ACTIVE'],
  ['resource', 'PAUSING', 'resource.pause', 'PAUSED'],
  ['resource', 'RESUMING', 'resource.resume', 'ACTIVE'],
]

/** A row in that state, so many ms before or after its deadline, without any operation. */
async function put(table: Table, state: string, pastMs: number): Promise<string> {
  const declared = machineOf[table].states[state]
  if (declared?.kind !== 'passing') throw new Error(`${state} does not pass`)
  const facts = { teamId: stage.teamId, state: state as never, generation: 3 }
  const id = await { deployment: putDeployment, stack: putStack, resource: putResource }[table](
    stage.sql as never,
    facts as never,
  )
  await stage.beneath(
    (sql) => sql`update ${sql(table)} set state_changed_at = now() - ${declared.deadlineMs + pastMs} * interval '1 ms'
      where id = ${id}`,
  )
  return id
}
const work = async (id: string) =>
  (await stage.operations(id)).map(({ kind, state, generation }) => ({ kind, state, generation }))
const stateOf = async (table: Table, id: string) =>
  (await stage.sql`select state from ${stage.sql(table)} where id = ${id}`)[0]?.state
const pass = (wrap?: PoolOptions['wrap']) => {
  const { db } = wrap ? stage.open({ slots: 1, wrap }) : stage.context
  return sweepLoop(db, [], { told: () => {}, log: keepingLog([]) }).pass(new AbortController().signal)
}

test('every passing state that an operation ends is one of these', () => {
  const waiting = Object.entries(machineOf).flatMap(([table, { states }]) =>
    Object.entries(states).flatMap(([state, declared]) =>
      declared.kind === 'passing' && declared.owner === 'dispatch' ? [`${table} ${state}`] : [],
    ),
  )
  expect(waiting.sort()).toEqual(expected.map(([table, state]) => `${table} ${state}`).sort())
})

describe('R69 R70 work that was lost is queued again past the deadline, once, at the same generation:', () => {
  test.each(expected)('%s %s', async (table, state, kind) => {
    const [late, early] = [await put(table, state, 1_000), await put(table, state, -60_000)]
    await Promise.all([pass(), pass(), pass()])
    await pass()
    expect(await work(late)).toEqual([{ kind, state: 'PENDING', generation: 3 }])
    expect(await stateOf(table, late)).toBe(state)
    expect(await work(early)).toEqual([])
    expect(await stage.sql`select actor_kind, actor_id from event where subject_id = ${late}`).toEqual([
      { actor_kind: 'loop', actor_id: 'sweep' },
    ])
  })

  test('live work of any kind is left to its end; work that has ended is none', async () => {
    const putWork = { deployment: putOperation, stack: putStackOperation, resource: putResourceOperation }
    const cases = expected.flatMap(([table, state, kind]) =>
      Object.entries(operationMachine.states).map(([of, declared]) => ({ table, state, kind, of, declared })),
    )
    const ids = await Promise.all(
      cases.map(async ({ table, state, kind, of }) => {
        const id = await put(table, state, 1_000)
        const facts = { teamId: stage.teamId, subjectId: id, state: of as never, kind, generation: 3 }
        await putWork[table](stage.sql as never, facts as never)
        return id
      }),
    )
    await pass()
    for (const [at, { table, state, of, declared }] of cases.entries()) {
      const queued = (await work(String(ids[at]))).length - 1
      expect(queued, `${table} ${state} ${of}`).toBe(declared.kind === 'passing' ? 0 : 1)
    }
  })
})

test('R69 R70 with a worker each of them comes to its end', async () => {
  const ids = new Map<string, string>()
  for (const [table, state] of expected) {
    const id = await put(table, state, 1_000)
    if (table === 'resource' && state !== 'PROVISIONING') await provisioned(id)
    ids.set(`${table} ${state}`, id)
  }
  await pass()
  stage.replica({
    instead: (_, db, provisioner) => [
      ...resourceEffects(db, () => provisioner, testSealing),
      ...stackEffects(db, stage.driver.another(), testSealing),
    ],
  })
  for (const [table, state, , comesTo] of expected) {
    await until(async () => expect(await stateOf(table, String(ids.get(`${table} ${state}`)))).toBe(comesTo))
  }
})

async function provisioned(id: string): Promise<void> {
  const fence = { operationId: 'op', attempt: 1, subjectId: id, generation: 1 }
  const spec = { ...(await stage.refOf(id)), name: 'r', password: await stage.password(id) }
  await stage.provisioner.provision(spec, fence, new AbortController().signal)
}

/** Replica B has looked, and is held before it locks anything; A queues; B goes on with what it saw. */
async function lookBeforeQueue(...mutations: Mutation[]): Promise<string[]> {
  const id = await put('deployment', 'BUILDING', 1_000)
  const stranger = await hold(stage.sql, 'select pg_advisory_xact_lock(78)')
  const look = 'not exists (select 1 from "operation" o'
  const slow = {
    name: 'continueDeployment',
    from: look,
    to: `(select count(*) from pg_advisory_xact_lock(78)) = 1 and ${look}`,
  }
  const late = pass(mutating(slow, ...mutations))
  await untilBlocked(stage.sql, 'continueDeployment')
  await pass()
  await stranger.release()
  await late
  return (await work(id)).map(({ kind }) => kind)
}

test('R70 a replica that looked before another one queued the work queues none; without its guard it would', async () => {
  expect(await lookBeforeQueue()).toEqual(['deployment.roll_out'])
  const guard = '(select s.version from "deployment" s where s.id = "found"."id")'
  const without = { name: 'continueDeployment', from: guard, to: '"found"."version"' }
  expect(await lookBeforeQueue(without)).toEqual(['deployment.roll_out', 'deployment.roll_out'])
})

test('R107 a rule that fails keeps no other from its turn', async () => {
  const [lost, other] = [await put('deployment', 'BUILDING', 1_000), await put('stack', 'BUILDING', 1_000)]
  const broken = { name: 'continueDeployment', from: '"found"."version" =', to: '(1 / 0) =' }
  await expect(pass(mutating(broken))).rejects.toThrow()
  expect(await work(other)).toHaveLength(1)
  expect(await work(lost)).toEqual([])
})
