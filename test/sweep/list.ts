// Every connection of the schema as a list that can be filled and read: where it hangs, what is in it, how a row gets into it.
import { type GraphQLObjectType, getNamedType, isObjectType } from 'graphql'
import { type IdEntity, newId } from '../../src/db/id.ts'
import { schema } from '../../src/schema/schema.ts'
import { withTriggersOff } from '../row.ts'
import type { Answer } from '../schema/api.ts'
import { put, putEvent } from './maker.ts'
import { isConnection, nodeTypes } from './walk.ts'
import type { World } from './world.ts'

/** A field that answers with a connection. */
export interface List {
  /** `Query`, or the type of the object whose list it is. */
  readonly type: string
  readonly field: string
  /** The type of its rows. */
  readonly of: string
}

/** Every list there is. */
export const lists: readonly List[] = Object.values(schema.getTypeMap())
  .filter((type): type is GraphQLObjectType => isObjectType(type) && !type.name.startsWith('__'))
  .flatMap((type) =>
    Object.values(type.getFields())
      .filter(isConnection)
      .map((field) => ({
        type: type.name,
        field: field.name,
        of: getNamedType(field.type).name.replace(/Connection$/, ''),
      })),
  )

export interface Page {
  readonly cursors: readonly string[]
  readonly nodes: readonly unknown[]
  readonly edgeNodes: readonly unknown[]
  readonly totalCount: number
  readonly pageInfo: {
    readonly hasNextPage: boolean
    readonly hasPreviousPage: boolean
    readonly startCursor: string | null
    readonly endCursor: string | null
  }
}
export type PageArguments = Readonly<Partial<Record<'first' | 'last', number> & Record<'after' | 'before', string>>>

/** The raw answer to a page of a list of team A, or of whoever has the token and the object. */
export function ask(
  { api, a }: World,
  { type, field, of }: List,
  args: PageArguments,
  token = a.token,
  id = a.own[type],
): Promise<Answer> {
  const row = nodeTypes.includes(of) ? '{ __typename id }' : '{ __typename }'
  const page = `${field}(first: $first, last: $last, after: $after, before: $before) {
    nodes ${row} edges { cursor node ${row} } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }`
  const declared = '$first: Int, $last: Int, $after: String, $before: String'
  if (type === 'Query') return api.call(`query (${declared}) { ${page} }`, args, token)
  return api.call(
    `query ($id: ID!, ${declared}) { node(id: $id) { ... on ${type} { ${page} } } }`,
    { ...args, id },
    token,
  )
}

/** A page; throws when it is refused. */
export async function page(world: World, list: List, args: PageArguments, token?: string, id?: string): Promise<Page> {
  const { data, text } = await ask(world, list, args, token, id)
  const found = list.type === 'Query' ? data?.[list.field] : data?.node?.[list.field]
  if (!found) throw new Error(`${list.type}.${list.field} answered ${text}`)
  return {
    ...found,
    cursors: found.edges.map((edge: { cursor: string }) => edge.cursor),
    edgeNodes: found.edges.map((edge: { node: unknown }) => edge.node),
  }
}

/** All cursors of a list, in its order. */
export async function whole(world: World, list: List): Promise<string[]> {
  const cursors: string[] = []
  for (;;) {
    const after = cursors.at(-1)
    const found = await page(world, list, { first: 100, ...(after === undefined ? {} : { after }) })
    cursors.push(...found.cursors)
    if (!found.pageInfo.hasNextPage) return cursors
  }
}

/** Above all positions that a world gives its events, and counting. */
let nextPosition = 1_000_000_000

/** Puts one more row into a list of team A. Rows of one moment are told apart by their ids. */
export async function add(world: World, list: List, at: Date): Promise<void> {
  const { a, sql } = world
  // The work that an instance shows is that of its deployment.
  const ofDeployment = list.type === 'Query' || (list.type === 'Instance' && list.of === 'Operation')
  const owner = ofDeployment ? a.own.Deployment : a.own[list.type]
  // Whatever a row of the list refers to, it is a row of its owner.
  const refer = (type: string) => String(list.type === 'Query' || type === 'Member' ? a.own[type] : owner)
  await withTriggersOff(sql, async (tx) => {
    const making = { teamId: a.teamId, mark: 'ours', at, refer }
    if (list.of !== 'Event') return put(tx, list.of, { ...making, id: newId(list.of as IdEntity) })
    const type = list.type === 'Query' ? 'Deployment' : list.type
    return putEvent(tx, { ...making, id: '' }, type, String(owner), nextPosition++)
  })
}
