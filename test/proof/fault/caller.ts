// Callers who do everything that one does with deployments, resources, stacks and secrets, one thing after another, and who repeat
// what they got no answer to under its key. They accept being told to come back; anything else that is no answer is a flaw.
import { expect } from 'vitest'
import type { Replica } from '../fleet.ts'
import { capital, type Row, until } from './stage.ts'

/** A call that was accepted, to be repeated. */
export interface Accepted {
  readonly mutation: string
  readonly input: Row
  readonly id: string
}

/** What was seen of the answers, by kind: `accepted`, codes of refusals, and codes of errors. */
export type Tally = Map<string, number>

export interface Callers {
  readonly accepted: readonly Accepted[]
  readonly tally: Tally
  /** One thing after another on a subject of its own; ends when all of it was accepted. */
  journey(of: Journey, name: string): Promise<string>
  /** The same call once more; it must be told of as a repeat. */
  repeats(one: Accepted): Promise<void>
}

interface Step {
  readonly mutation: string
  readonly input?: Row
  readonly rests?: string
}
export type Journey = keyof typeof journeys
const set = [{ key: 'A', value: '1' }]
const step = (mutation: string, rests?: string, input: Row = {}): Step => ({
  mutation,
  input,
  ...(rests ? { rests } : {}),
})

export const journeys = {
  deployment: [
    step('deploy', 'HEALTHY', { image: 'app:1' }),
    step('mergeDeploymentEnv', undefined, { set }),
    step('redeployDeployment', 'HEALTHY', { image: 'app:2' }),
    step('stopDeployment', 'STOPPED'),
    step('startDeployment', 'HEALTHY'),
    step('deleteDeployment', 'DELETED'),
  ],
  resource: [
    step('createResource', 'ACTIVE', { type: 'POSTGRES' }),
    step('pauseResource', 'PAUSED'),
    step('resumeResource', 'ACTIVE'),
    step('rotateResourceCredentials', 'ACTIVE'),
    step('setResourceTtl', undefined, { ttlHours: 5 }),
    step('deleteResource', 'DELETED'),
  ],
  stack: [
    step('createStack', 'HEALTHY', { services: ['api', 'web'].map((name) => ({ name, image: 'app:1' })) }),
    step('mergeStackEnv', undefined, { set }),
    step('redeployStack', 'HEALTHY', { services: [{ name: 'web', image: 'app:2' }] }),
    step('deleteStack', 'DELETED'),
  ],
  secret: [step('setSecret', undefined, { value: 'one' }), step('deleteSecret')],
} as const satisfies Record<string, readonly Step[]>

/** What no caller should see: it is not tried again. */
class Flaw extends Error {}
async function patiently<T>(condition: () => Promise<T>): Promise<T> {
  const outcome = await until(() =>
    condition().catch((error: unknown) => {
      if (error instanceof Flaw) return error
      throw error
    }),
  )
  if (outcome instanceof Flaw) throw outcome
  return outcome
}

export function openCallers(replicas: readonly Replica[], token: string): Callers {
  const accepted: Accepted[] = []
  const tally: Tally = new Map()
  let asked = 0
  const note = (kind: string) => tally.set(kind, (tally.get(kind) ?? 0) + 1)

  /** The data of an answer; null when there is none now. Throws for whatever no caller should see. */
  async function post(query: string, variables: object): Promise<Record<string, Row> | null> {
    const { graphql } = replicas[asked++ % replicas.length] as Replica
    const response = await fetch(graphql, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ query, variables }),
    })
    const text = await response.text()
    const { data, errors } = JSON.parse(text)
    if (!errors && response.status === 200) return data
    const codes = (errors ?? []).map((one: { extensions?: { code?: string } }) => one.extensions?.code)
    const isMeant = codes.length > 0 && codes.every((code: unknown) => code === 'TEMPORARILY_UNAVAILABLE')
    if (!isMeant || ![200, 503].includes(response.status)) throw new Flaw(`${query}: ${response.status} ${text}`)
    note('error TEMPORARILY_UNAVAILABLE')
    return null
  }

  async function call(mutation: string, input: Row): Promise<Row | null> {
    const Name = capital(mutation)
    const [subject] = /deployment|resource|stack|secret/.exec(mutation.toLowerCase()) ?? ['deployment']
    const data = await post(
      `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) { __typename ... on ${Name}Payload { replayed ${subject} { id } } ... on Refusal { code message retryable } } }`,
      { input },
    )
    const answer = data?.[mutation]
    if (!answer) return null
    note(typeof answer.code === 'string' ? answer.code : 'accepted')
    if (typeof answer.code !== 'string') return { replayed: answer.replayed, id: (answer[subject] as Row).id }
    if (answer.retryable !== true) throw new Flaw(`${mutation} was refused: ${JSON.stringify(answer)}`)
    return null
  }

  async function rests(id: string, state: string): Promise<void> {
    const query = `query ($id: ID!) { node(id: $id) { ... on Deployment { at: state } ... on Resource { is: state } ... on Stack { of: state } } }`
    await patiently(async () => {
      const data = await post(query, { id })
      expect(Object.values(data?.node ?? {})).toContain(state)
    })
  }

  return {
    accepted,
    tally,
    async journey(of, name) {
      let id = ''
      for (const { mutation, input = {}, rests: state } of journeys[of] as readonly Step[]) {
        const named = id === '' ? { name: of === 'secret' ? name.toUpperCase() : name } : { id }
        const whole = { ...named, ...input, idempotencyKey: crypto.randomUUID() }
        id = await patiently(async () => {
          const answer = await call(mutation, whole)
          expect(answer, `${mutation} has no answer`).not.toBeNull()
          return String(answer?.id)
        })
        accepted.push({ mutation, input: whole, id })
        if (state) await rests(id, state)
      }
      return id
    },
    async repeats({ mutation, input, id }) {
      const answer = await patiently(async () => {
        const told = await call(mutation, input)
        expect(told).not.toBeNull()
        return told
      })
      expect(answer, `${mutation} repeated under its key`).toEqual({ replayed: true, id })
    },
  }
}
