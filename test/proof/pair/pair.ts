// The pairs that are to be seen: every mutation with every member of its result, as the schema has them. What a case is, and how
// it is played: its answer is brought about, and each remedy in it is taken as it stands, on a scene of its own.
import { type GraphQLUnionType, getNamedType } from 'graphql'
import { expect } from 'vitest'
import { schema } from '../../../src/schema/schema.ts'
import { asked, mutations, queries, resultSelection, selectionOf } from '../../sweep/walk.ts'
import { record } from '../record.ts'
import type { Stage } from './stage.ts'

export interface Pair {
  readonly mutation: string
  readonly member: string
}
export const capital = (name: string) => name.charAt(0).toUpperCase() + name.slice(1)
export const payloadOf = (mutation: string) => `${capital(mutation)}Payload`
export const nameOf = ({ mutation, member }: Pair) => `${mutation} → ${member}`

/** All that the schema has. */
export const allPairs: readonly Pair[] = mutations.flatMap(({ name, type }) =>
  schema
    .getPossibleTypes(getNamedType(type) as GraphQLUnionType)
    .map((member) => ({ mutation: name, member: member.name })),
)

/** What a caller asks for. */
export interface Wish {
  readonly input: Readonly<Record<string, unknown>>
  readonly token: string
  /** What is so while it asks, and is over afterwards. */
  readonly meanwhile?: <T>(ask: () => Promise<T>) => Promise<T>
}

export interface Case extends Pair {
  /** Where a member comes for several reasons. */
  readonly because?: string
  readonly arrange: (stage: Stage) => Promise<Wish>
  /** What the same wish is answered after the call of a remedy, by its name; the payload where nothing is said. */
  readonly again?: Readonly<Record<string, string | Again>>
}

interface Again {
  readonly member: string
  /** What is otherwise in the wish, where the explanation says that another is accepted then. */
  readonly input?: Readonly<Record<string, unknown>>
  /** What others do between, where the explanation says that it comes to that by itself. */
  readonly after?: (stage: Stage, wish: Wish) => Promise<unknown>
}

interface Remedy {
  readonly mutation: string | null
  readonly query: string | null
  readonly arguments: Record<string, unknown> | null
  readonly explanation: string
}
export interface Answered {
  readonly __typename: string
  readonly message?: string
  readonly retryable?: boolean
  readonly replayed?: boolean
  readonly remedies?: readonly Remedy[]
}

/** Calls a mutation with all that its answer can show; fails on errors at top level. */
export async function ask(stage: Stage, mutation: string, { input, token }: Wish): Promise<Answered> {
  const Name = capital(mutation)
  const document = `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) ${resultSelection(`${Name}Result`)} }`
  const { data, errors, text } = await stage.call(document, { input }, token)
  expect(errors, text).toBeUndefined()
  return data[mutation]
}

const refusalOrNot = ({ __typename, message }: Answered) =>
  message === undefined ? __typename : `${__typename}: ${message}`

/** What was seen of a case: its answer, and how many of its remedies were taken. */
export interface Seen {
  readonly answered: Answered
  readonly taken: number
}

/** Brings the answer about once for each of its remedies, and takes that; returns what it was answered at first. */
export async function play(stage: Stage, { mutation, member, because, arrange, again = {} }: Case): Promise<Seen> {
  const provoke = async () => {
    const wish = await arrange(stage)
    const call = () => ask(stage, mutation, wish)
    const answered = await (wish.meanwhile ? wish.meanwhile(call) : call())
    expect(answered.__typename, refusalOrNot(answered)).toBe(member)
    expectWords(answered)
    return { wish, answered }
  }
  const first = await provoke()
  const count = first.answered.remedies?.length ?? 0
  let taken = 0
  for (let nth = 0; nth < count; nth++) {
    const { wish, answered } = nth === 0 ? first : await provoke()
    const remedy = answered.remedies?.[nth]
    if (!remedy) throw new Error(`${mutation} → ${member} has had ${count} remedies, and has ${nth} now`)
    if (await isTaken(stage, remedy, wish)) taken++
    if (remedy.mutation === null) {
      await keep(stage, mutation, remedy, wish)
      continue
    }
    const then = again[remedy.mutation] ?? payloadOf(mutation)
    const { member: expected, input, after } = typeof then === 'string' ? { member: then } : (then as Again)
    await after?.(stage, wish)
    const repeated = await ask(stage, mutation, { ...wish, input: { ...wish.input, ...input } })
    expect(`after ${remedy.mutation}: ${repeated.__typename}`, refusalOrNot(repeated)).toBe(
      `after ${remedy.mutation}: ${expected}`,
    )
  }
  // What is worth asking again about is accepted once the cause is over.
  if (first.wish.meanwhile && first.answered.retryable) {
    const repeated = await ask(stage, mutation, first.wish)
    expect(repeated.__typename, refusalOrNot(repeated)).toBe(payloadOf(mutation))
  }
  // A repeat under the same key is answered as the first call was.
  if (first.wish.input.idempotencyKey && member === payloadOf(mutation)) {
    const { __typename, replayed } = await ask(stage, mutation, first.wish)
    expect({ __typename, replayed }).toEqual({ __typename: member, replayed: true })
  }
  record('pair', { mutation, member, remedies: taken })
  if (process.env.PAWL_TABLE) console.log(toldOf({ mutation, member, because }, first.answered))
  return { answered: first.answered, taken }
}

/** Advice that names secrets by which the same wish is not refused any more for the want of them. */
const keeping = /^Keep (.+) in (\S+) with setSecret, then ask for the same again\.$/
async function keep(stage: Stage, mutation: string, { explanation }: Remedy, wish: Wish): Promise<void> {
  const [, names = '', environment] = keeping.exec(explanation) ?? []
  if (environment === undefined) return
  for (const name of names.split(', ')) {
    const { __typename } = await ask(stage, 'setSecret', { ...wish, input: { name, environment, value: 'x' } })
    expect(__typename).toBe(payloadOf('setSecret'))
    const repeated = await ask(stage, mutation, wish)
    expect(refusalOrNot(repeated)).not.toContain(`secret://${name}`)
  }
}

/** Whether it can be read aloud: whole sentences, in words, with nothing left open. */
function expectWords({ message, remedies = [] }: Answered): void {
  for (const text of [...(message === undefined ? [] : [message]), ...remedies.map(({ explanation }) => explanation)]) {
    expect(text).toMatch(/^\S.*\.$/)
    expect(text).not.toMatch(
      /undefined|\bnull\b|NaN|\[object|\s\s|\.\.|promotionApproval\b|promotionApprovals|apiToken\b|apiTokens/,
    )
  }
}

/** To be read aloud, where PAWL_TABLE is set. */
const toldOf = (of: Pick<Case, 'mutation' | 'member' | 'because'>, { message, remedies = [] }: Answered) =>
  [
    `${nameOf(of)}${of.because ? ` (${of.because})` : ''}: ${message ?? 'accepted'}`,
    ...remedies.map(
      (one) => `  · ${one.mutation ?? one.query ?? '-'} ${JSON.stringify(one.arguments)} ${one.explanation}`,
    ),
  ].join('\n')

/** Takes a remedy as it stands, by the same caller; false for one that is advice alone. */
async function isTaken(stage: Stage, { mutation, query, arguments: given, explanation }: Remedy, { token }: Wish) {
  if (mutation !== null) {
    const answered = await ask(stage, mutation, { input: given?.input as Wish['input'], token })
    expect(`${mutation}: ${answered.__typename}`, refusalOrNot(answered)).toBe(`${mutation}: ${payloadOf(mutation)}`)
    return true
  }
  if (query === null) return false
  const field = queries.find(({ name }) => name === query)
  if (!field) throw new Error(`there is no query ${query}, which “${explanation}” names`)
  const { declared, called } = asked(field, given ?? {})
  const document = `query ${declared} { ${called} ${selectionOf(getNamedType(field.type), 1)} }`
  const { data, errors, text } = await stage.call(document, given ?? {}, token)
  expect(errors, text).toBeUndefined()
  expect(data?.[query], `${query} of ${JSON.stringify(given)}`).not.toBeNull()
  return true
}
