// A death in the middle of every mutation: before the statement that decides it, and when that has committed and nobody has been
// told. A caller with a key learns by a repeat what has become of its wish, and has it carried out once; of one that does not
// repeat it, all is there or nothing.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mutations } from '../../sweep/walk.ts'
import { capital, payloadOf } from '../pair/pair.ts'
import { type Ready, ready } from '../pair/ready.ts'
import { record } from '../record.ts'
import type { Stop } from '../replica.ts'
import { openStage, type Stage } from './stage.ts'

/** Each is stopped on a connection of its own, and there are twelve. */
const atOnce = 6
const wanted = process.env.PAWL_CRASH
const names = mutations.map(({ name }) => name).filter((name) => !wanted || wanted.split('/')[0] === name)

interface Moment {
  readonly mutation: string
  readonly when: 'before' | 'after'
  readonly repeated: boolean
}
const labelOf = ({ mutation, when, repeated }: Moment) =>
  `${mutation}/${when} it is decided${repeated ? ', repeated' : ''}`

let stage: Stage
/** Of each mutation: what decides it, and what that leaves. */
const decided = new Map<string, { statement: string; traces: Traces }>()
beforeAll(async () => {
  stage = await openStage()
  stage.freeze()
})
afterAll(() => stage?.close())

interface Traces {
  readonly events: number
  readonly operations: number
}
/** What a request has left, whoever it was. */
async function tracesOf(requestId: string): Promise<Traces> {
  const [row] = await stage.sql`select (select count(*)::int from event where request_id = ${requestId}) as events,
    (select count(*)::int from operation where request_id = ${requestId}) as operations`
  return row as unknown as Traces
}
const nothing: Traces = { events: 0, operations: 0 }

const here = { url: 'http://127.0.0.1:9/' }
const inputOf = (mutation: string, { input }: Ready) => ({
  ...input,
  ...(/^(create|update)Webhook$/.test(mutation) ? here : {}),
})

interface Answer {
  readonly __typename: string
  readonly message?: string
  readonly replayed?: boolean
}
/** A call; null where nothing was heard. */
async function send(
  graphql: string,
  mutation: string,
  token: string,
  input: object,
  id: string,
): Promise<Answer | null> {
  const selection = `{ __typename ... on Refusal { message } ... on ${payloadOf(mutation)} { replayed } }`
  const query = `mutation ($input: ${capital(mutation)}Input!) { ${mutation}(input: $input) ${selection} }`
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}`, 'x-request-id': id }
  const body = JSON.stringify({ query, variables: { input } })
  const text = await fetch(graphql, { method: 'POST', headers, body }).then(
    (response) => response.text(),
    () => null,
  )
  if (text === null) return null
  const { data, errors } = JSON.parse(text)
  if (errors) throw new Error(`${mutation}: ${text}`)
  return data[mutation]
}
const readyFor = (mutation: string) => {
  const call = (query: string, variables: object, token: string) =>
    stage.asks(token, query, variables).then((data) => ({ data, errors: undefined, text: '' }))
  return ready({ sql: stage.sql, call } as never, mutation)
}

test('every mutation is decided by one statement, with all that it leaves', async () => {
  const requests = names.map((name) => `whole-${name}`)
  const heard = names.map((): string[] => [])
  const { child, served } = stage.victim(
    { tells: requests.map((id) => [id]) },
    { role: 'api', at: () => false, told: ({ statement, of = 0 }) => void (statement && heard[of]?.push(statement)) },
  )
  const { graphql } = (await served) as { graphql: string }
  for (const [at, mutation] of names.entries()) {
    const wish = await readyFor(mutation)
    const answer = await send(graphql, mutation, wish.token, inputOf(mutation, wish), String(requests[at]))
    expect(answer, JSON.stringify(answer)).toMatchObject({ __typename: payloadOf(mutation), replayed: false })
    decided.set(mutation, { statement: String(heard[at]?.at(-1)), traces: await tracesOf(String(requests[at])) })
  }
  await stage.kill(child)
  expect(heard.map((statements, at) => [names[at], ...statements]).filter(({ length }) => length !== 2)).toEqual([])
})

const moments = names.flatMap((mutation) =>
  (['before', 'after'] as const).flatMap((when) =>
    [true, false].map((repeated): Moment => ({ mutation, when, repeated })),
  ),
)
const batches = Array.from({ length: Math.ceil(moments.length / atOnce) }, (_, at) =>
  moments.slice(at * atOnce, (at + 1) * atOnce),
)

test.each(batches.map((batch) => ({ batch, told: `${labelOf(batch[0] as Moment)} …` })))('$told', async ({ batch }) => {
  const asked = await Promise.all(
    batch.map(async (moment) => {
      const wish = await readyFor(moment.mutation)
      const key = moment.repeated ? { idempotencyKey: crypto.randomUUID() } : {}
      return {
        ...moment,
        wish,
        id: `lost-${crypto.randomUUID()}`,
        input: { ...inputOf(moment.mutation, wish), ...key },
      }
    }),
  )
  const stopAt = asked.map(
    ({ id, mutation, when }): Stop => ({
      about: [id],
      statement: decided.get(mutation)?.statement ?? '',
      nth: 1,
      when,
    }),
  )
  const stopped = new Set<number>()
  const { child, served } = stage.victim(
    { stopAt },
    {
      role: 'api',
      at: () => false,
      told: (message) => void (message.stopped !== undefined && stopped.add(message.stopped)),
    },
  )
  const { graphql } = (await served) as { graphql: string }
  const answers = asked.map(async ({ mutation, wish, input, id }, at) => {
    for (;;) {
      const answer = await send(graphql, mutation, wish.token, input, id).catch((error: Error) => error)
      // A machine that is busy with much else turns some away before anything is decided; whoever was stopped has heard nothing.
      if (!(answer instanceof Error) || !answer.message.includes('TEMPORARILY_UNAVAILABLE')) return answer
      if (stopped.has(at)) return null
    }
  })
  await stage.kill(child, () => stopped.size === asked.length)
  const failures: string[] = []
  for (const [at, one] of asked.entries()) {
    const flaw = await answers[at]
      ?.then((answer) => expect(answer).toBe(null))
      .then(() => expect(stopped).toContain(at))
      .then(() => learns(one))
      .then(
        () => null,
        (error: Error) => error.message,
      )
    record('crash', { of: one.mutation, point: labelOf(one).replace(/^.*?\//, ''), kept: flaw === null })
    if (flaw)
      failures.push(
        `${labelOf(one)}: ${flaw}\n  PAWL_CRASH="${one.mutation}" npm run test:proof -- test/proof/crash/mutation`,
      )
  }
  expect(failures.join('\n')).toBe('')
})

/** What became of it, as a look and, where it is repeated, the answer tells. */
async function learns({
  mutation,
  when,
  repeated,
  wish,
  input,
  id,
}: Moment & { wish: Ready; input: object; id: string }) {
  const traces = decided.get(mutation)?.traces as Traces
  expect(await tracesOf(id)).toEqual(when === 'after' ? traces : nothing)
  if (!repeated) return
  const again = await send(stage.api.graphql, mutation, wish.token, input, `again-${id}`)
  expect(again).toMatchObject({ __typename: payloadOf(mutation), replayed: when === 'after' })
  expect(await tracesOf(`again-${id}`)).toEqual(when === 'after' ? nothing : traces)
}
