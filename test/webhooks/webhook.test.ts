// Webhooks through the door: every mutation and refusal of it, what is shown to whom, that a secret is shown once, and that
// neither it nor the URL is in any event, log or answer that should not have it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { createTeam, createToken, superuser } from '../fixture.ts'
import { testSealing } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { mutate } from '../schema/call.ts'

let api: Api
let sql: ReturnType<typeof superuser>
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const seen = 'id state version url filter { kinds subjectTypes subjects } secretChangedAt'
const payload = (name: string) => `... on ${name}Payload { replayed signingSecret webhook { ${seen} } }
  ... on AddressRefused { reason } ... on ValidationFailed { faults { path } } ... on QuotaExceeded { limit cap used }`
const create = (input: object, token?: string) => mutate(api, 'createWebhook', input, payload('CreateWebhook'), token)
const update = (input: object, token?: string) =>
  mutate(
    api,
    'updateWebhook',
    input,
    `${payload('UpdateWebhook').replace('... on QuotaExceeded { limit cap used }', '')} ... on IllegalState { webhook { state } }
      ... on VersionConflict { currentVersion webhook { id } }`,
    token,
  )
const del = (id: string) =>
  mutate(
    api,
    'deleteWebhook',
    { id },
    '... on DeleteWebhookPayload { webhook { state } } ... on IllegalState { webhook { state } }',
  )
const redeliver = (id: string, more = {}) =>
  mutate(
    api,
    'redeliverWebhookEvent',
    { id, ...more },
    '... on RedeliverWebhookEventPayload { replayed webhook { id } delivery { id state messageId redeliveryOf attempts } }',
  )
let nth = 0
const url = () => `https://hooks.example/canary-url-${++nth}`
const stored = async (id: string) =>
  (await sql`select secret, previous_secret, cursor::int, version from webhook where id = ${id}`)[0]
const open = (id: string, sealed: string) => testSealing.open(sealed, [api.team.teamId, id, 'secret'])

test('is made with its secret, which is shown once and never in a replay', async () => {
  const input = { url: url(), filter: { kinds: ['deploy'] }, idempotencyKey: 'made-once' }
  const made = await create(input)
  expect(made).toMatchObject({
    replayed: false,
    signingSecret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    webhook: {
      state: 'ACTIVE',
      version: '1',
      url: input.url,
      filter: { kinds: ['deploy'], subjectTypes: null, subjects: null },
    },
  })
  const { id } = made.webhook
  expect(open(id, (await stored(id))?.secret)).toBe(made.signingSecret)
  expect(await create(input)).toMatchObject({ replayed: true, signingSecret: null, webhook: { id } })
  expect(await create({ ...input, url: url() })).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
  const [{ input_hash: hash } = { input_hash: '' }] =
    await sql`select input_hash from idempotency_key where key = 'made-once'`
  expect(hash).toMatch(/^v1\./)
})

test('an address that may not be called is refused', async () => {
  expect(await create({ url: 'https://private.example/' })).toMatchObject({
    code: 'ADDRESS_REFUSED',
    retryable: false,
    reason: 'The host has no address, or one that is not public.',
  })
})

test('is changed in what is given, and in nothing else', async () => {
  const { webhook, signingSecret } = await create({ url: url() })
  const { id } = webhook
  const subject = await mutate(
    api,
    'deploy',
    { name: 'watched', image: 'hello' },
    '... on DeployPayload { deployment { id } }',
  )
  const filter = { subjects: [subject.deployment.id], subjectTypes: ['Deployment'] }
  const narrowed = await update({ id, filter, expectedVersion: webhook.version })
  expect(narrowed).toMatchObject({
    signingSecret: null,
    webhook: {
      url: webhook.url,
      version: '2',
      filter: { ...filter, kinds: null },
      secretChangedAt: webhook.secretChangedAt,
    },
  })
  expect(await update({ id, enabled: false, expectedVersion: webhook.version })).toMatchObject({
    code: 'VERSION_CONFLICT',
    currentVersion: '2',
    webhook: { id },
  })
  expect(await update({ id, enabled: false })).toMatchObject({ webhook: { state: 'DISABLED' } })
  expect(await update({ id, enabled: true, url: 'https://private.example/' })).toMatchObject({
    code: 'ADDRESS_REFUSED',
  })
  const there = url()
  const rotated = await update({ id, enabled: true, url: there, rotateSecret: true, idempotencyKey: 'rotated' })
  expect(rotated).toMatchObject({ webhook: { state: 'ACTIVE', url: there, filter: { subjectTypes: ['Deployment'] } } })
  expect(rotated.signingSecret).not.toBe(signingSecret)
  const { secret, previous_secret: previous } = (await stored(id)) ?? {}
  expect([open(id, secret), open(id, previous)]).toEqual([rotated.signingSecret, signingSecret])
  const repeat = { id, enabled: true, url: there, rotateSecret: true, idempotencyKey: 'rotated' }
  expect(await update(repeat)).toMatchObject({ replayed: true, signingSecret: null })
})

test('deleted it has no secret, and nothing of it changes any more', async () => {
  const { id } = (await create({ url: url() })).webhook
  expect(await del(id)).toMatchObject({ webhook: { state: 'DELETED' } })
  expect(await stored(id)).toMatchObject({ secret: null, previous_secret: null })
  const refused = { code: 'ILLEGAL_STATE', webhook: { state: 'DELETED' } }
  expect(await del(id)).toMatchObject(refused)
  expect(await update({ id, enabled: true })).toMatchObject(refused)
  const { data } = await api.call(`{ webhook(id: "${id}") { allowedActions { action allowed because } } }`)
  expect(data.webhook.allowedActions).toMatchObject([
    { action: 'updateWebhook', allowed: false, because: 'It is DELETED; updateWebhook starts from ACTIVE, DISABLED.' },
    { action: 'deleteWebhook', allowed: false },
  ])
})

test.each([
  [{ url: url(), filter: { kinds: [] } }, ['input', 'filter', 'kinds']],
  [{ url: url(), filter: { kinds: ['redeploy'] } }, ['input', 'filter', 'kinds', '0']],
  [{ url: url(), filter: { subjectTypes: ['Cat'] } }, ['input', 'filter', 'subjectTypes', '0']],
  [{ url: url(), filter: { subjects: ['dep_x'] } }, ['input', 'filter', 'subjects', '0']],
  [{ url: `https://hooks.example/${'a'.repeat(2_000)}` }, ['input', 'url']],
])('an input that breaks a rule is told so: case %#', async (input, path) => {
  expect(await create(input)).toMatchObject({ code: 'VALIDATION_FAILED', faults: [{ path }] })
})

test('what there is nothing to change by is told so; a subject that is not there is not found', async () => {
  const { id } = (await create({ url: url() })).webhook
  expect(await update({ id })).toMatchObject({ code: 'VALIDATION_FAILED', faults: [{ path: ['input', 'url'] }] })
  const filter = { subjects: [newId('Deployment')] }
  expect(await update({ id, filter })).toMatchObject({ code: 'NOT_FOUND', remedies: [{ query: 'events' }] })
})

test('the plan has room for so many; one that is deleted makes room', async () => {
  const team = await createTeam(api.database.url)
  await sql`update plan_usage set cap = 1 where team_id = ${team.teamId} and kind = 'webhooks'`
  const first = await create({ url: url() }, team.token)
  expect(first.webhook.state).toBe('ACTIVE')
  expect(await create({ url: url() }, team.token)).toMatchObject({
    code: 'QUOTA_EXCEEDED',
    limit: 'webhooks',
    cap: 1,
    used: 1,
    remedies: [{ query: 'webhooks' }],
  })
  await mutate(api, 'deleteWebhook', { id: first.webhook.id }, '', team.token)
  expect((await create({ url: url() }, team.token)).webhook.state).toBe('ACTIVE')
})

test('another team does not find it, and a viewer sees all of it but the URL', async () => {
  const { id } = (await create({ url: url() })).webhook
  const other = await createTeam(api.database.url)
  expect(await update({ id, enabled: false }, other.token)).toMatchObject({ code: 'NOT_FOUND' })
  const query = `{ webhook(id: "${id}") { id url filter { kinds } deliveries { totalCount } } }`
  expect((await api.call(query, {}, other.token)).data).toEqual({ webhook: null })
  const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read'] })
  const { data } = await api.call(query, {}, token)
  expect(data.webhook).toEqual({ id, url: null, filter: { kinds: null }, deliveries: { totalCount: 0 } })
  expect(await update({ id, enabled: false }, token)).toMatchObject({ code: 'FORBIDDEN' })
})

/** A delivery as the loop would leave it. */
async function delivery(webhookId: string, state: string, position: number) {
  const id = newId('WebhookDelivery')
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`
    await tx`insert into webhook_delivery (id, state, team_id, webhook_id, position, subject_id, message_id, attempt, status, outcome)
      values (${id}, ${state}, ${api.team.teamId}, ${webhookId}, ${position}, 'dep_x', ${id}, 3, 500, 'The receiver answered 500.')`
  })
  return id
}

test('deliveries are listed by state with all that is known of them, and redelivered when they have ended', async () => {
  const { id } = (await create({ url: url() })).webhook
  const [dead, waiting] = [await delivery(id, 'DEAD', 7), await delivery(id, 'PENDING', 8)]
  const { data } = await api.call(`{ webhook(id: "${id}") {
    dead: deliveries(filter: { states: [DEAD] }) { totalCount nodes { id state attempts status lastError nextAttemptAt eventCursor messageId
      allowedActions { action allowed } webhook { id } } }
    waiting: deliveries(filter: { states: [PENDING, SENDING] }) { totalCount nodes { id nextAttemptAt allowedActions { because } } }
    all: deliveries(first: 1) { totalCount nodes { id } }
    none: deliveries(filter: { states: [] }) { totalCount } } }`)
  expect(data.webhook.dead).toMatchObject({
    totalCount: 1,
    nodes: [
      {
        id: dead,
        state: 'DEAD',
        attempts: 3,
        status: 500,
        lastError: 'The receiver answered 500.',
        nextAttemptAt: null,
        messageId: dead,
        allowedActions: [{ action: 'redeliverWebhookEvent', allowed: true }],
        webhook: { id },
      },
    ],
  })
  expect(data.webhook.waiting).toMatchObject({
    totalCount: 1,
    nodes: [
      {
        id: waiting,
        nextAttemptAt: expect.any(String),
        allowedActions: [{ because: 'It is PENDING: it has not ended yet.' }],
      },
    ],
  })
  expect(data.webhook).toMatchObject({ all: { totalCount: 2 }, none: { totalCount: 0 } })
  expect(data.webhook.all.nodes).toHaveLength(1)
  expect(await redeliver(waiting)).toMatchObject({ code: 'ILLEGAL_STATE', retryable: true })
  const again = await redeliver(dead, { idempotencyKey: 'again' })
  expect(again).toMatchObject({ replayed: false, webhook: { id } })
  expect(again.delivery).toMatchObject({ state: 'PENDING', messageId: dead, redeliveryOf: dead, attempts: 0 })
  const repeat = await redeliver(dead, { idempotencyKey: 'again' })
  expect(repeat).toMatchObject({ replayed: true, delivery: { id: again.delivery.id } })
  expect(await redeliver(waiting, { idempotencyKey: 'again' })).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
  expect(await redeliver(newId('WebhookDelivery'))).toMatchObject({
    code: 'NOT_FOUND',
    remedies: [{ query: 'webhooks' }],
  })
  await update({ id, enabled: false })
  const refused = await redeliver(dead)
  const [remedy] = refused.remedies
  expect(refused).toMatchObject({ code: 'ILLEGAL_STATE', remedies: [{ mutation: 'updateWebhook' }] })
  expect(await update(remedy.arguments.input)).toMatchObject({ webhook: { state: 'ACTIVE' } })
  expect(await redeliver(dead)).toMatchObject({ replayed: false })
})

test('neither a secret nor a URL is in an event, a log line or a list that is not for it', async () => {
  const { id } = (await create({ url: url() })).webhook
  await update({ id, rotateSecret: true, url: url() })
  const events = await sql`select * from event where subject_id = ${id}`
  expect(events.map(({ kind, data }) => [kind, data])).toEqual([
    ['createWebhook', null],
    ['updateWebhook', { url: true, filter: false, secret: true }],
  ])
  const { text } = await api.call('{ webhooks { nodes { id filter { kinds } events { nodes { kind data } } } } }')
  for (const where of [JSON.stringify(events), api.logged.join('\n'), text])
    expect(where).not.toMatch(/whsec_|canary-url/)
})
