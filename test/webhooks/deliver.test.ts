// Webhooks from the event to the receiver, over real HTTP: what is sent, in which order, what becomes of failures, and that one
// receiver never holds up another.
import { createHmac } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { endTeams } from '../../src/loops/team-end.ts'
import { isRefusal } from '../../src/refusals.ts'
import { createWebhook, deleteWebhook, updateWebhook } from '../../src/resolvers/webhook.ts'
import { redeliverWebhookEvent } from '../../src/resolvers/webhook-delivery.ts'
import { createTeam } from '../fixture.ts'
import { until } from '../loops/fixture.ts'
import { contextFor, withTriggersOff } from '../row.ts'
import { hang, type Received, redirectTo } from './receiver.ts'
import { heardOf, openStage, payloadOf, type Stage } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterEach(async () => void (await stage.forget()))
afterAll(() => stage.close())

let names = 0
const subject = () => `dep_${++names}`
const idsOf = (received: readonly Received[]) => received.map(({ headers }) => headers['webhook-id'])

test('a webhook hears of what happens from then on, as the log tells it, signed by its secret', async () => {
  const receiver = await stage.receiver()
  const one = subject()
  await stage.happens(one)
  const { id, secret } = await stage.webhook(receiver)
  await stage.happens(one, 2)
  const replica = stage.replica()
  const [first, second, ...more] = await receiver.heard(2)
  expect(more).toEqual([])
  const [delivery] = await stage.untilStates(id, 'DELIVERED', 'DELIVERED')
  expect(payloadOf(first as Received)).toEqual({
    type: 'deployment.deploy',
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    data: {
      cursor: expect.any(String),
      occurredAt: payloadOf(first as Received).timestamp,
      teamId: stage.team.teamId,
      kind: 'deploy',
      subjectType: 'Deployment',
      subjectId: one,
      from: null,
      to: 'BUILDING',
      generation: 1,
      version: '1',
      actor: { kind: 'token', id: 'tok_x' },
      requestId: 'req_x',
      operation: { id: 'op_x' },
      data: { name: 'shown' },
    },
  })
  expect(first?.headers['webhook-id']).toBe(delivery?.messageId)
  expect(idsOf([second as Received])).not.toEqual(idsOf([first as Received]))
  const { 'webhook-id': messageId, 'webhook-timestamp': at, 'webhook-signature': signature } = first?.headers ?? {}
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  expect(signature).toBe(`v1,${createHmac('sha256', key).update(`${messageId}.${at}.${first?.text}`).digest('base64')}`)
  await replica.drain()
  expect(await replica.metrics.text()).toContain('pawl_webhook_deliveries_total{outcome="delivered"} 2')
})

test('in the order of each subject, while others overtake one whose turn fails; retries carry the same id', async () => {
  const receiver = await stage.receiver()
  const [slow, quick] = [subject(), subject()]
  let failures = 3
  receiver.answer = (received) => (payloadOf(received).data.subjectId === slow && failures-- > 0 ? 500 : 204)
  const { id } = await stage.webhook(receiver)
  await stage.happens(slow, 3)
  await stage.happens(quick, 3)
  const replica = stage.replica({ timing: { retryMs: [150, 150, 150] } })
  const found = await stage.untilStates(id, ...Array(6).fill('DELIVERED'))
  const heard = heardOf(receiver.received)
  expect(heard.filter((each) => each.startsWith(slow))).toEqual([1, 1, 1, 1, 2, 3].map((n) => `${slow} ${n}`))
  expect(heard.filter((each) => each.startsWith(quick))).toEqual([1, 2, 3].map((n) => `${quick} ${n}`))
  expect(heard.indexOf(`${quick} 3`)).toBeLessThan(heard.indexOf(`${slow} 2`))
  const first = receiver.received.filter((each) => heardOf([each])[0] === `${slow} 1`)
  expect(new Set(idsOf(first)).size).toBe(1)
  expect(found[0]).toMatchObject({ attempt: 4, status: 204, outcome: null })
  await replica.drain()
})

test('a receiver that hangs or fails holds up no other one, and the last error is told', async () => {
  const [hanging, failing, good] = [await stage.receiver(), await stage.receiver(), await stage.receiver()]
  hanging.answer = () => hang
  failing.answer = () => redirectTo('http://127.0.0.1:1/')
  const [bad, worse, fine] = [await stage.webhook(hanging), await stage.webhook(failing), await stage.webhook(good)]
  for (let each = 0; each < 12; each++) await stage.happens(subject(), 2)
  const replica = stage.replica({ timing: { limitMs: 400, retryMs: [60_000] } })
  await good.heard(24)
  expect(hanging.received.length).toBeLessThan(24)
  await stage.untilStates(fine.id, ...Array(24).fill('DELIVERED'))
  const told = await until(async () => {
    const [first] = await stage.deliveries(bad.id)
    expect(first?.outcome).not.toBeNull()
    return [first, (await stage.deliveries(worse.id))[0]]
  })
  expect(told).toMatchObject([
    { state: 'PENDING', status: null, outcome: 'The receiver did not answer within 400 ms.' },
    { state: 'PENDING', status: 302, outcome: expect.stringContaining('redirects are not followed') },
  ])
  for (const { id } of [bad, worse]) await updateWebhook(stage.context, { id, enabled: false })
  await until(async () => expect(await openOnes(bad.id, worse.id)).toBe(0))
  await replica.drain()
})

const openOnes = async (...webhookIds: string[]) => {
  const [row] = await stage.sql<{ count: number }[]>`select count(*)::int as count from webhook_delivery
    where webhook_id = any(${webhookIds}) and state in ('PENDING', 'SENDING')`
  return row?.count
}

test('what waits behind a delivery that is postponed is due no sooner, nor is what comes after it', async () => {
  const receiver = await stage.receiver()
  receiver.answer = () => 500
  const { id } = await stage.webhook(receiver)
  const one = subject()
  await stage.happens(one, 2)
  const replica = stage.replica({ timing: { retryMs: [2_000_000_000] } })
  const due = () => stage.sql`select due_at > now() + interval '1 minute' as later, status from webhook_delivery
    where webhook_id = ${id} order by position`
  await until(async () => expect((await due()).map(({ later }) => later)).toEqual([true, true]))
  await stage.happens(one)
  await stage.happens(subject())
  await receiver.heard(2)
  await until(async () => expect((await due()).map(({ later }) => later)).toEqual([true, true, true, true]))
  expect((await due()).map(({ status }) => status)).toEqual([500, null, null, 500])
  await replica.drain()
})

test('what is never answered well is dead after its attempts, and can be redelivered under the same id', async () => {
  const receiver = await stage.receiver()
  receiver.answer = () => 503
  const { id } = await stage.webhook(receiver)
  const one = subject()
  await stage.happens(one, 2)
  const replica = stage.replica({ timing: { retryMs: [5, 5] } })
  const [dead] = await stage.untilStates(id, 'DEAD', 'DEAD')
  expect(dead).toMatchObject({ attempt: 3, status: 503, outcome: 'The receiver answered 503.' })
  expect(heardOf(receiver.received)).toEqual([1, 1, 1, 2, 2, 2].map((n) => `${one} ${n}`))
  receiver.answer = () => 200
  const input = { id: String(dead?.id), idempotencyKey: crypto.randomUUID() }
  const again = await redeliverWebhookEvent(stage.context, input)
  if (isRefusal(again)) throw new Error(again.message)
  const repeat = await redeliverWebhookEvent(stage.context, input)
  expect(repeat).toMatchObject({ replayed: true, delivery: { id: again.delivery.id } })
  const found = await stage.untilStates(id, 'DEAD', 'DELIVERED', 'DEAD')
  expect(found[1]).toMatchObject({ messageId: dead?.messageId, redeliveryOf: dead?.id, attempt: 1 })
  expect(idsOf(receiver.received.slice(-1))).toEqual([dead?.messageId])
  // What has arrived may be sent once more, too; what is of a redelivery is of the same message.
  const once = await redeliverWebhookEvent(stage.context, { id: again.delivery.id })
  expect(isRefusal(once)).toBe(false)
  await stage.untilStates(id, 'DEAD', 'DELIVERED', 'DELIVERED', 'DEAD')
  expect(new Set(idsOf(receiver.received.slice(-2))).size).toBe(1)
  await replica.drain()
  expect(await replica.metrics.text()).toContain('pawl_webhook_deliveries_total{outcome="dead"} 2')
})

test('410 ends the delivery and disables the webhook; enabled again it hears of what happens from then on', async () => {
  const receiver = await stage.receiver()
  receiver.answer = () => 410
  const { id } = await stage.webhook(receiver)
  await stage.happens(subject(), 2)
  const replica = stage.replica()
  const [gone] = await stage.untilStates(id, 'DEAD', 'DROPPED')
  expect(gone).toMatchObject({ status: 410, outcome: 'The receiver answered 410.' })
  const [row] = await stage.sql`select state from webhook where id = ${id}`
  expect(row?.state).toBe('DISABLED')
  const refused = await redeliverWebhookEvent(stage.context, { id: String(gone?.id) })
  expect(refused).toMatchObject({ refusal: 'IllegalState', remedies: [{ mutation: 'updateWebhook' }] })
  await stage.happens(subject())
  receiver.answer = () => 204
  expect(await updateWebhook(stage.context, { id, enabled: true })).toMatchObject({ webhook: { state: 'ACTIVE' } })
  const later = subject()
  await stage.happens(later)
  await stage.untilStates(id, 'DEAD', 'DROPPED', 'DELIVERED')
  expect(heardOf(receiver.received.slice(-1))).toEqual([`${later} 1`])
  await replica.drain()
})

test.each(['disabled', 'deleted'])(
  '%s, a webhook hears of nothing more, not even of what was on its way',
  async (how) => {
    const receiver = await stage.receiver()
    receiver.answer = () => 500
    const { id } = await stage.webhook(receiver)
    const one = subject()
    await stage.happens(one, 2)
    const replica = stage.replica({ timing: { retryMs: [60_000] } })
    await until(async () => expect((await stage.deliveries(id))[0]?.status).toBe(500))
    const ended = await (how === 'disabled'
      ? updateWebhook(stage.context, { id, enabled: false })
      : deleteWebhook(stage.context, { id }))
    expect(ended).toMatchObject({ webhook: { state: how.toUpperCase() } })
    await stage.untilStates(id, 'DROPPED', 'DROPPED')
    await stage.happens(one)
    const other = await stage.receiver()
    const { id: otherId } = await stage.webhook(other)
    await stage.happens(subject())
    await stage.untilStates(otherId, 'DELIVERED')
    expect(await stage.deliveries(id)).toHaveLength(2)
    expect(receiver.received).toHaveLength(1)
    await replica.drain()
  },
)

test('while a secret is rotated both sign, for a day', async () => {
  const receiver = await stage.receiver()
  const { id, secret } = await stage.webhook(receiver)
  const rotated = await updateWebhook(stage.context, { id, rotateSecret: true })
  if (isRefusal(rotated)) throw new Error(rotated.message)
  expect(rotated.secret).toMatch(/^whsec_/)
  await stage.happens(subject())
  const replica = stage.replica()
  const [first] = await receiver.heard(1)
  const signedBy = (received: Received | undefined, whsec: string) => {
    const { 'webhook-id': messageId, 'webhook-timestamp': at } = received?.headers ?? {}
    const key = Buffer.from(whsec.slice('whsec_'.length), 'base64')
    return `v1,${createHmac('sha256', key).update(`${messageId}.${at}.${received?.text}`).digest('base64')}`
  }
  const fresh = String(rotated.secret)
  expect(first?.headers['webhook-signature']).toBe(`${signedBy(first, fresh)} ${signedBy(first, secret)}`)
  await stage.sql`update webhook set secret_changed_at = now() - interval '25 hours' where id = ${id}`
  await stage.happens(subject())
  const [, second] = await receiver.heard(2)
  expect(second?.headers['webhook-signature']).toBe(signedBy(second, fresh))
  await replica.drain()
})

test('a filter asks for kinds, types and subjects, all that it names; another team\u2019s events are nobody\u2019s', async () => {
  const receiver = await stage.receiver()
  const [mine, other] = [subject(), subject()]
  const { id } = await stage.webhook(receiver, { filter: { kinds: ['deploy'], subjectTypes: ['Deployment'] } })
  await stage.sql`update webhook set filter = jsonb_set(filter, '{subjects}', ${stage.sql.json([mine])}) where id = ${id}`
  const wrongKind = await stage.webhook(receiver, { filter: { kinds: ['redeployDeployment'] } })
  const wrongType = await stage.webhook(receiver, { filter: { kinds: ['deploy'], subjectTypes: ['Stack'] } })
  await stage.happens(mine, 1, 'team_other')
  await stage.happens(other)
  await stage.happens(mine)
  const replica = stage.replica()
  const [delivery] = await stage.untilStates(id, 'DELIVERED')
  expect(delivery?.subject).toBe(mine)
  expect([...(await stage.deliveries(wrongKind.id)), ...(await stage.deliveries(wrongType.id))]).toEqual([])
  await replica.drain()
})

test('nobody is told of deliveries; a webhook without a filter is told of all else, its own birth too', async () => {
  const receiver = await stage.receiver()
  receiver.answer = () => 500
  const { id } = await stage.webhook(receiver, { filter: null })
  await stage.happens(subject())
  const replica = stage.replica({ timing: { retryMs: [] } })
  const [dead] = await stage.untilStates(id, 'DEAD', 'DEAD')
  receiver.answer = () => 200
  await redeliverWebhookEvent(stage.context, { id: String(dead?.id) })
  await stage.happens(subject())
  await until(async () => expect(await openOnes(id)).toBe(0))
  await until(() => expect(receiver.received).toHaveLength(4))
  expect(receiver.received.map((each) => payloadOf(each).data.subjectType)).toEqual([
    'Webhook',
    'Deployment',
    'Webhook',
    'Deployment',
  ])
  await replica.drain()
})

test('with its team a webhook ends, its secret is erased and what is on its way is dropped', async () => {
  const team = await createTeam(stage.url)
  const context = contextFor(stage.db, team.actor)
  const made = await createWebhook(context, { url: 'http://127.0.0.1:1/', filter: { kinds: ['deploy'] } })
  if (isRefusal(made)) throw new Error(made.message)
  const { id } = made.webhook
  await stage.happens(subject(), 1, team.teamId)
  const replica = stage.replica({ timing: { retryMs: [60_000] } })
  await stage.untilStates(id, 'PENDING')
  await withTriggersOff(stage.sql, async (tx) => {
    await tx`update team set state = 'DELETION_REQUESTED', deletion_at = now() - interval '1 minute' where id = ${team.teamId}`
  })
  const cause = { actor: { kind: 'loop', id: 'teardown' }, requestId: 'test' }
  await endTeams(stage.db, () => {}, cause, AbortSignal.timeout(10_000))
  await stage.untilStates(id, 'DROPPED')
  const [row] = await stage.sql`select state, secret, previous_secret from webhook where id = ${id}`
  expect(row).toEqual({ state: 'DELETED', secret: null, previous_secret: null })
  await replica.drain()
})
