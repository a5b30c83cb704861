// What a scrape costs is nobody else's: while the figures of all instances cannot be found out, the server is ready, scrapes end in
// time, and the gauges that have a source show it.
import { expect, test } from 'vitest'
import { hold, untilBlocked } from '../interleave.ts'
import { openMachine } from './server.ts'

test('scrapes that wait for the counts of instances make neither readiness wait nor one another', {
  timeout: 180_000,
}, async () => {
  const machine = await openMachine()
  try {
    const server = await machine.start()
    const get = (path: string) => fetch(new URL(path, server.graphql))
    const stall = await hold(machine.sql, 'lock table instance in access exclusive mode')
    const scrapes = Promise.all(Array.from({ length: 5 }, () => get('/metrics').then((answer) => answer.text())))
    await untilBlocked(machine.sql, 'read:oldestPassing')
    expect((await get('/readyz')).status).toBe(200)
    for (const text of await scrapes) {
      expect(text).toContain('pawl_db_pool{')
      expect(text).not.toContain('pawl_instances{')
    }
    await stall.release()
    await expect.poll(async () => (await get('/metrics')).text()).toContain('pawl_instances{')
  } finally {
    await machine.dispose()
  }
})
