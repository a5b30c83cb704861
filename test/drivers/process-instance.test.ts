// What the process driver tells of one very run, and of all that it made: the contract, and what it says when the run dies
// while it is asked, or when the disk does not answer.
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkHealth } from '../../src/drivers/runtime/process-health.ts'
import { observeRun } from '../../src/drivers/runtime/process-observe.ts'
import { createFixture, createHarness, type Fixture } from './process-fixture.ts'
import { calm, fenceOf, newRef, run, specOf } from './runtime.conformance.ts'
import { runtimeInstanceConformance } from './runtime-instance.conformance.ts'

runtimeInstanceConformance('process driver', () => createHarness({ probeTimeoutMs: 1_500 }))

describe('process driver: one run', () => {
  let fixture: Fixture
  beforeAll(async () => {
    fixture = await createFixture()
  })
  afterAll(() => fixture.dispose())

  test('R79 a run that is replaced while its health is asked is gone, whoever answers on its port', async () => {
    const ref = newRef()
    const { instanceId } = await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    const settings = { root: join(fixture.dataDir, 'runtime'), probeTimeoutMs: 1000 }
    const seen = await observeRun(settings, ref, instanceId, calm, async (...asked) => {
      await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 2))
      return checkHealth(...asked)
    })
    expect(seen).toMatchObject({ state: 'gone' })
  })

  test('a health check that is answered by nobody in time is told so, within the bound', async () => {
    const ref = newRef()
    const quick = fixture.another({ probeTimeoutMs: 100 })
    const { instanceId, url } = await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    await fetch(`${url}/health/hangs`)
    expect(await quick.observeInstance(ref, instanceId, calm)).toEqual({
      state: 'running',
      healthy: false,
      detail: 'GET /healthz was not answered',
    })
  })

  test('R92 R93 what another installation made on the same machine is not listed, and what it did not make is', async () => {
    const ref = newRef()
    await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    const other = fixture.another({ installation: 'another' })
    expect(await other.listOwned(calm)).toEqual({ kind: 'done', value: [] })
    // Whoever asks about it later does not become its maker.
    expect(await other.observe(ref, calm)).toMatchObject({ value: { state: 'running' } })
    expect(await fixture.driver.listOwned(calm)).toMatchObject({
      value: expect.arrayContaining([expect.objectContaining(ref)]),
    })
  })

  test('R92 R93 what was made before there were installations is listed from the first call that is let through on', async () => {
    const ref = newRef()
    await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    const path = join(fixture.folderOf(ref), 'state.json')
    const { installation: _, ...before } = JSON.parse(await readFile(path, 'utf8'))
    await writeFile(path, JSON.stringify(before))
    const listed = async () => {
      const owned = await fixture.driver.listOwned(calm)
      return owned.kind === 'done' && owned.value.some(({ subjectId }) => subjectId === ref.subjectId)
    }
    expect(await listed()).toBe(false)
    await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    expect(await listed()).toBe(true)
    // Nor does another's call take it over.
    await run(fixture.another({ installation: 'another' }), specOf(ref, 'healthy'), fenceOf(ref, 2))
    expect(await listed()).toBe(true)
  })

  test('R93 a folder that cannot be read is no empty list; one that was never made is', async () => {
    const ref = newRef()
    await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    expect(await fixture.another({ dataDir: join(fixture.dataDir, 'nowhere') }).listOwned(calm)).toEqual({
      kind: 'done',
      value: [],
    })
    const root = join(fixture.dataDir, 'runtime')
    await rename(root, `${root}-aside`)
    await writeFile(root, 'no folder')
    const blocked = await fixture.driver.listOwned(calm)
    await rm(root)
    await rename(`${root}-aside`, root)
    expect(blocked.kind).toBe('unreachable')
    expect(await fixture.driver.listOwned(calm)).toMatchObject({
      kind: 'done',
      value: expect.arrayContaining([expect.objectContaining(ref)]),
    })
  })
})
