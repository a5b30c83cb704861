// A server that is stopped: what is under way is answered, and nobody keeps it up by going on asking over a connection.
import { Agent, request } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Api, openApi } from './api.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

interface Seen {
  readonly status: number | undefined
  readonly connection: string | undefined
}

/** One query over the agent's connection; rejects when the connection is refused or cut. */
function ask(agent: Agent): Promise<Seen> {
  const body = JSON.stringify({ query: '{ viewer { scopes } }' })
  const headers = {
    'content-type': 'application/json',
    'content-length': body.length,
    authorization: `Bearer ${api.team.token}`,
  }
  return new Promise((resolve, reject) => {
    const asked = request(`${api.url}/graphql`, { method: 'POST', agent, headers }, (response) => {
      response.resume()
      response.once('end', () => resolve({ status: response.statusCode, connection: response.headers.connection }))
    })
    asked.once('error', reject)
    asked.end(body)
  })
}

test('a client that asks on and on over its connection is told to leave, and does not hold up the stop', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  expect(await ask(agent)).toEqual({ status: 200, connection: 'keep-alive' })
  const held = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  api.before = () => {
    begun.resolve()
    return held.promise
  }
  const underWay = ask(agent)
  await begun.promise
  const stopped = api.server.stop(15_000)
  const startedAt = performance.now()
  held.resolve()
  expect(await underWay).toEqual({ status: 200, connection: 'close' })
  await expect(ask(agent)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await stopped
  expect(performance.now() - startedAt).toBeLessThan(5_000)
  agent.destroy()
})
