// What a living row owns, in whatever state it is, is never taken for an orphan; another making of the same thing is nobody's.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { PoolOptions } from '../../src/db/client.ts'
import type { WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { type DeploymentState, deploymentMachine } from '../../src/lifecycle/deployment.ts'
import { statesOf } from '../../src/lifecycle/machine.ts'
import { resourceMachine } from '../../src/lifecycle/resource.ts'
import { stackMachine } from '../../src/lifecycle/stack.ts'
import { workloadHolder } from '../../src/loops/sweep-orphan.ts'
import { createGates, mutating } from '../interleave.ts'
import { putResource } from '../resources/row.ts'
import { putDeployment } from '../row.ts'
import { putStack } from '../stacks/row.ts'
import { hex, openSweepStage, type SweepStage } from './sweep-stage.ts'

let stage: SweepStage
beforeAll(async () => {
  stage = await openSweepStage()
})
afterEach(() => stage.rest())
afterAll(() => stage.close())

describe('R93 what a row owns is never touched:', () => {
  const living = { deployment: deploymentMachine, resource: resourceMachine, stack: stackMachine } as const
  const cases = Object.entries(living).flatMap(([table, machine]) =>
    statesOf<string>(machine).map((state) => [table as keyof typeof living, state] as const),
  )
  test.each(cases)('a %s that is %s', async (table, state) => {
    const facts = { teamId: stage.teamId, state: state as never }
    const put = { deployment: putDeployment, resource: putResource, stack: putStack }[table]
    const id = await put(stage.sql as never, facts)
    const made = await stage.incarnationOf(table, id)
    const ref = { subjectId: id, incarnation: table === 'stack' ? `${made}-web` : made }
    const stranger = { ...ref, incarnation: table === 'stack' ? `${hex(12)}-web` : hex(12) }
    for (const each of [ref, stranger]) {
      if (table === 'resource') await stage.provisioned(each)
      else await stage.running(each)
    }
    const { pass } = stage.sweeper()
    await pass()
    await stage.graceEnds()
    await pass()
    const isThere = (of: WorkloadRef) => (table === 'resource' ? stage.provisioner.world.exists(of) : stage.runs(of))
    expect(isThere(ref)).toBe(state !== 'DELETED')
    // Another making of the same one is nobody's.
    expect(isThere(stranger)).toBe(false)
  })

  test('a service that a living stack still names, wanted or not; one that it does not name goes, and may come again', async () => {
    const placed = { web: {}, dropped: { address: 'http://x' } }
    const id = await putStack(stage.sql, { teamId: stage.teamId, state: 'HEALTHY', services: ['web'], placed })
    const made = await stage.incarnationOf('stack', id)
    const service = (name: string) => ({ subjectId: id, incarnation: `${made}-${name}` })
    for (const name of ['web', 'dropped', 'unnamed']) await stage.running(service(name))
    const { pass } = stage.sweeper()
    await pass()
    await stage.graceEnds()
    expect(await pass()).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
    expect(['web', 'dropped', 'unnamed'].map((name) => stage.runs(service(name)))).toEqual([true, true, false])
    await stage.running(service('unnamed'), 2)
  })
})

test('R93 a row that comes back within the hour owns it again, and when it is lost once more the hour begins anew', async () => {
  const id = await putDeployment(stage.sql, { teamId: stage.teamId, state: 'HEALTHY' })
  const ref = await stage.running({ subjectId: id, incarnation: await stage.incarnationOf('deployment', id) })
  const become = (state: DeploymentState) =>
    stage.beneath((sql) => sql`update deployment set state = ${state} where id = ${id}`)
  const { pass } = stage.sweeper()
  await become('DELETED')
  await pass()
  await stage.graceEnds()
  await become('HEALTHY')
  expect(await pass()).toEqual({ moved: 0, unchanged: 0, skipped: 0 })
  expect(await stage.noted()).toEqual([])
  await become('DELETED')
  expect(await pass()).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  expect(stage.runs(ref)).toBe(true)
})

/** Its row comes back after the list was noted and before it is claimed; whether it is there afterwards. */
async function isKeptWhenItsRowComesBack(wrap: NonNullable<PoolOptions['wrap']>): Promise<boolean> {
  const id = await putDeployment(stage.sql, { teamId: stage.teamId, state: 'DELETED' })
  const ref = await stage.running({ subjectId: id, incarnation: await stage.incarnationOf('deployment', id) })
  await stage.sweeper().pass()
  await stage.graceEnds()
  const gates = createGates()
  const noted = gates.park('forgetOrphans', { when: 'after' })
  const pass = stage.sweeper((channel) => gates.wrap(wrap(channel)), [workloadHolder(stage.driver)]).pass()
  await noted.reached
  await stage.beneath((sql) => sql`update deployment set state = 'HEALTHY' where id = ${id}`)
  noted.release()
  await pass
  return stage.runs(ref)
}

test('R93 the claim repeats that nobody owns it; without that it would be removed', async () => {
  expect(await isKeptWhenItsRowComesBack((channel) => channel)).toBe(true)
  const guard = 'and not (exists (select 1 from deployment d'
  const without = { name: 'claimOrphans', from: guard, to: 'and not (false and exists (select 1 from deployment d' }
  expect(await isKeptWhenItsRowComesBack(mutating(without))).toBe(false)
})
