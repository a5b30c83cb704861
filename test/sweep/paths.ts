// Everything that a team can read within three steps of the query root, as its answers stand.
import { getNamedType, getNullableType, isListType, isRequiredArgument } from 'graphql'
import type { Answer } from '../schema/api.ts'
import { capital } from '../schema/call.ts'
import { documentsOf, pageOf, paths, type RootCall } from './walk.ts'
import type { World } from './world.ts'

/** How many objects a path leads through. */
const depth = 3
/** How many documents are asked for at once. */
const maxAtOnce = 4

/** Fields that tell of the moment: what is left of a budget, and until when the log is settled. */
export const ofTheMoment = ['remaining', 'settledUntil']

type Document = ReturnType<typeof documentsOf>[number]

/** Every path that team A has, put into documents: to single objects by the ids of all that is its own, crossed ones too. */
export function everythingOf({ a }: Pick<World, 'a'>): Document[] {
  const ids = [...Object.entries(a.own), ...Object.entries(a.crossed)]
  const all = paths(depth, (root): RootCall[] => {
    const [required, ...more] = root.args.filter(isRequiredArgument)
    if (!required) return [{ call: root.name + pageOf(root) }]
    const rest = more.map(({ name }) => `, ${name}: "production"`).join('')
    const call = (value: unknown) => `${root.name}(${required.name}: ${JSON.stringify(value)}${rest})`
    const { name } = getNamedType(root.type)
    // By `node` and `nodes` the same objects are reached as by the field of their type: what lies behind them is walked there.
    const some = name === 'Node' ? { depth: depth - 1 } : {}
    if (isListType(getNullableType(required.type))) {
      const idsOf = (type: string) => ids.filter((one) => one[0] === type).map(([, id]) => id)
      return Object.keys(a.own).map((type) => ({ call: call(idsOf(type)), type, ...some }))
    }
    const meant = name in a.own ? name : capital(required.name.replace(/Id$/, ''))
    const fitting = ids.filter(([type]) => !(meant in a.own) || type === meant)
    return fitting.map(([type, id]) => ({ call: call(id), type, ...some }))
  })
  return documentsOf(all)
}

/** One document as team A, in halves where it costs too much at once. What is another each time is left out. */
export async function read(
  { api, a }: Pick<World, 'api' | 'a'>,
  { document, paths: asked }: Document,
): Promise<Pick<Answer, 'data' | 'errors'>> {
  const { data, errors } = await api.call(document, {}, a.token)
  if (errors?.[0]?.extensions.code === 'LIMIT_EXCEEDED' && asked.length > 1) {
    const half = asked.length / 2
    const halves = [...documentsOf(asked.slice(0, half)), ...documentsOf(asked.slice(half))]
    const answers = await Promise.all(halves.map((each) => read({ api, a }, each)))
    const faults = answers.flatMap((answer) => answer.errors ?? [])
    return { data: answers.map((answer) => answer.data), errors: faults.length > 0 ? faults : undefined }
  }
  return {
    data: JSON.parse(JSON.stringify(data ?? null, (key, value) => (ofTheMoment.includes(key) ? undefined : value))),
    errors,
  }
}

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
