// The process driver: the contract on runs, and what only real processes can show. Each describe has its own data folder;
// its end asserts that no process is left.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { processesOf } from '../../src/drivers/runtime/process-table.ts'
import { createFixture, createHarness, type Fixture, isAlive } from './process-fixture.ts'
import { calm, eventually, fenceOf, newRef, run, runtimeConformance, settle, specOf } from './runtime.conformance.ts'

runtimeConformance('process driver', createHarness)

const REPLICA = fileURLToPath(new URL('./replica.ts', import.meta.url))

describe('process driver: deaths', () => {
  let fixture: Fixture
  beforeAll(async () => {
    fixture = await createFixture()
  })
  afterAll(() => fixture.dispose())

  const replica = (what: string, { subjectId, incarnation }: WorkloadRef) => {
    const args = [REPLICA, what, fixture.appsDir, fixture.dataDir, subjectId, incarnation]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator](), exited: once(child, 'exit') }
  }

  test('kill -9 of the replica that holds the lock frees it', async () => {
    const ref = newRef()
    const holder = replica('hold', ref)
    expect((await holder.lines.next()).value).toBe('held')
    const hasty = fixture.another({ lockWaitMs: 50 })
    const blocked = await hasty.ensure(specOf(ref, 'healthy'), fenceOf(ref, 1), calm)
    expect(blocked).toEqual({ kind: 'unreachable', reason: 'Another call holds the workload' })
    const abort = new AbortController()
    const given = fixture.driver.ensure(specOf(ref, 'healthy'), fenceOf(ref, 1), abort.signal)
    abort.abort()
    expect((await given).kind).toBe('unreachable')
    holder.child.kill('SIGKILL')
    await holder.exited
    expect((await hasty.ensure(specOf(ref, 'healthy'), fenceOf(ref, 1), calm)).kind).toBe('working')
  })

  test('kill -9 of the control plane leaves the app running; the next one adopts it', async () => {
    const ref = newRef()
    const first = replica('ensure', ref)
    const made = JSON.parse(String((await first.lines.next()).value))
    first.child.kill('SIGKILL')
    await first.exited
    expect(await (await fetch(made.url)).text()).toBe('hi')
    expect(await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1, 'op-1', 2))).toEqual(made)
    expect(await fixture.countRuns(ref)).toBe(1)
  })

  test('R30 control planes that race, each a process of its own, start one run', async () => {
    const ref = newRef()
    const replicas = Array.from({ length: 4 }, () => replica('ensure', ref))
    const made = await Promise.all(replicas.map(async ({ lines }) => JSON.parse(String((await lines.next()).value))))
    expect(new Set(made.map(({ instanceId }) => instanceId)).size).toBe(1)
    expect(await fixture.countRuns(ref)).toBe(1)
    for (const { child, exited } of replicas) {
      child.kill('SIGKILL')
      await exited
    }
  })

  test('a control plane that dies right after starting leaves one run that the next one finds', async () => {
    const refs = Array.from({ length: 6 }, newRef)
    await Promise.all(refs.map((ref) => replica('ensure-once', ref).exited))
    for (const ref of refs) {
      await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1, 'op-1', 2))
      expect(await fixture.countRuns(ref)).toBe(1)
    }
  })

  test('a supervisor that comes too late finds its run voided and starts nothing', async () => {
    const ref = newRef()
    await fixture.driver.ensure(specOf(ref, 'healthy'), fenceOf(ref, 1), calm)
    // The supervisor is still loading: the removal voids its claim, or ends it if it was quicker.
    expect(await settle(() => fixture.driver.remove(ref, fenceOf(ref, 2), calm))).toMatchObject({ kind: 'done' })
    await eventually(() => fixture.processes(ref)).toEqual([])
    expect(await readdir(fixture.folderOf(ref))).toEqual(['state.json'])
  })

  test('kill -9 of the supervisor: what it leaves behind is found, ended and started anew', async () => {
    const ref = newRef()
    const before = await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    const supervisor = await fixture.supervisor(ref)
    process.kill(supervisor, 'SIGKILL')
    await eventually(() => isAlive(supervisor)).toBe(false)
    expect(await fixture.driver.observeInstance(ref, before.instanceId, calm)).toMatchObject({ state: 'running' })
    const after = await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1, 'op-1', 2))
    expect(after.instanceId).not.toBe(before.instanceId)
    expect(after.url).toBe(before.url)
    expect(processesOf(before.instanceId)).toEqual([])
    expect(await fixture.countRuns(ref)).toBe(1)
  })

  test('a run that is lost again and again is refused in the end', async () => {
    const ref = newRef()
    const lose = async () => {
      const outcome = await fixture.driver.ensure(specOf(ref, 'healthy'), fenceOf(ref, 1), calm)
      for (const pid of await fixture.processes(ref)) process.kill(pid, 'SIGKILL')
      return outcome
    }
    await eventually(lose).toMatchObject({
      kind: 'refused',
      reason: expect.stringMatching(/lost without a trace 3 times/),
    })
  })

  test('a pid that was given to another process is not taken for the app', async () => {
    const ref = newRef()
    await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    const instanceId = await fixture.instanceOf(ref)
    for (const pid of await fixture.processes(ref)) process.kill(pid, 'SIGKILL')
    await eventually(() => fixture.processes(ref)).toEqual([])
    const claim = { kind: 'started', pid: process.pid, mark: 'another-boot:1' }
    await writeFile(join(fixture.folderOf(ref), `claim-${instanceId}.json`), JSON.stringify(claim))
    const signals: string[] = []
    const note = () => void signals.push('SIGTERM')
    process.on('SIGTERM', note)
    expect(await fixture.driver.observe(ref, calm)).toMatchObject({ value: { state: 'exited' } })
    expect(await fixture.driver.stop(ref, fenceOf(ref, 2), calm)).toEqual({ kind: 'done', value: null })
    process.off('SIGTERM', note)
    expect(signals).toEqual([])
  })
})

describe('process driver: ends and reasons', () => {
  let fixture: Fixture
  beforeAll(async () => {
    fixture = await createFixture({ stopGraceMs: 400 })
  })
  afterAll(() => fixture.dispose())
  const refusal = async (image: string, env = {}) => {
    const ref = newRef()
    const outcome = await settle(() => fixture.driver.ensure(specOf(ref, image, env), fenceOf(ref, 1), calm))
    expect(await fixture.processes(ref)).toEqual([])
    return outcome.kind === 'refused' ? outcome.reason : outcome.kind
  }

  test('reasons say what happened, and keep values of the environment out', async () => {
    expect(await refusal('crashing', { WORD: 'hunter2-secret' })).toBe(
      'The app exited with code 1 before its health check passed; last line: Error: no [redacted]',
    )
    expect(await refusal('unhealthy')).toBe('GET /healthz answered 500 for 2 s')
    expect(await refusal('silent')).toMatch(/^Nothing listened on its PORT \d+ for 0\.6 s$/)
    expect(await refusal('missing')).toMatch(/^The app could not be started: spawn no-such-program-here ENOENT$/)
  })

  test('SIGTERM, the grace, then SIGKILL to all that the app started, also what left its group', async () => {
    const ref = newRef()
    await run(fixture.driver, specOf(ref, 'stubborn'), fenceOf(ref, 1))
    await eventually(async () => (await fixture.processes(ref)).length).toBe(4)
    const asked = Date.now()
    expect((await fixture.driver.stop(ref, fenceOf(ref, 2), calm)).kind).toBe('working')
    expect((await settle(() => fixture.driver.stop(ref, fenceOf(ref, 2), calm))).kind).toBe('done')
    expect(Date.now() - asked).toBeGreaterThanOrEqual(400)
    expect(await fixture.processes(ref)).toEqual([])
    expect(await fixture.driver.logs(ref, 1000, calm)).toMatchObject({ value: expect.stringContaining('not yet') })
    expect(await fixture.driver.observe(ref, calm)).toMatchObject({
      value: { reason: 'The app was stopped on request' },
    })
  })

  test('an app that exits takes what it started with it, whether or not anyone asks', async () => {
    const ref = newRef()
    await fixture.driver.ensure(specOf(ref, 'leaving'), fenceOf(ref, 1), calm)
    const exit = join(fixture.folderOf(ref), `exit-${await fixture.instanceOf(ref)}.json`)
    await eventually(() =>
      stat(exit).then(
        () => true,
        () => false,
      ),
    ).toBe(true)
    await eventually(() => fixture.processes(ref)).toEqual([])
    // Should a stranger have taken its port meanwhile, it is started once more on another one, and leaves again.
    await eventually(() => fixture.driver.ensure(specOf(ref, 'leaving'), fenceOf(ref, 1), calm)).toMatchObject({
      kind: 'refused',
      reason: expect.stringMatching(/^The app exited with code 3/),
    })
  })

  test('a health check that passes after the run was condemned does not count', async () => {
    const ref = newRef()
    const patient = fixture.another({ probeTimeoutMs: 10_000, stopGraceMs: 2000 })
    const spec = specOf(ref, 'wavering')
    const late = settle(() => patient.ensure(spec, fenceOf(ref, 1), calm))
    const ask = async (path: string) => {
      const state = JSON.parse(await readFile(join(fixture.folderOf(ref), 'state.json'), 'utf8'))
      return (await fetch(`http://127.0.0.1:${state.run.port}${path}`)).text()
    }
    await eventually(() => ask('/held').catch(() => '')).toBe('true')
    const condemned = async () => {
      const outcome = await fixture.driver.ensure(spec, fenceOf(ref, 1), calm)
      return outcome.kind === 'working' ? outcome.detail : outcome.kind
    }
    await eventually(condemned).toMatch(/^Stopping: GET \/healthz answered 500/)
    expect(await ask('/release')).toBe('released')
    expect(await late).toMatchObject({ kind: 'refused', reason: 'GET /healthz answered 500 for 2 s' })
  })

  test('a stranger on the port: the app is given another one', async () => {
    const ref = newRef()
    const before = await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))
    await settle(() => fixture.driver.stop(ref, fenceOf(ref, 2), calm))
    const stranger = createServer().listen(Number(new URL(before.url).port), '127.0.0.1')
    await once(stranger, 'listening')
    const after = await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 3))
    stranger.close()
    expect(after.url).not.toBe(before.url)
    const ports = await readdir(join(fixture.dataDir, 'runtime', '.ports'))
    expect(ports).toContain(new URL(after.url).port)
    expect(ports).not.toContain(new URL(before.url).port)
  })

  test('a stranger who takes the port before the app listens: the app is started again on another one', async () => {
    const ref = newRef()
    const go = join(fixture.dataDir, 'go')
    const ensure = () => fixture.driver.ensure(specOf(ref, 'late', { GO: go }), fenceOf(ref, 1), calm)
    expect((await ensure()).kind).toBe('working')
    const { run: first } = JSON.parse(await readFile(join(fixture.folderOf(ref), 'state.json'), 'utf8'))
    const stranger = createServer((socket) => void socket.destroy()).listen(first.port, '127.0.0.1')
    await once(stranger, 'listening')
    await writeFile(go, '')
    const outcome = await settle(ensure)
    stranger.close()
    expect(outcome).toMatchObject({ kind: 'done' })
    expect(await fixture.instanceOf(ref)).not.toBe(first.instanceId)
    expect(await fixture.countRuns(ref)).toBe(1)
  })

  test('the log is bounded, rotated once, and read from its end', async () => {
    const small = fixture.another({ logBytes: 50_000 })
    const ref = newRef()
    await run(small, specOf(ref, 'noisy'), fenceOf(ref, 1))
    const sizes = () =>
      Promise.all(
        ['app.log', 'app.log.1'].map((name) => stat(join(fixture.folderOf(ref), name)).then(({ size }) => size)),
      )
    await eventually(() => sizes().catch(() => null)).not.toBe(null)
    const firstOlder = await stat(join(fixture.folderOf(ref), 'app.log.1'))
    await eventually(async () => (await stat(join(fixture.folderOf(ref), 'app.log.1'))).ino).not.toBe(firstOlder.ino)
    await eventually(() => sizes().catch(() => [50_001])).toSatisfy((found) => Math.max(...found) <= 50_000)
    const outcome = await small.logs(ref, 10_000_000, calm)
    expect(outcome.kind === 'done' && outcome.value.length).toBeLessThanOrEqual(100_000)
    await settle(() => small.remove(ref, fenceOf(ref, 2), calm))
  })

  test('relative folders, as in the default settings, mean the same place', async () => {
    const ref = newRef()
    const dataDir = relative(process.cwd(), fixture.dataDir)
    const near = fixture.another({ appsDir: relative(process.cwd(), fixture.appsDir), dataDir })
    const made = await run(near, specOf(ref, 'healthy'), fenceOf(ref, 1))
    expect(await run(fixture.driver, specOf(ref, 'healthy'), fenceOf(ref, 1))).toEqual(made)
  })

  test('an old fence without a run is dropped when the workloads are listed', async () => {
    const ref = newRef()
    await settle(() => fixture.driver.remove(ref, fenceOf(ref, 1), calm))
    expect((await fixture.driver.listOwned(calm)).kind).toBe('done')
    expect(await readdir(fixture.folderOf(ref))).toEqual(['state.json'])
    const forgetful = fixture.another({ keepFencesMs: -1 })
    expect((await forgetful.listOwned(calm)).kind).toBe('done')
    await expect(readdir(fixture.folderOf(ref))).rejects.toThrow('ENOENT')
  })

  test('a state that cannot be read is unknown, never absent', async () => {
    const ref = newRef()
    await settle(() => fixture.driver.stop(ref, fenceOf(ref, 1), calm))
    await writeFile(join(fixture.folderOf(ref), 'state.json'), '{"version": 1}')
    expect((await fixture.driver.observe(ref, calm)).kind).toBe('unknown')
    expect((await fixture.driver.ensure(specOf(ref, 'healthy'), fenceOf(ref, 2), calm)).kind).toBe('unknown')
    expect((await fixture.driver.listOwned(calm)).kind).toBe('unknown')
    expect(await fixture.driver.observeInstance(ref, 'run_x', calm)).toMatchObject({ state: 'unknown' })
    await writeFile(join(fixture.folderOf(ref), 'state.json'), JSON.stringify({ run: null }))
  })
})
