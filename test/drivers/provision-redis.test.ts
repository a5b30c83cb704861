// The Redis provisioner: the contract, then what only a real server can show: what a user can reach, calls that cross or are
// cut off, restarts. Needs PAWL_TEST_REDIS_URL or a redis-server of version 7 or later on PATH; without one it says so.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Provisioner, ResourceSpec } from '../../src/drivers/provision/driver.ts'
import { createRedisProvisioner } from '../../src/drivers/provision/redis.ts'

import {
  calm,
  doneNull,
  doneValue,
  fenceOf,
  newRef,
  provisionConformance,
  settle,
  specOf,
} from './provision.conformance.ts'
import {
  clientOf,
  createRedisFixture,
  type RedisFixture,
  type RedisServer,
  redisSource,
  startRedis,
} from './provision-redis-fixture.ts'

describe('Redis provisioner: without a server', () => {
  test('it says what is to be set, and refuses every call with that', async () => {
    const driver = createRedisProvisioner({ installation: 'tests', url: null })
    const ref = newRef()
    expect(driver.unavailable).toMatch(/^REDIS resources need PAWL_REDIS_URL, e\.g\. redis:\/\//)
    const refusal = { kind: 'refused', reason: driver.unavailable }
    expect(await driver.provision(specOf(ref), fenceOf(ref, 1), calm)).toEqual(refusal)
    expect(await driver.listOwned(calm)).toEqual(refusal)
    expect(createRedisProvisioner({ installation: 'tests', url: 'redis://127.0.0.1:6379/3' }).unavailable).toMatch(
      /database 0/,
    )
    expect(createRedisProvisioner({ installation: 'tests', url: 'redis://127.0.0.1:6379/0' }).unavailable).toBe(null)
  })

  test('a server that cannot be reached is unreachable, without its password in the words', async () => {
    const driver = createRedisProvisioner({ installation: 'tests', url: 'redis://:canary0secret@127.0.0.1:1' })
    const ref = newRef()
    const outcome = await driver.provision(specOf(ref), fenceOf(ref, 1), calm)
    expect(outcome.kind).toBe('unreachable')
    expect(JSON.stringify(outcome)).not.toContain('canary0')
  })
})

if (redisSource === null) {
  console.warn(
    'Left out: Redis provisioner against a real server (no PAWL_TEST_REDIS_URL, no redis-server >= 7 on PATH).',
  )
}

describe.skipIf(redisSource === null)('Redis provisioner: with a server', () => {
  let server: RedisServer | null = null
  let fixture: RedisFixture
  beforeAll(async () => {
    if (redisSource === 'redis-server') server = await startRedis()
    fixture = await createRedisFixture(server?.url ?? String(process.env.PAWL_TEST_REDIS_URL))
  })
  afterAll(async () => {
    await fixture?.dispose()
    await server?.stop()
  })

  provisionConformance('Redis provisioner', async () => ({
    provisioner: () => fixture.provisioner(),
    connect: clientOf,
    exists: (ref) => fixture.exists(ref),
    plantForeign: (ref) => fixture.plantForeign(ref),
    dispose: async () => {},
  }))

  test('R92 R93 what another installation made on the same server is listed by none but it', async () => {
    const spec = specOf(newRef())
    await doneValue(fixture.provisioner().provision(spec, fenceOf(spec, 1), calm))
    const other = fixture.provisioner({ installation: 'another' })
    expect(await doneValue(other.listOwned(calm))).toEqual([])
    const owned = { subjectId: spec.subjectId, incarnation: spec.incarnation, generation: 1 }
    expect(await doneValue(fixture.provisioner().listOwned(calm))).toContainEqual(owned)
  })

  const made = async (spec: ResourceSpec, generation = 1) =>
    (await doneValue(fixture.provisioner().provision(spec, fenceOf(spec, generation), calm))).url

  describe('calls that cross or are cut off', () => {
    test('R62 a fence that has moved on between the look and the effect leaves nothing done', async () => {
      const spec = specOf(newRef())
      const reached = Promise.withResolvers<void>()
      const go = Promise.withResolvers<void>()
      const slow = fixture.provisioner({
        async beforeCommand([name]) {
          if (name !== 'EXEC') return
          reached.resolve()
          await go.promise
        },
      })
      const late = slow.provision(spec, fenceOf(spec, 1), calm)
      await reached.promise
      expect(await fixture.provisioner().deprovision(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
      go.resolve()
      expect(await late).toMatchObject({ kind: 'stale' })
      expect(await fixture.exists(spec)).toBe(false)
    })

    test('R62 a removal that has been overtaken removes no key of the newer generation', async () => {
      const spec = specOf(newRef())
      await made(spec)
      const reached = Promise.withResolvers<void>()
      const go = Promise.withResolvers<void>()
      const slow = fixture.provisioner({
        async beforeCommand([name]) {
          if (name !== 'SCAN') return
          reached.resolve()
          await go.promise
        },
      })
      const late = slow.deprovision(spec, fenceOf(spec, 1, 'op-1', 2), calm)
      await reached.promise
      const client = await clientOf(await made(spec, 2))
      await client.write('newer')
      go.resolve()
      expect(await late).toMatchObject({ kind: 'stale' })
      expect(await client.read()).toBe('newer')
      await client.end()
    })

    test.each(['provision', 'pause', 'rotate', 'deprovision'] as const)(
      '%s: cut before any command, asked again, it is whole',
      async (call) => {
        const cut: string[] = []
        for (let cutAt = 1; ; cutAt++) {
          const spec = specOf(newRef())
          const next = specOf(spec)
          if (call !== 'provision') await (await clientOf(await made(spec))).write('x')
          const abort = new AbortController()
          let count = 0
          const dying = fixture.provisioner({
            beforeCommand: ([name]) => {
              if (++count === cutAt) {
                cut.push(name)
                abort.abort()
              }
            },
          })
          const ask = (driver: Provisioner, attempt: number, signal: AbortSignal) => {
            const fence = fenceOf(spec, 2, 'op-2', attempt)
            if (call === 'provision') return driver.provision(spec, fence, signal)
            if (call === 'rotate') return driver.rotate(next, fence, signal)
            return driver[call](spec, fence, signal)
          }
          const first = await ask(dying, 1, abort.signal)
          if (count < cutAt) {
            expect(first.kind).toBe('done')
            break
          }
          expect(['unreachable', 'unknown']).toContain(first.kind)
          const again = await settle<unknown>(() => ask(fixture.provisioner(), 2, calm))
          expect(again, `cut before ${cut.at(-1)}`).toMatchObject({ kind: 'done' })
          const { host } = new URL(fixture.url)
          const url = (password: string) => `redis://pawl_${spec.incarnation}:${password}@${host}`
          if (call === 'provision') await (await clientOf(url(spec.password))).end()
          else await expect(clientOf(url(spec.password))).rejects.toThrow(/WRONGPASS/)
          if (call === 'rotate') await (await clientOf(url(next.password))).end()
          if (call === 'deprovision') expect(await fixture.exists(spec)).toBe(false)
        }
        expect(cut).toContain('EXEC')
      },
    )

    test('many keys go in bounded batches, also when the call is cut off in between', async () => {
      const spec = specOf(newRef())
      const client = await clientOf(await made(spec))
      for (let start = 0; start < 3000; start += 1000) {
        const pairs = Array.from({ length: 1000 }, (_, index) => [`${client.prefix}k${start + index}`, 'v']).flat()
        await client.send('MSET', ...pairs)
      }
      const seen = await doneValue(fixture.provisioner().observe(spec, calm))
      expect(seen.state === 'active' && seen.sizeBytes).toBeGreaterThan(100_000)
      const abort = new AbortController()
      let scans = 0
      const small = fixture.provisioner({
        purge: { batchKeys: 100, callMs: 0 },
        beforeCommand: ([name]) => {
          if (name === 'SCAN' && ++scans === 5) abort.abort()
        },
      })
      const fence = fenceOf(spec, 2)
      for (let calls = 1; calls <= 4; calls++) {
        expect(await small.deprovision(spec, fence, abort.signal)).toMatchObject({ kind: 'working' })
      }
      await client.ended
      expect((await small.deprovision(spec, fence, abort.signal)).kind).toBe('unknown')
      expect(await fixture.provisioner().observe(spec, calm)).toMatchObject({ value: { state: 'paused' } })
      expect(await settle(() => small.deprovision(spec, fence, calm))).toEqual(doneNull)
      expect(scans).toBeGreaterThan(30)
      expect(await fixture.exists(spec)).toBe(false)
      expect(await fixture.admin('ZSCORE', 'pawl-provision:owned', spec.incarnation)).toBe(null)
    })
  })

  describe.skipIf(redisSource !== 'redis-server')('restarts and settings', () => {
    test('a Redis that forgets its users: absent is the truth, resume and provision bring them back', async () => {
      const own = await startRedis()
      const driver = createRedisProvisioner({ installation: 'tests', url: own.url })
      const [one, other] = [specOf(newRef()), specOf(newRef())]
      const { url } = await doneValue(driver.provision(one, fenceOf(one, 1), calm))
      const second = await doneValue(driver.provision(other, fenceOf(other, 1), calm))
      await (await clientOf(url)).write('kept')
      await own.restart()
      await expect(clientOf(url)).rejects.toThrow(/WRONGPASS/)
      expect(await driver.observe(one, calm)).toEqual({ kind: 'done', value: { state: 'absent' } })
      expect(await driver.resume(one, fenceOf(one, 2), calm)).toEqual(doneNull)
      const again = await clientOf(url)
      expect(await again.read()).toBe('kept')
      await again.end()
      expect(await driver.provision(other, fenceOf(other, 1, 'op-1', 2), calm)).toEqual({ kind: 'done', value: second })
      await own.restart()
      expect(await settle(() => driver.deprovision(one, fenceOf(one, 3), calm))).toEqual(doneNull)
      expect(await driver.provision(one, fenceOf(one, 1, 'op-1', 9), calm)).toMatchObject({ kind: 'stale' })
      await own.stop()
    })

    test('with an aclfile users outlive a restart, and so do pauses and removals', async () => {
      const own = await startRedis({ aclFile: true })
      const driver = createRedisProvisioner({ installation: 'tests', url: own.url })
      const [open, paused, gone] = [specOf(newRef()), specOf(newRef()), specOf(newRef())]
      const urls = new Map<ResourceSpec, string>()
      for (const spec of [open, paused, gone]) {
        urls.set(spec, (await doneValue(driver.provision(spec, fenceOf(spec, 1), calm))).url)
      }
      await doneValue(driver.pause(paused, fenceOf(paused, 2), calm))
      await doneValue(driver.deprovision(gone, fenceOf(gone, 2), calm))
      await own.restart()
      await (await clientOf(String(urls.get(open)))).end()
      await expect(clientOf(String(urls.get(paused)))).rejects.toThrow(/WRONGPASS/)
      await expect(clientOf(String(urls.get(gone)))).rejects.toThrow(/WRONGPASS/)
      expect(await driver.observe(paused, calm)).toMatchObject({ value: { state: 'paused' } })
      expect(await driver.observe(gone, calm)).toEqual({ kind: 'done', value: { state: 'absent' } })
      await own.stop()
    })

    test('a server that evicts at will, and a user that may do too little, are refused in words', async () => {
      const own = await startRedis({ settings: 'maxmemory 100mb\nmaxmemory-policy allkeys-lru' })
      const spec = specOf(newRef())
      const evicting = await createRedisProvisioner({ installation: 'tests', url: own.url }).provision(
        spec,
        fenceOf(spec, 1),
        calm,
      )
      expect(evicting).toMatchObject({ kind: 'refused', reason: expect.stringContaining('maxmemory-policy') })
      await own.stop()
      await fixture.admin('ACL', 'SETUSER', 'feeble', 'on', '>feeble', '+info', '+watch', '~*', '+hgetall', '+client')
      const url = new URL(fixture.url)
      url.username = 'feeble'
      url.password = 'feeble'
      const outcome = await createRedisProvisioner({ installation: 'tests', url: url.href }).pause(
        spec,
        fenceOf(spec, 1),
        calm,
      )
      await fixture.admin('ACL', 'DELUSER', 'feeble')
      expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringContaining('ACL GETUSER') })
    })
  })
})
