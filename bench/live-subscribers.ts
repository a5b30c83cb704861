// The subscribers of the benchmark `live`, in a process of their own: what they need is not the server's. Each follows the
// changes of one team, checks that no version is left out or repeated, and notes how late each has come.
import { subscribe } from '../test/live/client.ts'

/** What all of them together have seen. */
export interface Followed {
  /** One for each delivery, sorted. */
  readonly lateMs: readonly number[]
  /** How many deliveries did not follow the one before. */
  readonly wrong: number
}
interface Start {
  readonly url: string
  readonly tokens: readonly string[]
  readonly subscribers: number
}

const query =
  'subscription { events(filter: { kind: "mergeDeploymentEnv" }) { cursor occurredAt kind subjectId version } }'
const lateMs: number[] = []
let wrong = 0
/** How long what is missing is waited for. */
const patienceMs = 10_000
const lookEveryMs = 50
const atOnce = 20

async function follow(url: string, token: string): Promise<void> {
  const stream = await subscribe({ url: url.replace(/\/graphql$/, ''), token, query })
  if (stream.status !== 200) throw new Error(`no stream: ${stream.status} ${stream.text()}`)
  void (async () => {
    let last: number | null = null
    for (let told = await stream.next(); told !== null; told = await stream.next()) {
      const arrivedAt = Date.now()
      if (!told.data) throw new Error(`a stream was ended: ${JSON.stringify(told)}`)
      const { occurredAt, version } = told.data.events
      lateMs.push(arrivedAt - Date.parse(occurredAt))
      if (last !== null && Number(version) !== last + 1) wrong++
      last = Number(version)
    }
  })()
}

process.once('message', async ({ url, tokens, subscribers }: Start) => {
  for (let at = 0; at < subscribers; at += atOnce) {
    const some = Array.from(
      { length: Math.min(atOnce, subscribers - at) },
      (_, n) => tokens[(at + n) % tokens.length] ?? '',
    )
    await Promise.all(some.map((token) => follow(url, token)))
  }
  process.send?.('ready')
  process.once('message', ({ expected }: { expected: number }) => {
    const since = performance.now()
    const look = () => {
      if (lateMs.length < expected && performance.now() - since < patienceMs) return void setTimeout(look, lookEveryMs)
      process.send?.({ lateMs: lateMs.sort((one, other) => one - other), wrong } satisfies Followed)
    }
    look()
  })
})
