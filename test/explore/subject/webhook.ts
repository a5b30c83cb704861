// Webhooks and their deliveries, on the stage: a webhook with news, one that is disabled, one whose receiver answers, fails, or
// is gone for good; deliveries that wait, that a worker has died over, that have ended.

import { attemptsOf } from '../../../src/loops/delivery.ts'
import { createWebhook, deleteWebhook, updateWebhook } from '../../../src/resolvers/webhook.ts'
import { redeliverWebhookEvent } from '../../../src/resolvers/webhook-delivery.ts'
import { deadInARow } from '../../../src/resolvers/webhook-rule.ts'
import { delivers, fansOut, settlesDeliveries, timing } from '../deliverer.ts'
import { type Actor, calls, type Ids, type Subject } from '../play.ts'
import { hoursFromNow, type Scene } from '../scene.ts'
import type { Row } from '../stage.ts'

const hook = (ids: Ids) => ({ id: String(ids.hook) })
const changing = (change: object) => calls((context, ids) => updateWebhook(context, { ...hook(ids), ...change }))
const making = (key?: string) =>
  calls((context) =>
    createWebhook(context, { url: 'http://receiver.example/new', ...(key ? { idempotencyKey: key } : {}) }),
  )
const changes: Readonly<Record<string, Actor>> = {
  update: changing({ url: 'http://receiver.example/other' }),
  rotate: changing({ rotateSecret: true }),
  disable: changing({ enabled: false }),
  enable: changing({ enabled: true }),
  delete: calls((context, ids) => deleteWebhook(context, hook(ids))),
}
const only = (...names: string[]) => Object.fromEntries(names.map((each) => [each, changes[each] as Actor]))
/** Webhook and delivery in its answer are as they are by then, which is no part of what was decided. */
const redeliver = (which: string, key?: string) =>
  calls(async (context, ids) => {
    const answer = await redeliverWebhookEvent(context, {
      id: String(ids[which]),
      ...(key ? { idempotencyKey: key } : {}),
    })
    return 'refusal' in answer ? answer : { ...answer, webhook: null, delivery: null }
  })

const subjectId = 'dep_told'
/** A webhook whose receiver answers so, and deliveries of one subject to it, in the order of events. */
function told(scene: Scene, status: number, hookFacts: Row, ...deliveries: Row[]): { ids: Ids } {
  const positions = deliveries.map(() => scene.event(subjectId))
  const id = scene.webhook(status, hookFacts)
  const all = deliveries.map((facts, at) => scene.delivery(id, Number(positions[at]), subjectId, facts))
  const ids = Object.fromEntries(all.map((each, at) => [`delivery${at + 1}`, each]))
  return { ids: { hook: id, ...ids } }
}
const ended = (state: string) => ({ state, attempt: 1, state_changed_at: hoursFromNow(-0.5) })
const abandoned = (attempt: number) => ({ state: 'SENDING', attempt, claim_token: 'dead' })
const lastAttempt = attemptsOf(timing)

export const webhookSubjects: readonly Subject[] = [
  {
    name: 'webhook',
    scene: (scene) => {
      const ids = { hook: scene.webhook(204) }
      scene.event(subjectId)
      scene.event('dep_other')
      return { ids }
    },
    actors: { ...changes, fanOut: fansOut('fanOutWebhook') },
    settles: settlesDeliveries,
  },
  {
    name: 'webhook.none',
    scene: (scene) => {
      scene.room.webhooks = 1
      return { ids: {} }
    },
    actors: { create: making(), keyed: making('k') },
  },
  {
    name: 'webhook.disabled',
    scene: (scene) => told(scene, 204, { state: 'DISABLED' }, {}, ended('DELIVERED')),
    actors: { ...only('enable', 'rotate', 'delete'), redeliver: redeliver('delivery2'), drop: fansOut('dropDelivery') },
    settles: settlesDeliveries,
  },
  {
    name: 'delivery',
    scene: (scene) => told(scene, 204, {}, ended('DELIVERED'), {}, {}),
    actors: {
      ...only('rotate', 'disable', 'enable', 'delete'),
      redeliver: redeliver('delivery1'),
      keyed: redeliver('delivery1', 'k'),
      early: redeliver('delivery2'),
      drop: fansOut('dropDelivery'),
      deliver: delivers,
    },
    settles: settlesDeliveries,
  },
  {
    name: 'delivery.failing',
    scene: (scene) => told(scene, 500, {}, ended('DEAD'), {}, {}),
    actors: { ...only('disable', 'delete'), redeliver: redeliver('delivery1'), deliver: delivers },
    settles: settlesDeliveries,
  },
  {
    name: 'delivery.unheard',
    scene: (scene) => {
      const dead = Array.from({ length: deadInARow - 1 }, () => ended('DEAD'))
      return told(scene, 500, { state_changed_at: hoursFromNow(-1) }, ...dead, { attempt: lastAttempt - 1 })
    },
    actors: {
      ...only('disable', 'enable', 'delete'),
      drop: fansOut('dropDelivery'),
      deliver: delivers,
    },
    settles: settlesDeliveries,
  },
  {
    name: 'delivery.gone',
    scene: (scene) => told(scene, 410, {}, {}, {}),
    actors: { ...only('update', 'enable', 'delete'), drop: fansOut('dropDelivery'), deliver: delivers },
    settles: settlesDeliveries,
  },
  {
    name: 'delivery.abandoned',
    scene: (scene) => told(scene, 204, {}, abandoned(lastAttempt), abandoned(1)),
    actors: {
      ...only('disable', 'delete'),
      redeliver: redeliver('delivery1'),
      bury: fansOut('buryDelivery', 'buryAbandoned'),
      deliver: delivers,
    },
    settles: settlesDeliveries,
  },
]
