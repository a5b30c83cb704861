// The PostgreSQL provisioner: the contract, then what only a real server can show of runners that come too late and of
// sessions that do not end. Crashes, confinement and secrets have files of their own.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { ResourceSpec } from '../../src/drivers/provision/driver.ts'
import { createPostgresProvisioner } from '../../src/drivers/provision/postgres.ts'
import { calm, doneNull, doneValue, fenceOf, newRef, provisionConformance, specOf } from './provision.conformance.ts'
import {
  around,
  clientOf,
  connectTo,
  createPostgresFixture,
  type PostgresFixture,
} from './provision-postgres-fixture.ts'

let fixture: PostgresFixture
beforeAll(async () => {
  fixture = await createPostgresFixture(inject('postgresMajor'))
})
afterAll(() => fixture?.dispose())

provisionConformance('PostgreSQL provisioner', async () => ({
  provisioner: () => fixture.provisioner(),
  connect: clientOf,
  exists: (ref) => fixture.exists(ref),
  plantForeign: (ref) => fixture.plantForeign(ref),
  dispose: async () => {},
}))

const made = async (spec: ResourceSpec, generation = 1) =>
  (await doneValue(fixture.provisioner().provision(spec, fenceOf(spec, generation), calm))).url
test('R92 R93 what another installation made on the same server is listed by none but it, whoever changes it later', async () => {
  const spec = specOf(newRef())
  await made(spec)
  const other = fixture.provisioner(undefined, 'another')
  expect(await doneValue(other.listOwned(calm))).toEqual([])
  await doneValue(other.pause(spec, fenceOf(spec, 2), calm))
  expect(await doneValue(other.listOwned(calm))).toEqual([])
  const owned = { subjectId: spec.subjectId, incarnation: spec.incarnation, generation: 2 }
  expect(await doneValue(fixture.provisioner().listOwned(calm))).toContainEqual(owned)
})

test('R93 a ledger of before there were installations gets its column; what it tells of is nobody’s to sweep', async () => {
  const spec = specOf(newRef())
  await made(spec)
  await fixture.admin.unsafe('ALTER TABLE pawl_provision.ledger DROP COLUMN installation')
  expect(await doneValue(fixture.provisioner().listOwned(calm))).toEqual([])
  expect(await doneValue(fixture.provisioner().observe(spec, calm))).toMatchObject({ state: 'active' })
})

test('whoever only looks makes no ledger where there is none, and finds nothing there', async () => {
  const spec = specOf(newRef())
  await made(spec)
  await fixture.admin.unsafe('ALTER SCHEMA pawl_provision RENAME TO set_aside')
  const { url, dataDir } = fixture
  const startCluster = () => Promise.reject(new Error('not to be started'))
  const connect = connectTo()
  const looking = createPostgresProvisioner({
    installation: 'tests',
    onlyReads: true,
    url,
    dataDir,
    startCluster,
    connect,
  })
  expect(await doneValue(looking.listOwned(calm))).toEqual([])
  expect(await doneValue(looking.observe(spec, calm))).toEqual({ state: 'absent' })
  const schemas = await fixture.admin`select from pg_namespace where nspname = 'pawl_provision'`
  expect(schemas).toHaveLength(0)
  await fixture.admin.unsafe('ALTER SCHEMA set_aside RENAME TO pawl_provision')
  await fixture.admin.unsafe('ALTER TABLE pawl_provision.ledger DROP COLUMN installation')
  expect(await doneValue(looking.listOwned(calm))).toEqual([])
  expect(await doneValue(looking.observe(spec, calm))).toMatchObject({ state: 'active' })
})

describe('PostgreSQL provisioner: runners that come too late', () => {
  /** A provisioner that stops before the named statement until it is let go. */
  function parked(at: string, lockTimeoutMs = 3_000) {
    const reached = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    const connect = around(connectTo({ statementTimeoutMs: 10_000, lockTimeoutMs }), {
      async before(name) {
        if (name !== at) return
        reached.resolve()
        await go.promise
      },
    })
    return { driver: fixture.provisioner(connect), reached: reached.promise, go: go.resolve }
  }
  const hasty = () => fixture.provisioner(connectTo({ statementTimeoutMs: 10_000, lockTimeoutMs: 100 }))

  test('R19 while one call works on it another one waits, and says so when it waits too long', async () => {
    const spec = specOf(newRef())
    const first = parked('create database')
    const making = first.driver.provision(spec, fenceOf(spec, 1), calm)
    await first.reached
    const blocked = await hasty().deprovision(spec, fenceOf(spec, 2), calm)
    expect(blocked).toEqual({ kind: 'unreachable', reason: 'Another call holds the resource' })
    first.go()
    expect((await making).kind).toBe('done')
    expect(await hasty().deprovision(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
    expect(await fixture.exists(spec)).toBe(false)
  })

  test.each([
    ['create database', 'provision'],
    ['drop database', 'deprovision'],
  ] as const)('R62 one that lost its connection before "%s" does not do it any more', async (at, call) => {
    const spec = specOf(newRef())
    if (call === 'deprovision') await made(spec)
    const first = parked(at)
    const fence = fenceOf(spec, 1, 'op-1', 2)
    const late =
      call === 'provision' ? first.driver.provision(spec, fence, calm) : first.driver.deprovision(spec, fence, calm)
    await first.reached
    await fixture.admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pawl-provision'`
    if (call === 'provision') {
      expect(await fixture.provisioner().deprovision(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
    } else await made(spec, 2)
    first.go()
    expect((await late).kind).toBe('unknown')
    expect(await fixture.exists(spec)).toBe(call === 'deprovision')
  })

  test.each(['fence', 'record active'])(
    'a record that moved on before "%s", whoever moved it, is not written over',
    async (at) => {
      const spec = specOf(newRef())
      await made(spec)
      const first = parked(at)
      const late = first.driver.resume(spec, fenceOf(spec, 2), calm)
      await first.reached
      await fixture.admin`UPDATE pawl_provision.ledger SET revision = revision + 1 WHERE incarnation = ${spec.incarnation}`
      first.go()
      expect(await late).toMatchObject({ kind: 'stale' })
    },
  )

  test('an abort ends the call at once, and frees the resource', async () => {
    const spec = specOf(newRef())
    const abort = new AbortController()
    const first = parked('create database')
    const making = first.driver.provision(spec, fenceOf(spec, 1), abort.signal)
    await first.reached
    abort.abort()
    first.go()
    expect((await making).kind).toBe('unknown')
    expect(await fixture.provisioner().deprovision(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
    expect(await fixture.exists(spec)).toBe(false)
  })

  test('a session that was being let in while the doors closed is ended too', async () => {
    const spec = specOf(newRef())
    const url = await made(spec)
    const stop = new AbortController()
    const entering = Array.from({ length: 8 }, async () => {
      let open = 0
      while (!stop.signal.aborted) {
        const client = await clientOf(url).catch(() => null)
        if (client === null) continue
        open++
        await client.ended
      }
      return open
    })
    for (const generation of [2, 4, 6]) {
      await doneValue(fixture.provisioner().pause(spec, fenceOf(spec, generation), calm))
      const [row] =
        await fixture.admin`SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = ${`pawl_${spec.incarnation}`}`
      expect(row?.n).toBe(0)
      await doneValue(fixture.provisioner().resume(spec, fenceOf(spec, generation + 1), calm))
      await expect
        .poll(
          async () =>
            (await fixture.admin`SELECT FROM pg_stat_activity WHERE usename = ${`pawl_${spec.incarnation}`}`).length,
        )
        .toBeGreaterThan(0)
    }
    stop.abort()
    await doneValue(fixture.provisioner().deprovision(spec, fenceOf(spec, 9), calm))
    expect((await Promise.all(entering)).reduce((sum, open) => sum + open)).toBeGreaterThan(0)
  })
})

describe('PostgreSQL provisioner: sessions that do not end', () => {
  test('R74 pause is done when the last session has ended, not when it was told to', async () => {
    const spec = specOf(newRef())
    const client = await clientOf(await made(spec))
    const [{ pid } = { pid: 0 }] = await client.sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`
    let asked = 0
    const again = Promise.withResolvers<void>()
    const counting = around(connectTo(), {
      after(name) {
        if (name === 'end sessions' && ++asked === 3) again.resolve()
      },
    })
    process.kill(pid, 'SIGSTOP')
    const pausing = fixture.provisioner(counting).pause(spec, fenceOf(spec, 2), calm)
    await Promise.race([again.promise, pausing])
    process.kill(pid, 'SIGCONT')
    expect(asked).toBe(3)
    expect(await pausing).toEqual(doneNull)
    await client.ended
  })
})
