// The connection to PostgreSQL fails under a call: before its statement is whole, in it, at its commit, in its reply, for ever. For
// every mutation: who gave a key learns by repeating what became of it, and it has become of it once; who gave none is told
// what was done, or that it is not known, and never that nothing was changed when something was.
import postgres from 'postgres'
import { afterAll, beforeAll, expect } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../database.ts'
import { hold } from '../../interleave.ts'
import { mutations } from '../../sweep/walk.ts'
import { type Fleet, openFleet, type Replica } from '../fleet.ts'
import { ready } from '../pair/ready.ts'
import type { Stage } from '../pair/stage.ts'
import { proves } from './cell.ts'
import { capital, type Row, until } from './stage.ts'
import { type FaultyWire, openFaultyWire, type WireFault } from './wire-fault.ts'

interface Door {
  readonly wire: FaultyWire
  readonly replica: Replica
}
let database: TestDatabase
let sql: postgres.Sql
let fleet: Fleet
/** Those in front are shared by all cells; the others are taken by one at a time, since it cuts everything. */
let shared: Door
const free: Door[] = []

const openDoor = async (): Promise<Door> => {
  const wire = await openFaultyWire(database.url)
  const replica = await fleet.start({}, { DATABASE_URL: wire.url, PAWL_ROLE: 'api', PAWL_LOG_LEVEL: 'error' })
  return { wire, replica: replica as Replica }
}
const doors: Door[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  sql = postgres(database.url, { max: 40, onnotice: () => {} })
  fleet = await openFleet({ url: database.url, env: { PAWL_WEBHOOK_ALLOW: '127.0.0.0/8' } })
  shared = await openDoor()
  free.push(...(await Promise.all([openDoor(), openDoor(), openDoor()])))
  doors.push(shared, ...free)
  // A statement waits at its commit for whoever holds the name of its request.
  await sql.unsafe(`
    create function at_commit() returns trigger language plpgsql as
      $$ begin perform pg_advisory_xact_lock_shared(hashtext(new.request_id)); return null; end $$;
    create constraint trigger at_commit after insert on event deferrable initially deferred
      for each row execute function at_commit()`)
})
afterAll(async () => {
  await fleet?.close()
  await Promise.all(doors.map(({ wire }) => wire.close()))
  await sql?.end({ timeout: 1 })
  await database?.drop()
})

/** One call, under a request id; its answer, which is none of those that no caller should see. */
async function call({ replica }: Door, mutation: string, input: Row, token: string, requestId: string): Promise<Row> {
  const Name = capital(mutation)
  const query = `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) { __typename ... on ${Name}Payload { replayed } ... on Refusal { code message retryable } } }`
  const response = await fetch(replica.graphql, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, 'x-request-id': requestId },
    body: JSON.stringify({ query, variables: { input } }),
  })
  const text = await response.text()
  const { data, errors } = JSON.parse(text)
  const codes = (errors ?? []).map((one: { extensions?: { code?: string } }) => one.extensions?.code)
  expect(
    codes.filter((code: unknown) => code !== 'TEMPORARILY_UNAVAILABLE'),
    text,
  ).toEqual([])
  return data?.[mutation] ?? { __typename: 'TemporarilyUnavailable', retryable: true, message: text, early: true }
}

const isPayload = ({ __typename }: Row) => /Payload$/.test(String(__typename))
const traces = async (requestId: string) =>
  Number((await sql`select count(*)::int as n from event where request_id = ${requestId}`)[0]?.n)

/** Resolves when the fault lies in wait; `isOver` when it has happened. */
type Trouble = (door: Door, requestId: string) => Promise<{ readonly isOver: Promise<unknown> }>
const isOf = (requestId: string) => (name: string, bytes: Buffer) =>
  !name.startsWith('read:') && bytes.includes(requestId)
const meets =
  (fault: WireFault): Trouble =>
  async ({ wire }, requestId) => ({ isOver: wire.next(isOf(requestId), fault) })

/** Held at its commit, cut there, and let go. */
const atCommit: Trouble = async ({ wire }, requestId) => {
  const held = await hold(sql, `select pg_advisory_xact_lock(hashtext('${requestId}'))`)
  const cutThere = async () => {
    const caught = await wire.next(isOf(requestId), 'watched')
    await until(async () => {
      const [waiting] = await sql`select count(*)::int as n from pg_locks where locktype = 'advisory' and not granted
        and (classid::bigint << 32 | objid::bigint)::bit(64) = hashtext(${requestId})::bigint::bit(64)`
      expect(waiting?.n).toBe(1)
    })
    caught.cut()
  }
  return { isOver: cutThere().finally(() => held.release()) }
}

/** Nobody comes through afterwards, whoever looks for what has become of it. */
const thenAway: Trouble = async (door, requestId) => {
  const { isOver } = await meets('the reply is lost')(door, requestId)
  return { isOver: isOver.then(() => door.wire.away()) }
}

const troubles: readonly { readonly name: string; readonly trouble: Trouble; readonly away?: boolean }[] = [
  { name: 'cut before it is whole', trouble: meets('cut before it is whole') },
  { name: 'cut once it is sent', trouble: meets('cut once it is sent') },
  { name: 'the reply is lost', trouble: meets('the reply is lost') },
  { name: 'half a reply', trouble: meets('half a reply') },
  { name: 'cut at its commit', trouble: atCommit },
  { name: 'silence after it', trouble: meets('silence after it') },
  { name: 'the reply is lost, and the database is away then', away: true, trouble: thenAway },
]

let asked = 0

async function play(mutation: string, trouble: Trouble, door: Door, keyed: boolean): Promise<void> {
  const calls = (query: string, variables: Row, token: string) => ask(query, variables, token)
  const { token, input: given } = await ready({ sql, call: calls } as unknown as Stage, mutation)
  const wish = 'url' in given ? { ...given, url: 'https://127.0.0.1:1/' } : given
  const key = crypto.randomUUID()
  const input = keyed ? { ...wish, idempotencyKey: key } : wish
  const requestId = `cell-${++asked}-${key.slice(0, 8)}`
  let hasMet = false
  const lies = await trouble(door, requestId)
  const isOver = lies.isOver.then(() => {
    hasMet = true
  })
  let first: Row
  // Who was turned away before a statement was sent has not met it yet.
  do first = await call(door, mutation, input, token, requestId)
  while (!hasMet && (first.early || /Nothing was changed/.test(String(first.message))))
  await until(() => expect(hasMet, `the fault was not met: ${JSON.stringify(first)}`).toBe(true), 20_000)
  await isOver
  door.wire.back()
  const requests = [requestId]
  if (!isPayload(first)) {
    expect(first).toMatchObject({ __typename: 'TemporarilyUnavailable', retryable: true })
    const done = (await traces(requestId)) > 0
    if (done) expect(first.message).toMatch(/it is not known whether the change was made/)
    if (keyed) {
      const again = await until(async () => {
        requests.push(`${requestId}-${requests.length}`)
        const told = await call(door, mutation, input, token, String(requests.at(-1)))
        expect(told.__typename).not.toMatch(/^(TemporarilyUnavailable|Busy)$/)
        return told
      })
      // What was still under way when the first answer was given may have come to its end since.
      const replayed = (await traces(requestId)) > 0
      expect(again).toEqual({ __typename: `${capital(mutation)}Payload`, replayed })
    }
  } else expect(await traces(requestId), 'what was accepted is there').toBeGreaterThan(0)
  if (!keyed) return
  const [stored] = await sql`select count(*)::int as n from idempotency_key where key = ${key}`
  expect(stored?.n).toBe(1)
  const made = await Promise.all(requests.map(traces))
  expect(
    made.filter((count) => count > 0),
    'done once',
  ).toHaveLength(1)
  expect(await call(door, mutation, input, token, `${requestId}-last`)).toMatchObject({ replayed: true })
}

/** For what a wish needs before it. */
async function ask(query: string, variables: Row, token: string) {
  const response = await fetch(shared.replica.graphql, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
  })
  const text = await response.text()
  const { data, errors } = JSON.parse(text)
  return { status: response.status, headers: response.headers, data, errors, text }
}

async function withOwnDoor(work: (door: Door) => Promise<void>): Promise<void> {
  const door = await until(() => free.pop() ?? expect.fail('all doors are taken'))
  try {
    await work(door)
  } finally {
    door.wire.back()
    free.push(door)
  }
}

for (const { name: mutation } of mutations)
  for (const { name, trouble, away = false } of troubles)
    for (const keyed of [true, false])
      proves('connection', `${mutation} ${keyed ? 'with' : 'without'} a key: ${name}`, () =>
        away ? withOwnDoor((door) => play(mutation, trouble, door, keyed)) : play(mutation, trouble, shared, keyed),
      )
