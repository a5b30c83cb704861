// The order of locks as it is declared, seen from beside: subject, instances, operation, counters; rows of one table by their ids.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { markDeploymentStopped } from '../../src/resolvers/deployment-rule.ts'
import { markStackDeleted } from '../../src/resolvers/stack-rule.ts'
import { type Rule, transition } from '../../src/resolvers/transition.ts'
import { putInstance } from '../instances/row.ts'
import { holdRow, underWay, untilBlocked } from '../interleave.ts'
import { putStack, putStackOperation } from '../stacks/row.ts'
import { callOf, openWorld, type World } from './world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

/** What of these nobody has locked, while the move waits for the row that is held. */
async function freeWhile(
  { pool, stranger }: World,
  rule: unknown,
  subject: { id: string; operationId: string },
  [heldTable, heldId]: [string, string],
  table: string,
  ids: readonly string[],
): Promise<string[]> {
  const held = await holdRow(stranger, heldTable, heldId)
  const { id, operationId } = subject
  const values = { id, generation: 1, claimToken: 'mine', outcome: 'done' }
  const made = underWay(transition(pool.db, rule as Rule, callOf(world, { operationId, ...values })))
  await untilBlocked(stranger, (rule as Rule).name)
  const free = await stranger<
    { id: string }[]
  >`select id from ${stranger(table)} where id = any(${[...ids]}) order by id for update skip locked`
  await held.release()
  expect(await made).toMatchObject({ kind: 'moved' })
  return free.map((row) => row.id)
}

async function stopping() {
  const id = await world.deployment({ state: 'STOPPING' })
  const { teamId } = world.team
  const instance = await putInstance(world.stranger, { teamId, state: 'ONLINE', runtime: 'PROCESS', subjectId: id })
  const operationId = await world.operation({
    subjectId: id,
    state: 'RUNNING',
    claimToken: 'mine',
    kind: 'deployment.stop',
  })
  return { id, instance, operationId }
}

test('an instance is locked before the operation: whoever waits for the operation has it, and nobody waits the other way', async () => {
  const free = async (through: World) => {
    const one = await stopping()
    return freeWhile(through, markDeploymentStopped, one, ['operation', one.operationId], 'instance', [one.instance])
  }
  expect(await free(world)).toEqual([])
  const { name } = markDeploymentStopped
  const careless = { name, from: ' and (select count(*) from "found_with_0") >= 0', to: '' }
  expect(await free(world.withMutants(careless))).toHaveLength(1)
  const other = await stopping()
  const { operationId } = other
  expect(
    await freeWhile(world, markDeploymentStopped, other, ['instance', other.instance], 'operation', [operationId]),
  ).toEqual([operationId])
})

test('of several instances those are locked first whose ids come first, whatever their services are called', async () => {
  const free = async (through: World) => {
    const { teamId } = world.team
    const id = await putStack(world.stranger, { teamId, state: 'DELETING' })
    const unit = (service: string) =>
      putInstance(world.stranger, { teamId, state: 'ONLINE', runtime: 'PROCESS', subjectId: id, service })
    const [first, second] = [await unit('web'), await unit('api')]
    const facts = { teamId, subjectId: id, state: 'RUNNING', claimToken: 'mine', kind: 'stack.tear_down' } as const
    const operationId = await putStackOperation(world.stranger, facts)
    const locked = await freeWhile(through, markStackDeleted, { id, operationId }, ['instance', first], 'instance', [
      second,
    ])
    return locked.length
  }
  expect(await free(world)).toBe(1)
  const { name } = markStackDeleted
  // As an index of units would yield them.
  const byService = { name, from: ' order by "instance"."id" for', to: ' order by "instance"."service" for' }
  expect(await free(world.withMutants(byService))).toBe(0)
})
