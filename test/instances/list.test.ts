// Lists of instances, what deployments and stacks show of theirs, what is stuck, and what the gauges are told.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { instanceCounts } from '../../src/resolvers/passing.ts'
import { createTeam } from '../fixture.ts'
import { putDeployment } from '../row.ts'
import { putStack } from '../stacks/row.ts'
import { type InstanceApi, openInstanceApi } from './api.ts'
import { type InstanceFacts, putInstance } from './row.ts'

let world: InstanceApi
beforeAll(async () => {
  world = await openInstanceApi()
})
afterAll(() => world.close())

describe('lists', () => {
  test('filter by name, environment, state and runtime; all that is given must hold', async () => {
    const team = await createTeam(world.api.database.url)
    const mine = (facts: Omit<InstanceFacts, 'teamId'>) => putInstance(world.sql, { teamId: team.teamId, ...facts })
    const [a, b, c, d] = [
      await mine({ name: 'a', state: 'ONLINE' }),
      await mine({ name: 'b', state: 'REMOVED', environment: 'staging' }),
      await mine({ name: 'a', state: 'OFFLINE', runtime: 'PROCESS' }),
      await mine({ name: 'b', state: 'DEGRADED', runtime: 'DOCKER', environment: 'staging' }),
    ]
    const found = async (filter: string) => {
      const { data } = await world.api.call(
        `{ instances(first: 10 ${filter}) { totalCount nodes { id } } }`,
        {},
        team.token,
      )
      expect(data.instances.totalCount).toBe(data.instances.nodes.length)
      return data.instances.nodes.map(({ id }: { id: string }) => id).sort()
    }
    const all = [a, b, c, d].sort()
    expect(await found('')).toEqual(all)
    expect(await found(', filter: { name: "a" }')).toEqual([a, c].sort())
    expect(await found(', filter: { environment: "staging" }')).toEqual([b, d].sort())
    expect(await found(', filter: { runtime: EXTERNAL }')).toEqual([a, b].sort())
    expect(await found(', filter: { states: [ONLINE, DEGRADED] }')).toEqual([a, d].sort())
    expect(await found(', filter: { states: [] }')).toEqual([])
    expect(
      await found(', filter: { runtime: EXTERNAL, states: [REMOVED], name: "b", environment: "staging" }'),
    ).toEqual([b])
    expect(await found(', filter: { runtime: null }')).toEqual(all)
  })

  test('a deployment and a stack show theirs, and theirs show them and the work that was accepted for them', async () => {
    const { teamId } = world.api.team
    const deploymentId = await putDeployment(world.sql, { teamId, state: 'HEALTHY' })
    const stackId = await putStack(world.sql, { teamId, state: 'HEALTHY' })
    const [run, unit, web] = [
      await world.put({ state: 'ONLINE', runtime: 'PROCESS', subjectId: deploymentId }),
      await world.put({ state: 'ONLINE', subjectId: deploymentId }),
      await world.put({ state: 'STARTING', runtime: 'PROCESS', subjectId: stackId, service: 'web' }),
    ]
    const operationId = newId('Operation')
    await world.sql`insert into operation (id, state, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
      values (${operationId}, 'PENDING', ${teamId}, 'deployment.restart', 'Deployment', ${deploymentId}, now(), '{}', 'test')`
    const back = 'nodes { id service deployment { id } stack { id } operations { totalCount nodes { id } } }'
    const { data, errors } = await world.api.call(
      `query ($d: ID!, $s: ID!) { deployment(id: $d) { instances(first: 5) { totalCount ${back} } } stack(id: $s) { instances(first: 5) { totalCount ${back} } } }`,
      { d: deploymentId, s: stackId },
    )
    expect(errors).toBeUndefined()
    const { instances } = data.deployment
    expect([instances.totalCount, instances.nodes.map(({ id }: { id: string }) => id).sort()]).toEqual([
      2,
      [run, unit].sort(),
    ])
    for (const node of instances.nodes)
      expect(node).toMatchObject({
        deployment: { id: deploymentId },
        stack: null,
        operations: { totalCount: 1, nodes: [{ id: operationId }] },
      })
    expect(data.stack.instances).toEqual({
      totalCount: 1,
      nodes: [
        { id: web, service: 'web', deployment: null, stack: { id: stackId }, operations: { totalCount: 0, nodes: [] } },
      ],
    })
  })

  test('one that was never heard of shows as stuck past its deadline, with the call that leads out', async () => {
    const team = await createTeam(world.api.database.url)
    const late = { state: 'STARTING', heardSecondsAgo: null, sinceSecondsAgo: 901 } as const
    const id = await putInstance(world.sql, { ...late, teamId: team.teamId })
    const managed = await putInstance(world.sql, {
      ...late,
      teamId: team.teamId,
      runtime: 'PROCESS',
      sinceSecondsAgo: 1000,
    })
    const { data } = await world.api.call(
      '{ stuck { entity state owner subject { id } remedies { mutation arguments } } }',
      {},
      team.token,
    )
    const told = { entity: 'Instance', state: 'STARTING', owner: 'reconcile-instances' }
    expect(data.stuck).toEqual([
      { ...told, subject: { id: managed }, remedies: [{ mutation: null, arguments: null }] },
      {
        ...told,
        subject: { id },
        remedies: [{ mutation: 'removeInstance', arguments: { input: { id } } }],
      },
    ])
    expect(await world.beat({ id }, team.token)).toMatchObject({ instance: { state: 'ONLINE' } })
  })
})

test('the gauges tell how many there are of each, and how long ago one was last heard of, of those that are waited for, beyond what it has promised', async () => {
  const { teamId } = await createTeam(world.api.database.url)
  const facts: Omit<InstanceFacts, 'teamId'>[] = [
    { runtime: 'DOCKER', state: 'ONLINE', sinceSecondsAgo: 5_000 },
    { runtime: 'DOCKER', state: 'OFFLINE', sinceSecondsAgo: 1e6 },
    // Its start goes on: there is no run yet that could be asked about.
    { runtime: 'DOCKER', state: 'STARTING', sinceSecondsAgo: 1e6, instanceId: null },
    { runtime: 'DOCKER', state: 'REMOVED', sinceSecondsAgo: 1e6 },
    { state: 'ONLINE', heartbeatSeconds: 3_600, heardSecondsAgo: 3_590 },
    { state: 'DEGRADED', heartbeatSeconds: 3_600, heardSecondsAgo: 3_600 + 900 },
    { state: 'OFFLINE', heardSecondsAgo: 1e6 },
  ]
  for (const each of facts) await putInstance(world.sql, { ...each, teamId })
  const counts = await instanceCounts(world.api.pool.db)
  expect(counts).toEqual(expect.arrayContaining([{ runtime: 'DOCKER', state: 'STARTING', count: 1, unheardMs: null }]))
  expect(counts.filter(({ state }) => state === 'REMOVED')).toEqual([])
  const unheard = (of: string) =>
    counts.flatMap(({ runtime, state, unheardMs }) =>
      unheardMs === null || runtime !== of ? [] : [[state, Math.floor(unheardMs / 100_000)]],
    )
  expect(unheard('DOCKER')).toContainEqual(['ONLINE', 50])
  expect(Object.fromEntries(unheard('EXTERNAL'))).toMatchObject({ ONLINE: 0, DEGRADED: 9 })
})
