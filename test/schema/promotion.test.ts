// Promotions over HTTP, as a dashboard and an agent make them: the plan, its approval, its use, what may be done when, and
// that none of it happens by a link.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTeam } from '../fixture.ts'
import { putMember } from '../member-row.ts'
import { type Api, openApi } from './api.ts'
import { capital, mutate } from './call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

let made = 0
async function stack(env: readonly { key: string; value: string }[] = [], image = 'hello') {
  const input = { name: `shop-${made++}`, services: [{ name: 'web', image }], env }
  const answer = await mutate(api, 'createStack', input, '... on CreateStackPayload { stack { id name } }')
  return answer.stack as { id: string; name: string }
}
const planFields = `digest toEnvironment isEmpty unresolved missingImages target { id } source { id }
  services { name change fromImage image } env { name change revision } secrets { name change revision }
  room { kind takes used cap fits }`
const plan = async (stackId: string, more = '', token?: string) =>
  api.call(
    `query ($id: ID!) { promotionPlan(stackId: $id, toEnvironment: "staging" ${more}) { ${planFields} } }`,
    { id: stackId },
    token,
  )
const approval =
  'approval { id state planDigest kind toEnvironment subject { id } operation { id } requestedBy { id } decidedBy { id } allowedActions { action allowed because } }'
const ask = (mutation: string, input: object, more = '', token?: string) =>
  mutate(api, mutation, input, `... on ${capital(mutation)}Payload { replayed ${approval} ${more} }`, token)

describe('a plan', () => {
  test('tells what would become of services, variables and secrets, what it takes, and is named by a digest', async () => {
    await mutate(api, 'setSecret', { name: 'DB_PASSWORD', value: 'canary-value' })
    const { id } = await stack([
      { key: 'MODE', value: 'fast' },
      { key: 'PASSWORD', value: 'secret://DB_PASSWORD' },
    ])
    const { data, errors, text } = await plan(id)
    expect(errors).toBeUndefined()
    expect(data.promotionPlan).toEqual({
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      toEnvironment: 'staging',
      isEmpty: false,
      unresolved: [],
      missingImages: [],
      target: null,
      source: { id },
      services: [{ name: 'web', change: 'ADDED', fromImage: null, image: 'hello' }],
      env: [
        { name: 'MODE', change: 'COPIED', revision: 1 },
        { name: 'PASSWORD', change: 'COPIED', revision: 1 },
      ],
      secrets: [{ name: 'DB_PASSWORD', change: 'COPIED', revision: 1 }],
      room: [
        { kind: 'stacks', takes: 1, used: expect.any(Number), cap: 100, fits: true },
        { kind: 'secrets', takes: 1, used: 1, cap: 100, fits: true },
      ],
    })
    expect(text).not.toContain('canary-value')
    expect((await plan(id)).data).toEqual(data)
    const kept = await plan(id, ', envPolicy: KEEP_TARGET, secretPolicy: REQUIRE')
    expect(kept.data.promotionPlan).toMatchObject({
      env: [{ change: 'MISSING' }, { change: 'MISSING' }],
      unresolved: ['DB_PASSWORD'],
    })
    expect(kept.data.promotionPlan.digest).not.toBe(data.promotionPlan.digest)
  })

  test('is none of another team’s stack, of what is none, and no plan leads where the stack is', async () => {
    const { id } = await stack()
    const stranger = await createTeam(api.database.url)
    for (const [stackId, token] of [[id, stranger.token], ['stk_x'], [api.team.teamId]] as const) {
      const { data, errors } = await plan(stackId, '', token)
      expect([data, errors]).toEqual([{ promotionPlan: null }, undefined])
    }
    for (const environment of ['development', 'No Environment']) {
      const document = `query ($id: ID!, $to: String!) { promotionPlan(stackId: $id, toEnvironment: $to) { digest } }`
      const { errors } = await api.call(document, { id, to: environment })
      expect(errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT')
    }
  })
})

test('asked for, approved by somebody else, used once: each step tells what may be done next', async () => {
  const { id: stackId } = await stack()
  const { teamId } = api.team
  const developer = await putMember(api.database.url, { teamId, role: 'developer' })
  const admin = await putMember(api.database.url, { teamId, role: 'admin' })
  const allowed = (answer: { approval: { allowedActions: { action: string; allowed: boolean }[] } }) =>
    answer.approval.allowedActions.flatMap((each) => (each.allowed ? [each.action] : [])).sort()

  const wish = { stackId, toEnvironment: 'staging' }
  const asked = await ask('requestPromotion', wish, 'plan { digest }', developer.token)
  expect(asked.approval).toMatchObject({
    state: 'PENDING',
    kind: 'STACK',
    subject: { id: stackId },
    planDigest: asked.plan.digest,
    requestedBy: { id: developer.id },
    operation: null,
  })
  expect(asked.plan.digest).toBe((await plan(stackId)).data.promotionPlan.digest)
  expect(allowed(asked)).toEqual(['withdrawPromotion'])
  const { id } = asked.approval
  const use = { ...wish, approvalId: id }
  expect((await ask('promoteStack', use, '', developer.token)).code).toBe('APPROVAL_NOT_APPROVED')
  expect((await ask('approvePromotion', { id }, '', developer.token)).code).toBe('FORBIDDEN')
  const approved = await ask('approvePromotion', { id }, '', admin.token)
  expect(approved.approval).toMatchObject({ state: 'APPROVED', decidedBy: { id: admin.id } })
  expect(allowed(approved)).toEqual(['promoteStack', 'withdrawPromotion'])

  const promoted = await ask(
    'promoteStack',
    use,
    'stack { id environment state } operation { id kind }',
    developer.token,
  )
  expect(promoted).toMatchObject({
    stack: { environment: 'staging', state: 'BUILDING' },
    operation: { kind: 'stack.roll_out' },
    approval: { state: 'EXECUTED', operation: { id: promoted.operation.id } },
  })
  expect(allowed(promoted)).toEqual([])
  const selection = `... on ApprovalAlreadyExecuted { ${approval} operation { id subject { id } } }`
  const again = await mutate(api, 'promoteStack', use, selection, developer.token)
  expect(again).toMatchObject({
    code: 'APPROVAL_ALREADY_EXECUTED',
    retryable: false,
    operation: { id: promoted.operation.id, subject: { id: promoted.stack.id } },
    approval: { id, state: 'EXECUTED' },
  })
  const events = await api.call(
    `query ($id: ID!) { node(id: $id) { ... on PromotionApproval { events { nodes { kind from to } } } } }`,
    { id },
  )
  expect(events.errors).toBeUndefined()
  const metrics = await api.metrics.text()
  for (const line of [
    'pawl_transitions_total{entity="promotion_approval",action="requestPromotion",outcome="moved"}',
    'pawl_transitions_total{entity="promotion_approval",action="approvePromotion",outcome="moved"}',
    'pawl_transitions_total{entity="stack",action="promoteStack",outcome="moved"}',
    'pawl_transitions_total{entity="stack",action="promoteStack",outcome="approval_already_executed"}',
  ])
    expect(metrics).toContain(line)
})

test('a twin, the team’s word on self-approval, and a withdrawal', async () => {
  const created = await mutate(
    api,
    'createResource',
    { type: 'POSTGRES', name: 'twinned' },
    '... on CreateResourcePayload { resource { id } }',
  )
  const resourceId = created.resource.id
  const wish = { resourceId, toEnvironment: 'production' }
  const asked = await ask('requestTwin', wish, 'plan { digest toEnvironment source { id } room { kind takes fits } }')
  expect(asked).toMatchObject({
    approval: { state: 'PENDING', kind: 'TWIN', planDigest: asked.plan.digest },
    plan: { source: { id: resourceId }, room: [{ kind: 'resources', takes: 1, fits: true }] },
  })
  // Others of the team may approve, and this is production.
  const { id } = asked.approval
  expect((await ask('approvePromotion', { id })).code).toBe('SELF_APPROVAL_FORBIDDEN')
  const said = await mutate(
    api,
    'setSelfApproval',
    { policy: 'ALWAYS' },
    '... on SetSelfApprovalPayload { team { selfApproval } }',
  )
  expect(said.team.selfApproval).toBe('ALWAYS')
  expect((await ask('approvePromotion', { id })).approval.state).toBe('APPROVED')
  const twin = await ask(
    'twinResource',
    { ...wish, approvalId: id },
    'resource { id name environment state } operation { kind }',
  )
  expect(twin).toMatchObject({
    approval: { state: 'EXECUTED' },
    resource: { name: 'twinned', environment: 'production', state: 'PROVISIONING' },
    operation: { kind: 'resource.provision' },
  })
  expect((await ask('requestTwin', wish)).code).toBe('TWIN_EXISTS')
  expect((await ask('withdrawPromotion', { id })).code).toBe('ILLEGAL_STATE')
  const other = await ask('requestTwin', { resourceId, toEnvironment: 'qa' })
  expect((await ask('withdrawPromotion', { id: other.approval.id })).approval.state).toBe('WITHDRAWN')
})

test('R99 a link approves nothing: by GET neither an approval nor a promotion happens', async () => {
  const { id: stackId } = await stack()
  const asked = await ask('requestPromotion', { stackId, toEnvironment: 'staging' })
  const { id } = asked.approval
  const state = async () =>
    (await api.call('query ($id: ID!) { promotionApproval(id: $id) { state } }', { id })).data.promotionApproval.state
  const link = async (document: string) => {
    const query = new URLSearchParams({ query: document })
    const headers = { authorization: `Bearer ${api.team.token}`, accept: 'application/json' }
    const response = await fetch(`${api.url}/graphql?${query}`, { headers })
    return [response.status, response.headers.get('allow')]
  }
  const approve = `mutation { approvePromotion(input: { id: "${id}" }) { __typename } }`
  expect(await link(approve)).toEqual([405, expect.stringContaining('POST')])
  expect(await state()).toBe('PENDING')
  expect((await api.call(approve)).data.approvePromotion.__typename).toBe('ApprovePromotionPayload')
  const use = `mutation { promoteStack(input: { stackId: "${stackId}", toEnvironment: "staging", approvalId: "${id}" }) { __typename } }`
  expect(await link(use)).toEqual([405, expect.stringContaining('POST')])
  expect(await state()).toBe('APPROVED')
})
