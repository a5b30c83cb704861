// A stage for webhooks: a database with a team, receivers on loopback, and any number of replicas that deliver. Events are
// written as they happen and given their positions at once; tests wait for what receivers hear and for what is stored.
import postgres from 'postgres'
import { openPool, type PoolOptions } from '../../src/db/client.ts'
import { type Allowed, parseAllowed } from '../../src/drivers/webhook/allowed.ts'
import { type Deliverer, type DelivererTools, startDeliverer } from '../../src/loops/deliver.ts'
import { createMetrics, type Metrics } from '../../src/metrics.ts'
import { isRefusal } from '../../src/refusals.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { createWebhook, type NewWebhook } from '../../src/resolvers/webhook.ts'
import { createTestDatabase, patient } from '../database.ts'
import { createTeam } from '../fixture.ts'
import { keepingLog, until } from '../loops/fixture.ts'
import { contextFor, testSealing } from '../row.ts'
import { type Received, type Receiver, startReceiver } from './receiver.ts'

export const loopback = parseAllowed('127.0.0.0/8') as Allowed

export interface DeliverySeen {
  readonly id: string
  readonly state: string
  readonly subject: string
  readonly position: number
  readonly attempt: number
  readonly status: number | null
  readonly outcome: string | null
  readonly messageId: string
  readonly redeliveryOf: string | null
}
export interface ReplicaOptions extends Partial<Pick<DelivererTools, 'timing' | 'posting' | 'sealing'>> {
  readonly wrap?: PoolOptions['wrap']
}
export interface Replica extends Deliverer {
  readonly metrics: Metrics
  readonly lines: readonly string[]
  /** What it does from then on reaches no database, as if it had died. */
  kill(): Promise<void>
}
/** Quick, and patient enough for a machine that is busy. */
export const timing = { pollMs: 30, limitMs: 2_000, leaseMs: 10_000, retryMs: [10, 10, 10, 10, 10, 10, 10] }

/** Without guards the triggers are off, so that a mutant is stopped by nothing but the statements. */
export const openStage = async ({ guards = true } = {}) => {
  const database = await createTestDatabase()
  const sql = postgres(database.url, { max: 6, onnotice: () => {} })
  if (!guards)
    for (const table of ['webhook', 'webhook_delivery']) await sql.unsafe(`alter table ${table} disable trigger user`)
  const team = await createTeam(database.url)
  const closing: (() => Promise<unknown>)[] = []
  const open = (wrap?: PoolOptions['wrap']) => {
    const options = { url: database.url, purpose: 'worker', slots: 4, ...patient } as const
    const pool = openPool({ ...options, ...(wrap ? { wrap } : {}) })
    closing.push(() => pool.close({ timeoutMs: 0 }))
    return pool
  }
  const { db } = open()
  const context = contextFor(db, team.actor)
  const deliveries = (webhookId: string) => sql<DeliverySeen[]>`
    select id, state, subject_id as subject, position::int, attempt, status, outcome, message_id as "messageId",
      redelivery_of as "redeliveryOf" from webhook_delivery where webhook_id = ${webhookId} order by position, created_at, id`
  return {
    url: database.url,
    sql,
    team,
    db,
    context,
    deliveries,
    async receiver(): Promise<Receiver> {
      const receiver = await startReceiver()
      closing.push(() => receiver.stop().catch(() => {}))
      return receiver
    },
    /** A webhook of the team at that receiver, or that URL. */
    async webhook(at: Receiver | string, input: Partial<NewWebhook> = {}) {
      const url = typeof at === 'string' ? at : `http://127.0.0.1:${at.port}/hook`
      const made = await createWebhook(context, { url, filter: { kinds: ['deploy'] }, ...input })
      if (isRefusal(made)) throw new Error(made.message)
      return { id: made.webhook.id, secret: String(made.secret) }
    },
    /** Ends all webhooks that there are, so that the next test's events are none of theirs. */
    forget: () => sql`update webhook set state = 'DISABLED', version = version + 1 where state = 'ACTIVE'`,
    /** So many events of a subject, with their positions. */
    async happens(subject: string, count = 1, teamId = team.teamId) {
      await sql`insert into event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version,
          actor_kind, actor_id, request_id, operation_id, transition_id, data)
        select now(), ${teamId}, 'Deployment', ${subject}, 'deploy', null, 'BUILDING', 1, n, 'token', 'tok_x', 'req_x', 'op_x', 'x',
          ${sql.json({ name: 'shown' })} from generate_series(1, ${count}) n`
      while ((await sequenceEvents(db, 1_000)) > 0);
    },
    replica({ wrap, ...options }: ReplicaOptions = {}): Replica {
      const pool = open(wrap)
      const metrics = createMetrics({ strict: true })
      const lines: string[] = []
      const deliverer = startDeliverer({
        db: pool.db,
        sealing: testSealing,
        metrics,
        log: keepingLog(lines),
        posting: { allowed: loopback },
        ...options,
        timing: { ...timing, ...options.timing },
      })
      closing.unshift(() => deliverer.drain())
      return { ...deliverer, metrics, lines, kill: () => pool.close({ timeoutMs: 0 }) }
    },
    /** Waits until the deliveries of a webhook are in these states, in the order of their events. */
    untilStates: (webhookId: string, ...states: string[]) =>
      until(async () => {
        const found = await deliveries(webhookId)
        if (found.map(({ state }) => state).join() !== states.join())
          throw new Error(`deliveries are ${JSON.stringify(found)}`)
        return found
      }),
    async close() {
      for (const end of closing) await end()
      await sql.end({ timeout: 1 })
      await database.drop()
    },
  }
}
export type Stage = Awaited<ReturnType<typeof openStage>>

// biome-ignore lint/suspicious/noExplicitAny: looked at in every shape
export const payloadOf = ({ text }: Received): any => JSON.parse(text)
/** What was heard, as `subject version`. */
export const heardOf = (received: readonly Received[]) =>
  received.map((each) => `${payloadOf(each).data.subjectId} ${payloadOf(each).data.version}`)
