// What tests of streams start from: an API with a sequencer that runs at once when something was accepted, callers, and a
// writer whose events can be told from each other.
import postgres from 'postgres'
import { expect } from 'vitest'
import { type Loop, startLoop } from '../../src/loops/loop.ts'
import { sequenceLoop } from '../../src/loops/sequence.ts'
import { keepingLog } from '../loops/fixture.ts'
import { type Api, type ApiOptions, openApi } from '../schema/api.ts'
import { until } from '../until.ts'
import { type Asking, type Subscription, subscribe } from './client.ts'

export interface LiveStage {
  readonly api: Api
  readonly sql: postgres.Sql
  readonly sequencer: Loop
  subscribe(query: string, more?: Partial<Asking>): Promise<Subscription>
  /** So many streams, at most 25 of them being opened at a time; `how` says which. */
  subscribeAll(count: number, how: (at: number) => Partial<Asking> & { query: string }): Promise<Subscription[]>
  /** A new deployment; returns its id. */
  deploy(name?: string, token?: string): Promise<string>
  /** One change of a deployment: of its environment. */
  change(id: string): Promise<void>
  /** Waits until nobody follows and nothing of a stream is left. */
  empty(): Promise<void>
  close(): Promise<void>
}

const named = () => `d${crypto.randomUUID().slice(0, 8)}`

/** `nudges: false`: whatever happens is found by polls alone, as when every hint is lost. */
export async function openLiveStage({
  nudges = true,
  ...options
}: ApiOptions & { nudges?: boolean } = {}): Promise<LiveStage> {
  const api = await openApi(options)
  // One may hold what another one looks at.
  const sql = postgres(api.database.url, { max: 3, onnotice: () => {} })
  const sequencer = startLoop(
    sequenceLoop(api.pool.db, () => nudges && api.hub.nudge()),
    { metrics: api.metrics, log: keepingLog([]) },
  )
  if (nudges) api.nudged = () => sequencer.nudge()
  const call = async (mutation: string, input: object, shown: string, token = api.team.token) => {
    const Name = mutation.charAt(0).toUpperCase() + mutation.slice(1)
    const answer = await api.call(
      `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) { __typename ... on ${Name}Payload { ${shown} } } }`,
      { input },
      token,
    )
    expect(answer.data?.[mutation]?.__typename, answer.text).toBe(`${Name}Payload`)
    return answer.data[mutation]
  }
  const open: LiveStage['subscribe'] = (query, more = {}) =>
    subscribe({ url: api.url, token: api.team.token, query, ...more })
  return {
    api,
    sql,
    sequencer,
    subscribe: open,
    async subscribeAll(count, how) {
      const streams: Subscription[] = []
      while (streams.length < count) {
        const asked = Array.from({ length: Math.min(25, count - streams.length) }, (_, at) => how(streams.length + at))
        streams.push(...(await Promise.all(asked.map(({ query, ...more }) => open(query, more)))))
      }
      expect(streams.filter(({ status }) => status !== 200)).toEqual([])
      return streams
    },
    deploy: async (name = named(), token = api.team.token) =>
      (await call('deploy', { name, image: 'hello' }, 'deployment { id }', token)).deployment.id,
    change: async (id) =>
      void (await call('mergeDeploymentEnv', { id, set: [{ key: 'A', value: crypto.randomUUID() }] }, 'keysSet')),
    empty: () =>
      until(async () => {
        expect(api.hub.size()).toMatchObject({ followers: 0, waiting: 0, events: 0 })
        expect(await openStreams(api)).toBe(0)
      }),
    async close() {
      await sequencer.stop()
      await sql.end({ timeout: 5 })
      await api.close()
    },
  }
}

/** The gauge, summed over what is followed. */
export async function openStreams(api: Api): Promise<number> {
  const lines = (await api.metrics.text()).matchAll(/^pawl_streams\{.*\} (\d+)$/gm)
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0)
}
