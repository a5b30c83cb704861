// What is on its way for longer than it should be, with the calls that are a way out.
import { machineOf } from '../lifecycle/machines.ts'
import type { NodeRow } from '../resolvers/loader.ts'
import { BadUserInput, sizeOf } from '../resolvers/page.ts'
import { type StuckRow, stuck } from '../resolvers/stuck.ts'
import { waysOut } from '../resolvers/way-out.ts'
import { builder, type SchemaContext } from './builder.ts'
import { NodeRef } from './ref.ts'
import { RemedyRef } from './refusal.ts'

const StuckRef = builder.objectRef<StuckRow>('Stuck').implement({
  description: 'An object that has been in a passing state for too long.',
  fields: (t) => ({
    subject: t.field({
      type: NodeRef,
      nullable: true,
      description: 'The object as it is now.',
      resolve: (row, _args, { loaders }) => loaders.node(row.id),
    }),
    entity: t.exposeString('entity', { description: 'Its type.' }),
    state: t.exposeString('state', { description: 'The state that it was found in.' }),
    since: t.expose('since', { type: 'DateTime', description: 'Since when.' }),
    owner: t.string({
      nullable: true,
      description: 'The loop that sees to it that the state is left.',
      resolve: ({ entity, state }) => {
        const declared = machineOf(entity).states[state]
        return declared?.kind === 'passing' ? declared.owner : null
      },
    }),
    remedies: t.field({
      type: [RemedyRef],
      description: 'The calls that this caller may make now and that lead out of it; advice where no call does.',
      resolve: async (row, _args, { actor, loaders }) => {
        const node = await loaders.node(row.id)
        return waysOut(actor, row, node, await wholeOf(node, loaders))
      },
    }),
  }),
})

/** What it works on, is a run of, or is delivered to; null where it is whole by itself. */
async function wholeOf(node: NodeRow | null, loaders: SchemaContext['loaders']): Promise<NodeRow | null> {
  if (node === null) return null
  const id = 'webhookId' in node ? node.webhookId : 'subjectId' in node ? node.subjectId : null
  return typeof id === 'string' ? loaders.node(id) : null
}

builder.queryField('stuck', (t) =>
  t.field({
    type: [StuckRef],
    description:
      'What is in a passing state for longer than `olderThanMs`, or than the deadline declared for the state; the oldest first.',
    args: {
      olderThanMs: t.arg.float({ description: 'Milliseconds; without it each state’s own deadline counts.' }),
      first: t.arg.int({ description: 'How many at most: 1 to 100, 20 when nothing is said.' }),
    },
    complexity: ({ first }) => ({ field: 10, multiplier: sizeOf({ first: first ?? null }).size }),
    resolve: (_root, { olderThanMs, first }, { db, actor }) => {
      if (olderThanMs != null && !(olderThanMs >= 0 && olderThanMs <= 1e12)) {
        throw new BadUserInput('olderThanMs must be 0 to 1e12 milliseconds.')
      }
      return stuck(db, actor.teamId, olderThanMs ?? null, sizeOf({ first: first ?? null }).size)
    },
  }),
)
