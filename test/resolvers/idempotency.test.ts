// One key, one effect: a repeat is told what the call that won was told, whatever has become of the object since, and a
// token is shown once. Also the expected version, which is another refusal than a state that is wrong.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isRefusal, type Refusal } from '../../src/refusals.ts'
import { createApiToken, revokeApiToken } from '../../src/resolvers/api-token.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import { retryOperation } from '../../src/resolvers/operation.ts'
import { holdRow, underWay, untilBlocked } from '../interleave.ts'
import { openWorld, operationsOf, outcomeOf, seen, type World } from '../races/world.ts'
import { contextFor, createTeam, putToken } from '../row.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

const key = () => crypto.randomUUID()
const won = <T extends object>(result: T | Refusal): T => {
  if (isRefusal(result)) throw new Error(`refused: ${result.refusal}`)
  return result as T
}

describe('a repeat', () => {
  test('is answered as the call that won, with the operation as it is now', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const input = { id, image: 'hello:2', idempotencyKey: key() }
    const first = won(await mutations.redeployDeployment(world.context, input))
    const second = won(await mutations.redeployDeployment(world.context, input))
    expect(first.replayed).toBe(false)
    expect(second).toMatchObject({ replayed: true, operation: { id: first.operation?.id, state: 'PENDING' } })
    expect(second.deployment).toEqual(first.deployment)
    expect(await operationsOf(world, id)).toHaveLength(1)
  })

  test('is a replay, never a refusal, after the object has moved on', async () => {
    const id = await world.deployment({ state: 'STOPPED' })
    const input = { id, idempotencyKey: key() }
    won(await mutations.startDeployment(world.context, input))
    won(await mutations.deleteDeployment(world.context, { id }))
    const repeat = won(await mutations.startDeployment(world.context, input))
    expect(repeat).toMatchObject({
      replayed: true,
      deployment: { state: 'DELETING' },
      operation: { kind: 'deployment.roll_out' },
    })
    expect(outcomeOf(await mutations.startDeployment(world.context, { id, idempotencyKey: key() }))).toBe(
      'IllegalState',
    )
  })

  test('of a deletion is a replay, while another call is told that it is deleted already', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const input = { id, idempotencyKey: key() }
    won(await mutations.deleteDeployment(world.context, input))
    expect(outcomeOf(await mutations.deleteDeployment(world.context, input))).toBe('replayed')
    expect(outcomeOf(await mutations.deleteDeployment(world.context, { id }))).toBe('DeploymentAlreadyDeleted')
  })

  test('of a merge is told the counts of the merge that won', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const set = (...keys: string[]) => keys.map((each) => ({ key: each, value: '1' }))
    won(await mutations.mergeDeploymentEnv(world.context, { id, set: set('A', 'B') } as never))
    const input = { id, set: set('C', 'D'), unset: ['A', 'B', 'NEVER'], idempotencyKey: key() } as never
    const first = won(await mutations.mergeDeploymentEnv(world.context, input))
    won(await mutations.mergeDeploymentEnv(world.context, { id, unset: ['C'] } as never))
    const second = won(await mutations.mergeDeploymentEnv(world.context, input))
    expect([first, second].map(({ keysSet, keysDeleted, replayed }) => ({ keysSet, keysDeleted, replayed }))).toEqual([
      { keysSet: 2, keysDeleted: 2, replayed: false },
      { keysSet: 2, keysDeleted: 2, replayed: true },
    ])
    expect(Object.keys((await seen(world, id)).env)).toEqual(['D'])
  })

  test('of a deploy makes nothing new, even when its deployment is gone and the name is free', async () => {
    const input = { name: 'once', image: 'hello:1', env: [{ key: 'A', value: '1' }], idempotencyKey: key() }
    const first = won(await mutations.deploy(world.context, input))
    const second = won(await mutations.deploy(world.context, input))
    expect(second).toMatchObject({ replayed: true, deployment: { id: first.deployment.id } })
    won(await mutations.deleteDeployment(world.context, { id: first.deployment.id }))
    expect(won(await mutations.deploy(world.context, input))).toMatchObject({
      replayed: true,
      deployment: { id: first.deployment.id, state: 'DELETING' },
    })
    const rows = await world.stranger`select 1 from deployment where name = 'once'`
    expect(rows).toHaveLength(1)
  })

  test('of a deploy with redeploy: true makes no further generation', async () => {
    const id = await world.deployment({ state: 'HEALTHY', name: 'again' })
    const input = { name: 'again', image: 'hello:2', redeploy: true, idempotencyKey: key() }
    expect(won(await mutations.deploy(world.context, input))).toMatchObject({ replayed: false, deployment: { id } })
    expect(won(await mutations.deploy(world.context, input))).toMatchObject({ replayed: true, deployment: { id } })
    expect(await seen(world, id)).toMatchObject({ generation: 2, image: 'hello:2' })
  })

  test('of a retry answers with the operation that the first one queued', async () => {
    const subjectId = await world.deployment({ state: 'FAILED' })
    const id = await world.operation({ subjectId, state: 'FAILED' })
    const input = { id, idempotencyKey: key() }
    const first = won(await retryOperation(world.context, input))
    const second = won(await retryOperation(world.context, input))
    expect(first.operation).toMatchObject({ retryOf: id, generation: 2, state: 'PENDING' })
    expect(second).toMatchObject({ replayed: true, operation: { id: first.operation.id } })
  })

  test('of a new token shows the token no more, and of a revocation changes nothing', async () => {
    const input = { name: 'ci', scopes: ['read'] as const, idempotencyKey: key() }
    const first = won(await createApiToken(world.context, input))
    const second = won(await createApiToken(world.context, input))
    expect(first.plaintext).toMatch(/^pawl_/)
    expect(second).toMatchObject({ replayed: true, plaintext: null, token: { id: first.token.id } })
    expect(JSON.stringify(second)).not.toContain(String(first.plaintext))
    const [{ count } = { count: 0 }] = await world.stranger`select count(*)::int from api_token where name = 'ci'`
    expect(count).toBe(1)
    const revocation = { id: first.token.id, idempotencyKey: key() }
    expect(won(await revokeApiToken(world.context, revocation))).toMatchObject({ replayed: false, plaintext: null })
    expect(won(await revokeApiToken(world.context, revocation))).toMatchObject({ replayed: true, plaintext: null })
    expect(won(await createApiToken(world.context, input))).toMatchObject({
      replayed: true,
      token: { state: 'REVOKED' },
    })
  })

  test('is a replay, never Busy, while somebody else holds the row', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const input = { id, idempotencyKey: key() }
    won(await mutations.redeployDeployment(world.context, input))
    const row = await holdRow(world.stranger, 'deployment', id)
    const repeat = mutations.redeployDeployment(world.context, input)
    await untilBlocked(world.stranger, 'redeployDeployment')
    expect(outcomeOf(await repeat)).toBe('replayed')
    await row.release()
  })
})

describe('a key', () => {
  test('that was used for another input is refused, for every field of it and for another object', async () => {
    const [id, other] = [await world.deployment({ state: 'HEALTHY' }), await world.deployment({ state: 'HEALTHY' })]
    const idempotencyKey = key()
    won(await mutations.redeployDeployment(world.context, { id, image: 'hello:1', idempotencyKey }))
    for (const input of [{ id, image: 'hello:2' }, { id }, { id: other, image: 'hello:1' }]) {
      const result = await mutations.redeployDeployment(world.context, { ...input, idempotencyKey })
      expect(result).toMatchObject({ refusal: 'IdempotencyKeyReused', facts: { firstUsedAt: expect.any(Date) } })
    }
    expect((await seen(world, other)).generation).toBe(1)
    // Absent and null are the same input.
    won(await mutations.redeployDeployment(world.context, { id: other, idempotencyKey: 'null' }))
    const same = { id: other, image: null, expectedVersion: null, idempotencyKey: 'null' }
    expect(outcomeOf(await mutations.redeployDeployment(world.context, same))).toBe('replayed')
  })

  test('is its mutation’s and its caller’s own', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const input = { id, idempotencyKey: key() }
    won(await mutations.redeployDeployment(world.context, input))
    expect(outcomeOf(await mutations.stopDeployment(world.context, input))).toBe('STOPPING')
    const token = await putToken(world.stranger, { teamId: world.team.teamId })
    const colleague = contextFor(world.pool.db, { ...world.team.actor, id: token.id })
    expect(outcomeOf(await mutations.deleteDeployment(colleague, input))).toBe('DELETING')
    const stranger = await createTeam(world.stranger)
    const elsewhere = contextFor(world.pool.db, stranger.actor)
    expect(outcomeOf(await mutations.redeployDeployment(elsewhere, input))).toBe('NotFound')
  })

  test.each(['redeployDeployment', 'deploy', 'deleteDeployment', 'createApiToken'] as const)(
    'used by 16 callers of %s at once has one effect and 15 replays',
    async (mutation) => {
      const id = await world.deployment({ state: 'HEALTHY' })
      const context = contextFor(world.openPool(16).db, world.team.actor)
      const idempotencyKey = key()
      const ask = async (): Promise<{ replayed: boolean; plaintext?: string | null }> => {
        if (mutation === 'deploy') {
          return won(await mutations.deploy(context, { name: 'sixteen', image: 'hello:1', idempotencyKey }))
        }
        if (mutation === 'createApiToken') {
          return won(await createApiToken(context, { name: 'sixteen', scopes: ['read'], idempotencyKey }))
        }
        const { redeployDeployment, deleteDeployment } = mutations
        const ofRow = mutation === 'redeployDeployment' ? redeployDeployment : deleteDeployment
        return won(await ofRow(context, { id, idempotencyKey }))
      }
      const row = await holdRow(world.stranger, 'deployment', id)
      const calls = Array.from({ length: 16 }, () => underWay(ask()))
      if (mutation === 'redeployDeployment' || mutation === 'deleteDeployment') {
        await untilBlocked(world.stranger, mutation, 16)
      }
      await row.release()
      const results = await Promise.all(calls)
      expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1)
      expect(results.filter(({ plaintext }) => plaintext)).toHaveLength(mutation === 'createApiToken' ? 1 : 0)
      const [{ effects } = { effects: 0 }] = await world.stranger<{ effects: number }[]>`
        select count(*)::int as effects from event where kind = ${mutation} and (subject_id = ${id} or subject_id in
          (select id from deployment where name = 'sixteen' union select id from api_token where name = 'sixteen'))`
      expect(effects).toBe(1)
    },
  )
})

describe('an expected version', () => {
  test('that is the row’s is accepted; another is a conflict that shows the row, and changes nothing', async () => {
    const id = await world.deployment({ state: 'HEALTHY', version: 7 })
    const stale = await mutations.redeployDeployment(world.context, { id, expectedVersion: '6' })
    expect(stale).toMatchObject({
      refusal: 'VersionConflict',
      retryable: false,
      facts: { currentVersion: '7', deployment: { id, state: 'HEALTHY' } },
    })
    expect(await seen(world, id)).toMatchObject({ version: 7, generation: 1 })
    const right = won(await mutations.redeployDeployment(world.context, { id, expectedVersion: '7' }))
    expect(right.deployment.version).toBe(8)
  })

  test('does not hide a state that is wrong, nor a repeat', async () => {
    const id = await world.deployment({ state: 'STOPPED', version: 3 })
    const wrong = await mutations.redeployDeployment(world.context, { id, expectedVersion: '2' })
    expect(outcomeOf(wrong)).toBe('NotRedeployable')
    const input = { id, expectedVersion: '3', idempotencyKey: key() }
    won(await mutations.startDeployment(world.context, input))
    expect(outcomeOf(await mutations.startDeployment(world.context, input))).toBe('replayed')
  })

  test('is compared under the lock: of two editors who saw the same version one wins', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const row = await holdRow(world.stranger, 'deployment', id)
    const merge = (value: string) =>
      underWay(
        mutations.mergeDeploymentEnv(world.context, { id, expectedVersion: '1', set: [{ key: 'A', value }] } as never),
      )
    const first = merge('first')
    await untilBlocked(world.stranger, 'mergeDeploymentEnv')
    const second = merge('second')
    await untilBlocked(world.stranger, 'mergeDeploymentEnv', 2)
    await row.release()
    expect([outcomeOf(await first), outcomeOf(await second)]).toEqual(['HEALTHY', 'VersionConflict'])
    expect((await seen(world, id)).env.A?.value).toBe('first')
  })
})
