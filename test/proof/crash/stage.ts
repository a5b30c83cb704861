// Where processes die: a database, a world of fakes that outlives them all, an API that serves throughout, and a survivor: a
// worker that is frozen (SIGSTOP) while victims come and go, and then goes on with what they have left.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type postgres from 'postgres'
import { expect, vi } from 'vitest'
import { openPool } from '../../../src/db/client.ts'
import { createFakeProvisioner } from '../../../src/drivers/provision/fake.ts'
import { createFakeDriver } from '../../../src/drivers/runtime/fake.ts'
import { createTestDatabase } from '../../database.ts'
import { superuser } from '../../fixture.ts'
import { until } from '../../loops/fixture.ts'
import { ask, openFleet, type Replica } from '../fleet.ts'
import type { Orders } from '../replica.ts'

/** One call that reaches the world from a replica: of a driver, or a delivery to a receiver of webhooks. */
export interface WorldCall {
  readonly call: string
  readonly ref?: { readonly subjectId: string; readonly incarnation: string } | null
  readonly image?: string | null
  /** Of a delivery: what it tells of. */
  readonly url?: string
}
type OnCall = (when: When, call: WorldCall) => void | Promise<void>
export type When = 'before' | 'after'

/** What a victim sends: a statement of the work of that place, or that it stands at that stop. */
export interface Told {
  readonly statement?: string
  readonly of?: number
  readonly stopped?: number
}
interface Watch {
  /** Asked of every call before it acts, and after that before it is answered. */
  readonly at: (when: When, call: WorldCall) => boolean
  readonly told: (message: Told) => void
  readonly role?: 'worker' | 'api'
}
const never = new Promise<never>(() => {})

export interface Delivery {
  readonly url: string
  readonly id: string
  readonly body: { readonly data: { readonly position: number; readonly subjectId: string } }
}

/** A team, and a token of its owner. */
export interface Caller {
  readonly token: string
  readonly teamId: string
}

/** No lease ends by itself while victims come and go, and loops of the survivor wait for nothing. */
const leaseMs = 600_000
const often = { expire: 250, teardown: 250, 'reconcile-instances': 250, measure: 250, sweep: 250, trim: 250 }

export type Stage = Awaited<ReturnType<typeof openStage>>

export async function openStage() {
  const database = await createTestDatabase()
  const sql: postgres.Sql = superuser(database.url)
  const pool = openPool({ purpose: 'worker', url: database.url, slots: 2, statementTimeoutMs: 10_000 })
  const cache = await mkdtemp(join(tmpdir(), 'pawl-compiled-'))
  let onCall: OnCall = () => {}
  const watched = { onCall: (when: When, call: WorldCall) => onCall(when, call) }
  const outside = {
    runtime: createFakeDriver(watched),
    postgres: createFakeProvisioner({ type: 'POSTGRES', ...watched }),
    redis: createFakeProvisioner({ type: 'REDIS', ...watched }),
  }
  const deliveries: Delivery[] = []
  const receiver = createServer((req, res) => {
    let text = ''
    req.on('data', (chunk) => {
      text += chunk
    })
    req.on('end', async () => {
      const url = String(req.url)
      await onCall('before', { call: 'deliver', url })
      deliveries.push({ url, id: String(req.headers['webhook-id']), body: JSON.parse(text) })
      await onCall('after', { call: 'deliver', url })
      res.writeHead(204).end()
    })
  })
  await once(receiver.listen(0, '127.0.0.1'), 'listening')
  const env = {
    NODE_COMPILE_CACHE: cache,
    PAWL_WEBHOOK_ALLOW: '127.0.0.0/8',
    PAWL_EVENT_RETENTION_DAYS: '30',
    PAWL_LOG_LEVEL: 'warn',
  }
  const fleet = await openFleet({ url: database.url, outside, env })
  // What is compiled is kept by a process that ends by itself.
  await (await fleet.start({}, { PAWL_ROLE: 'api' }))?.end('SIGTERM')
  const api = (await fleet.start({}, { PAWL_ROLE: 'api' })) as Replica
  const survivor = (await fleet.start({ everyMs: often, timing: { pollMs: 50 } }, { PAWL_ROLE: 'worker' })) as Replica

  /** What the API answers to a document; throws where it has errors. */
  async function asks<T>(token: string, document: string, variables: object = {}, replica = api): Promise<T> {
    for (;;) {
      const { data, errors } = await ask(replica, token, document, variables)
      if (data && !errors) return data as T
      // A machine that is busy with much else is no flaw.
      if (!JSON.stringify(errors).includes('TEMPORARILY_UNAVAILABLE'))
        throw new Error(`${document}: ${JSON.stringify(errors)}`)
    }
  }
  let teams = 0
  return {
    database,
    sql,
    db: pool.db,
    outside,
    api,
    survivor,
    deliveries,
    receiver: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`,
    asks,
    /** A mutation that must be accepted; its payload, of which `selection` is shown. */
    async does<T = { id: string }>(token: string, name: string, input: object, selection: string): Promise<T> {
      const Name = name.charAt(0).toUpperCase() + name.slice(1)
      const document = `mutation ($input: ${Name}Input!) { ${name}(input: $input) { __typename
        ... on Refusal { code message } ... on ${Name}Payload { ${selection} } } }`
      const given = { idempotencyKey: crypto.randomUUID(), ...input }
      const data = await asks<Record<string, T & { __typename: string }>>(token, document, { input: given })
      const answer = data[name]
      if (answer?.__typename !== `${Name}Payload`) throw new Error(`${name}: ${JSON.stringify(answer)}`)
      return answer
    },
    /** A team of its own. */
    async team(): Promise<Caller> {
      const made = await this.does<{ team: { id: string }; plaintext: string }>(
        fleet.token,
        'createTeam',
        { name: `team ${++teams}` },
        'team { id } plaintext',
      )
      await sql`update plan_usage set cap = 10000 where team_id = ${made.team.id}`
      return { token: made.plaintext, teamId: made.team.id }
    },
    /** Nothing is carried out from here on, but by victims. */
    freeze: () => void survivor.child.kill('SIGSTOP'),
    thaw: () => void survivor.child.kill('SIGCONT'),
    /**
     * A process that does what is due; it serves only after its first works have begun. `at` says of a call outside that it is
     * never let go on.
     */
    victim(
      orders: Orders,
      { at, told, role = 'worker' }: Watch,
    ): { readonly child: ChildProcess; readonly served: Promise<unknown> } {
      let child: ChildProcess | undefined
      const served = fleet.start({ ...orders, timing: { pollMs: 50, leaseMs } }, { PAWL_ROLE: role }, (forked) => {
        child = forked
        forked.on('message', (message) => told(message as Told))
      })
      onCall = async (when, call) => {
        if (at(when, call)) await never
      }
      if (!child) throw new Error('there is no process')
      return { child, served }
    },
    /** Kills it when that holds, or when that is not to be expected any more. */
    async kill(child: ChildProcess, when: () => boolean = () => true): Promise<void> {
      await vi.waitFor(() => expect(when()).toBe(true), { timeout: 30_000, interval: 10 }).catch(() => {})
      onCall = () => {}
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
    /** Outdates the leases of the dead, and every wait. */
    async hurry(): Promise<void> {
      await sql`update operation set due_at = now() - interval '1 second' where due_at > now() and (state in ('PENDING', 'UNKNOWN')
        or (state = 'RUNNING' and claimed_by not like ${`%-${survivor.child.pid}-%`}))`
    },
    until,
    /** Until nothing is left to be carried out, so that nobody is frozen in the middle of anything. */
    quiet: () =>
      until(async () => {
        const [left] =
          await sql`select count(*)::int as n from operation where state in ('PENDING', 'RUNNING', 'UNKNOWN')`
        if (left?.n !== 0) throw new Error(`${left?.n} operations are left`)
      }),
    async close(): Promise<void> {
      survivor.child.kill('SIGCONT')
      onCall = () => {}
      await fleet.close()
      receiver.closeAllConnections()
      receiver.close()
      await pool.close()
      await sql.end({ timeout: 5 })
      await database.drop()
      await rm(cache, { recursive: true, force: true })
    },
  }
}
