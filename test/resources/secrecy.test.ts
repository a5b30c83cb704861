// A password is sealed in its own row and shown to callers with the scope, and is nowhere else: a resource lives through all
// that can befall it, with a provisioner that repeats what it was told, and then everything is searched for what must not be there.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import type { Provisioner, ResourceSpec } from '../../src/drivers/provision/driver.ts'
import { createFakeProvisioner } from '../../src/drivers/provision/fake.ts'
import { createFakeDriver } from '../../src/drivers/runtime/fake.ts'
import { createLog } from '../../src/log.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { type Dispatcher, startDispatcher } from '../../src/loops/dispatch.ts'
import { resourceEffects } from '../../src/loops/resource-effect.ts'
import { createMetrics } from '../../src/metrics.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { patient } from '../database.ts'
import { createToken, superuser } from '../fixture.ts'
import { until } from '../loops/fixture.ts'
import { testSealing } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { mutate } from '../schema/call.ts'
import { giveRoom } from './row.ts'

let api: Api
let sql: ReturnType<typeof superuser>
let pool: Pool
let dispatcher: Dispatcher
const logged: string[] = []
const metrics = createMetrics({ strict: true })
const provisioner = createFakeProvisioner()
/** Every password that a provisioner was ever given. */
const canaries = new Set<string>()
/** How it misbehaves at its next calls with a password. */
const orders: ('throws' | 'refuses' | 'unreachable' | 'unknown')[] = []

/** Repeats the password in whatever it says. */
function echoing<T>(real: (spec: ResourceSpec, ...rest: never[]) => Promise<T>) {
  return async (spec: ResourceSpec, ...rest: never[]) => {
    canaries.add(spec.password)
    const order = orders.shift()
    const said = `syntax error at or near "PASSWORD ${spec.password}" of postgres://u:${spec.password}@host/db`
    if (order === 'throws') throw Object.assign(new Error(said), { cause: new Error(said), code: spec.password })
    if (order === 'refuses') return { kind: 'refused', reason: said }
    if (order) return { kind: order, reason: said }
    return real(spec, ...rest)
  }
}

beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  await giveRoom(sql, api.team.teamId)
  pool = openPool({ url: api.database.url, purpose: 'worker', slots: 4, ...patient })
  const spy = {
    ...provisioner,
    provision: echoing(provisioner.provision as never),
    rotate: echoing(provisioner.rotate as never),
  } as unknown as Provisioner
  const log = createLog({ level: 'trace', destination: { write: (line) => logged.push(line) } })
  const effects = [
    ...deploymentEffects(pool.db, createFakeDriver(), testSealing),
    ...resourceEffects(pool.db, () => spy, testSealing),
  ]
  dispatcher = startDispatcher(effects, { db: pool.db, metrics, log, workerId: 'w', timing: { pollMs: 30 } })
})
afterAll(async () => {
  await dispatcher.drain(0)
  await pool.close({ timeoutMs: 0 })
  await sql.end({ timeout: 1 })
  await api.close()
})

const dueNow = () => sql`update operation set due_at = now() where state in ('PENDING', 'UNKNOWN')`
const comesTo = (id: string, state: string, generation: number) =>
  until(async () => {
    await dueNow()
    const [row] = await sql`select state, (select count(*)::int from operation where subject_id = ${id}
      and state in ('PENDING', 'RUNNING', 'UNKNOWN')) as live, generation from resource where id = ${id}`
    expect(row).toEqual({ state, live: 0, generation })
  })
const selection = 'resource { id name state stateReason connection { url } operations { nodes { kind outcome } } }'
const create = async (name: string): Promise<string> =>
  (await mutate(api, 'createResource', { type: 'POSTGRES', name }, `... on CreateResourcePayload { ${selection} }`))
    .resource.id
const ask = (mutation: string, id: string) => mutate(api, mutation, { id })

/** Everything that a caller may read of resources, deployments and what happened to them. */
const everything = `{
  resources { nodes { id name state stateReason version generation sizeBytes connection { url }
    allowedActions { action because } operations { nodes { kind state outcome } } events { nodes { kind from to } } } }
  deployments { nodes { name state stateReason url env { key value } operations { nodes { kind outcome } } } }
  operations { nodes { kind state outcome requestId } } events(first: 100) { nodes { kind from to actor { id } } }
}`

async function allRows(): Promise<[table: string, rows: string][]> {
  const tables = await sql<{ name: string }[]>`
    select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`
  expect(tables.length).toBeGreaterThan(6)
  return Promise.all(
    tables.map(async ({ name }): Promise<[string, string]> => {
      const rows = await sql.unsafe(`select to_jsonb(t)::text as row from "${name}" t`)
      return [name, rows.map(({ row }) => row).join('\n')]
    }),
  )
}

test('no password leaves its row, but to callers with the scope resource', async () => {
  const urls: string[] = []
  const answers: string[] = []
  const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read', 'deploy', 'env:read'] })
  const look = async () => {
    const full = await api.call(everything)
    for (const { connection } of full.data.resources.nodes) if (connection) urls.push(connection.url)
    answers.push((await api.call(everything, {}, token)).text)
  }

  orders.push('throws', 'unreachable', 'unknown')
  const id = await create('store')
  await comesTo(id, 'ACTIVE', 1)
  await look()
  orders.push('refuses', 'throws', 'unknown', 'unreachable')
  await ask('rotateResourceCredentials', id)
  await comesTo(id, 'ACTIVE', 2)
  await look()
  await mutate(api, 'deploy', { name: 'app', image: 'hello', env: [{ key: 'URL', value: 'resource://store' }] })
  await until(async () => {
    await dueNow()
    expect((await sql`select state from deployment`)[0]?.state).toBe('HEALTHY')
  })
  await ask('pauseResource', id)
  await comesTo(id, 'PAUSED', 3)
  await ask('resumeResource', id)
  await comesTo(id, 'ACTIVE', 4)
  orders.push('refuses')
  const failed = await create('failed')
  await comesTo(failed, 'FAILED', 1)
  await look()
  // Refused for want of the scope, and in every other way.
  for (const mutation of ['rotateResourceCredentials', 'pauseResource', 'deleteResource'])
    answers.push(JSON.stringify(await mutate(api, mutation, { id }, '', token)))
  for (const mutation of ['rotateResourceCredentials', 'resumeResource'])
    answers.push(JSON.stringify(await mutate(api, mutation, { id: failed })))
  await sequenceEvents(api.pool.db, 1_000)
  await look()

  // It is there where it should be: with the scope, and sealed.
  expect(canaries.size).toBe(3)
  expect(urls.length).toBeGreaterThanOrEqual(4)
  expect([...canaries].filter((canary) => urls.some((url) => url.includes(canary)))).toHaveLength(2)
  const [row] = await sql`select team_id, password from resource where id = ${id}`
  expect(canaries).toContain(testSealing.open(row?.password, [row?.team_id, id, 'password']))

  const sealed = (await sql`select password, connection from resource`).flatMap((one) => [one.password, one.connection])
  const secrets = [...canaries, ...urls, ...sealed.filter((text) => text !== null)]
  const rows = await allRows()
  expect(rows.map(([table]) => table)).toEqual(
    expect.arrayContaining(['event', 'operation', 'deployment', 'idempotency_key']),
  )
  const searched = new Map<string, string>([
    ...rows.filter(([table]) => table !== 'resource'),
    ['the log of the API', api.logged.join('')],
    ['the log of the worker', logged.join('')],
    ['answers without the scope', answers.join('\n')],
    ['the metrics of the API', await api.metrics.text()],
    ['the metrics of the worker', await metrics.text()],
  ])
  const found = [...searched].flatMap(([where, text]) =>
    secrets.filter((secret) => text.includes(secret)).map(() => where),
  )
  expect(found).toEqual([])
  // Even in its own row nothing is to be read.
  const own = rows.find(([table]) => table === 'resource')?.[1] ?? ''
  expect([...canaries, ...urls].filter((secret) => own.includes(secret))).toEqual([])
  // What was said is told, without what it must not hold.
  expect(searched.get('operation')).toContain('[secret]')
  expect(searched.get('the log of the worker')).toContain('a driver gave no answer')
})
