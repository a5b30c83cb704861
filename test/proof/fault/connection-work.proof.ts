// The connection to PostgreSQL fails under work that nobody waits for: each statement of runners and loops, on two replicas, while
// callers go on; and a stranger holds a row for longer than anybody waits for it. Work goes on later, once; claims that could not
// be kept are another's.
import postgres from 'postgres'
import { afterAll, beforeAll, expect } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../database.ts'
import { holdRow } from '../../interleave.ts'
import { ask, type Fleet, openFleet, type Replica } from '../fleet.ts'
import { checksHold, collected, disagreements, misdeeds } from './agrees.ts'
import { type Callers, type Journey, openCallers } from './caller.ts'
import { proves } from './cell.ts'
import { hasty, type Row, tableOf, until } from './stage.ts'
import { type FaultyWire, openFaultyWire, type WireFault } from './wire-fault.ts'

/** A claim whose statement was silenced is over soon. */
const orders = { ...hasty, timing: { ...hasty.timing, leaseMs: 3_000, marginMs: 600 } }
let database: TestDatabase
let sql: postgres.Sql
let fleet: Fleet
let callers: Callers
let wires: FaultyWire[]
let replicas: Replica[]

beforeAll(async () => {
  database = await createTestDatabase()
  sql = postgres(database.url, { max: 8, onnotice: () => {} })
  fleet = await openFleet({ url: database.url, env: { PAWL_LOG_LEVEL: 'error' } })
  wires = [await openFaultyWire(database.url), await openFaultyWire(database.url)]
  replicas = []
  for (const { url } of wires) replicas.push((await fleet.start(orders, { DATABASE_URL: url })) as Replica)
  callers = openCallers(replicas, fleet.token)
  await sql`update plan_usage set cap = 100000`
})
afterAll(async () => {
  try {
    if (callers) await allIsWell()
  } finally {
    await fleet?.close()
    await Promise.all((wires ?? []).map((wire) => wire.close()))
    await sql?.end({ timeout: 1 })
    await database?.drop()
  }
})

/** What sends each statement: a journey, or a loop of its own accord. */
const statements: Readonly<Record<string, Journey>> = {
  'claimOperation:Deployment': 'deployment',
  'claimOperation:Resource': 'resource',
  'claimOperation:Stack': 'stack',
  'supersedeOutdated:Deployment': 'deployment',
  rollOutDeployment: 'deployment',
  markDeploymentHealthy: 'deployment',
  markDeploymentStopped: 'deployment',
  markDeploymentDeleted: 'deployment',
  markResourceActive: 'resource',
  markResourcePaused: 'resource',
  markResourceResumed: 'resource',
  markResourceRotated: 'resource',
  markResourceDeleted: 'resource',
  rollOutStack: 'stack',
  progressStack: 'stack',
  markStackHealthy: 'stack',
  markStackDeleted: 'stack',
  takeAskable: 'deployment',
  takeMeasurable: 'resource',
  tearDownDeployment: 'deployment',
  expireDeployment: 'deployment',
  expireResource: 'resource',
  offlineSilentInstance: 'deployment',
}
const faults: readonly WireFault[] = [
  'cut before it is whole',
  'cut once it is sent',
  'the reply is lost',
  'half a reply',
  'silence before it',
  'silence after it',
]

let named = 0
for (const [statement, journey] of Object.entries(statements))
  for (const fault of faults)
    proves('connection', `${statement} of the workers: ${fault}`, async () => {
      // Whichever replica sends it first.
      let hasMet = false
      const isIt = (name: string) => {
        const isFirst = !hasMet && name === statement
        hasMet ||= isFirst
        return isFirst
      }
      for (const wire of wires) void wire.next(isIt, fault)
      for (let times = 0; times < 5 && !hasMet; times++) await travel(journey)
      await until(() => expect(hasMet, `${statement} was never sent`).toBe(true))
    })

/** A journey to its end, however late what failed on the way is tried again. */
async function travel(journey: Journey): Promise<void> {
  let isOver = false
  const travels = callers.journey(journey, `t${++named}`).finally(() => {
    isOver = true
  })
  travels.catch(() => {})
  await until(async () => {
    await hurry()
    expect(isOver).toBe(true)
  }, 240_000)
  await travels
}

let hurrying: Promise<unknown> | undefined
/** Once for all who ask at the same time. */
function hurry(): Promise<unknown> {
  const all = sql`update operation set due_at = now() where state in ('PENDING', 'UNKNOWN') and due_at > now()`
  hurrying ??= all.finally(() => {
    hurrying = undefined
  })
  return hurrying
}

const held: Readonly<Record<string, readonly [make: string, input: Row, change: string]>> = {
  deployment: ['deploy', { image: 'app:1' }, 'stopDeployment'],
  resource: ['createResource', { type: 'POSTGRES' }, 'pauseResource'],
  stack: ['createStack', { services: [{ name: 'web', image: 'app:1' }] }, 'redeployStack'],
}

/** Each subject is held while its work ends, and while a caller wants something of it. */
for (const [table, [make, input, change]] of Object.entries(held))
  proves('connection', `a stranger holds a ${table} for longer than anybody waits`, async () => {
    const id = await does(make, { name: `h${++named}`, ...input }, table)
    const row = await holdRow(sql, table, String(id.id))
    try {
      expect(await does(change, { id: id.id }, table)).toMatchObject({ code: 'BUSY' })
      // Others are served meanwhile, and their work is done.
      await travel(table as Journey)
    } finally {
      await row.release()
    }
    await until(async () => {
      await sql`update operation set due_at = now() where subject_id = ${String(id.id)} and state in ('PENDING', 'UNKNOWN')`
      expect(await collected(disagreements(stage, String(id.id)))).toEqual([])
    })
  })

async function does(mutation: string, input: Row, table: string): Promise<Row> {
  const Name = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}`
  const query = `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) { ... on ${Name}Payload { ${table} { id } } ... on Refusal { code } } }`
  return await until(async () => {
    const { data, errors } = await ask(replicas[0] as Replica, fleet.token, query, { input })
    expect(errors).toBeUndefined()
    const answer = data?.[mutation] as Row
    expect(answer.code).not.toBe('TEMPORARILY_UNAVAILABLE')
    return typeof answer.code === 'string' ? answer : (answer[table] as Row)
  })
}

const stage = {
  get outside() {
    return fleet.outside
  },
  get sql() {
    return sql
  },
  row: async (id: string) => (await sql<Row[]>`select * from ${sql(tableOf(id))} where id = ${id}`)[0] as Row,
  operations: (id: string) => sql<Row[]>`select * from operation where subject_id = ${id}` as Promise<readonly Row[]>,
}

/** All that was accepted is there and was done once, and the replicas live. */
async function allIsWell(): Promise<void> {
  for (const { child } of replicas) expect(child.exitCode).toBe(null)
  for (const one of callers.accepted) await callers.repeats(one)
  for (const id of new Set(callers.accepted.map((one) => one.id)))
    if (tableOf(id)) await until(async () => expect(await collected(disagreements(stage, id))).toEqual([]))
  expect(await collected(misdeeds(fleet.outside))).toEqual([])
  await checksHold(database.url)
}
