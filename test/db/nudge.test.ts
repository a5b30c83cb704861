// Nudges reach every listener, many become few, and nothing that happens to their connection is felt by the caller.

import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Nudge, openNudge } from '../../src/db/nudge.ts'
import { createTestDatabase, type TestDatabase } from '../database.ts'
import { until } from '../until.ts'
import { startWireProxy, type WireProxy } from '../wire-proxy.ts'

let database: TestDatabase
let proxy: WireProxy
const lines: Nudge[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  proxy = await startWireProxy(database.url)
})

afterAll(async () => {
  await Promise.all(lines.map((line) => line.close()))
  await proxy.close()
  await database.drop()
})

function open(channel: string): Nudge {
  const line = openNudge({ url: proxy.url, channel })
  lines.push(line)
  return line
}

test('reaches listeners of other processes and its own, and only those of its channel', async () => {
  const [one, two, other] = [open('work'), open('work'), open('else')]
  const [atOne, atTwo, atOther] = [vi.fn(), vi.fn(), vi.fn()]
  const stop = await one.listen(atOne)
  await two.listen(atTwo)
  await other.listen(atOther)
  one.send()
  await until(() => expect([atOne.mock.calls.length, atTwo.mock.calls.length]).toEqual([1, 1]))
  await stop()
  two.send()
  await until(() => expect(atTwo).toHaveBeenCalledTimes(2))
  expect(atOne).toHaveBeenCalledTimes(1)
  expect(atOther).not.toHaveBeenCalled()
})

test('a thousand calls become at most one NOTIFY per 20 ms', async () => {
  const line = open('flood')
  const heard = vi.fn()
  await line.listen(heard)
  proxy.reset()
  for (let i = 0; i < 1000; i++) line.send()
  await until(() => expect(heard).toHaveBeenCalledTimes(2))
  expect(proxy.counts().statements.filter((text) => text.startsWith('NOTIFY'))).toHaveLength(2)
})

test('a cut connection comes back by itself and wakes its listeners', async () => {
  const line = open('cut')
  const heard = vi.fn()
  await line.listen(heard)
  proxy.cut()
  await until(() => expect(heard).toHaveBeenCalledTimes(1))
  line.send()
  await until(() => expect(heard).toHaveBeenCalledTimes(2))
})

test('a listener that throws disturbs nobody', async () => {
  const line = open('throws')
  const heard = vi.fn()
  await line.listen(() => {
    throw new Error('mine')
  })
  await line.listen(heard)
  line.send()
  await until(() => expect(heard).toHaveBeenCalledTimes(1))
})

test('without a server nothing fails and nothing hangs', async () => {
  const line = openNudge({ url: 'postgres://nobody@127.0.0.1:1/none', channel: 'work' })
  line.send()
  const stop = await line.listen(() => {})
  line.send()
  await stop()
  await line.close()
  line.send()
})
