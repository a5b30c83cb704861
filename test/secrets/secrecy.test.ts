// The value of a secret is sealed in its row and given to workloads, and is nowhere else: canary values live through all that
// can befall one, with a driver that repeats what it was given, and then everything that was emitted is searched for them.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import type { RuntimeDriver, WorkloadSpec } from '../../src/drivers/runtime/driver.ts'
import { createFakeDriver } from '../../src/drivers/runtime/fake.ts'
import { createLog } from '../../src/log.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { type Dispatcher, startDispatcher } from '../../src/loops/dispatch.ts'
import { createMetrics } from '../../src/metrics.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { secretPlace } from '../../src/resolvers/reference.ts'
import { patient } from '../database.ts'
import { superuser } from '../fixture.ts'
import { until } from '../loops/fixture.ts'
import { testSealing } from '../row.ts'
import { type Answer, type Api, openApi } from '../schema/api.ts'

let api: Api
let sql: ReturnType<typeof superuser>
let pool: Pool
let dispatcher: Dispatcher
const logged: string[] = []
const metrics = createMetrics({ strict: true })
const driver = createFakeDriver()
/** How the driver misbehaves at its next starts. */
const orders: ('throws' | 'refuses' | 'unreachable' | 'working')[] = []
/** What workloads were given. */
const given: string[] = []

/** Starts workloads, and repeats their variables in whatever it says. */
async function ensure(spec: WorkloadSpec, ...rest: never[]) {
  const token = String(spec.env.TOKEN)
  given.push(token)
  const order = orders.shift()
  const said = `the app does not take --token=${token} (${encodeURIComponent(token)})`
  if (order === 'throws') throw Object.assign(new Error(said), { cause: new Error(said) })
  if (order === 'working') return { kind: 'working', askAgainAfterMs: 1, detail: said }
  if (order) return { kind: order === 'refuses' ? 'refused' : order, reason: said }
  return driver.ensure(spec, ...(rest as unknown as [never, never]))
}

beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  pool = openPool({ url: api.database.url, purpose: 'worker', slots: 4, ...patient })
  const log = createLog({ level: 'trace', destination: { write: (line) => logged.push(line) } })
  const effects = deploymentEffects(pool.db, { ...driver, ensure } as unknown as RuntimeDriver, testSealing)
  dispatcher = startDispatcher(effects, { db: pool.db, metrics, log, workerId: 'w', timing: { pollMs: 30 } })
})
afterAll(async () => {
  await dispatcher.drain(0)
  await pool.close()
  await sql.end({ timeout: 1 })
  await api.close()
})

const canaries: string[] = []
const canary = () => {
  const value = `canary${canaries.length}-${crypto.randomUUID()}`
  canaries.push(value)
  return value
}
const answers: string[] = []
const heard = (answer: Answer) => {
  answers.push(answer.text)
  return answer
}
const refusal = '... on Refusal { __typename code message remedies { arguments explanation } }'
const document = `mutation ($input: SetSecretInput!) { setSecret(input: $input) { ${refusal}
  ... on SetSecretPayload { created secret { id name revision version events { nodes { kind } } } } } }`
const set = async (input: object) => heard(await api.call(document, { input })).data?.setSecret
const settles = (state: string) =>
  until(async () => {
    await sql`update operation set due_at = now() where state in ('PENDING', 'UNKNOWN')`
    const [row] =
      await sql`select state, (select count(*)::int from operation where state in ('PENDING', 'RUNNING', 'UNKNOWN')) as live
      from deployment`
    expect(row).toEqual({ state, live: 0 })
  })
const ask = async (mutation: string, input: string) =>
  heard(await api.call(`mutation { ${mutation}(input: ${input}) { __typename ${refusal} } }`))

/** Everything that a caller with every scope may read. */
const everything = `{
  secrets { nodes { id name state stateReason revision version changedBy allowedActions { action because }
    usedBy { key } events { nodes { kind from to actor { id } requestId } } } }
  deployments { nodes { name state stateReason url env { key value } operations { nodes { kind state outcome } } } }
  operations { nodes { kind state outcome requestId } } events(first: 100) { nodes { kind from to actor { id } } }
}`

async function allRows(): Promise<[table: string, rows: string][]> {
  const tables = await sql<{ schema: string; name: string }[]>`
    select table_schema as schema, table_name as name from information_schema.tables
    where table_schema in ('public', 'drizzle') and table_type = 'BASE TABLE'`
  return Promise.all(
    tables.map(async ({ schema, name }): Promise<[string, string]> => {
      const rows = await sql.unsafe(`select to_jsonb(t)::text as row from "${schema}"."${name}" t`)
      return [name, rows.map(({ row }) => row).join('\n')]
    }),
  )
}

test('no value leaves its row, but to the workloads that refer to it', async () => {
  // Kept, replaced, repeated, and repeated with another value.
  const first = canary()
  const { secret } = await set({ name: 'token', value: first, idempotencyKey: 'k' })
  await set({ name: 'token', value: first, idempotencyKey: 'k' })
  expect(await set({ name: 'token', value: canary(), idempotencyKey: 'k' })).toMatchObject({
    code: 'IDEMPOTENCY_KEY_REUSED',
  })
  // Refused in every way, and malformed in every way.
  await set({ name: 'token', value: `${canary()}\0` })
  await set({ name: '?', value: canary() })
  await set({ name: 'token', value: canary(), expectedVersion: '99' })
  await set({ name: 'token', value: canary().repeat(2_000) })
  await sql`update plan_usage set cap = used where kind = 'secrets'`
  expect(await set({ name: 'second', value: canary() })).toMatchObject({ code: 'QUOTA_EXCEEDED' })
  // What is no text is told back to whoever sent it, and to nobody else.
  for (const value of [[canary()], { raw: canary() }])
    expect((await api.call(document, { input: { name: 'token', value } })).errors).toHaveLength(1)
  // The database fails while it stores one.
  api.before = (statement) => {
    if (statement.sql.includes('setSecret')) throw new Error(`no: ${JSON.stringify(statement.params)}`)
  }
  heard(
    await api.call('mutation ($i: SetSecretInput!) { setSecret(input: $i) { __typename } }', {
      i: { name: 'token', value: canary() },
    }),
  )
  api.before = () => {}

  // A driver that repeats what it was given, in every way that it can say something.
  orders.push('throws', 'unreachable', 'working', 'refuses')
  await ask('deploy', '{ name: "app", image: "hello", env: [{ key: "TOKEN", value: "secret://token" }] }')
  await settles('FAILED')
  heard(await api.call(everything))
  const second = canary()
  expect(await set({ name: 'token', value: second })).toMatchObject({ created: false, secret: { revision: 2 } })
  await ask('deploy', '{ name: "app", image: "hello", redeploy: true }')
  await settles('HEALTHY')
  await sequenceEvents(api.pool.db, 1_000)
  heard(await api.call(everything))

  // It is where it should be: sealed, and with the workload.
  expect(given.at(0)).toBe(first)
  expect(given.at(-1)).toBe(second)
  const [row] = await sql`select id, team_id as "teamId", revision, value from secret`
  expect(testSealing.open(row?.value, secretPlace(row as never))).toBe(second)
  await ask('deleteSecret', `{ id: "${secret.id}" }`)
  await ask('deleteSecret', '{ name: "token" }')
  heard(await api.call(everything))

  const rows = await allRows()
  expect(rows.map(([table]) => table)).toEqual(
    expect.arrayContaining(['secret', 'event', 'operation', 'deployment', 'idempotency_key', 'plan_usage']),
  )
  const searched = new Map<string, string>([
    ...rows,
    ['the log of the API', api.logged.join('')],
    ['the log of the worker', logged.join('')],
    ['answers', answers.join('\n')],
    ['the metrics of the API', await api.metrics.text()],
    ['the metrics of the worker', await metrics.text()],
  ])
  const encodings = canaries.flatMap((value) => [
    value,
    Buffer.from(value).toString('base64').replace(/=+$/, ''),
    Buffer.from(value).toString('hex'),
  ])
  expect(
    [...searched].filter(([, text]) => encodings.some((value) => text.includes(value))).map(([where]) => where),
  ).toEqual([])
  expect(searched.get('secret')).not.toContain(String(row?.value))
  // What was said is told, without what it must not hold.
  expect(searched.get('deployment')).not.toContain('canary')
  expect(searched.get('operation')).toContain('[secret]')
  expect(searched.get('answers')).toContain('--token=[secret]')
  expect(answers.length).toBeGreaterThan(12)
})
