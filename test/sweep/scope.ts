// The scope sweep itself: a mutation or query asked by every kind of caller, and what is wrong with the answers.
import { getNamedType } from 'graphql'
import type { Answer } from '../schema/api.ts'
import { type Caller, expected } from './caller.ts'
import * as needs from './expected-need.ts'
import { changedTables, fingerprint } from './fingerprint.ts'
import { newObjects } from './maker.ts'
import { askOnce, inputWith, mutate } from './tenant.ts'
import { asked, leastArguments, queries, selectionOf, subscriptions } from './walk.ts'
import type { World } from './world.ts'

/** What a caller was answered, in the words of `expected`. */
function toldTo(answer: Answer, name: string): string | null {
  if (answer.status === 401) return answer.errors?.[0]?.extensions.code === 'UNAUTHENTICATED' ? '401' : answer.text
  const [error] = answer.errors ?? []
  if (error?.extensions.code === 'FORBIDDEN' && answer.status === 403 && !answer.data)
    return String(error.extensions.missing)
  if (error) return `an error: ${answer.text}`
  const { __typename, missing } = answer.data?.[name] ?? {}
  return __typename === 'Forbidden' ? missing : null
}

let nth = 0

/**
 * Asks for a mutation as each caller: those who are to be refused with a good input, and nothing may change; those who are
 * to be let past with ids of nothing, where it takes ids.
 */
export async function sweepMutation(
  { api, a, sql }: World,
  name: string,
  callers: readonly Caller[],
): Promise<string[]> {
  const need = needs.mutation[name]
  if (!need) return [`test/sweep/expected-need.ts has no row for ${name}`]
  const found: string[] = []
  const ask = async (caller: Caller, own: World['a']['own']) => {
    const told = toldTo(
      await mutate({ api }, name, inputWith({ field: name, path: [] }, own, ++nth), caller.token),
      name,
    )
    const right = expected(caller, need)
    if (told !== right) found.push(`with ${caller.name}: ${told ?? 'let past'} instead of ${right ?? 'let past'}`)
  }
  const before = await fingerprint(sql)
  const refused = callers.filter((caller) => expected(caller, need) !== null)
  await Promise.all(refused.map((caller) => ask(caller, a.own)))
  const changed = changedTables(before, await fingerprint(sql))
  if (changed.length > 0) found.push(`${changed.join(', ')} changed though all were to be refused`)
  const nothing = newObjects()
  await Promise.all(callers.filter((caller) => !refused.includes(caller)).map((caller) => ask(caller, nothing)))
  return found
}

/** Asks a query, or follows a subscription up to its first answer, as each caller. */
export async function sweepQuery(
  { api, a, sql }: World,
  name: string,
  callers: readonly Caller[],
  type: 'Query' | 'Subscription' = 'Query',
): Promise<string[]> {
  const field = (type === 'Query' ? queries : subscriptions).find((one) => one.name === name)
  if (!field) return [`there is no ${type} ${name}`]
  const variables = leastArguments(field, a.own[getNamedType(field.type).name] ?? a.own.Stack ?? '')
  const { declared, called } = asked(field, variables)
  const document = `${type.toLowerCase()} ${declared} { ${called} ${selectionOf(getNamedType(field.type), 1)} }`
  const found: string[] = []
  const before = await fingerprint(sql)
  await Promise.all(
    callers.map(async (caller) => {
      const told = toldTo(await askOnce(api, { type }, document, variables, caller.token), name)
      const right = expected(caller, needs.query)
      if (told !== right) found.push(`with ${caller.name}: ${told ?? 'let past'} instead of ${right ?? 'let past'}`)
    }),
  )
  const changed = changedTables(before, await fingerprint(sql))
  return changed.length > 0 ? [...found, `${changed.join(', ')} changed`] : found
}
