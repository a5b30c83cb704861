// Deployments in the schema: the object and its list. The mutations are in deployment-mutation.ts.
import { entityOfId } from '../db/id.ts'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import { deploymentActions } from '../resolvers/allowed-action.ts'
import { type DeploymentFilter, deployments } from '../resolvers/deployment-read.ts'
import { namedFilter } from '../resolvers/named-list.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { builder } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { envField } from './env.ts'
import { eventsField } from './event.ts'
import { instancesField } from './instance.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { operationsField } from './operation.ts'
import { DeploymentRef, NodeRef } from './ref.ts'

const DeploymentState = stateEnum(deploymentMachine)
const TtlPolicy = builder.enumType('TtlPolicy', {
  description: 'Whether a deployment has a time limit.',
  values: {
    TTL: { value: 'TTL', description: 'It expires at `expiresAt` and is torn down.' },
    PERMANENT: { value: 'PERMANENT', description: 'It stays until it is deleted.' },
  } as const,
})

DeploymentRef.implement({
  description:
    'One workload of a team in one environment. Its name is its own there until it expires or is deleted. It moves only by the ' +
    'mutations named in `allowedActions`, by the operations that they accept, and by its time limit.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, DeploymentState as never, (row, { actor }) => deploymentActions(actor, row)),
    name: t.exposeString('name', { description: 'Its name in the environment.' }),
    environment: t.exposeString('environment', { description: 'Its environment, e.g. `development`.' }),
    image: t.exposeString('image', { description: 'What is to run.' }),
    url: t.exposeString('url', {
      nullable: true,
      description:
        'Where it answers, once it has been HEALTHY; during a redeploy where it did last. Null while it is stopped or failed.',
    }),
    generation: t.exposeInt('generation', {
      description: 'Goes up with each wish for new work; the work of older ones has no effect.',
    }),
    ttlPolicy: t.field({
      type: TtlPolicy,
      description: 'Whether it has a time limit.',
      resolve: (row) => row.ttlPolicy,
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Its time limit; null when it is permanent.',
    }),
    env: envField(
      t,
      (loaders, id) => loaders.env.load(id),
      'Its environment variables by key. They reach the workload at its next roll-out or start.',
    ),
    instances: instancesField(
      t,
      'Its running units, newest first, and EXTERNAL ones that say they are part of it; those of older generations are REMOVED.',
    ),
    operations: operationsField(t),
    events: eventsField(t, 'What became of it, oldest first: one unbroken chain of states.'),
  }),
})

export const DeploymentConnection = connectionOf(DeploymentRef, 'newest first')

const Filter = builder.inputType('DeploymentFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    environment: t.string({ description: 'Only of this environment.' }),
    name: t.string({ description: 'Only of this name, ended ones too.' }),
    states: t.field({
      type: [DeploymentState],
      description: 'Only in one of these states; none matches an empty list.',
    }),
  }),
})

builder.queryFields((t) => ({
  deployment: t.field({
    type: DeploymentRef,
    nullable: true,
    description: 'A deployment by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `dep_…`.' }) },
    resolve: async (_root, { id }, { loaders }) =>
      entityOfId(id) === 'Deployment' ? loaders.deployment.load(id) : null,
  }),
  deployments: t.field({
    type: DeploymentConnection,
    description: 'The deployments of the team, newest first; ended ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = namedFilter(args.filter as DeploymentFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, deployments, args, filter)
      return connect(context, deployments, page, () => countOf(db, actor.teamId, deployments, filter))
    },
  }),
}))
