// Hundreds of clients that come at the same moment, as they do when a process was restarted: they wait for their turn and crowd
// out nobody. Whoever is turned away all the same is told why, and not that the database is away.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { statementName } from '../../src/db/session.ts'
import { until } from '../until.ts'
import { type LiveStage, openLiveStage, openStreams } from './stage.ts'

let stage: LiveStage
beforeEach(async () => {
  stage = await openLiveStage()
})
afterEach(() => stage.close())

const events =
  'subscription ($after: String) { events(after: $after, filter: { kind: "mergeDeploymentEnv" }) { kind } }'
const atOnce = (count: number, ask: () => { query: string; variables?: Record<string, unknown> }) =>
  Promise.all(
    Array.from({ length: count }, () => {
      const { query, variables = {} } = ask()
      return stage.subscribe(query, { variables })
    }),
  )

describe('300 streams that are opened at once over 4 connections', () => {
  test.each(['from now on', 'after a cursor', 'of an object'])(
    '%s: the 250 that a team may have are open and told, the others are told when to come again',
    async (how) => {
      const id = await stage.deploy()
      const nodes = async () => (await stage.api.call('{ events(last: 1) { nodes { cursor } } }')).data.events.nodes
      const [{ cursor }] = await until(async () => {
        const found = await nodes()
        expect(found).toHaveLength(1)
        return found
      })
      let mostWaiting = 0
      stage.api.before = () => {
        mostWaiting = Math.max(mostWaiting, stage.api.pool.stats().waiting)
      }
      const streams = await atOnce(300, () =>
        how === 'of an object'
          ? { query: `subscription { deployment(id: "${id}") { version } }` }
          : { query: events, variables: how === 'from now on' ? {} : { after: cursor } },
      )
      const open = streams.filter(({ status }) => status === 200)
      const refused = streams.filter(({ status }) => status !== 200)
      await Promise.all(refused.map(({ over }) => over))
      expect(open).toHaveLength(250)
      for (const { status, told } of refused)
        expect([status, told]).toMatchObject([429, [{ errors: [{ extensions: { code: 'TOO_MANY_STREAMS' } }] }]])
      expect(await openStreams(stage.api)).toBe(250)
      // Nobody else has to stand behind more than their share: 16, the loops and the hub.
      expect(mostWaiting).toBeLessThan(30)
      stage.api.before = () => {}
      await stage.change(id)
      for (const { told } of open) {
        await until(() => expect(told.at(-1)?.data).toBeDefined())
        expect(told.flatMap(({ errors }) => errors ?? [])).toEqual([])
      }
      for (const stream of open) stream.cut()
      await stage.empty()
    },
    60_000,
  )
})

describe('a statement that is not sent because too many wait', () => {
  test('is told as such, with code and time of a fault that passes', async () => {
    const gate = Promise.withResolvers<void>()
    stage.api.before = () => gate.promise
    // 4 are under way and 80 may wait, for a second.
    const calls = Array.from({ length: 120 }, () => stage.api.call('{ limits { __typename } }'))
    await Promise.race(calls)
    gate.resolve()
    const answers = await Promise.all(calls)
    const shed = answers.filter(({ status }) => status !== 200)
    expect(shed.length).toBeGreaterThan(20)
    expect(shed.length).toBeLessThan(120)
    for (const { status, headers, errors } of shed)
      expect([status, headers.get('retry-after'), errors]).toMatchObject([
        503,
        '1',
        [
          {
            message: expect.stringMatching(/^Pawl has too much to do right now\. Try again/),
            extensions: { code: 'TEMPORARILY_UNAVAILABLE', retryAfterMs: 1_000 },
          },
        ],
      ])
  })

  test('and one whose connection breaks as that', async () => {
    stage.api.before = ({ sql }) => {
      if (statementName(sql) === 'read:events.page')
        throw Object.assign(new Error('the connection is gone'), { code: '57P01' })
    }
    const away = await stage.api.call('{ events(first: 1) { nodes { kind } } }')
    expect(away.errors?.[0]?.message).toBe('The database cannot be reached right now. Try again in 1000 ms.')
  })
})
