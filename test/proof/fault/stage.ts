// Where drivers go wrong: two replicas on one database and in one world of fakes whose calls wait until the cell that they belong
// to has said what is to go wrong with them. Nothing here waits for time: back-offs, restarts and checks are made due by SQL.
import postgres from 'postgres'
import { expect, vi } from 'vitest'
import { createFakeProvisioner, type FakeProvisioner } from '../../../src/drivers/provision/fake.ts'
import { createFakeDriver, type FakeDriver } from '../../../src/drivers/runtime/fake.ts'
import { createTestDatabase } from '../../database.ts'
import { ask, type FakeOutside, openFleet, type Replica } from '../fleet.ts'
import type { Orders } from '../replica.ts'

/** Waits until the condition holds, and returns what it returns. */
export const until = <T>(condition: () => T | Promise<T>, timeout = 180_000): Promise<T> =>
  vi.waitFor(condition, { timeout, interval: 120 })

export type Row = Readonly<Record<string, unknown>>
export type FaultStage = Awaited<ReturnType<typeof openFaultStage>>
export const capital = (word: string) => `${word[0]?.toUpperCase()}${word.slice(1)}`

const owned: Readonly<Record<string, string>> = { dep: 'deployment', stk: 'stack', res: 'resource' }
/** The table of the subject with that id, which is also its name in a payload. */
export const tableOf = (id: string): string => owned[id.split('_')[0] as string] as string

/** Who needs its own script of them all: what one replica is told to meet, the other one meets as well. */
const alone = <T extends { another(): T }>(one: T): T => Object.assign(one, { another: () => one })

/** Calls for a subject wait until it is `known`. */
function openWorld() {
  const known = new Map<string, PromiseWithResolvers<void>>()
  const waits = (id: string) => {
    const there = known.get(id) ?? Promise.withResolvers<void>()
    known.set(id, there)
    return there
  }
  const onCall = async (when: 'before' | 'after', { ref }: { ref: { subjectId: string } | null }) => {
    if (when === 'before' && ref) await waits(ref.subjectId).promise
  }
  const outside: FakeOutside = {
    runtime: alone<FakeDriver>(createFakeDriver({ onCall })),
    postgres: alone<FakeProvisioner>(createFakeProvisioner({ onCall })),
    redis: alone<FakeProvisioner>(createFakeProvisioner({ type: 'REDIS', onCall })),
  }
  return { outside, know: (id: string) => waits(id).resolve() }
}

/** How the replicas run: calls are given up soon, loops run often. */
export const hasty: Orders = {
  timing: { callTimeoutMs: 400, pollMs: 250, renewEveryMs: 300 },
  everyMs: { 'reconcile-instances': 400, measure: 400, teardown: 1_000, expire: 1_000 },
}

export async function openFaultStage(orders: Orders = hasty) {
  const database = await createTestDatabase()
  const sql = postgres(database.url, { max: 8, onnotice: () => {} })
  const { outside, know } = openWorld()
  const fleet = await openFleet({ url: database.url, outside, env: { PAWL_LOG_LEVEL: 'warn' } })
  // One after the other: the first one makes the team.
  const replicas = [await fleet.start(orders), await fleet.start(orders)] as Replica[]
  await sql`update plan_usage set cap = 1000000`
  let asked = 0

  /** One document, for one replica after the other; its data. */
  async function data(query: string, variables: object = {}): Promise<Record<string, Row>> {
    const answer = await ask(replicas[asked++ % replicas.length] as Replica, fleet.token, query, variables)
    if (answer.errors) throw new Error(`${query} was answered with ${JSON.stringify(answer.errors)}`)
    return answer.data as Record<string, Row>
  }
  return {
    database,
    sql,
    outside,
    know,
    fleet,
    replicas,
    data,
    /** A mutation that is accepted; the id of its subject. */
    async does(mutation: string, input: Row): Promise<string> {
      const type = capital(mutation)
      const subject = /Stack/.test(mutation) ? 'stack' : /Resource/.test(mutation) ? 'resource' : 'deployment'
      const query = `mutation ($input: ${type}Input!) { ${mutation}(input: $input) { ... on ${type}Payload { ${subject} { id } } ... on Refusal { code message } } }`
      const whole = { ...input, idempotencyKey: crypto.randomUUID() }
      // On a machine that has more to do than it can a caller is told to come back.
      const answer = await until(async () => {
        const told = await data(query, { input: whole })
        expect(told[mutation]?.code).not.toBe('TEMPORARILY_UNAVAILABLE')
        return told
      })
      const id = (answer[mutation]?.[subject] as Row | undefined)?.id
      if (typeof id !== 'string') throw new Error(`${mutation} was answered with ${JSON.stringify(answer)}`)
      return id
    },
    async row(id: string): Promise<Row> {
      const [row] = await sql<Row[]>`select * from ${sql(tableOf(id))} where id = ${id}`
      if (!row) throw new Error(`${id} is gone`)
      return row
    },
    operations: (id: string) =>
      sql<Row[]>`select * from operation where subject_id = ${id} order by created_at, id` as Promise<readonly Row[]>,
    /** Whatever waits for its time to do something about that subject need not wait any more. */
    async hurry(id: string): Promise<void> {
      await sql`with work as (update operation set due_at = now()
          where subject_id = ${id} and state in ('PENDING', 'UNKNOWN') and due_at > now()),
        size as (update resource set measured_at = null where id = ${id} and measured_at is not null)
        update instance set asked_at = null, restart_due_at = least(restart_due_at, now())
          where subject_id = ${id} and (asked_at is not null or restart_due_at > now())`
    },
    async close(): Promise<void> {
      await fleet.close()
      await sql.end({ timeout: 1 })
      await database.drop()
    },
  }
}
