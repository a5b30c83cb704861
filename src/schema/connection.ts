// Connections: the same four arguments, the same page information, the same refusals of bad arguments everywhere. The cost
// of a page is known before anything is run, and a bad page size is refused there, wherever it stands in the query.
import type { ObjectRef } from '@pothos/core'
import {
  cursorOf,
  defaultPageSize,
  type List,
  maxPageSize,
  type Page,
  type PageArgs,
  sizeOf,
} from '../resolvers/page.ts'
import { builder, type SchemaContext, type Types } from './builder.ts'

export interface Connection<R> {
  readonly page: Page<R>
  readonly cursor: (row: R) => string
  readonly count: () => Promise<number>
}

interface PageInfo {
  readonly hasNextPage: boolean
  readonly hasPreviousPage: boolean
  readonly startCursor: string | null
  readonly endCursor: string | null
}

const PageInfoRef = builder.objectRef<PageInfo>('PageInfo').implement({
  description: 'Where a page lies in its list.',
  fields: (t) => ({
    hasNextPage: t.exposeBoolean('hasNextPage', { description: 'Whether more follows: ask with `after: endCursor`.' }),
    hasPreviousPage: t.exposeBoolean('hasPreviousPage', {
      description: 'Whether more comes before: ask with `before: startCursor`.',
    }),
    startCursor: t.exposeString('startCursor', {
      nullable: true,
      description: 'Cursor of the first row; null on an empty page.',
    }),
    endCursor: t.exposeString('endCursor', {
      nullable: true,
      description: 'Cursor of the last row; null on an empty page.',
    }),
  }),
})

/** The arguments of every connection. */
export const pageArgs = () =>
  builder.args((t) => ({
    first: t.int({
      description: `How many, from the start or after \`after\`: 1 to ${maxPageSize}, ${defaultPageSize} when nothing is said.`,
    }),
    after: t.string({ description: 'A cursor of this list: only what comes after it.' }),
    last: t.int({
      description: `How many, from the end or before \`before\`: 1 to ${maxPageSize}. Not together with first.`,
    }),
    before: t.string({ description: 'A cursor of this list: only what comes before it.' }),
  }))

/** Each row costs what is selected of it. Throws `BadUserInput`, so that a bad size is refused before anything is run. */
export const pageCost = (args: PageArgs) => ({ field: 1, multiplier: sizeOf(args).size })

/** Declares `<Name>Connection` and `<Name>Edge`. */
export function connectionOf<R>(ref: ObjectRef<Types, R>, order: string) {
  const { name } = ref as unknown as { name: string }
  const several = `${name.replace(/y$/, 'ie')}s`
  const edge = builder.objectRef<{ node: R; cursor: string }>(`${name}Edge`).implement({
    description: `A row of a list of ${several} with its place.`,
    fields: (t) => ({
      node: t.field({ type: ref as never, description: `The ${name}.`, resolve: (row) => row.node as never }),
      cursor: t.exposeString('cursor', { description: 'Its place in the list; opaque, and of use in this list only.' }),
    }),
  })
  return builder.objectRef<Connection<R>>(`${name}Connection`).implement({
    description: `A page of ${several}, ${order}.`,
    fields: (t) => ({
      edges: t.field({
        type: [edge],
        description: 'The rows with their cursors.',
        // The page's size is counted once, at the connection itself.
        complexity: { field: 1, multiplier: 1 },
        resolve: ({ page, cursor }) => page.rows.map((node) => ({ node, cursor: cursor(node) })),
      }),
      nodes: t.field({
        type: [ref] as never,
        description: 'The rows alone.',
        complexity: { field: 1, multiplier: 1 },
        resolve: ({ page }) => page.rows as never,
      }),
      pageInfo: t.field({
        type: PageInfoRef,
        description: 'Where this page lies in the list.',
        resolve: ({ page, cursor }) => {
          const [first, last] = [page.rows[0], page.rows.at(-1)]
          return {
            hasNextPage: page.hasNextPage,
            hasPreviousPage: page.hasPreviousPage,
            startCursor: first === undefined ? null : cursor(first),
            endCursor: last === undefined ? null : cursor(last),
          }
        },
      }),
      totalCount: t.int({
        description:
          'How many there are under the same filter, over all pages. Counted only when asked for, and costs more.',
        complexity: 50,
        resolve: ({ count }) => count(),
      }),
    }),
  })
}

/** What a connection's resolver returns. */
export const connect = <R>(
  context: SchemaContext,
  list: List<R>,
  page: Page<R>,
  count: () => Promise<number>,
): Connection<R> => ({
  page,
  cursor: (row) => cursorOf(list, context.actor.teamId, row),
  count,
})
