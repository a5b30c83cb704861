// Everything that a team can read within three steps of the query root, as its answers stand.
import { getNamedType, getNullableType, isListType, isRequiredArgument } from 'graphql'
import type { Answer } from '../schema/api.ts'
import { documentsOf, pageOf, paths, type RootCall } from './walk.ts'
import type { World } from './world.ts'

/** How many objects a path leads through. */
const depth = 3

export interface Everything {
  /** How many paths were read. */
  readonly paths: number
  readonly answers: readonly {
    readonly names: string
    readonly data: Answer['data']
    readonly errors: Answer['errors']
  }[]
}

/** Reads every path as team A: single objects by the ids of all that is its own, crossed ones too. */
export async function readEverything({ api, a }: Pick<World, 'api' | 'a'>): Promise<Everything> {
  const ids = [...Object.entries(a.own), ...Object.entries(a.crossed)]
  const all = paths(depth, (root): RootCall[] => {
    const [required, ...more] = root.args.filter(isRequiredArgument)
    if (!required) return [{ call: root.name + pageOf(root) }]
    const rest = more.map(({ name }) => `, ${name}: "production"`).join('')
    const call = (value: unknown) => `${root.name}(${required.name}: ${JSON.stringify(value)}${rest})`
    if (isListType(getNullableType(required.type)))
      return Object.keys(a.own).map((type) => ({
        call: call(ids.filter((one) => one[0] === type).map(([, id]) => id)),
        type,
      }))
    const { name } = getNamedType(root.type)
    return ids
      .filter(([type]) => name === 'Node' || !(name in a.own) || type === name)
      .map(([type, id]) => ({ call: call(id), type }))
  })
  const batches = documentsOf(all)
  const answers: Everything['answers'][number][] = []
  // Several at once, as callers do; each answer in its own place.
  await Promise.all(
    Array.from({ length: 4 }, async (_, worker) => {
      for (let at = worker; at < batches.length; at += 4) {
        const { document = '', paths: batch = [] } = batches[at] ?? {}
        const { data, errors } = await api.call(document, {}, a.token)
        answers[at] = { names: `${batch[0]?.name} … ${batch.at(-1)?.name}`, data, errors }
      }
    }),
  )
  return { paths: all.length, answers }
}
