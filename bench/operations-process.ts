// How soon accepted work begins, and goes on after a worker was killed: with the control plane as main.ts starts it, in processes of
// its own, over a world of fakes. Times are those of events, by the database's clock; leases are what they are.
import postgres from 'postgres'
import { ask, type Fleet, openFleet, type Replica } from '../test/proof/fleet.ts'

const starts = 200
const kills = 3
/** As many as one worker takes up at a time. */
const worked = 16
const patienceMs = 60_000
const pollMs = 20

/** A database, and the token of a team of it. */
interface Asked {
  readonly url: string
  readonly token: string
}

/** For one deployment after the other: from when its redeploy was accepted to when a worker had it, in ms. */
export function idleStarts({ url, token }: Asked): Promise<number[]> {
  return withFleet(url, async (fleet, sql) => {
    const replica = await started(fleet)
    const id = await deployed(replica, token, 'idle')
    await until(async () => (await live(sql, [id])) === 0)
    for (let n = 0; n < starts; n++) {
      await accepted(replica, token, 'redeployDeployment', { id })
      await until(async () => (await live(sql, [id])) === 0)
    }
    const rows = await sql<{ ms: number }[]>`
      select extract(epoch from c.occurred_at - q.occurred_at)::float8 * 1000 as ms from event q join event c on c.subject_id = q.subject_id
      where q.kind = 'queueOperation' and c.kind = 'claimOperation' and q.subject_id in (select id from operation where subject_id = ${id})
      order by q.id offset 1`
    return rows.map(({ ms }) => ms)
  })
}

/** For each operation that a worker had when it was killed: until another one had it, in ms. */
export function takeOvers({ url, token }: Asked, tell: (line: string) => void): Promise<number[]> {
  return withFleet(url, async (fleet, sql) => {
    const gaps: number[] = []
    let victim = await started(fleet)
    for (let kill = 1; kill <= kills; kill++) {
      victim.outside.runtime.faultNext('ensure', { kind: 'hang', done: false }, worked)
      const ids: string[] = []
      for (let n = 0; n < worked; n++) ids.push(await deployed(victim, token, `kill-${kill}-${n}`))
      const deploying = () => sql`select 1 from deployment where id = any(${ids}) and state = 'DEPLOYING'`
      await until(async () => (await deploying()).length === worked)
      const next = await started(fleet)
      const [at] = await sql<{ now: Date }[]>`select clock_timestamp()::text as now`
      await victim.end('SIGKILL')
      await until(async () => (await live(sql, ids)) === 0)
      const rows = await sql<{ ms: number }[]>`
        select extract(epoch from e.occurred_at - ${String(at?.now)}::timestamptz)::float8 * 1000 as ms from event e
        join operation o on o.id = e.subject_id where o.subject_id = any(${ids}) and e.kind = 'claimOperation' and e.from_state = 'RUNNING'`
      if (rows.length !== worked) throw new Error(`${rows.length} of ${worked} operations were taken over`)
      gaps.push(...rows.map(({ ms }) => ms))
      tell(
        `kill ${kill} of ${kills}: all ${worked} go on after ${(Math.max(...rows.map(({ ms }) => ms)) / 1000).toFixed(1)} s`,
      )
      victim = next
    }
    return gaps
  })
}

async function withFleet<T>(url: string, work: (fleet: Fleet, sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const fleet = await openFleet({ url, env: { PAWL_LOG_LEVEL: 'error' } })
  try {
    return await work(fleet, sql)
  } finally {
    await fleet.close()
    await sql.end({ timeout: 1 })
  }
}

async function started(fleet: Fleet): Promise<Replica> {
  const replica = await fleet.start()
  if (!replica) throw new Error('a replica has ended')
  return replica
}

const deployed = (replica: Replica, token: string, name: string): Promise<string> =>
  accepted(replica, token, 'deploy', { name, image: 'hello' })

/** Makes the call, which must be accepted; returns the deployment's id. */
async function accepted(replica: Replica, token: string, mutation: string, input: object): Promise<string> {
  const type = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}`
  const query = `mutation ($input: ${type}Input!) { ${mutation}(input: $input) { ... on ${type}Payload { deployment { id } } } }`
  const answer = await ask(replica, token, query, { input })
  const { deployment } = (answer.data?.[mutation] ?? {}) as { deployment?: { id: string } }
  if (!deployment) throw new Error(`${mutation} was answered ${JSON.stringify(answer)}`)
  return deployment.id
}

/** How many of these have work that is not done. */
async function live(sql: postgres.Sql, ids: readonly string[]): Promise<number> {
  const rows =
    await sql`select 1 from operation where subject_id = any(${[...ids]}) and state in ('PENDING', 'RUNNING', 'UNKNOWN')`
  return rows.length
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const since = performance.now()
  while (!(await holds())) {
    if (performance.now() - since > patienceMs) throw new Error('what was waited for does not come')
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}
