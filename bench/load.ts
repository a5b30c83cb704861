// The process that asks: connections that are kept open, each with one call at a time, the next as soon as the last is answered.
// Every answer is read and checked; the first that is not right ends the round.
import { Client } from 'undici'
import type { Asking, Call, Order, Told } from './asking.ts'

const tell = (told: Told) => process.send?.(told)
const headers = { 'content-type': 'application/json', accept: 'application/json' }

/** One call; resolves when its answer has been read and was right. */
const call = (client: Client, path: string, { token, body, right }: Call): Promise<void> =>
  new Promise((resolve, reject) => {
    let status = 0
    let text = ''
    client.dispatch(
      { method: 'POST', path, headers: { ...headers, authorization: `Bearer ${token}` }, body },
      {
        onRequestStart() {},
        onResponseStart(_, statusCode) {
          status = statusCode
        },
        onResponseData(_, chunk) {
          text += chunk.toString('utf8')
        },
        onResponseEnd() {
          if (right(status, text)) resolve()
          else reject(new Error(`${body} was answered ${status} ${text}`))
        },
        onResponseError: (_, error) => reject(error),
      },
    )
  })

async function ask({ url, module, asks, seeded, connections, leadMs, countedMs }: Order): Promise<void> {
  const asking: Asking = (await import(module))[asks]
  const next = asking(seeded)
  const { origin, pathname } = new URL(url)
  const tookMs: number[] = []
  let stage: 'lead' | 'counted' | 'over' = 'lead'
  const clients = Array.from({ length: connections }, () => new Client(origin, { pipelining: 1 }))
  const asked = clients.map(async (client) => {
    try {
      while (stage !== 'over') {
        const since = performance.now()
        await call(client, pathname, next())
        if (stage === 'counted') tookMs.push(performance.now() - since)
      }
    } finally {
      stage = 'over'
      await client.close()
    }
  })
  setTimeout(() => {
    stage = 'counted'
    tell({ kind: 'counting' })
    setTimeout(() => {
      stage = 'over'
      tell({ kind: 'counted' })
    }, countedMs)
  }, leadMs)
  await Promise.all(asked)
  tell({ kind: 'asked', tookMs })
}

process.on('message', (order: Order) => {
  ask(order).catch((error: Error) => tell({ kind: 'wrong', what: error.message }))
})
tell({ kind: 'ready' })
