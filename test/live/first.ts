// The first answer of a subscription in the form of an answer to a query, or that there is none: everybody who follows the
// log here has seen all of it and waits. Then the stream is cut.
import { expect } from 'vitest'
import type { Answer, Api } from '../schema/api.ts'
import { until } from '../until.ts'
import { subscribe } from './client.ts'

/** `data` is undefined when nothing came. */
export async function firstOf(
  api: Api,
  query: string,
  variables: Record<string, unknown>,
  token: string,
): Promise<Answer> {
  const stream = await subscribe({ url: api.url, token, query, variables })
  const caughtUp = until(() => {
    const { followers, waiting } = api.hub.size()
    expect([followers > 0, waiting]).toEqual([true, followers])
  }).then(
    () => null,
    () => null,
  )
  const isStream = /event-stream/.test(String(stream.headers['content-type']))
  const told = isStream
    ? await Promise.race([stream.next(), caughtUp])
    : await stream.over.then(() => JSON.parse(stream.text()))
  stream.cut()
  await stream.over
  const { data, errors } = told ?? {}
  const headers = new Headers(stream.headers as Record<string, string>)
  return { status: stream.status, headers, data, errors, text: JSON.stringify(told) }
}
