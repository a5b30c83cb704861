// Secrets in the schema: what is known of them, never a value. The mutations are in secret-mutation.ts.
import { entityOfId } from '../db/id.ts'
import { secretMachine } from '../lifecycle/secret.ts'
import { secretActions } from '../resolvers/allowed-action.ts'
import { namedFilter } from '../resolvers/named-list.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { type SecretFilter, secrets } from '../resolvers/secret-read.ts'
import { maxUses, type SecretUse } from '../resolvers/secret-use.ts'
import { builder } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { NodeRef, SecretRef } from './ref.ts'

const SecretState = stateEnum(secretMachine)

const SecretUseRef = builder.objectRef<SecretUse>('SecretUse').implement({
  description: 'A variable that refers to a secret.',
  fields: (t) => ({
    key: t.exposeString('key', { description: 'Name of the variable.' }),
    subject: t.field({
      type: NodeRef,
      nullable: true,
      description: 'Whose variable it is: a Deployment or a Stack. Null when it is gone since.',
      resolve: ({ subjectId }, _args, { loaders }) => loaders.node(subjectId),
    }),
  }),
})

SecretRef.implement({
  description:
    'A value that workloads are given and nobody can read back. A variable of the value `secret://NAME` becomes it when the ' +
    'workload starts.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, SecretState as never, (row, { actor }) => secretActions(actor, row)),
    name: t.exposeString('name', { description: 'Its name in the environment.' }),
    environment: t.exposeString('environment', { description: 'Its environment, e.g. `development`.' }),
    revision: t.exposeInt('revision', { description: 'Counts the values that it has had, from 1.' }),
    changedAt: t.expose('changedAt', { type: 'DateTime', description: 'When its value was last set.' }),
    changedBy: t.exposeString('changedBy', { description: 'Id of who set it last.' }),
    usedBy: t.field({
      type: [SecretUseRef],
      description:
        `The live deployments and stacks of its environment with a variable of the value \`secret://NAME\`, oldest first, at most ` +
        `${maxUses}; none of a deleted secret. They are given its value when they start next.`,
      complexity: { field: 5, multiplier: 20 },
      resolve: (row, _args, { loaders }) => loaders.secretUses.load(row.id),
    }),
    events: eventsField(t, 'What became of it, oldest first; values are never in it.'),
  }),
})

const SecretConnection = connectionOf(SecretRef, 'newest first')

const Filter = builder.inputType('SecretFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    environment: t.string({ description: 'Only of this environment.' }),
    name: t.string({ description: 'Only of this name, deleted ones too.' }),
    states: t.field({ type: [SecretState], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})

builder.queryFields((t) => ({
  secret: t.field({
    type: SecretRef,
    nullable: true,
    description: 'A secret by its id, without its value; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `sec_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'Secret' ? loaders.secret.load(id) : null),
  }),
  secrets: t.field({
    type: SecretConnection,
    description:
      'The secrets of the team without their values, newest first; deleted ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = namedFilter(args.filter as SecretFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, secrets, args, filter)
      return connect(context, secrets, page, () => countOf(db, actor.teamId, secrets, filter))
    },
  }),
}))
