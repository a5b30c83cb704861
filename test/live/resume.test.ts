// Clients that are cut off at random and go on with their last cursor, each time at another of three real servers, while
// writers go on at all of them: what they have received at the end is the log, letter by letter. PAWL_ROUNDS says how often
// they are cut off.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openMachine, type Server } from '../crash/server.ts'
import { until } from '../until.ts'
import { subscribe } from './client.ts'

const cuts = Number(process.env.PAWL_ROUNDS ?? 30)
const clients = 4
const writers = 6
const query = 'subscription ($after: String) { events(after: $after) { cursor kind subjectId version } }'

let machine: Awaited<ReturnType<typeof openMachine>>
let servers: Server[]
beforeAll(async () => {
  machine = await openMachine()
  servers = [await machine.start(), await machine.start(), await machine.start()]
}, 120_000)
afterAll(() => machine.dispose(), 60_000)

const any = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T
interface Received {
  readonly cursor: string
  readonly kind: string
  readonly subjectId: string
  readonly version: string
}

/** One that is cut off `times` times, then reads on until it has seen `isLast`. */
async function unlucky(
  first: string,
  times: number,
  isLast: (one: Received) => boolean,
  cutOff: { count: number },
): Promise<Received[]> {
  const received: Received[] = []
  for (let cut = 0; ; cut++) {
    const after = received.at(-1)?.cursor ?? first
    const stream = await subscribe({
      url: any(servers).graphql.replace(/\/graphql$/, ''),
      token: machine.token,
      query,
      variables: { after },
      method: any(['GET', 'POST']),
    })
    expect(stream.status).toBe(200)
    // At once, in the middle of what is to be caught up with, or after some that have just come.
    const enough = cut < times ? Math.floor(Math.random() ** 2 * 40) : Number.POSITIVE_INFINITY
    for (let count = 0; count < enough; count++) {
      const told = await stream.next()
      expect(told?.errors).toBeUndefined()
      if (told === null) break
      received.push(told.data.events)
      if (isLast(told.data.events)) break
    }
    stream.cut()
    await stream.over
    // What had arrived before the cut, and was not looked at, has been received, too.
    for (let told = await stream.next(); told !== null; told = await stream.next()) received.push(told.data.events)
    if (cut >= times) return received
    cutOff.count++
  }
}

test('a client that is cut off again and again misses nothing and sees nothing twice, over three replicas', async () => {
  const ids: string[] = []
  for (const server of servers)
    ids.push(await machine.call(server, 'deploy', { name: machine.nameOf('hello'), image: 'hello' }))
  const listed = '{ events(first: 1) { nodes { cursor } } }'
  const first = await until(async () => {
    const { events } = await machine.ask(any(servers), listed)
    return events.nodes[0]?.cursor ?? expect.fail('nothing is listed yet')
  })
  let ended = false
  let last = ''
  const writing = Array.from({ length: writers }, async (_, at) => {
    while (!ended) {
      await machine.ask(
        any(servers),
        'mutation ($i: MergeDeploymentEnvInput!) { mergeDeploymentEnv(input: $i) { __typename } }',
        {
          i: { id: ids[at % ids.length], set: [{ key: `K${at}`, value: crypto.randomUUID() }] },
        },
      )
    }
  })
  const share = Math.ceil(cuts / clients)
  const isLast = ({ kind, subjectId }: Received) => kind === 'deleteDeployment' && subjectId === last
  const cutOff = { count: 0 }
  const reading = Promise.all(Array.from({ length: clients }, () => unlucky(first, share, isLast, cutOff)))
  // A failure of theirs is told at once, not after the writers' time.
  await Promise.race([reading, until(() => expect(cutOff.count).toBe(share * clients), 600_000)])
  ended = true
  await Promise.all(writing)
  last = any(ids)
  await machine.call(any(servers), 'deleteDeployment', { id: last })
  const all = await reading

  const [log] =
    await machine.sql`select array_agg(subject_id || ' ' || version || ' ' || kind order by position) as rows,
    count(*)::int as count from event where position > (select min(position) from event)`
  let [gaps, repeats, count] = [0, 0, 0]
  for (const received of all) {
    const told = received.map(({ subjectId, version, kind }) => `${subjectId} ${version} ${kind}`)
    const rows: string[] = log?.rows.slice(0, log.rows.findIndex((row: string) => row.endsWith(`deleteDeployment`)) + 1)
    const cursors = new Set(received.map(({ cursor }) => cursor))
    count += received.length
    repeats += received.length - cursors.size
    gaps += rows.filter((row) => !told.includes(row)).length
    expect(told.slice(0, rows.length)).toEqual(rows)
  }
  process.stdout.write(
    `cuts ${share * clients}, replicas ${servers.length}, clients ${clients}, events written ${log?.count}, ` +
      `received ${count}, gaps ${gaps}, repeats ${repeats}\n`,
  )
  expect([gaps, repeats]).toEqual([0, 0])
}, 900_000)
