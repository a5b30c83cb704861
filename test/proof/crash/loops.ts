// The passes of every loop, with something to do in each: what has outlived its limit, what has died, what nobody owns.
import { expect } from 'vitest'
import type { Loop } from '../../../src/metrics.ts'
import { lost } from './operations.ts'
import type { Scenario } from './scenario.ts'
import type { Caller, Stage, WorldCall } from './stage.ts'

const stateOf = async ({ sql }: Stage, table: string, id: string): Promise<string> =>
  (await sql<{ state: string }[]>`select state from ${sql(table)} where id = ${id}`)[0]?.state ?? 'gone'
const nowhere = (_: WorldCall) => false

interface Made {
  readonly [of: string]: { readonly id: string }
}
const make = async (stage: Stage, { token }: Caller, name: string, of: string, input: object): Promise<string> =>
  String((await stage.does<Made>(token, name, input, `${of} { id }`))[of]?.id)

/** One of each that a team may have. */
async function belongings(stage: Stage, caller: Caller, nth: number) {
  const name = `own-${nth}`
  const stack = await make(stage, caller, 'createStack', 'stack', { name, services: [{ name: 'web', image: 'x' }] })
  const approval = { stackId: stack, toEnvironment: 'production' }
  return {
    deployment: await make(stage, caller, 'deploy', 'deployment', { name, image: 'x', ttlHours: 1 }),
    resource: await make(stage, caller, 'createResource', 'resource', { type: 'POSTGRES', name, ttlHours: 1 }),
    api_token: await make(stage, caller, 'createApiToken', 'token', { name, scopes: ['read'] }),
    invitation: await make(stage, caller, 'inviteMember', 'invitation', {
      email: `m${nth}@example.test`,
      role: 'DEVELOPER',
    }),
    promotion_approval: await make(stage, caller, 'requestPromotion', 'approval', approval),
    stack,
  }
}

const past = (stage: Stage, table: string, id: string, column = 'expires_at') =>
  stage.sql`update ${stage.sql(table)} set ${stage.sql(column)} = now() - interval '1 minute' where id = ${id}`

const expire: Scenario = {
  of: 'expire',
  passes: true,
  async prepare(stage, caller, nth) {
    const own = await belongings(stage, caller, nth)
    const ends = {
      deployment: 'DELETED',
      resource: 'DELETED',
      api_token: 'EXPIRED',
      invitation: 'EXPIRED',
      promotion_approval: 'EXPIRED',
    }
    return async () => {
      for (const table of Object.keys(ends)) await past(stage, table, own[table as keyof typeof own])
      return {
        marks: ['expire'],
        concerns: nowhere,
        async finished() {
          for (const [table, end] of Object.entries(ends))
            expect([table, await stateOf(stage, table, own[table as keyof typeof own])]).toEqual([table, end])
        },
      }
    }
  },
}

/** The end of a team, and of all that it has. */
const teardown: Scenario = {
  of: 'teardown',
  passes: true,
  async prepare(stage, _, nth) {
    const caller = await stage.team()
    const own = await belongings(stage, caller, nth)
    await stage.does(caller.token, 'setSecret', { name: 'KEY', value: 'x' }, 'secret { id }')
    await stage.does(caller.token, 'createWebhook', { url: stage.receiver }, 'webhook { id }')
    await stage.does(caller.token, 'registerInstance', { name: 'outside', heartbeatSeconds: 3_600 }, 'instance { id }')
    await stage.does(caller.token, 'deleteTeam', { id: caller.teamId }, 'team { id }')
    return async () => {
      await past(stage, 'team', caller.teamId, 'deletion_at')
      return {
        marks: ['teardown'],
        concerns: nowhere,
        async finished() {
          expect(await stateOf(stage, 'team', caller.teamId)).toBe('DELETED')
          for (const table of ['deployment', 'resource', 'stack'] as const)
            expect(await stateOf(stage, table, own[table])).toBe('DELETED')
          const used = await stage.sql`select kind, used from plan_usage where team_id = ${caller.teamId} and used <> 0`
          expect(used).toEqual([])
        },
      }
    }
  },
}

/** A run that has died, one whose health check fails, and an instance of elsewhere that is silent. */
const reconcile: Scenario = {
  of: 'reconcile-instances',
  passes: true,
  // Of a run whose subject has moved on before the answer; of an answer that came too late.
  byChance: ['offlineOutdatedInstance', 'giveBackAskable'],
  async prepare(stage, caller, nth) {
    const dead = await make(stage, caller, 'deploy', 'deployment', { name: `dead-${nth}`, image: 'x' })
    const sick = await make(stage, caller, 'deploy', 'deployment', { name: `sick-${nth}`, image: 'x' })
    const silent = await make(stage, caller, 'registerInstance', 'instance', { name: `silent-${nth}` })
    return async () => {
      const [ref] = stage.outside.runtime.liveRuns().filter(({ subjectId }) => subjectId === sick)
      if (ref) stage.outside.runtime.setHealth(ref, false)
      await lost(stage, dead)
      await stage.sql`update instance set asked_at = null where subject_id = ${sick}`
      await stage.sql`update instance set heartbeat_at = now() - interval '1 hour' where id = ${silent}`
      return {
        marks: ['reconcile-instances', 'takeAskable', 'noteAnswers', 'giveBackAskable'],
        concerns: ({ call, ref: of }) => call === 'observeInstance' && [dead, sick].includes(String(of?.subjectId)),
        async finished() {
          const units =
            await stage.sql`select subject_id, state, restarts from instance where subject_id in (${dead}, ${sick})`
          expect(units).toContainEqual({ subject_id: dead, state: 'ONLINE', restarts: 1 })
          expect(await stateOf(stage, 'instance', silent)).toBe('OFFLINE')
          const asked = await stage.sql`select 1 from instance where subject_id = ${sick} and failed_checks > 0`
          expect(asked).toHaveLength(1)
        },
      }
    }
  },
  hurry: ({ sql }) =>
    sql`update instance set asked_at = null where state in ('STARTING', 'ONLINE', 'DEGRADED') and runtime <> 'EXTERNAL'`,
}

const measure: Scenario = {
  of: 'measure',
  passes: true,
  async prepare(stage, caller, nth) {
    const id = await make(stage, caller, 'createResource', 'resource', { type: 'POSTGRES', name: `big-${nth}` })
    return async () => {
      await stage.sql`update resource set limit_bytes = -1, measured_at = null where id = ${id}`
      return {
        marks: ['measure', 'takeMeasurable', 'storeSize'],
        concerns: ({ call, ref }) => call === 'observe' && ref?.subjectId === id,
        finished: async () => expect(await stateOf(stage, 'resource', id)).toBe('SUSPENDED'),
      }
    }
  },
  hurry: ({ sql }) => sql`update resource set measured_at = null where state = 'ACTIVE' and limit_bytes < 0`,
}

/** A workload that no row speaks of, seen an hour ago. */
const sweep: Scenario = {
  of: 'sweep',
  passes: true,
  prepare: async (stage) => async () => {
    const ref = {
      subjectId: `dep_${crypto.randomUUID().replaceAll('-', '')}`,
      incarnation: crypto.randomUUID().slice(0, 8),
    }
    const fence = { operationId: 'op_lost', attempt: 1, subjectId: ref.subjectId, generation: 1 }
    await stage.outside.runtime.another().reserve(ref, fence, AbortSignal.timeout(5_000))
    await stage.sql`insert into orphan (driver, subject_id, incarnation, generation, first_seen_at, last_seen_at)
      values ('runtime.fake', ${ref.subjectId}, ${ref.incarnation}, 1, now() - interval '2 hours', now())`
    return {
      marks: ['sweep', 'databaseNow', 'noteOrphans', 'forgetOrphans', 'claimOrphans', 'orphanRemoved', 'orphanLeft'],
      concerns: ({ call, ref: of }) => call === 'listOwned' || of?.subjectId === ref.subjectId,
      async finished() {
        expect(stage.outside.runtime.isReserved(ref)).toBe(false)
        expect(await stage.sql`select 1 from orphan where subject_id = ${ref.subjectId}`).toEqual([])
      },
    }
  },
  hurry: ({ sql }) => sql`update orphan set claimed_until = now() where claimed_until > now()`,
}

const ended = ['Operation', 'WebhookDelivery', 'Instance'].map((entity) => `trimEnded.${entity}`)
const trimmed = ['trimIdempotencyKeys', 'trimEvents', ...ended]
/** Keys that are too old; and all else that is kept for a time is looked at, too. */
const trim: Scenario = {
  of: 'trim',
  passes: true,
  async prepare(stage, caller, nth) {
    const idempotencyKey = `old-${nth}`
    await stage.does(caller.token, 'setSecret', { name: `OLD_${nth}`, value: 'x', idempotencyKey }, 'secret { id }')
    return async () => {
      await stage.sql`update idempotency_key set created_at = now() - interval '8 days' where key = ${idempotencyKey}`
      return {
        marks: trimmed,
        concerns: nowhere,
        finished: async () =>
          expect(await stage.sql`select 1 from idempotency_key where key = ${idempotencyKey}`).toEqual([]),
      }
    }
  },
}

/** What is told to a webhook, from the event to the receiver. */
const tells = (of: Loop, marks: readonly string[]): Scenario => ({
  of,
  passes: true,
  async prepare(stage, _, nth) {
    const caller = await stage.team()
    const url = `${stage.receiver}/${of}-${nth}`
    const filter = { subjectTypes: ['Secret'] }
    await stage.does(caller.token, 'createWebhook', { url, filter }, 'webhook { id }')
    return async () => {
      const id = await make(stage, caller, 'setSecret', 'secret', { name: 'TOLD', value: 'x' })
      await stage.until(async () => {
        expect(await stage.sql`select 1 from event where subject_id = ${id} and position is null`).toEqual([])
      })
      return {
        marks: [...marks, caller.teamId],
        concerns: (call) => call.call === 'deliver' && call.url === `/${of}-${nth}`,
        async finished() {
          const rows = await stage.sql`select state, message_id from webhook_delivery where team_id = ${caller.teamId}`
          expect(rows.map(({ state }) => state)).toEqual(['DELIVERED'])
          const had = stage.deliveries.filter(({ url: path }) => path === `/${of}-${nth}`)
          expect([...new Set(had.map((each) => each.id))]).toEqual([rows[0]?.message_id])
        },
      }
    }
  },
  hurry: ({
    sql,
  }) => sql`update webhook_delivery set due_at = now() where state in ('PENDING', 'SENDING') and due_at > now()
    and state_changed_at < now() - interval '2 seconds'`,
})

/** Events that nobody but a victim gives their positions: those of its own first pass over what is to expire. */
const sequence: Scenario = {
  of: 'sequence',
  passes: true,
  async prepare(stage, caller, nth) {
    const id = await make(stage, caller, 'createApiToken', 'token', { name: `short ${nth}`, scopes: ['read'] })
    return async () => {
      await past(stage, 'api_token', id)
      return {
        marks: ['sequenceEvents'],
        concerns: nowhere,
        async finished() {
          const events =
            await stage.sql`select position from event where subject_id = ${id} and kind = 'expireApiToken'`
          expect(events).toHaveLength(1)
          expect(events[0]?.position).not.toBeNull()
        },
      }
    }
  },
}

/** Operations are looked for, outdated ones end, one is claimed. The effects of each kind have moments of their own. */
const dispatch: Scenario = {
  of: 'dispatch',
  passes: true,
  async prepare(stage, caller, nth) {
    const id = await make(stage, caller, 'deploy', 'deployment', { name: `twice-${nth}`, image: 'x' })
    return async () => {
      const input = { id, image: 'y' }
      await stage.does(caller.token, 'redeployDeployment', input, 'operation { id }')
      const last = await stage.does<Made>(caller.token, 'redeployDeployment', input, 'operation { id }')
      return {
        marks: ['dispatch', 'read:isAnythingDue', 'renewLeases'],
        concerns: nowhere,
        async finished() {
          const work = await stage.sql`select id, state from operation where subject_id = ${id} order by generation`
          expect(work.map(({ state }) => state)).toEqual(['SUCCEEDED', 'SUPERSEDED', 'SUCCEEDED'])
          expect(work[2]?.id).toBe(last.operation?.id)
        },
      }
    }
  },
}

/** By loop. What is spent on requests is exchanged by those that serve them: loop.proof.ts kills these. */
export const loops: Readonly<Record<Exclude<Loop, 'exchange-usage'>, Scenario>> = {
  dispatch,
  expire,
  teardown,
  'reconcile-instances': reconcile,
  sweep,
  trim,
  sequence,
  'fan-out': tells('fan-out', ['read:webhook.news', 'fanOutWebhook', 'dropDelivery', 'buryAbandoned']),
  deliver: tells('deliver', ['claimDelivery', 'read:webhook.drafts', 'markDelivered']),
  measure,
}
