// Everything that a team can read within three steps of the query root, as its answers stand.
import { getNamedType, getNullableType, isListType, isRequiredArgument } from 'graphql'
import type { Answer } from '../schema/api.ts'
import { documentsOf, pageOf, paths, type RootCall } from './walk.ts'
import type { World } from './world.ts'

/** How many objects a path leads through. */
const depth = 3
/** How many documents are asked for at once. */
const maxAtOnce = 4

type Document = ReturnType<typeof documentsOf>[number]

/** Every path that team A has, put into documents: to single objects by the ids of all that is its own, crossed ones too. */
export function everythingOf({ a }: Pick<World, 'a'>): Document[] {
  const ids = [...Object.entries(a.own), ...Object.entries(a.crossed)]
  const all = paths(depth, (root): RootCall[] => {
    const [required, ...more] = root.args.filter(isRequiredArgument)
    if (!required) return [{ call: root.name + pageOf(root) }]
    const rest = more.map(({ name }) => `, ${name}: "production"`).join('')
    const call = (value: unknown) => `${root.name}(${required.name}: ${JSON.stringify(value)}${rest})`
    if (isListType(getNullableType(required.type))) {
      const idsOf = (type: string) => ids.filter((one) => one[0] === type).map(([, id]) => id)
      return Object.keys(a.own).map((type) => ({ call: call(idsOf(type)), type }))
    }
    const { name } = getNamedType(root.type)
    const fitting = ids.filter(([type]) => name === 'Node' || !(name in a.own) || type === name)
    return fitting.map(([type, id]) => ({ call: call(id), type }))
  })
  return documentsOf(all)
}

/** One document as team A. */
export const read = ({ api, a }: Pick<World, 'api' | 'a'>, { document }: Document): Promise<Answer> =>
  api.call(document, {}, a.token)

export interface Everything {
  /** How many paths were read. */
  readonly paths: number
  readonly answers: readonly {
    readonly names: string
    readonly data: Answer['data']
    readonly errors: Answer['errors']
  }[]
}

/** Reads every path as team A. */
export async function readEverything(world: Pick<World, 'api' | 'a'>): Promise<Everything> {
  const documents = everythingOf(world)
  const answers: Everything['answers'][number][] = []
  // Several at once, as callers do; each answer in its own place.
  await Promise.all(
    Array.from({ length: maxAtOnce }, async (_, worker) => {
      for (let at = worker; at < documents.length; at += maxAtOnce) {
        const document = documents[at] as Document
        const { data, errors } = await read(world, document)
        answers[at] = { names: `${document.paths[0]?.name} … ${document.paths.at(-1)?.name}`, data, errors }
      }
    }),
  )
  return { paths: documents.reduce((sum, one) => sum + one.paths.length, 0), answers }
}
