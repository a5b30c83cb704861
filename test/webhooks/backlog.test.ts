// What keeps a receiver that is dead or slow from costing more than it must: a webhook that nothing reaches is disabled, what no
// worker survives is buried, and whoever has nothing to be told is not looked at.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import { updateWebhook } from '../../src/resolvers/webhook.ts'
import { redeliverWebhookEvent } from '../../src/resolvers/webhook-delivery.ts'
import { newsAfter, webhooksById } from '../../src/resolvers/webhook-read.ts'
import { createGates } from '../interleave.ts'
import { until } from '../loops/fixture.ts'
import { type Answer, hang } from './receiver.ts'
import { openStage, payloadOf, type Stage } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterEach(async () => void (await stage.forget()))
afterAll(() => stage.close())

let names = 0
const subject = () => `dep_backlog${++names}`
const webhookOf = async (id: string) => (await webhooksById(stage.db, stage.team.teamId, [id]))[0]
const times = (count: number, state: string): string[] => Array(count).fill(state)

test('a webhook of which five deliveries in a row ended DEAD is disabled and says why; enabled it has five again', async () => {
  const receiver = await stage.receiver()
  receiver.answer = (received) => (payloadOf(received).data.version === '5' ? 204 : 503)
  const { id } = await stage.webhook(receiver)
  const replica = stage.replica({ timing: { retryMs: [] } })
  // One subject, so that they end one after the other.
  await stage.happens(subject(), 9)
  await stage.untilStates(id, ...times(4, 'DEAD'), 'DELIVERED', ...times(4, 'DEAD'))
  expect(await webhookOf(id)).toMatchObject({ state: 'ACTIVE', stateReason: null })
  await stage.happens(subject(), 3)
  const ended = [...times(4, 'DEAD'), 'DELIVERED', ...times(5, 'DEAD')]
  await stage.untilStates(id, ...ended, 'DROPPED', 'DROPPED')
  const stateReason = 'the last 5 deliveries in a row ended DEAD'
  expect(await webhookOf(id)).toMatchObject({ state: 'DISABLED', stateReason })
  const [event] = await stage.sql`select from_state, to_state, actor_kind, actor_id from event
    where subject_id = ${id} and kind = 'disableWebhook'`
  expect(event).toEqual({ from_state: 'ACTIVE', to_state: 'DISABLED', actor_kind: 'loop', actor_id: 'deliver' })
  expect(await updateWebhook(stage.context, { id, enabled: true })).toMatchObject({ webhook: { stateReason: null } })
  await stage.happens(subject())
  await stage.untilStates(id, ...ended, 'DROPPED', 'DROPPED', 'DEAD')
  expect(await webhookOf(id)).toMatchObject({ state: 'ACTIVE' })
  await replica.drain()
  expect(await replica.metrics.text()).toMatch(/pawl_transitions_total{[^}]*action="disableWebhook"[^}]*} 1/)
})

test('410 disables the webhook and says why', async () => {
  const receiver = await stage.receiver()
  receiver.answer = () => 410
  const { id } = await stage.webhook(receiver)
  await stage.happens(subject())
  const replica = stage.replica()
  await stage.untilStates(id, 'DEAD')
  expect(await webhookOf(id)).toMatchObject({ state: 'DISABLED', stateReason: 'its receiver answered 410 Gone' })
  await replica.drain()
})

test('R71 a delivery at which every worker dies is dead after its attempts, and no further worker takes it', async () => {
  const receiver = await stage.receiver()
  const { id } = await stage.webhook(receiver)
  await stage.happens(subject())
  const timing = { retryMs: [10] }
  for (const attempt of [1, 2]) {
    const gates = createGates()
    const gate = gates.park('read:webhook.drafts')
    const dies = stage.replica({ wrap: gates.wrap, timing })
    await gate.reached
    await dies.kill()
    gate.release()
    await dies.drain()
    expect(await stage.deliveries(id)).toMatchObject([{ state: 'SENDING', attempt }])
    await stage.sql`update webhook_delivery set due_at = now() - interval '1 second' where webhook_id = ${id}`
  }
  const gates = createGates()
  const gate = gates.park('buryAbandoned')
  const lives = stage.replica({ wrap: gates.wrap, timing })
  await gate.reached
  // The second claim is asked for when the first one was answered.
  await until(() => expect(gates.ran.filter((name) => name === 'claimDelivery').length).toBeGreaterThan(1))
  gate.release()
  const [delivery] = await stage.untilStates(id, 'DEAD')
  expect(delivery).toMatchObject({
    attempt: 2,
    outcome: 'Each worker that sent it ended before it could say what was answered.',
  })
  await lives.drain()
  expect(receiver.received).toEqual([])
  expect(await lives.metrics.text()).toContain('pawl_webhook_deliveries_total{outcome="dead"} 1')
})

/** A receiver whose answers wait to be given, one by one. */
async function heldReceiver() {
  const receiver = await stage.receiver()
  const given: ((answer: Answer) => void)[] = []
  receiver.answer = () => new Promise((resolve) => given.push(resolve))
  return { receiver, answer: (nth: number, status: Answer) => given[nth]?.(status) }
}

test('what is redelivered from before one that is postponed keeps its turn', async () => {
  const receiver = await stage.receiver()
  receiver.answer = () => 500
  const { id } = await stage.webhook(receiver)
  const one = subject()
  await stage.happens(one)
  const first = stage.replica({ timing: { retryMs: [] } })
  const [dead] = await stage.untilStates(id, 'DEAD')
  await first.drain()
  const held: ((answer: Answer) => void)[] = []
  receiver.answer = () => new Promise((resolve) => held.push(resolve))
  await stage.happens(one)
  const second = stage.replica({ timing: { retryMs: [2_000_000_000] } })
  await receiver.heard(2)
  // It takes nothing more, and ends what is under way.
  const drained = second.drain()
  const again = await redeliverWebhookEvent(stage.context, { id: String(dead?.id) })
  if (isRefusal(again)) throw new Error(again.message)
  await until(() => (held[0] as (answer: Answer) => void)(500))
  await drained
  const due = await stage.sql`select state, due_at > now() + interval '1 minute' as later from webhook_delivery
    where webhook_id = ${id} order by position, created_at, id`
  expect(due).toEqual([
    { state: 'DEAD', later: false },
    { state: 'PENDING', later: false },
    { state: 'PENDING', later: true },
  ])
})

test('the end of an attempt asks for the next claim, and for nothing that looks at all webhooks', async () => {
  const { receiver, answer } = await heldReceiver()
  const { id } = await stage.webhook(receiver)
  await stage.happens(subject(), 2)
  const gates = createGates()
  const replica = stage.replica({ wrap: gates.wrap, timing: { pollMs: 600_000 } })
  await receiver.heard(1)
  // What the first passes still had to do is done.
  await until(() => expect(gates.ran).toContain('buryAbandoned'))
  await until(() => expect(gates.ran.filter((name) => name === 'read:webhook.news')).toHaveLength(2))
  const before = gates.ran.length
  answer(0, 204)
  await receiver.heard(2)
  answer(1, 204)
  await stage.untilStates(id, 'DELIVERED', 'DELIVERED')
  await replica.drain()
  const after = gates.ran.slice(before)
  expect(after).toContain('claimDelivery')
  for (const name of ['read:webhook.news', 'fanOutWebhook', 'dropDelivery']) expect(after).not.toContain(name)
})

test('a team without events since the last look is not looked at; what was overlooked is found by the next look at all', async () => {
  const receiver = await stage.receiver()
  await stage.happens(subject())
  const { id } = await stage.webhook(receiver)
  const { newest } = await newsAfter(stage.db, null, 20)
  expect(await newsAfter(stage.db, null, 20)).toEqual({ teams: [], newest })
  // As if it had been made by a statement that had not seen the last event, and had come to its end only now.
  await stage.sql`update webhook set cursor = cursor - 1, version = version + 1 where id = ${id}`
  expect(await newsAfter(stage.db, newest, 20)).toEqual({ teams: [], newest })
  expect(await newsAfter(stage.db, newest - 1, 20)).toEqual({ teams: [stage.team.teamId], newest })
  expect(await newsAfter(stage.db, null, 20)).toEqual({ teams: [stage.team.teamId], newest })
  const replica = stage.replica({ timing: { everyWebhookMs: 50 } })
  await stage.untilStates(id, 'DELIVERED')
  await stage.sql`update webhook set cursor = cursor - 1, version = version + 1 where id = ${id}`
  await stage.sql`delete from webhook_delivery where webhook_id = ${id}`
  await stage.untilStates(id, 'DELIVERED')
  await replica.drain()
})

test('receivers that never answer leave places to one that does', async () => {
  const dead = await stage.receiver()
  const live = await stage.receiver()
  dead.answer = () => (dead.received.length <= 12 ? 503 : hang)
  for (let made = 0; made < 12; made++) await stage.webhook(dead)
  for (let made = 0; made < 6; made++) await stage.happens(subject())
  const replica = stage.replica({ timing: { limitMs: 4_000 } })
  const failed = async () => /outcome="failed"} (\d+)/.exec(await replica.metrics.text())?.[1]
  // All have failed once, and some hang.
  await until(async () => expect(await failed()).toBe('12'))
  await dead.heard(20)
  const { id } = await stage.webhook(live)
  await stage.happens(subject())
  await stage.untilStates(id, 'DELIVERED')
  expect(live.received).toHaveLength(1)
  expect(await failed()).toBe('12')
  await replica.drain()
})
