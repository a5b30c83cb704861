// The tenant sweep itself: every place for an id is tried with the ids of another team, of nothing, and with what is no id.
// What is found to be wrong is returned, so that the mutants can show that it is found.
import { getNamedType } from 'graphql'
import { type IdEntity, newId } from '../../src/db/id.ts'
import { cursorAt } from '../../src/resolvers/event-read.ts'
import { schema } from '../../src/schema/schema.ts'
import { firstOf } from '../live/first.ts'
import type { Answer, Api } from '../schema/api.ts'
import { changedTables, fingerprint } from './fingerprint.ts'
import type { Objects } from './maker.ts'
import { ofTheMoment } from './paths.ts'
import { validInputs } from './valid-input.ts'
import { asked, leastArguments, nodeTypes, type Place, put, queries, resultSelection, selectionOf } from './walk.ts'
import { idsOf, shownOf, type World } from './world.ts'

/** What is no id of anything, whoever asks. */
export const garbage: readonly string[] = [
  '',
  ' ',
  'x',
  'dep_',
  'dep_x',
  '__proto__',
  'constructor',
  "' or 1=1 --",
  'ü'.repeat(300),
]

const capital = (name: string) => name.charAt(0).toUpperCase() + name.slice(1)
export const nameOf = ({ type, field, path }: Place) => `${type}.${field}(${path.join('.')})`

/** Calls a mutation with all that its answer can show. */
export const mutate = (world: Pick<World, 'api'>, mutation: string, input: unknown, token: string): Promise<Answer> =>
  world.api.call(mutationDocument(mutation), { input }, token)

const documents = new Map<string, string>()
function mutationDocument(mutation: string): string {
  const known = documents.get(mutation)
  if (known !== undefined) return known
  const Name = capital(mutation)
  const document = `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) ${resultSelection(`${Name}Result`)} }`
  documents.set(mutation, document)
  return document
}

/** The valid input of a mutation with `text` at the place. */
export function inputWith(
  { field, path }: Pick<Place, 'field' | 'path'>,
  of: Objects,
  nth: number,
  text?: string,
): unknown {
  const made = validInputs[field]
  if (!made) throw new Error(`test/sweep/valid-input.ts has no row for ${field}`)
  const input = { ...made(of, nth) }
  return text === undefined ? input : put(input, path.slice(1), text)
}

export const outcomeOf = (answer: Answer, mutation: string): string =>
  answer.data?.[mutation]?.__typename ?? `${answer.status} ${answer.errors?.[0]?.extensions.code}`

/** What an answer says, whatever was asked for; but for what is another each time. */
const toldBy = ({ data, errors }: Answer, text: string): string =>
  JSON.stringify({ data, errors }, (key, value) => (ofTheMoment.includes(key) ? undefined : value)).replaceAll(
    JSON.stringify(text).slice(1, -1),
    'ID',
  )

/** An id of each type that belongs to nothing. */
const ofNothing = (type: string) => newId(type as IdEntity)

/** As many at once as a caller may well send. */
const each = <T>(list: readonly T[], work: (one: T) => Promise<void>) => Promise.all(list.map(work))

/** A mutation, asked of team A with what belongs to team B at the place. Returns what is wrong with the answers. */
export async function sweepMutation(world: World, place: Place, nth: number): Promise<string[]> {
  const { a, b, sql } = world
  const before = await fingerprint(sql)
  const found: string[] = []
  const ask = async (text: string) => {
    const answer = await mutate(world, place.field, inputWith(place, a.own, nth, text), a.token)
    return { answer, told: toldBy(answer, text) }
  }
  const theirs = new Set(idsOf(b))
  await each(nodeTypes, async (type) => {
    const given = b.own[type] ?? ''
    const [foreign, missing] = [await ask(given), await ask(ofNothing(type))]
    const outcome = outcomeOf(foreign.answer, place.field)
    if (outcome !== 'NotFound') found.push(`with another team’s ${type} it answers ${outcome}`)
    if (foreign.told !== missing.told)
      found.push(`another team’s ${type} is told from one that is not there: ${foreign.told} / ${missing.told}`)
  })
  await each(garbage, async (text) => {
    const { answer } = await ask(text)
    // What is no id may also be told so; what is one of another team may not.
    if (!['NotFound', 'ValidationFailed'].includes(outcomeOf(answer, place.field)))
      found.push(`with ${JSON.stringify(text)} it answers ${answer.text}`)
  })
  const changed = changedTables(before, await fingerprint(sql))
  if (changed.length > 0) found.push(`${changed.join(', ')} changed`)
  return [...found, ...(await sweepCrossed(world, place, nth, theirs))]
}

/** Objects of team A that refer to what is team B's, or have ended under a name of it: whatever is done to them, nothing of team B is moved or shown. */
async function sweepCrossed(world: World, place: Place, nth: number, theirs: ReadonlySet<string>): Promise<string[]> {
  const { a, b, sql } = world
  const before = await fingerprint(sql, b.teamId)
  const found: string[] = []
  await each([...Object.entries(a.crossed), ...Object.entries(a.ended)], async ([type, id]) => {
    const answer = await mutate(world, place.field, inputWith(place, a.own, nth, id), a.token)
    const shown = shownOf(theirs, answer.data, a.ended[type] !== id)
    if (shown.length > 0 || answer.errors)
      found.push(`by the crossed ${type}: ${shown.join(', ')}${answer.errors ? answer.text : ''}`)
  })
  const changed = changedTables(before, await fingerprint(sql, b.teamId))
  return changed.length > 0 ? [...found, `by a crossed object ${changed.join(', ')} of the other team changed`] : found
}

/** Whether an answer holds nothing: null, an empty list, or an empty page. */
export function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true
  if (Array.isArray(value)) return value.every((each) => each === null)
  const { nodes, edges, totalCount, pageInfo } = value as Record<string, unknown>
  return (
    Array.isArray(nodes) &&
    nodes.length === 0 &&
    Array.isArray(edges) &&
    edges.length === 0 &&
    totalCount === 0 &&
    !(pageInfo as { hasNextPage: boolean }).hasNextPage
  )
}

/** The document of a query with `text` at the place, and its variables. */
export function queryWith({ type, field: name, path }: Place, text: unknown, own: Objects) {
  const holder = schema.getType(type)
  if (!holder || !('getFields' in holder)) throw new Error(`${type} has no fields`)
  const field = holder.getFields()[name]
  if (!field || !('args' in field)) throw new Error(`there is no ${type}.${name}`)
  const least = leastArguments(field, own.Stack ?? '')
  // Of what is followed, all that there ever was.
  const all = type === 'Subscription' && name === 'events' ? { after: cursorAt(own.Team ?? '', 0) } : {}
  const variables = { ...all, ...(put(least, path, text) as Record<string, unknown>) }
  const { declared, called } = asked(field, variables)
  const selected = `${called} ${selectionOf(getNamedType(field.type), 1).replace('{', wholePage(field.type))}`
  if (type === 'Subscription')
    return { document: `subscription ${declared} { ${selected} }`, variables, read: (data: never) => data?.[name] }
  if (queries.some((query) => query.name === name && type === 'Query'))
    return { document: `query ${declared} { ${selected} }`, variables, read: (data: never) => data?.[name] }
  const id = own[type]
  if (id === undefined) throw new Error(`${type} has no id by which its field ${name} could be reached`)
  return {
    document: `query ${declared} { node(id: ${JSON.stringify(id)}) { ... on ${type} { ${selected} } } }`,
    variables,
    read: (data: never) => (data as { node: Record<string, unknown> } | null)?.node?.[name],
  }
}

/** A connection is asked for its rows too. */
const wholePage = (type: Parameters<typeof getNamedType>[0]): string =>
  String(getNamedType(type)).endsWith('Connection')
    ? '{ nodes { __typename } edges { cursor } pageInfo { hasNextPage hasPreviousPage } '
    : '{'

/** What is followed is asked for the first that comes. */
export const askOnce = (
  api: Api,
  { type }: Pick<Place, 'type'>,
  document: string,
  variables: Variables,
  token: string,
) => (type === 'Subscription' ? firstOf(api, document, variables, token) : api.call(document, variables, token))
type Variables = Record<string, unknown>

/** A query or subscription, asked by team A with what belongs to team B at the place. */
export async function sweepQuery(world: World, place: Place): Promise<string[]> {
  const { a, b, api } = world
  const found: string[] = []
  const ask = async (text: string) => {
    const { document, variables, read } = queryWith(place, text, a.own)
    const answer = await askOnce(api, place, document, variables, a.token)
    return { answer, value: read(answer.data as never), told: toldBy(answer, text) }
  }
  await each(nodeTypes, async (type) => {
    // Those that no row of team A refers to: such a row is its own, and found by what it refers to.
    const given = b.lone[type] ?? b.teamId
    const [foreign, missing] = [await ask(given), await ask(ofNothing(type))]
    if (foreign.answer.errors || !isEmpty(foreign.value))
      found.push(`another team’s ${type} is shown: ${foreign.answer.text}`)
    if (foreign.told !== missing.told)
      found.push(`another team’s ${type} is told from one that is not there: ${foreign.told} / ${missing.told}`)
  })
  await each(garbage, async (text) => {
    const { answer, value } = await ask(text)
    const refused = answer.errors?.every(({ extensions }) => extensions.code === 'BAD_USER_INPUT') ?? false
    if (!refused && (answer.errors || !isEmpty(value))) found.push(`${JSON.stringify(text)} is answered ${answer.text}`)
  })
  return found
}
