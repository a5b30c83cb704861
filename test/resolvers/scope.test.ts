// What a narrow token must not get by a detour: a resource's password through a workload's variables, or a hand on the work
// of a subject that it has no scope for; and variables that the runtime keeps to itself.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Actor, Scope } from '../../src/auth.ts'
import { openPool, type Pool } from '../../src/db/client.ts'
import { deploy, mergeDeploymentEnv } from '../../src/resolvers/deployment.ts'
import { cancelOperation } from '../../src/resolvers/operation.ts'
import { createResource } from '../../src/resolvers/resource.ts'
import { createTestDatabase, patient, type TestDatabase } from '../database.ts'
import { createTeam } from '../fixture.ts'
import { contextFor } from '../row.ts'

let database: TestDatabase
let pool: Pool
let actor: Actor
beforeAll(async () => {
  database = await createTestDatabase()
  pool = openPool({ url: database.url, purpose: 'api', slots: 2, ...patient })
  actor = (await createTeam(database.url)).actor
})
afterAll(async () => {
  await pool.close()
  await database.drop()
})
const having = (...scopes: Scope[]) => contextFor(pool.db, { ...actor, scopes: new Set(scopes) })
const all = () => contextFor(pool.db, actor)
let made = 0
const named = (env: { key: string; value: string }[]) => ({ name: `n${made++}`, image: 'hello', env })

describe('a reference to a resource', () => {
  const env = [{ key: 'DATABASE_URL', value: 'resource://db' }]

  test('needs the scope resource, in deploy and in a merge', async () => {
    const forbidden = { refusal: 'Forbidden', facts: { missing: 'resource' } }
    expect(await deploy(having('read', 'deploy'), named(env))).toMatchObject(forbidden)
    const own = await deploy(having('read', 'deploy'), named([]))
    const id = 'deployment' in own ? own.deployment.id : ''
    const merge = { id, set: env } as Parameters<typeof mergeDeploymentEnv>[1]
    expect(await mergeDeploymentEnv(having('read', 'deploy'), merge)).toMatchObject(forbidden)
    expect(await mergeDeploymentEnv(having('deploy', 'resource'), merge)).toMatchObject({ keysSet: 1 })
  })

  test('of a call that won is a replay, whatever became of the scope', async () => {
    await createResource(all(), { type: 'POSTGRES', name: 'kept' })
    const input = { ...named([{ key: 'URL', value: 'resource://kept' }]), idempotencyKey: 'kept' }
    expect(await deploy(all(), input)).toMatchObject({ replayed: false })
    expect(await deploy(having('deploy'), input)).toMatchObject({ replayed: true })
  })
})

test('a reference to a secret needs the scope env:read, in deploy and in a merge; one to a service needs none', async () => {
  const env = [{ key: 'TOKEN', value: 'secret://token' }]
  const forbidden = { refusal: 'Forbidden', facts: { missing: 'env:read' } }
  expect(await deploy(having('read', 'deploy', 'resource'), named(env))).toMatchObject(forbidden)
  const own = await deploy(having('deploy'), named([{ key: 'NEARLY', value: 'see secret://token' }]))
  const id = 'deployment' in own ? own.deployment.id : ''
  const merge = (value: string) => ({ id, set: [{ key: 'TOKEN', value }] }) as Parameters<typeof mergeDeploymentEnv>[1]
  expect(await mergeDeploymentEnv(having('deploy', 'resource'), merge('secret://token'))).toMatchObject(forbidden)
  expect(await mergeDeploymentEnv(having('deploy', 'env:read'), merge('secret://token'))).toMatchObject({ keysSet: 1 })
  expect(await mergeDeploymentEnv(having('deploy'), merge('service://web'))).toMatchObject({ keysSet: 1 })
})

test('a variable that the runtime keeps to itself is refused before anything is accepted', async () => {
  const reserved = [
    { key: 'GREETING', value: 'hi' },
    { key: 'PORT', value: '80' },
  ]
  const fault = (field: string) => ({
    refusal: 'ValidationFailed',
    facts: { faults: [{ path: ['input', field, '1', 'key'], message: 'is PORT, which the runtime keeps to itself' }] },
  })
  expect(await deploy(all(), named(reserved))).toMatchObject(fault('env'))
  const own = await deploy(all(), named([]))
  const id = 'deployment' in own ? own.deployment.id : ''
  const merge = { id, set: reserved } as Parameters<typeof mergeDeploymentEnv>[1]
  expect(await mergeDeploymentEnv(all(), merge)).toMatchObject(fault('set'))
})

test('work is cancelled with the scope of its subject, and no other', async () => {
  const rollOut = await deploy(all(), named([]))
  const provision = await createResource(all(), { type: 'POSTGRES', name: 'db' })
  const ids = [rollOut, provision].map((answer) => ('operation' in answer ? String(answer.operation?.id) : ''))
  const [ofDeployment = '', ofResource = ''] = ids
  const lacks = (missing: Scope) => ({ refusal: 'Forbidden', facts: { missing } })
  expect(await cancelOperation(having('read', 'resource'), { id: ofDeployment })).toMatchObject(lacks('deploy'))
  expect(await cancelOperation(having('read', 'deploy'), { id: ofResource })).toMatchObject(lacks('resource'))
  expect(await cancelOperation(having('read', 'deploy'), { id: ofDeployment })).toMatchObject({ replayed: false })
  expect(await cancelOperation(having('read', 'resource'), { id: ofResource })).toMatchObject({ replayed: false })
})
