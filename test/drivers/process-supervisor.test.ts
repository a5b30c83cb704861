// The supervisor by itself: it starts an app only for a run that it claims first and that the state still names.
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { claimFile, stateFile } from '../../src/drivers/runtime/process-files.ts'
import { tellingLineOf } from '../../src/drivers/runtime/process-log.ts'
import { launch, lifeOf, newInstanceId, readExit } from '../../src/drivers/runtime/process-run.ts'
import { processesOf } from '../../src/drivers/runtime/process-table.ts'
import { eventually } from './runtime.conformance.ts'

describe('supervisor', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pawl-supervisor-'))
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  /** Launches an app that leaves a file, and says whether it did once no process of it is left. */
  const starts = async (instanceId: string): Promise<boolean> => {
    const command = ['node', '-e', 'require("node:fs").writeFileSync("started", "")']
    const order = { dir, instanceId, command, cwd: dir, env: { PAWL_INSTANCE_ID: instanceId }, secrets: {} }
    launch({ ...order, logBytes: 1000, stopGraceMs: 1000 }, 'tested')
    await eventually(() => processesOf(instanceId).length).toBeGreaterThan(0)
    await eventually(() => processesOf(instanceId)).toEqual([])
    return stat(join(dir, 'started')).then(
      () => true,
      () => false,
    )
  }
  const writeState = (state: unknown) => writeFile(stateFile(dir), JSON.stringify(state))

  test('a run that is wanted is claimed, run, and its exit recorded', async () => {
    const instanceId = newInstanceId()
    await writeState({ run: { instanceId, stoppingAt: null } })
    expect(await lifeOf(dir, { instanceId })).toEqual({ kind: 'launched' })
    expect(await starts(instanceId)).toBe(true)
    expect(await readExit(dir, instanceId)).toMatchObject({ code: 0, signal: null, error: null, stopped: false })
    // A process that is exiting shows no environment any more, and is there for a moment yet.
    await eventually(() => lifeOf(dir, { instanceId })).toMatchObject({ kind: 'ended', exit: { code: 0 } })
  })

  test('a run that was voided first is not started, although the state still names it', async () => {
    const instanceId = newInstanceId()
    await writeState({ run: { instanceId, stoppingAt: null } })
    await writeFile(claimFile(dir, instanceId), '{"kind":"void"}')
    expect(await starts(instanceId)).toBe(false)
    expect(await readFile(claimFile(dir, instanceId), 'utf8')).toBe('{"kind":"void"}')
    expect(await lifeOf(dir, { instanceId })).toEqual({ kind: 'ended', exit: null })
  })

  test('a run that the state no longer names, or wants ended, is not started and leaves no claim', async () => {
    const instanceId = newInstanceId()
    for (const run of [null, { instanceId: 'run_other', stoppingAt: null }, { instanceId, stoppingAt: 1 }]) {
      await writeState({ run })
      expect(await starts(instanceId)).toBe(false)
      expect(await lifeOf(dir, { instanceId })).toEqual({ kind: 'launched' })
    }
  })

  test('a folder that is gone starts nothing', async () => {
    const instanceId = newInstanceId()
    await mkdir(join(dir, 'kept'))
    expect(await starts(instanceId)).toBe(false)
  })
})

test('the telling line is the error, not the end of its stack', () => {
  const crash = 'ready\nnode:internal:1\nTypeError: x is not a function\n    at main (a.mjs:1:1)\n\nNode.js v24.21.0\n'
  expect(tellingLineOf(crash)).toBe('TypeError: x is not a function')
  expect(tellingLineOf('one\ntwo\n\n')).toBe('two')
  expect(tellingLineOf('')).toBe('')
  expect(tellingLineOf(`a\u001b[31mb${'x'.repeat(1000)}`)).toHaveLength(300)
})
