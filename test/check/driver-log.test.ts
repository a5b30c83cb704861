// The log of drivers: what a fake writes is read again, a log of a control plane that keeps its promises passes, and each breach of
// them is told.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { type DriverLogEntry, driverLogLine, readDriverLog } from '../../src/drivers/driver-log.ts'
import { checkDriverLog } from '../../src/drivers/driver-log-check.ts'
import { createFakeProvisioner } from '../../src/drivers/provision/fake.ts'
import { createFakeDriver } from '../../src/drivers/runtime/fake.ts'

const folder = mkdtempSync(join(tmpdir(), 'pawl-driver-log-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ref = { subjectId: 'stk_1', incarnation: 'abcdefgh-web' }
const fence = (generation: number, operationId = `op_${generation}`) => ({
  operationId,
  attempt: 1,
  subjectId: ref.subjectId,
  generation,
})
const calm = new AbortController().signal
const spec = { ...ref, name: 'web', image: 'hello', env: {} }

test('what fakes have done is written, read again and sound: crashes, a restart, a service that is gone and wanted again', async () => {
  const [runtime, provisioner] = [createFakeDriver({ asksUntilHealthy: 0 }), createFakeProvisioner()]
  await runtime.ensure(spec, fence(1), calm)
  runtime.crash(ref)
  await runtime.ensure(spec, fence(1, 'op_restart'), calm)
  await runtime.ensure(spec, fence(2), calm)
  await runtime.ensure(spec, fence(1), calm)
  await runtime.remove(ref, fence(3), calm)
  await runtime.remove(ref, fence(3), calm)
  await runtime.ensure(spec, fence(4), calm)
  await runtime.remove(ref, fence(5, 'sweep-1'), calm)
  const resource = { subjectId: 'res_1', incarnation: 'abcdefgh' }
  const own = { ...fence(1), subjectId: 'res_1' }
  await provisioner.provision({ ...resource, name: 'db', password: 'p'.repeat(22) }, own, calm)
  await provisioner.deprovision(resource, { ...own, operationId: 'op_end', generation: 2 }, calm)
  const path = join(folder, 'sound.jsonl')
  const lines = [
    ...runtime.log().map((entry) => driverLogLine('runtime.fake', entry)),
    ...provisioner.log().map((entry) => driverLogLine('provision.POSTGRES', entry)),
  ]
  writeFileSync(path, lines.join(''))
  const { entries, flaws, operations } = await checkDriverLog(readDriverLog(path))
  expect(flaws).toEqual([])
  expect(entries).toBe(11)
  // The removal of an orphan is nobody's operation.
  expect(operations.map(({ operationId }) => operationId)).toEqual(
    ['op_1', 'op_restart', 'op_2', 'op_3', 'op_4', 'op_1', 'op_end'].filter((one, at, all) => all.indexOf(one) === at),
  )
})

test('a line that is none of it is named', async () => {
  const path = join(folder, 'bad.jsonl')
  writeFileSync(path, `${driverLogLine('runtime.fake', { ...entry({}), at: new Date() })}{"at": 1}\n`)
  await expect(checkDriverLog(readDriverLog(path))).rejects.toThrow(`${path}, line 2 is no line of a drivers' log`)
})

const at = '2030-01-01T00:00:00.000Z'
const entry = (more: Partial<DriverLogEntry>): DriverLogEntry => ({
  at,
  driver: 'runtime.fake',
  call: 'ensure',
  ref,
  fence: fence(1),
  effects: [],
  result: 'done',
  ...more,
})
const started = (instanceId: string) => [{ effect: 'started', instanceId }]
const ended = (instanceId: string) => [{ effect: 'ended', instanceId }]
const removed = [{ effect: 'removed', instanceId: null }]

const breaches: Readonly<Record<string, readonly [log: Partial<DriverLogEntry>[], flaw: string]>> = {
  'two runs at once': [
    [{ effects: started('a') }, { fence: fence(2), effects: started('b') }],
    `ensure at ${at}: starts b while a runs`,
  ],
  'an effect of an older generation': [
    [
      { fence: fence(2), effects: started('a') },
      { call: 'stop', effects: ended('a') },
    ],
    `stop at ${at}: takes effect for generation 1, after one for 2`,
  ],
  'a second removal': [
    [
      { call: 'remove', effects: removed },
      { call: 'remove', fence: fence(2), effects: removed },
    ],
    `remove at ${at}: removes it a second time`,
  ],
  'something that comes back after its removal': [
    [
      { call: 'remove', fence: fence(2), effects: removed },
      { fence: fence(2), effects: started('a') },
    ],
    `ensure at ${at}: it was removed, and is started again`,
  ],
  'a removal that leaves it running': [
    [{ effects: started('a') }, { call: 'remove', effects: removed }],
    `remove at ${at}: it is removed, and a runs on`,
  ],
  'an end that comes twice': [
    [{ effects: started('a') }, { call: 'stop', effects: ended('a') }, { call: 'stop', effects: ended('a') }],
    `stop at ${at}: ends a a second time`,
  ],
  'a resource that is made again': [
    [
      { driver: 'provision.POSTGRES', call: 'deprovision', fence: fence(3), effects: removed },
      { driver: 'provision.POSTGRES', call: 'provision', fence: fence(3), effects: [{ effect: 'made' }] },
    ],
    `provision at ${at}: it was removed, and is made again`,
  ],
}

test.each(Object.entries(breaches))('%s is told', async (_, [log, flaw]) => {
  const { flaws } = await checkDriverLog(log.map(entry))
  expect(flaws).toEqual([`stk_1 abcdefgh-web: ${flaw}`])
})
