// Webhooks under crashes and beside each other: what was stored is sent though the sender dies, nothing is stored twice or left
// out, and one delivery is sent by one replica at a time. Each guard is taken out once, to see that its test fails then.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createWebhook, deleteWebhook, updateWebhook, type WebhookPayload } from '../../src/resolvers/webhook.ts'
import { createGates, hold, holdRow, type Mutation, mutating, stalling, untilBlocked } from '../interleave.ts'
import { until } from '../loops/fixture.ts'
import { contextFor } from '../row.ts'
import type { Answer } from './receiver.ts'
import { heardOf, openStage, type Stage } from './stage.ts'

let stage: Stage
let bare: Stage
beforeAll(async () => {
  stage = await openStage()
  bare = await openStage({ guards: false })
})
afterAll(async () => {
  await stage.close()
  await bare.close()
})

afterEach(async () => {
  await stage.forget()
  await bare.forget()
})

let names = 0
const subject = () => `dep_race${++names}`
const idsOf = (received: readonly { headers: Record<string, unknown> }[]) =>
  received.map(({ headers }) => headers['webhook-id'])
/** The lease of what is being sent is over, as if its time had passed. */
const leaseIsOver = ({ sql }: Stage, webhookId: string) =>
  sql`update webhook_delivery set due_at = now() - interval '1 second' where webhook_id = ${webhookId} and state = 'SENDING'`
/** A receiver whose answers wait to be given, one by one. */
async function held(on: Stage) {
  const receiver = await on.receiver()
  const given: ((answer: Answer) => void)[] = []
  receiver.answer = () => new Promise((resolve) => given.push(resolve))
  const answer = (nth: number, status: Answer) => until(() => (given[nth] as (status: Answer) => void)(status))
  return { receiver, answer }
}

/** A replica that stands before a statement of that name, with a delivery that is on its way to a webhook. */
async function standing(on: Stage, name: string, { mutations = [], timing = {} }: Standing = {}) {
  const receiver = await on.receiver()
  const { id } = await on.webhook(receiver)
  await on.happens(subject())
  const gates = createGates()
  const gate = gates.park(name)
  const replica = on.replica({ wrap: (channel) => gates.wrap(mutating(...mutations)(channel)), timing })
  await gate.reached
  return { receiver, id, gate, replica }
}
interface Standing {
  readonly mutations?: readonly Mutation[]
  readonly timing?: { readonly leaseMs?: number }
}

test('R44 killed between the POST and its being noted, it is sent again, under the same id', async () => {
  const { receiver, id, gate, replica: first } = await standing(stage, 'markDelivered', { timing: { leaseMs: 1_500 } })
  await first.kill()
  gate.release()
  await first.drain()
  expect(await stage.deliveries(id)).toMatchObject([{ state: 'SENDING', attempt: 1 }])
  await leaseIsOver(stage, id)
  const second = stage.replica()
  const [delivery] = await stage.untilStates(id, 'DELIVERED')
  expect(delivery?.attempt).toBe(2)
  expect(idsOf(receiver.received)).toEqual([delivery?.messageId, delivery?.messageId])
  await second.drain()
})

/** Kills a replica that has claimed a delivery and not sent it; then another one is started. */
async function killedBeforePost(on: Stage, ...mutations: Mutation[]) {
  const { receiver, id, gate, replica: first } = await standing(on, 'read:webhook.drafts', { mutations })
  await first.kill()
  gate.release()
  await first.drain()
  await leaseIsOver(on, id)
  const second = on.replica()
  const [{ state } = { state: '' }] = await until(async () => {
    const found = await on.deliveries(id)
    expect(found[0]?.state).toBe('DELIVERED')
    return found
  })
  await second.drain()
  return { state, sent: receiver.received.length }
}

test('R44 killed between the claim and the POST, it is sent by another one; noted as sent before it is, it would be lost', async () => {
  expect(await killedBeforePost(stage)).toEqual({ state: 'DELIVERED', sent: 1 })
  const notedBefore = { name: 'claimDelivery', from: `"state" = 'SENDING'`, to: `"state" = 'DELIVERED'` }
  expect(await killedBeforePost(bare, notedBefore)).toEqual({ state: 'DELIVERED', sent: 0 })
})

test('R49 a fan-out whose answer is lost has stored every event once, with its cursor', async () => {
  const receiver = await stage.receiver()
  const { id } = await stage.webhook(receiver)
  const one = subject()
  await stage.happens(one, 60)
  const gates = createGates()
  const gate = gates.park('fanOutWebhook', { when: 'after' })
  const first = stage.replica({ wrap: gates.wrap })
  await gate.reached
  await first.kill()
  gate.release()
  await first.drain()
  const second = stage.replica()
  await stage.untilStates(id, ...Array(60).fill('DELIVERED'))
  expect(heardOf(receiver.received)).toEqual(Array.from({ length: 60 }, (_, n) => `${one} ${n + 1}`))
  await second.drain()
})

/** How many of 60 events a webhook is told of. */
async function told(on: Stage, ...mutations: Mutation[]): Promise<number> {
  const receiver = await on.receiver()
  const { id } = await on.webhook(receiver)
  await on.happens(subject(), 60)
  const replica = on.replica({ wrap: mutating(...mutations) })
  await until(async () => {
    const [row] =
      await on.sql`select cursor = (select max(position) from event) as through from webhook where id = ${id}`
    expect(row?.through).toBe(true)
  })
  const { length } = await on.deliveries(id)
  await updateWebhook(on.context, { id, enabled: false })
  await replica.drain()
  return length
}

test('R49 the cursor goes no further than what is stored; one that goes ahead drops events', async () => {
  expect(await told(stage)).toBe(60)
  const ahead = {
    name: 'fanOutWebhook',
    from: '"cursor" = greatest(found.cursor,',
    to: '"cursor" = greatest((select max(position) from event),',
  }
  expect(await told(stage, ahead)).toBeLessThan(26)
})

test('R49 of two fan-outs at once, one with an older view, each event is stored once; a webhook that is held is looked at later', async () => {
  const receiver = await stage.receiver()
  const { id } = await stage.webhook(receiver)
  const lock = 7_001
  const stranger = await hold(stage.sql, `select pg_advisory_lock(${lock})`)
  await stage.happens(subject(), 3)
  const stalled = stage.replica({ wrap: mutating(...stalling('fanOutWebhook', 'webhook', lock)) })
  await untilBlocked(stage.sql, 'fanOutWebhook')
  const quick = stage.replica()
  await stage.untilStates(id, ...Array(3).fill('DELIVERED'))
  await stranger.run(`select pg_advisory_unlock(${lock})`)
  await stranger.release()
  const row = await holdRow(stage.sql, 'webhook', id)
  await stage.happens(subject())
  const other = await stage.webhook(receiver)
  await stage.happens(subject())
  await stage.untilStates(other.id, 'DELIVERED')
  expect(await stage.deliveries(id)).toHaveLength(3)
  await row.release()
  await stage.untilStates(id, ...Array(5).fill('DELIVERED'))
  expect([...stalled.lines, ...quick.lines].filter((line) => line.startsWith('error'))).toEqual([])
  await Promise.all([stalled.drain(), quick.drain()])
})

/** Beside one that is sending, another replica claims from an older view; how many requests the receiver has then had. */
async function beside(on: Stage, ...mutations: Mutation[]): Promise<number> {
  const { receiver, answer } = await held(on)
  const { id } = await on.webhook(receiver)
  const lock = 7_002
  const stranger = await hold(on.sql, `select pg_advisory_lock(${lock})`)
  await on.happens(subject())
  const gates = createGates()
  const claims = () => gates.ran.filter((name) => name === 'claimDelivery').length
  const rewritten = mutating(...stalling('claimDelivery', 'webhook_delivery', lock), ...mutations)
  // Its view is one with the delivery in it.
  const gate = gates.park('claimDelivery')
  const late = on.replica({ wrap: (channel) => gates.wrap(rewritten(channel)) })
  await on.untilStates(id, 'PENDING')
  gate.release()
  await untilBlocked(on.sql, 'claimDelivery')
  const first = on.replica()
  await receiver.heard(1)
  await stranger.run(`select pg_advisory_unlock(${lock})`)
  await stranger.release()
  const before = claims()
  // Its claim has been answered and the next one, too: whatever it has got is on its way, and without a guard it has got it.
  if (mutations.length > 0) await receiver.heard(2)
  else await until(() => expect(claims()).toBeGreaterThan(before + 1))
  const heard = receiver.received.length
  for (let nth = 0; nth < heard; nth++) await answer(nth, 204)
  await updateWebhook(on.context, { id, enabled: false })
  await Promise.all([first.drain(), late.drain()])
  return heard
}

test('R39 two replicas never send one delivery at once; without the guard of the claim they do', async () => {
  expect(await beside(stage)).toBe(1)
  const unguarded = ['"webhook_delivery"."due_at" <= now()', '"found"."due_at" <= now()']
  expect(await beside(bare, ...unguarded.map((from) => ({ name: 'claimDelivery', from, to: 'true' })))).toBe(2)
})

/** An answer comes after the lease is over and another attempt is under way: the state that it leaves. */
async function answeredLate(on: Stage, ...mutations: Mutation[]): Promise<string | undefined> {
  const { receiver, answer } = await held(on)
  const { id } = await on.webhook(receiver)
  await on.happens(subject())
  const gates = createGates()
  const replica = on.replica({ wrap: (channel) => gates.wrap(mutating(...mutations)(channel)) })
  await receiver.heard(1)
  await leaseIsOver(on, id)
  await receiver.heard(2)
  const noted = gates.park('markDelivered', { when: 'after' })
  await answer(0, 200)
  await noted.reached
  const [delivery] = await on.deliveries(id)
  noted.release()
  await answer(1, 204)
  await on.untilStates(id, 'DELIVERED')
  await replica.drain()
  return delivery?.state
}

test('R16 who has lost the claim notes nothing: the one that has it does', async () => {
  expect(await answeredLate(stage)).toBe('SENDING')
  const from = '"found"."claim_token" ='
  expect(await answeredLate(bare, { name: 'markDelivered', from, to: `'' is not null or ${from}` })).toBe('DELIVERED')
})

test('R39 who was held up between claim and POST for as long as the lease does not send', async () => {
  const { receiver, id, gate, replica } = await standing(stage, 'read:webhook.drafts', { timing: { leaseMs: 200 } })
  const since = performance.now()
  await until(() => expect(performance.now() - since).toBeGreaterThan(200))
  gate.release()
  const [delivery] = await stage.untilStates(id, 'DELIVERED')
  await replica.drain()
  expect(replica.lines.join()).toContain('a claimed delivery was not sent in time')
  expect(delivery?.attempt).toBeGreaterThan(1)
  expect(receiver.received).toHaveLength(1)
})

test('a call that won is repeated as it was won, though its address may not be called any more', async () => {
  let fault: string | null = null
  const context = contextFor(stage.db, stage.team.actor, { webhookFault: async () => fault })
  const input = { url: 'https://hooks.example/', idempotencyKey: crypto.randomUUID() }
  const made = await createWebhook(context, input)
  fault = 'The host has no address, or one that is not public.'
  expect(await createWebhook(context, input)).toMatchObject({
    replayed: true,
    webhook: (made as WebhookPayload).webhook,
  })
  expect(await createWebhook(context, { ...input, idempotencyKey: null })).toMatchObject({ refusal: 'AddressRefused' })
})

test('an address that is given up while it answers 410 does not take the new one with it', async () => {
  const play = async (on: Stage, ...mutations: Mutation[]) => {
    const { receiver, answer } = await held(on)
    const next = await on.receiver()
    const { id } = await on.webhook(receiver)
    await on.happens(subject())
    const replica = on.replica(mutations.length > 0 ? { wrap: mutating(...mutations) } : {})
    await until(() => expect(receiver.received).toHaveLength(1))
    await updateWebhook(on.context, { id, url: `http://127.0.0.1:${next.port}/hook` })
    await answer(0, 410)
    await until(() => expect(replica.lines.some((line) => / outcome=(lost|gone)/.test(line))).toBe(true))
    await leaseIsOver(on, id)
    const [{ state } = { state: '' }] = await on.sql`select state from webhook where id = ${id}`
    if (state === 'ACTIVE') await on.untilStates(id, 'DELIVERED')
    await replica.drain()
    return { state, heard: next.received.length }
  }
  expect(await play(stage)).toEqual({ state: 'ACTIVE', heard: 1 })
  const careless = { name: 'buryWithWebhook', from: '."url" = ', to: '."url" is not null and \'\' <> ' }
  expect(await play(bare, careless)).toEqual({ state: 'DISABLED', heard: 0 })
})

test('what was claimed when its webhook was deleted is dropped, and not called dead', async () => {
  const { receiver, id, gate, replica } = await standing(stage, 'read:webhook.drafts')
  await deleteWebhook(stage.context, { id })
  gate.release()
  await stage.untilStates(id, 'DROPPED')
  expect(receiver.received).toEqual([])
  await replica.drain()
})
