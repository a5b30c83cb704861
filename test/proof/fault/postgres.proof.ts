// PostgreSQL itself goes, with callers and work of every kind under way on two replicas: killed, again and again, stopped in order,
// crashed by a session, closed to everybody. Callers are told to come back and nothing else; what was accepted is there
// afterwards and is finished; the replicas live on.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterAll, beforeAll, expect, inject } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/db/embedded.ts'
import { migrate } from '../../../src/db/migrate.ts'
import { type Fleet, openFleet, type Replica } from '../fleet.ts'
import { checksHold, collected, disagreements, misdeeds } from './agrees.ts'
import { type Callers, type Journey, journeys, openCallers } from './caller.ts'
import { proves } from './cell.ts'
import { type Row, tableOf, until } from './stage.ts'

let dataDir: string
let server: EmbeddedPostgres
let fleet: Fleet
let replicas: Replica[]
let sql: postgres.Sql

const start = (port?: number) =>
  startEmbeddedPostgres({ dataDir, major: inject('postgresMajor'), ...(port ? { port } : {}) })

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pawl-fault-'))
  server = await start()
  await migrate(server.url)
  fleet = await openFleet({ url: server.url, env: { PAWL_LOG_LEVEL: 'warn' } })
  const orders = { everyMs: { 'reconcile-instances': 500, teardown: 1_000 } }
  replicas = [(await fleet.start(orders)) as Replica, (await fleet.start(orders)) as Replica]
  sql = postgres(server.url, { max: 2, onnotice: () => {}, connect_timeout: 1, backoff: () => 0.1 })
  await sql`update plan_usage set cap = 100000`
})
afterAll(async () => {
  await fleet?.close()
  await sql?.end({ timeout: 1 })
  await server?.stop()
  await rm(dataDir, { recursive: true, force: true })
})

/** What goes wrong; ends when it is over, as far as it ends by itself. */
const troubles: Readonly<Record<string, (callers: Callers) => Promise<unknown>>> = {
  'killed and started again, three times in a row': async (callers) => {
    for (let time = 0; time < 3; time++) {
      const { pid } = server
      process.kill(pid, 'SIGKILL')
      await until(() => expect(server.pid).not.toBe(pid))
      await goesOn(callers)
    }
  },
  'stopped in order and started again': async () => {
    const { port } = server
    await server.stop()
    server = await start(port)
  },
  'one of its sessions is killed, and all end with it': async () => {
    const [session] = await sql`select pid from pg_stat_activity where application_name = 'pawl-worker' limit 1`
    process.kill(session?.pid, 'SIGKILL')
  },
  'lets nobody in, and ends who is there': async (callers) => {
    const outside = postgres(new URL('/template1', server.url).href, { max: 1, onnotice: () => {} })
    try {
      await outside`alter database postgres allow_connections false`
      await outside`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'postgres'`
      await isAway(callers)
    } finally {
      await outside`alter database postgres allow_connections true`
      await outside.end({ timeout: 1 })
    }
  },
  'takes the role away, and ends who is there': async (callers) => {
    const outside = postgres(server.url, { max: 1, onnotice: () => {} })
    try {
      await outside`alter role pawl nologin`
      await outside`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'`
      await isAway(callers)
    } finally {
      await outside`alter role pawl login`
      await outside.end({ timeout: 1 })
    }
  },
}

/** Until something was accepted that was not yet. */
const goesOn = async ({ accepted }: Callers) => {
  const before = accepted.length
  await until(() => expect(accepted.length).toBeGreaterThan(before))
}
const told = ({ tally }: Callers) => [...tally].reduce((sum, [kind, n]) => sum + (/UNAVAILABLE/.test(kind) ? n : 0), 0)
const isAway = async (callers: Callers) => {
  const before = told(callers)
  await until(() => expect(told(callers)).toBeGreaterThan(before + 5))
}

let named = 0
/** Two of each journey side by side, and the trouble in the middle of them. */
async function play(trouble: (callers: Callers) => Promise<unknown>): Promise<void> {
  const callers = openCallers(replicas, fleet.token)
  const names = Object.keys(journeys) as Journey[]
  let isOver = false
  /** Without the trouble there is no end: so that it always meets somebody. */
  const travel = async (of: Journey) => {
    do await callers.journey(of, `t${++named}`)
    while (!isOver)
  }
  const travels = Promise.all([...names, ...names].map(travel))
  travels.catch(() => {})
  await until(() => expect(callers.accepted.length).toBeGreaterThan(12))
  await Promise.race([trouble(callers), travels])
  await Promise.race([goesOn(callers), travels])
  isOver = true
  await hurried(travels)
  for (const replica of replicas) {
    expect(replica.child.exitCode, replica.text()).toBe(null)
    const ready = new URL('/readyz', replica.graphql)
    await until(async () => expect((await fetch(ready)).status).toBe(200))
    expect(replica.text()).not.toMatch(/a GraphQL request failed/)
  }
  for (const one of callers.accepted) await callers.repeats(one)
  const ids = new Set(callers.accepted.map(({ id }) => id))
  for (const id of ids)
    if (tableOf(id)) await until(async () => expect(await collected(disagreements(stage, id))).toEqual([]))
  expect(await collected(misdeeds(fleet.outside))).toEqual([])
  expect(await collected(idle())).toEqual([])
  await checksHold(server.url)
}

/** What failed while the database was away waits its turn; it need not. */
async function hurried(travels: Promise<unknown>): Promise<void> {
  let isDone = false
  const end = () => {
    isDone = true
  }
  travels.then(end, end)
  await until(async () => {
    if (!isDone)
      await sql`update operation set due_at = now() where state in ('PENDING', 'UNKNOWN') and due_at > now()`.catch(
        () => {},
      )
    expect(isDone).toBe(true)
  })
  await travels
}

async function* idle() {
  const rows = await sql<
    Row[]
  >`select id, kind, state, outcome from operation where state in ('PENDING', 'RUNNING', 'UNKNOWN')`
  for (const { id, kind, state, outcome } of rows) yield `${kind} ${id} is ${state} still: ${outcome}`
}

const stage = {
  get outside() {
    return fleet.outside
  },
  get sql() {
    return sql
  },
  async row(id: string): Promise<Row> {
    const [row] = await sql<Row[]>`select * from ${sql(tableOf(id))} where id = ${id}`
    return row as Row
  },
  operations: (id: string) => sql<Row[]>`select * from operation where subject_id = ${id}` as Promise<readonly Row[]>,
}

for (const [name, trouble] of Object.entries(troubles)) proves('postgres', name, () => play(trouble), { alone: true })
