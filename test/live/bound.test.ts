// What streams may take: so many of a team and of a process, a bounded buffer for a client that does not read, a bounded
// memory of events, and nothing at all once a client has gone, however it went.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTeam } from '../fixture.ts'
import { until } from '../until.ts'
import type { Subscription } from './client.ts'
import { type LiveStage, openLiveStage, openStreams } from './stage.ts'

let stage: LiveStage
const open = async (options: Parameters<typeof openLiveStage>[0]) => {
  stage = await openLiveStage(options)
}
afterEach(() => stage.close())

const events = 'subscription ($after: String) { events(after: $after) { cursor data } }'

describe('more streams than there may be are refused with when to come again', () => {
  beforeEach(() => open({ streamLimits: { perProcess: 5, perTeam: 3 } }))

  const refusedWith = async (stream: Subscription) => {
    await stream.over
    expect([stream.status, stream.headers['retry-after']]).toEqual([429, '5'])
    expect(stream.told).toMatchObject([{ errors: [{ extensions: { code: 'TOO_MANY_STREAMS', retryAfterMs: 5_000 } }] }])
  }

  test('of a team, and of a process; a place that was left is there again', async () => {
    const other = await createTeam(stage.api.database.url)
    const streams = [await stage.subscribe(events), await stage.subscribe(events), await stage.subscribe(events)]
    await refusedWith(await stage.subscribe(events))
    for (let at = 0; at < 2; at++) streams.push(await stage.subscribe(events, { token: other.token }))
    await refusedWith(await stage.subscribe(events, { token: other.token }))
    streams[0]?.cut()
    await expect.poll(() => openStreams(stage.api)).toBe(4)
    const again = await stage.subscribe(events, { token: other.token })
    expect(again.status).toBe(200)
    for (const stream of [...streams, again]) stream.cut()
    await stage.empty()
  })
})

describe('a client that does not read', () => {
  beforeEach(() => open({ times: { stallMs: 400, heartbeatMs: 100 } }))

  /** Events with much in them, put past everything that would bound them. */
  const flood = (count: number, bytes: number) => stage.sql`
    insert into event (occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version, actor_kind,
      actor_id, request_id, transition_id, data)
    select now(), ${stage.api.team.teamId}, 'Deployment', 'flood', 'test', 'HEALTHY', 1, 1, 'system', 'test', 'test', 'test',
      jsonb_build_object('much', repeat('x', ${bytes}::int)) from generate_series(1, ${count})`

  test('is cut off once it has read nothing for so long, with no more in memory than one buffer; who reads gets all', async () => {
    const reader = await stage.subscribe(events)
    const lazy = await stage.subscribe(events)
    lazy.stopReading()
    await flood(3_000, 10_000)
    stage.sequencer.nudge()
    let most = 0
    let cutOff = false
    void lazy.over.then(() => {
      cutOff = true
    })
    const sockets = () =>
      new Promise<number>((resolve) => stage.api.server.http.getConnections((_, count) => resolve(count)))
    await until(async () => {
      most = Math.max(most, stage.api.hub.size().events)
      expect(await openStreams(stage.api)).toBe(1)
    }, 15_000)
    await until(() => expect(reader.told.length).toBe(3_000), 15_000)
    reader.cut()
    lazy.goOn()
    await until(() => expect(cutOff).toBe(true))
    // What it was sent before it was cut off came in the buffers of two sockets; the rest was never made.
    expect(lazy.told.length).toBeLessThan(1_500)
    expect(lazy.completed()).toBe(false)
    // 8 MB of data at most are kept of 30.
    expect(most).toBeLessThan(900)
    await until(async () => expect(await sockets()).toBe(0))
    await stage.empty()
  })
})

describe('the memory of events is bounded', () => {
  beforeEach(() => open({}))

  test('who is behind it reads on from the database, and misses nothing', async () => {
    const stream = await stage.subscribe(events)
    const last = await stage.subscribe('subscription { events(filter: { kind: "last" }) { cursor } }')
    const id = await stage.deploy()
    await until(() => expect(stream.told.length).toBe(2))
    stream.stopReading()
    // More than is kept in mind and in the buffers of a connection, while it reads nothing.
    const count = 6_000
    await stage.sql`insert into event (occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version,
        actor_kind, actor_id, request_id, transition_id, data)
      select now(), ${stage.api.team.teamId}, 'Deployment', ${id}, case n when ${count} then 'last' else 'test' end, 'HEALTHY',
        1, n, 'system', 'test', 'test', 'test', jsonb_build_object('n', n, 'much', repeat('x', 6000))
      from generate_series(1, ${count}) n`
    stage.sequencer.nudge()
    await last.next()
    expect(stage.api.hub.size().events).toBeLessThan(2_048)
    stage.api.forget()
    stream.goOn()
    await until(() => expect(stream.told.length).toBe(2 + count), 30_000)
    expect(stream.told.slice(2).map(({ data }) => data.events.data.n)).toEqual(
      Array.from({ length: count }, (_, n) => n + 1),
    )
    expect(stage.api.names()).toContain('read:events.page')
    stream.cut()
    last.cut()
    await stage.empty()
  }, 60_000)
})

describe('who goes leaves nothing', () => {
  beforeEach(() => open({ streamLimits: { perTeam: 1_000 } }))

  test('1,000 connections that are cut abruptly: no stream, no follower, no connection is left', async () => {
    const id = await stage.deploy()
    const queries = [events, `subscription { deployment(id: "${id}") { version } }`]
    for (let round = 0; round < 4; round++) {
      const streams = await stage.subscribeAll(250, (at) => ({ query: queries[at % 2] ?? events }))
      expect(await openStreams(stage.api)).toBe(250)
      // Some while they wait, some while they are sent to.
      if (round % 2 === 0) await stage.change(id)
      for (const stream of streams) stream.cut()
    }
    await stage.empty()
    await expect
      .poll(
        () => new Promise<number>((resolve) => stage.api.server.http.getConnections((_, count) => resolve(count))),
        {
          timeout: 10_000,
        },
      )
      .toBe(0)
    expect(stage.api.logged.filter((line) => line.includes('"level":"error"'))).toEqual([])
  }, 60_000)

  test('while nobody follows the database is not asked', async () => {
    const stream = await stage.subscribe(events)
    await expect.poll(() => stage.api.names()).toContain('read:event.after')
    stream.cut()
    await stage.empty()
    await stage.sequencer.stop()
    stage.api.forget()
    stage.api.hub.nudge()
    await stage.api.call('{ limits { __typename } }')
    expect(stage.api.names()).not.toContain('read:event.after')
  })
})
