// Keys rotate while everything runs: no read fails, no value is lost, and at the end it is known which key may be dropped.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import { watchKeys } from '../../src/key-watch.ts'
import { createLog } from '../../src/log.ts'
import { resolveEnv } from '../../src/resolvers/reference.ts'
import { keysInUse, missingKeys, reseal, sealedColumns } from '../../src/resolvers/sealed.ts'
import { setSecret } from '../../src/resolvers/secret.ts'
import { createSealing } from '../../src/sealing.ts'
import { patient } from '../database.ts'
import { createGates, type Gates, underWay } from '../interleave.ts'
import { openWorld, type World } from '../races/world.ts'
import { putResource } from '../resources/row.ts'
import { contextFor, testSealing } from '../row.ts'
import { kept, stored } from './fixture.ts'

/** The tests' own key is the old one. */
const old = { id: 'test', bytes: Buffer.alloc(32, 7) }
const fresh = { id: 'next.1', bytes: randomBytes(32) }
/** As processes are restarted: the new key last, then first. */
const [before, after] = [createSealing([old, fresh]), createSealing([fresh, old])]

let world: World
let pool: Pool
let gates: Gates
beforeAll(async () => {
  world = await openWorld()
  gates = createGates()
  pool = openPool({ url: world.url, purpose: 'worker', slots: 2, ...patient, wrap: gates.wrap })
})
afterAll(async () => {
  await pool.close()
  await world.close()
})
const inUse = async () => Object.fromEntries((await keysInUse(pool.db)).map(({ keyId, count }) => [keyId, count]))
const pass = async (batch = 4, db = pool.db) => {
  const done = []
  for (const column of sealedColumns) done.push(await reseal(db, after, column, { batch }))
  return {
    resealed: done.reduce((sum, each) => sum + each.resealed, 0),
    overtaken: done.reduce((sum, each) => sum + each.overtaken, 0),
    unopened: done.flatMap(({ unopened }) => unopened),
  }
}
const contextOf = (sealing: typeof before) => contextFor(world.pool.db, world.team.actor, { sealing })

test('rotation under load: no read fails, no value is lost, and what is sealed with the old key meanwhile is found again', async () => {
  const names = Array.from({ length: 16 }, (_, n) => `s${n}`)
  for (const name of names) await kept(world, name, `${name}:0`)
  for (const name of names)
    await putResource(world.stranger, {
      teamId: world.team.teamId,
      state: 'ACTIVE',
      name,
      url: `url:${name}`,
      rotating: true,
    })
  expect(await inUse()).toEqual({ test: 16 * 4 })

  let rotating = true
  let reads = 0
  const env = Object.fromEntries(
    names.flatMap((name) => [
      [`S_${name}`, { value: `secret://${name}` }],
      [`R_${name}`, { value: `resource://${name}` }],
    ]),
  )
  // A workload starts, again and again, on replicas of both kinds.
  const reader = async (sealing: typeof before) => {
    while (rotating) {
      const resolved = await resolveEnv(world.pool.db, sealing, {
        teamId: world.team.teamId,
        environment: 'development',
        env,
      })
      if (resolved.kind !== 'resolved') throw new Error(resolved.reason)
      for (const name of names) {
        expect(resolved.env[`R_${name}`]).toBe(`url:${name}`)
        expect(resolved.env[`S_${name}`]).toMatch(new RegExp(`^${name}:\\d+$`))
      }
      reads++
    }
  }
  const last = new Map(names.map((name) => [name, `${name}:0`]))
  const writer = async (sealing: typeof before) => {
    for (let n = 1; rotating; n++) {
      const name = names[(n * 7) % names.length] as string
      const answer = await setSecret(contextOf(sealing), { name, value: `${name}:${n}` })
      expect(answer).not.toHaveProperty('refusal')
      last.set(name, `${name}:${n}`)
    }
  }
  const load = [underWay(reader(before)), underWay(reader(after)), underWay(writer(before))]
  let resealed = 0
  while (resealed < 16 * 4 || reads < 8) resealed += (await pass()).resealed
  rotating = false
  await Promise.all(load)

  // Now that nobody seals with the old key any more, one pass leaves nothing of it.
  await pass()
  expect(await inUse()).toEqual({ 'next.1': 16 * 4 })
  const alone = createSealing([fresh])
  for (const name of names)
    expect((await stored(world, name, alone)).map(({ value }) => value)).toEqual([last.get(name)])
  expect(await pass()).toEqual({ resealed: 0, overtaken: 0, unopened: [] })
})

test('whoever sets another value between read and swap wins; the next pass finds it', async () => {
  await kept(world, 'overtaken', 'a')
  const gate = gates.park('reseal')
  const rotation = underWay(pass())
  await gate.reached
  expect(await setSecret(contextOf(before), { name: 'overtaken', value: 'b' })).toMatchObject({ created: false })
  gate.release()
  expect(await rotation).toEqual({ resealed: 0, overtaken: 1, unopened: [] })
  expect(await stored(world, 'overtaken', after)).toMatchObject([{ revision: 2, value: 'b' }])
  expect(await pass()).toMatchObject({ resealed: 1 })
  expect(await stored(world, 'overtaken', after)).toMatchObject([{ revision: 2, version: 2, value: 'b' }])
})

test('stopped half-way it goes on where it was; what was moved is named, and left as it is', async () => {
  for (let n = 0; n < 10; n++) await kept(world, `half${n}`, 'v')
  const [moved] = await stored(world, 'half3')
  const [source] = await stored(world, 'half4')
  await world.stranger`update secret set value = ${source?.sealed ?? null} where id = ${moved?.id ?? ''}`
  const [secrets] = sealedColumns
  if (!secrets) throw new Error('nothing is sealed')
  const stop = () => {
    throw new Error('stopped')
  }
  await expect(reseal(pool.db, after, secrets, { batch: 3, told: stop })).rejects.toThrow('stopped')
  expect((await inUse()).test).toBeGreaterThan(5)
  expect(await pass()).toMatchObject({ unopened: [moved?.id] })
  expect(await inUse()).toMatchObject({ test: 1 })
  await world.stranger`update secret set state = 'DELETED', value = null, version = version + 1 where id = ${moved?.id ?? ''}`
})

test('keys that are missing are counted, whatever their ids look like', async () => {
  const strange = createSealing([{ id: `a.${'b'.repeat(16)}.${'c'.repeat(13)}`, bytes: randomBytes(32) }])
  await setSecret(contextOf(strange), { name: 'strange', value: 'x'.repeat(5_000) })
  expect(await missingKeys(pool.db, after)).toEqual([{ keyId: strange.keyIds[0], count: 1 }])
  expect(await missingKeys(pool.db, strange)).toMatchObject([{ keyId: 'next.1' }])
  await world.stranger`update secret set state = 'DELETED', value = null, version = version + 1 where name = 'strange'`
  expect(await missingKeys(pool.db, after)).toEqual([])
})

test('a process that lacks a key in use is not ready and says so once; it is ready when nothing needs the key any more', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    const lines: string[] = []
    const log = createLog({ level: 'info', destination: { write: (line) => lines.push(JSON.parse(line).msg) } })
    const lost = createSealing([{ id: 'lost', bytes: randomBytes(32) }])
    const watch = watchKeys(() => missingKeys(pool.db, after), log)
    expect(await watch.allHeld()).toBe(true)
    await setSecret(contextOf(lost), { name: 'lost', value: 'canary' })
    // A good answer is believed for a minute, a bad one for seconds.
    vi.setSystemTime(Date.now() + 61_000)
    expect([await watch.allHeld(), await watch.allHeld()]).toEqual([false, false])
    vi.setSystemTime(Date.now() + 6_000)
    expect(await watch.allHeld()).toBe(false)
    expect(lines).toEqual([
      'not ready: secrets are stored that no key of PAWL_SECRET_KEYS can open; the missing key: lost (1 stored). Put it back, after the one that seals',
    ])
    // The way out when the key is lost for good: the value is set again.
    await setSecret(contextOf(after), { name: 'lost', value: 'again' })
    vi.setSystemTime(Date.now() + 6_000)
    expect(await watch.allHeld()).toBe(true)
    expect(lines).toHaveLength(2)
  } finally {
    vi.useRealTimers()
  }
})

test('every column that is declared as sealed is sealed anew', () => {
  const declared = readdirSync('src/db').flatMap((file) => {
    if (!file.endsWith('.ts')) return []
    const text = readFileSync(`src/db/${file}`, 'utf8')
    return [...text.matchAll(/\/\*\* Sealed[^\n]*\*\/\n\s*\w+: text\('(\w+)'\)/g)].map(
      ([, column]) => `${file.replace('.ts', '').replaceAll('-', '_')}.${column}`,
    )
  })
  expect(declared.length).toBeGreaterThan(3)
  expect(sealedColumns.map(({ name }) => name).sort()).toEqual(declared.sort())
})

/** Runs the program as an operator does. */
function run(
  keys: readonly { id: string; bytes: Buffer }[],
  ...flags: string[]
): Promise<{ code: number | null; text: string }> {
  const env = {
    ...process.env,
    DATABASE_URL: world.url,
    PAWL_SECRET_KEYS: keys.map(({ id, bytes }) => `${id}:${bytes.toString('base64')}`).join(','),
  }
  const child = spawn(process.execPath, ['src/rotate-secrets.ts', ...flags], { env })
  let text = ''
  child.stdout.on('data', (part) => (text += part))
  child.stderr.on('data', (part) => (text += part))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, text })))
}

test('the program seals anew what there is, says what is left of each key, and names one that is missing', async () => {
  await setSecret(contextOf(testSealing), { name: 'program', value: 'v' })
  const total = Object.values(await inUse()).reduce((sum, n) => sum + n, 0)
  const lost = { id: 'lost', bytes: randomBytes(32) }
  const [missing, done] = await Promise.all([run([lost]), run([fresh, old])])
  expect(missing.code).toBe(1)
  expect(missing.text).toMatch(
    /^Keys: lost seals\.\nNot rotated: \d+ stored secrets? cannot be opened: the key next\.1 is not in PAWL_SECRET_KEYS; put it back, after the one that seals\. Nothing was changed\.\n$/,
  )
  expect(done).toEqual({
    code: 0,
    text: [
      'Keys: next.1 seals, test only open.',
      'secret.value: 1 sealed anew.',
      'resource.password: 0 sealed anew.',
      'resource.next_password: 0 sealed anew.',
      'resource.connection: 0 sealed anew.',
      'webhook.secret: 0 sealed anew.',
      'webhook.previous_secret: 0 sealed anew.',
      `Sealed with next.1: ${total}.`,
      'Sealed with test: 0. Once no process seals with it any more it may be dropped from PAWL_SECRET_KEYS.',
      '',
    ].join('\n'),
  })
  expect((await stored(world, 'program', createSealing([fresh]))).map(({ value }) => value)).toEqual(['v'])
})
