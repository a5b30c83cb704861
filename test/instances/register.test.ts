// Making known what runs elsewhere, through the door: what is kept, what is refused, and that every remedy is accepted.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTeam } from '../fixture.ts'
import { putDeployment } from '../row.ts'
import { type InstanceApi, openInstanceApi } from './api.ts'
import { countedInstances, putInstance, storedInstance } from './row.ts'

let world: InstanceApi
beforeAll(async () => {
  world = await openInstanceApi()
})
afterAll(() => world.close())

describe('registerInstance', () => {
  test('makes it known, STARTING, with a place in the plan; the least that is said is a name', async () => {
    const before = await countedInstances(world.sql, world.api.team.teamId)
    const { instance, replayed } = await world.register({ name: 'edge' })
    expect([instance, replayed]).toMatchObject([
      {
        state: 'STARTING',
        name: 'edge',
        environment: 'development',
        runtime: 'EXTERNAL',
        generation: 1,
        heartbeatSeconds: 30,
        lastHeartbeatAt: null,
        startedAt: null,
        restarts: 0,
        url: null,
        deployment: null,
        stack: null,
      },
      false,
    ])
    expect(instance.instanceId).toMatch(/^external-[0-9a-f]{24}$/)
    expect(instance.allowedActions).toEqual([
      { action: 'heartbeatInstance', allowed: true, because: null },
      { action: 'removeInstance', allowed: true, because: null },
    ])
    expect(await countedInstances(world.sql, world.api.team.teamId)).toEqual({
      used: before.used + 1,
      live: before.live + 1,
    })
    expect(await world.eventsOf(instance.id)).toEqual(['registerInstance →STARTING'])
  })

  test('keeps all that it is told, and is part of a deployment, in its environment and at its generation', async () => {
    const { teamId } = world.api.team
    const deploymentId = await putDeployment(world.sql, {
      teamId,
      state: 'HEALTHY',
      environment: 'production',
      generation: 4,
    })
    const told = { name: 'edge', instanceId: 'i-0/1:2', url: 'https://edge.example:8443/x', heartbeatSeconds: 5 }
    const { instance } = await world.register({ ...told, deploymentId })
    expect(instance).toMatchObject({
      ...told,
      environment: 'production',
      generation: 4,
      deployment: { id: deploymentId },
    })
    expect(await world.register({ name: 'a', environment: 'production', deploymentId })).toMatchObject({
      __typename: 'RegisterInstancePayload',
    })
    expect(await world.register({ name: 'a', environment: 'staging', deploymentId })).toMatchObject({
      code: 'VALIDATION_FAILED',
      faults: [{ path: ['input', 'environment'], message: expect.stringContaining('production') }],
    })
  })

  test.each(['EXPIRED', 'DELETING', 'DELETED'] as const)('is refused for a deployment that is %s', async (state) => {
    const id = await putDeployment(world.sql, { teamId: world.api.team.teamId, state })
    expect(await world.register({ name: 'late', deploymentId: id })).toMatchObject({
      code: 'ILLEGAL_STATE',
      deployment: { id },
      remedies: [{ mutation: null, query: 'deployment', arguments: { id } }],
    })
  })

  test('a second time under the same id is refused, and shown the first one with its heartbeat as the remedy', async () => {
    const first = await world.register({ name: 'once', instanceId: 'i-once' })
    const before = await countedInstances(world.sql, world.api.team.teamId)
    const second = await world.register({ name: 'other', environment: 'staging', instanceId: 'i-once' })
    expect(second).toMatchObject({
      code: 'ILLEGAL_STATE',
      action: 'registerInstance',
      retryable: false,
      instance: { id: first.instance.id, state: 'STARTING', instanceId: 'i-once' },
    })
    expect(await countedInstances(world.sql, world.api.team.teamId)).toEqual(before)
    expect(await world.take(second)).toEqual(['heartbeatInstance'])
    expect(await storedInstance(world.sql, first.instance.id)).toMatchObject({ state: 'ONLINE' })
    // Another team may call one of its own the same.
    expect(await world.register({ name: 'once', instanceId: 'i-once' }, world.other.token)).toMatchObject({
      instance: { instanceId: 'i-once' },
    })
  })

  test('the id of a removed one is not taken again while that is kept; the remedy makes a new one', async () => {
    const { instance } = await world.register({
      name: 'gone',
      instanceId: 'i-gone',
      environment: 'staging',
      heartbeatSeconds: 60,
    })
    await world.remove({ id: instance.id })
    const again = await world.register({ name: 'gone', instanceId: 'i-gone' })
    expect(again).toMatchObject({ code: 'ILLEGAL_STATE', instance: { id: instance.id, state: 'REMOVED' } })
    expect(again.message).toContain('not taken again while the removed instance is kept')
    expect(await world.take(again)).toEqual(['registerInstance'])
    const [heir] =
      await world.sql`select name, environment, heartbeat_seconds as beats, instance_id as "instanceId" from instance
      where team_id = ${world.api.team.teamId} order by created_at desc, id desc limit 1`
    expect(heir).toMatchObject({ name: 'gone', environment: 'staging', beats: 60 })
    expect(heir?.instanceId).not.toBe('i-gone')
  })

  test('the id of a run that Pawl has under way is refused, and shown; of one that is gone, or another team’s, it is free', async () => {
    const { teamId } = world.api.team
    const deploymentId = await putDeployment(world.sql, { teamId, state: 'HEALTHY' })
    const run = { runtime: 'PROCESS', subjectId: deploymentId, instanceId: 'run_91dae48' } as const
    const managed = await world.put({ ...run, state: 'ONLINE' })
    const refusal = await world.register({ name: 'guise', instanceId: run.instanceId })
    expect(refusal).toMatchObject({
      code: 'ILLEGAL_STATE',
      action: 'registerInstance',
      instance: { id: managed, state: 'ONLINE' },
      remedies: [
        { mutation: null, query: 'instance', arguments: { id: managed } },
        { mutation: null, query: 'deployment', arguments: { id: deploymentId } },
      ],
    })
    expect(await world.register({ name: 'guise', instanceId: run.instanceId }, world.other.token)).toMatchObject({
      instance: { instanceId: run.instanceId },
    })
    await world.put({ ...run, state: 'REMOVED', instanceId: 'run_gone', generation: 2 })
    expect(await world.register({ name: 'heir', instanceId: 'run_gone' })).toMatchObject({
      instance: { instanceId: 'run_gone', runtime: 'EXTERNAL' },
    })
  })

  test('beyond the plan is refused; a place that is given back is there again', async () => {
    const team = await createTeam(world.api.database.url)
    await world.sql`update plan_usage set cap = 1 where team_id = ${team.teamId} and kind = 'instances'`
    // What Pawl runs does not count.
    await putInstance(world.sql, { teamId: team.teamId, state: 'ONLINE', runtime: 'PROCESS' })
    const { instance } = await world.register({ name: 'only' }, team.token)
    const full = await world.register({ name: 'more' }, team.token)
    expect(full).toMatchObject({ code: 'QUOTA_EXCEEDED', remedies: [{ query: 'instances' }] })
    expect(full.message).toContain('removeInstance')
    const list = 'query ($filter: InstanceFilter) { instances(filter: $filter) { nodes { id } } }'
    const { data } = await world.api.call(list, full.remedies[0].arguments, team.token)
    expect(data.instances.nodes).toEqual([{ id: instance.id }])
    expect(await world.remove({ id: instance.id }, team.token)).toMatchObject({ instance: { state: 'REMOVED' } })
    expect(await world.remove({ id: instance.id }, team.token)).toMatchObject({ code: 'ILLEGAL_STATE' })
    expect(await countedInstances(world.sql, team.teamId)).toEqual({ used: 0, live: 0 })
    expect(await world.register({ name: 'more' }, team.token)).toMatchObject({ instance: { state: 'STARTING' } })
  })

  test.each([
    [{ name: 'Edge' }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'a', environment: 'No' }, 'environment'],
    [{ name: 'a', instanceId: 'a b' }, 'instanceId'],
    [{ name: 'a', instanceId: '' }, 'instanceId'],
    [{ name: 'a', instanceId: 'x'.repeat(256) }, 'instanceId'],
    [{ name: 'a', url: 'ftp://a.example' }, 'url'],
    [{ name: 'a', url: 'https://user:secret@a.example' }, 'url'],
    [{ name: 'a', url: 'no address' }, 'url'],
    [{ name: 'a', url: `https://a.example/${'x'.repeat(2048)}` }, 'url'],
    [{ name: 'a', heartbeatSeconds: 4 }, 'heartbeatSeconds'],
    [{ name: 'a', heartbeatSeconds: 3601 }, 'heartbeatSeconds'],
  ])('is told what is wrong: case %#', async (input, field) => {
    expect(await world.register(input)).toMatchObject({
      code: 'VALIDATION_FAILED',
      faults: [{ path: ['input', field] }],
    })
  })
})
