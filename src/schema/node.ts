// Any object by its id. What is not there, is no id of ours, or is another team's is null: the three cannot be told apart.
import { BadUserInput, maxPageSize } from '../resolvers/page.ts'
import { builder } from './builder.ts'
import { NodeRef } from './ref.ts'

/** How many ids may be asked for at once. Throws `BadUserInput`, before anything is run. */
const cost = ({ ids }: { ids: readonly unknown[] }) => {
  if (ids.length > maxPageSize)
    throw new BadUserInput(`ids may name at most ${maxPageSize} objects, not ${ids.length}.`)
  return { field: 1, multiplier: ids.length }
}

builder.queryFields((t) => ({
  node: t.field({
    type: NodeRef,
    nullable: true,
    description: 'Any object by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id.' }) },
    resolve: (_root, { id }, { loaders }) => loaders.node(id),
  }),
  nodes: t.field({
    type: [NodeRef],
    nullable: { list: false, items: true },
    description: `Objects by their ids, in the order asked for; null for each that is not there. At most ${maxPageSize}.`,
    args: { ids: t.arg.idList({ required: true, description: 'Their ids.' }) },
    complexity: cost,
    resolve: (_root, { ids }, { loaders }) => Promise.all(ids.map((id) => loaders.node(id))),
  }),
}))
