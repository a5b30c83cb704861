// Mutations through the door: what is advised is what happens, in every state; refusals carry their facts; remedies are
// accepted as they stand.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { deploymentMachine } from '../../src/lifecycle/deployment.ts'
import { statesOf } from '../../src/lifecycle/machine.ts'
import { callerActions } from '../../src/resolvers/allowed-action.ts'
import { createTeam, createToken, putDeployment, putOperation } from '../fixture.ts'
import { type Api, openApi } from './api.ts'
import { capital, mutate } from './call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())
const more: Record<string, object> = {
  mergeDeploymentEnv: { set: [{ key: 'A', value: '1' }] },
  setDeploymentTtl: { ttlHours: 1 },
}
const actionsOf = async (
  id: string,
  token?: string,
): Promise<{ action: string; allowed: boolean; because: string | null }[]> =>
  (
    await api.call(
      'query ($id: ID!) { node(id: $id) { ... on Deployment { allowedActions { action allowed because } } ... on Operation { allowedActions { action allowed because } } } }',
      { id },
      token,
    )
  ).data.node.allowedActions

describe.each(statesOf(deploymentMachine))('a deployment that is %s', (state) => {
  test.each(callerActions('Deployment'))('%s happens exactly when it is allowed', async (action) => {
    const id = await putDeployment(api.database.url, api.team.teamId, { state, expiresInMs: 3_600_000 })
    const advice = (await actionsOf(id)).find((each) => each.action === action)
    const answer = await mutate(
      api,
      action,
      { id, ...more[action] },
      `... on ${capital(action)}Payload { deployment { id version } }`,
    )
    expect(answer.__typename === `${capital(action)}Payload`, JSON.stringify(answer)).toBe(advice?.allowed)
    if (advice?.allowed) expect(advice.because).toBeNull()
    else {
      expect(advice?.because).toContain(`It is ${state}`)
      expect(answer.message).toContain(state)
    }
    // Each remedy with a mutation is accepted as it stands.
    for (const remedy of answer.remedies ?? []) {
      if (remedy.mutation)
        expect((await mutate(api, remedy.mutation, remedy.arguments.input)).__typename).toMatch(/Payload$/)
      else if (remedy.query === 'deployment') {
        const { data } = await api.call('query ($id: ID!) { deployment(id: $id) { id } }', remedy.arguments)
        expect(data.deployment.id).toBe(remedy.arguments.id)
      }
    }
  })
})

test('allowedActions says which scope is missing, and what is known from the row', async () => {
  const id = await putDeployment(api.database.url, api.team.teamId, { state: 'HEALTHY' })
  const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read'] })
  for (const { allowed, because } of await actionsOf(id, token)) {
    expect(allowed).toBe(false)
    expect(because).toContain('The caller lacks the scope deploy.')
  }
  const ttl = (await actionsOf(id)).find(({ action }) => action === 'setDeploymentTtl')
  expect(ttl).toEqual({
    action: 'setDeploymentTtl',
    allowed: false,
    because: 'It is permanent: it has no time limit that could be moved.',
  })
  expect(
    await mutate(api, 'setDeploymentTtl', { id, ttlHours: 1 }, '... on NotExtendable { deployment { id ttlPolicy } }'),
  ).toMatchObject({
    code: 'NOT_EXTENDABLE',
    deployment: { id, ttlPolicy: 'PERMANENT' },
  })
  const forbidden = await mutate(api, 'stopDeployment', { id }, '... on Forbidden { missing }', token)
  expect(forbidden).toMatchObject({ __typename: 'Forbidden', code: 'FORBIDDEN', missing: 'deploy', retryable: false })
})

describe('an operation', () => {
  test.each([
    ['FAILED', 'FAILED', 'deployment.roll_out', 'retryOperation', true],
    ['FAILED', 'HEALTHY', 'deployment.roll_out', 'retryOperation', false],
    ['FAILED', 'STOPPING', 'deployment.stop', 'retryOperation', false],
    ['PENDING', 'BUILDING', 'deployment.roll_out', 'cancelOperation', true],
    ['PENDING', 'DELETING', 'deployment.tear_down', 'cancelOperation', false],
    ['RUNNING', 'BUILDING', 'deployment.roll_out', 'cancelOperation', false],
    ['SUCCEEDED', 'HEALTHY', 'deployment.roll_out', 'retryOperation', false],
  ])('%s of a %s deployment, %s: %s is advised as it happens', async (state, subjectState, kind, action, expected) => {
    const subject = await putDeployment(api.database.url, api.team.teamId, { state: subjectState })
    const id = await putOperation(api.database.url, api.team.teamId, subject, { state, kind })
    const advice = (await actionsOf(id)).find((each) => each.action === action)
    expect(advice?.allowed, String(advice?.because)).toBe(expected)
    const answer = await mutate(
      api,
      action,
      { id },
      `... on ${capital(action)}Payload { operation { id state retryOf { id } subject { ... on Deployment { state } } } }`,
    )
    expect(answer.__typename).toBe(expected ? `${capital(action)}Payload` : 'IllegalState')
    if (!expected) return
    if (action === 'cancelOperation')
      expect(answer.operation).toMatchObject({ id, state: 'CANCELLED', subject: { state: 'FAILED' } })
    else expect(answer.operation).toMatchObject({ state: 'PENDING', retryOf: { id }, subject: { state: 'BUILDING' } })
  })

  test('IllegalState shows the operation that was found', async () => {
    const subject = await putDeployment(api.database.url, api.team.teamId)
    const id = await putOperation(api.database.url, api.team.teamId, subject, { state: 'SUCCEEDED' })
    expect(
      await mutate(
        api,
        'cancelOperation',
        { id },
        '... on IllegalState { action operation { id state } deployment { id } }',
      ),
    ).toMatchObject({
      action: 'cancelOperation',
      operation: { id, state: 'SUCCEEDED' },
      deployment: null,
    })
  })
})

describe('refusals carry what was found', () => {
  test('NameTaken, NotRedeployable, NothingToRedeploy', async () => {
    const id = await putDeployment(api.database.url, api.team.teamId, { name: 'held', state: 'STOPPED' })
    const deployment = '... on NameTaken { deployment { id state } } ... on NotRedeployable { deployment { id state } }'
    expect(await mutate(api, 'deploy', { name: 'held', image: 'hello' }, deployment)).toMatchObject({
      code: 'NAME_TAKEN',
      deployment: { id, state: 'STOPPED' },
    })
    expect(await mutate(api, 'deploy', { name: 'held', image: 'hello', redeploy: true }, deployment)).toMatchObject({
      code: 'NOT_REDEPLOYABLE',
      deployment: { id, state: 'STOPPED' },
    })
    const nothing = await mutate(api, 'deploy', { name: 'never', image: 'hello', redeploy: true })
    expect(nothing.code).toBe('NOTHING_TO_REDEPLOY')
    expect((await mutate(api, nothing.remedies[0].mutation, nothing.remedies[0].arguments.input)).__typename).toBe(
      'DeployPayload',
    )
  })

  test('QuotaExceeded', async () => {
    const { token } = await createTeam(api.database.url, { cap: 1 })
    expect((await mutate(api, 'deploy', { name: 'a', image: 'hello' }, '', token)).__typename).toBe('DeployPayload')
    expect(
      await mutate(api, 'deploy', { name: 'b', image: 'hello' }, '... on QuotaExceeded { limit cap used }', token),
    ).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      limit: 'deployments',
      cap: 1,
      used: 1,
    })
  })

  test('VersionConflict and IdempotencyKeyReused', async () => {
    const id = await putDeployment(api.database.url, api.team.teamId, { version: 3 })
    expect(
      await mutate(
        api,
        'stopDeployment',
        { id, expectedVersion: '2' },
        '... on VersionConflict { currentVersion deployment { id version } token { id } }',
      ),
    ).toMatchObject({ code: 'VERSION_CONFLICT', currentVersion: '3', deployment: { id, version: '3' }, token: null })
    const first = await mutate(
      api,
      'stopDeployment',
      { id, idempotencyKey: 'k1' },
      '... on StopDeploymentPayload { replayed operation { id } }',
    )
    expect(first.replayed).toBe(false)
    const again = await mutate(
      api,
      'stopDeployment',
      { id, idempotencyKey: 'k1' },
      '... on StopDeploymentPayload { replayed operation { id } }',
    )
    expect(again).toMatchObject({ replayed: true, operation: first.operation })
    const other = await mutate(
      api,
      'stopDeployment',
      { id: newId('Deployment'), idempotencyKey: 'k1' },
      '... on IdempotencyKeyReused { firstUsedAt }',
    )
    expect(other.code).toBe('IDEMPOTENCY_KEY_REUSED')
    expect(other.firstUsedAt).toMatch(/Z$/)
  })

  test('EnvConflict, EnvTooLarge, and what a merge did', async () => {
    const id = await putDeployment(api.database.url, api.team.teamId)
    const payload = '... on MergeDeploymentEnvPayload { keysSet keysDeleted deployment { env { key revision value } } }'
    expect(
      await mutate(api, 'mergeDeploymentEnv', { id, set: [{ key: 'A', value: '' }], unset: ['GONE'] }, payload),
    ).toMatchObject({
      keysSet: 1,
      keysDeleted: 0,
      deployment: { env: [{ key: 'A', revision: 1, value: '' }] },
    })
    const conflict = await mutate(
      api,
      'mergeDeploymentEnv',
      {
        id,
        unset: ['A'],
        expect: [
          { key: 'A', absent: true },
          { key: 'B', revision: 7 },
        ],
      },
      '... on EnvConflict { keys { key revision changedAt changedBy } }',
    )
    expect(conflict).toMatchObject({
      code: 'ENV_CONFLICT',
      keys: [
        { key: 'A', revision: 1, changedBy: api.team.actor.id },
        { key: 'B', revision: null, changedAt: null, changedBy: null },
      ],
    })
    const value = 'x'.repeat(40_000)
    await mutate(api, 'mergeDeploymentEnv', { id, set: [{ key: 'BIG', value }] })
    expect(
      await mutate(
        api,
        'mergeDeploymentEnv',
        { id, set: [{ key: 'BIGGER', value }] },
        '... on EnvTooLarge { bytes maxBytes }',
      ),
    ).toMatchObject({
      code: 'ENV_TOO_LARGE',
      maxBytes: 65_536,
    })
  })

  test('tokens: shown once, given no more than the maker has, taken back once', async () => {
    const payload = '... on CreateApiTokenPayload { plaintext replayed token { id scopes state } }'
    const input = { name: 'ci', scopes: ['read', 'deploy'], idempotencyKey: 't1' }
    const made = await mutate(api, 'createApiToken', input, payload)
    expect(made.plaintext).toMatch(/^pawl_/)
    expect(await mutate(api, 'createApiToken', input, payload)).toMatchObject({
      plaintext: null,
      replayed: true,
      token: made.token,
    })
    expect((await api.call('{ viewer { scopes } }', {}, made.plaintext)).data.viewer.scopes).toEqual(['deploy', 'read'])
    expect(
      await mutate(
        api,
        'createApiToken',
        { name: 'x', scopes: ['admin'] },
        '... on Forbidden { missing }',
        made.plaintext,
      ),
    ).toMatchObject({ missing: 'admin' })
    const revoke = () =>
      mutate(
        api,
        'revokeApiToken',
        { id: made.token.id },
        '... on RevokeApiTokenPayload { token { state } } ... on TokenAlreadyRevoked { token { id state } }',
      )
    expect(await revoke()).toMatchObject({ __typename: 'RevokeApiTokenPayload', token: { state: 'REVOKED' } })
    expect(await revoke()).toMatchObject({
      code: 'TOKEN_ALREADY_REVOKED',
      token: { id: made.token.id, state: 'REVOKED' },
    })
  })
})
