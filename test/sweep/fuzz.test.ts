// The hostile client: for every mutation inputs made from its type, sent as bytes over HTTP. Whatever is sent: no fault of
// ours, an answer that is typed, nothing changed by what was refused, logs that still parse. PAWL_ROUNDS says how many inputs
// each mutation is sent (default 6), PAWL_SEED repeats a run; both are printed.
import fc from 'fast-check'
import { type GraphQLInputObjectType, type GraphQLUnionType, getNamedType } from 'graphql'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { schema } from '../../src/schema/schema.ts'
import { type Api, openApi } from '../schema/api.ts'
import { capital } from '../schema/call.ts'
import { changedTables, fingerprint } from './fingerprint.ts'
import { inputsOf } from './hostile.ts'
import { noLimit } from './no-limit.ts'
import { inputWith } from './tenant.ts'
import { mutations, resultSelection } from './walk.ts'
import { openWorld, type World } from './world.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 6)
const seed = Number(process.env.PAWL_SEED ?? Date.now() % 2 ** 31)
/** Codes of answers that are none of the mutation's own; INTERNAL is not among them. */
const codes = ['BAD_USER_INPUT', 'GRAPHQL_VALIDATION_FAILED', 'LIMIT_EXCEEDED', 'BAD_REQUEST', 'UNAUTHENTICATED']

let api: Api
let world: World
const sent = { inputs: 0, accepted: 0, refused: 0, malformed: 0 }
beforeAll(async () => {
  api = await openApi({ rate: noLimit() })
  world = await openWorld(api)
  await world.settle()
})
afterAll(async () => {
  process.stdout.write(`fuzz: seed ${seed}, ${rounds} rounds: ${JSON.stringify(sent)}\n`)
  await world.close()
  await api.close()
})

/** Sends an input as it stands. */
async function send(mutation: string, input: string, token: string) {
  const Name = capital(mutation)
  const query = `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) ${resultSelection(`${Name}Result`)} }`
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json',
      authorization: `Bearer ${token}`,
    },
    body: `{"query":${JSON.stringify(query)},"variables":{"input":${input}}}`,
  })
  const text = await response.text()
  return { status: response.status, text, answer: JSON.parse(text) }
}

/** What is wrong with an answer; its kind where nothing is. */
function judged(
  mutation: string,
  { status, answer }: Awaited<ReturnType<typeof send>>,
): keyof typeof sent | { wrong: string } {
  if (status >= 500) return { wrong: `status ${status}` }
  if (answer.errors) {
    const code = answer.errors[0]?.extensions?.code
    if (answer.data) return { wrong: 'an error beside data' }
    return status >= 400 && codes.includes(code) ? 'malformed' : { wrong: `status ${status} with the code ${code}` }
  }
  const name = answer.data?.[mutation]?.__typename
  const members = (schema.getType(`${capital(mutation)}Result`) as GraphQLUnionType).getTypes().map((type) => type.name)
  if (status !== 200 || !members.includes(name)) return { wrong: `status ${status} with ${name}` }
  return name.endsWith('Payload') ? 'accepted' : 'refused'
}

describe('whatever a mutation is sent', () => {
  test.each(mutations.map((field) => [field.name, field] as const))(
    '%s',
    async (mutation, field) => {
      const type = getNamedType(field.args[0]?.type) as GraphQLInputObjectType
      const mine = await openWorld(api)
      const { a } = mine
      const ids = [...Object.values(a.own), ...Object.values(a.crossed), ...Object.values(world.b.own)]
      const good = inputWith({ field: mutation, path: [] }, a.own, 1) as Record<string, unknown>
      let before = await fingerprint(world.sql)
      const property = fc.asyncProperty(inputsOf(type, good, ids), async (input) => {
        const answer = await send(mutation, input, a.token)
        const kind = judged(mutation, answer)
        if (typeof kind === 'object') throw new Error(`${kind.wrong}: ${answer.text.slice(0, 500)}`)
        sent.inputs++
        sent[kind]++
        const after = await fingerprint(world.sql)
        const changed = changedTables(before, after)
        before = after
        if (kind !== 'accepted') expect(changed, answer.text).toEqual([])
      })
      await fc.assert(property, { numRuns: rounds, seed, endOnFailure: rounds > 1_000 })
      await mine.close()
    },
    600_000,
  )

  test('the log is one JSON object a line, and tells of no fault', () => {
    for (const line of api.logged) {
      expect(line.indexOf('\n')).toBe(line.length - 1)
      expect(JSON.parse(line).level).not.toMatch(/error|fatal/)
    }
  })

  test('some of it was accepted, more was refused', () => {
    expect(sent.accepted).toBeGreaterThan(0)
    expect(sent.refused).toBeGreaterThan(sent.accepted)
  })
})
