// The addresses of the process driver: the contract, and what becomes of a reserved port when a stranger listens on
// it, when the control plane dies while it reserves, when ports run out, and with time.
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RuntimeDriver, WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { createFixture, createHarness, type Fixture } from './process-fixture.ts'
import { calm, fenceOf, newRef, run, settle, specOf } from './runtime.conformance.ts'
import { runtimeAddressConformance } from './runtime-address.conformance.ts'

runtimeAddressConformance('process driver', createHarness)

describe('process driver: reserved ports', () => {
  let fixture: Fixture
  beforeAll(async () => {
    fixture = await createFixture()
  })
  afterAll(() => fixture.dispose())

  const reserve = async (ref: WorkloadRef, generation: number, by: RuntimeDriver = fixture.driver) => {
    const outcome = await by.reserve(ref, fenceOf(ref, generation), calm)
    if (outcome.kind !== 'done') throw new Error(`not done: ${outcome.kind}`)
    return outcome.value.url
  }
  const listenOn = async (url: string) => {
    const stranger = createServer().listen(Number(new URL(url).port), '127.0.0.1')
    await once(stranger, 'listening')
    return stranger
  }

  test('a stranger on the reserved port: ensure takes another one, and its url is what reserve then says', async () => {
    const ref = newRef()
    const reserved = await reserve(ref, 1)
    const stranger = await listenOn(reserved)
    const made = await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    stranger.close()
    expect(made.url).not.toBe(reserved)
    expect(await reserve(ref, 1)).toBe(made.url)
    expect(await fixture.heldPorts(ref)).toEqual([new URL(made.url).port])
  })

  test('a stranger on the reserved port: the next reserve names another one, for good', async () => {
    const ref = newRef()
    const first = await reserve(ref, 1)
    const stranger = await listenOn(first)
    const again = await reserve(ref, 1)
    expect(again).not.toBe(first)
    stranger.close()
    await once(stranger, 'close')
    expect(await reserve(ref, 1)).toBe(again)
    expect(await fixture.heldPorts(ref)).toEqual([new URL(again).port])
  })

  test('a control plane that died between recording a port and holding it: the next call holds the same one', async () => {
    const ref = newRef()
    const url = await reserve(ref, 1)
    await rm(join(fixture.dataDir, 'runtime', '.ports', new URL(url).port))
    expect(await reserve(ref, 1, fixture.another())).toBe(url)
    expect(await fixture.heldPorts(ref)).toEqual([new URL(url).port])
  })

  test('a port is held by one workload; when none is left that is refused, and one given back is used again', async () => {
    const taken = newRef()
    const port = Number(new URL(await reserve(taken, 1)).port)
    const narrow = fixture.another({ portRange: { from: port, to: port } })
    const late = newRef()
    const reason = `No port is free between ${port} and ${port}`
    expect(await narrow.reserve(late, fenceOf(late, 1), calm)).toEqual({ kind: 'refused', reason })
    expect(await narrow.ensure(specOf(late, 'healthy'), fenceOf(late, 1), calm)).toEqual({ kind: 'refused', reason })
    const { port: recorded } = JSON.parse(await readFile(join(fixture.folderOf(late), 'state.json'), 'utf8'))
    expect(recorded).toBe(null)
    await settle(() => fixture.driver.remove(taken, fenceOf(taken, 2), calm))
    expect(await reserve(late, 1, narrow)).toBe(`http://127.0.0.1:${port}`)
  })

  test('however old, a reservation is not dropped with the old fences', async () => {
    const ref = newRef()
    const url = await reserve(ref, 1)
    const forgetful = fixture.another({ keepFencesMs: -1 })
    const there = { ...ref, instanceId: null, generation: 1, startedAt: null }
    expect(await forgetful.listOwned(calm)).toMatchObject({ value: expect.arrayContaining([there]) })
    expect(await reserve(ref, 1)).toBe(url)
    await settle(() => fixture.driver.remove(ref, fenceOf(ref, 2), calm))
    await forgetful.listOwned(calm)
    expect(await fixture.heldPorts(ref)).toEqual([])
    expect(await reserve(ref, 1)).toBe(url)
  })
})
