// Deployments in the schema: the object, its list, and the mutations that move it.
import { missingScope } from '../auth.ts'
import type { EnvEntry } from '../db/deployment.ts'
import { entityOfId } from '../db/id.ts'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import { deploymentActions } from '../resolvers/allowed-action.ts'
import * as calls from '../resolvers/deployment.ts'
import { type DeploymentFilter, deploymentFilter, deployments } from '../resolvers/deployment-read.ts'
import { events } from '../resolvers/event-read.ts'
import { operations } from '../resolvers/operation-read.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { builder, type Fields, type InputFields } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { EventConnection } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { declareMutation } from './mutation.ts'
import { OperationConnection } from './operation.ts'
import { DeploymentRef, NodeRef, OperationRef } from './ref.ts'

const DeploymentState = stateEnum(deploymentMachine)
const TtlPolicy = builder.enumType('TtlPolicy', {
  description: 'Whether a deployment has a time limit.',
  values: {
    TTL: { value: 'TTL', description: 'It expires at `expiresAt` and is torn down.' },
    PERMANENT: { value: 'PERMANENT', description: 'It stays until it is deleted.' },
  } as const,
})

interface EnvVar extends EnvEntry {
  readonly key: string
}
const EnvVarRef = builder.objectRef<EnvVar>('EnvVar').implement({
  description: 'An environment variable and where it comes from.',
  fields: (t) => ({
    key: t.exposeString('key', { description: 'Its name.' }),
    revision: t.exposeInt('revision', {
      description: 'Never used twice on an object: what `expect` of a merge compares.',
    }),
    changedAt: t.field({ type: 'DateTime', description: 'When it was last set.', resolve: (entry) => entry.changedAt }),
    changedBy: t.exposeString('changedBy', { description: 'Id of the token that set it last.' }),
    value: t.string({
      nullable: true,
      description:
        'Its value as it was set, references such as `secret://NAME` unresolved. Null without the scope `env:read`.',
      resolve: (entry, _args, { actor }) => (missingScope(actor, 'readEnvValues') ? null : entry.value),
    }),
  }),
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
    url: t.exposeString('url', { nullable: true, description: 'Where it answers; null while it does not run.' }),
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
    env: t.field({
      type: [EnvVarRef],
      description: 'Its environment variables by key. They reach the workload at its next roll-out or start.',
      complexity: { field: 5, multiplier: 20 },
      resolve: async (row, _args, { loaders }) => {
        const env = row.env ?? (await loaders.env.load(row.id))
        return Object.entries(env)
          .map(([key, entry]) => ({ key, ...entry }))
          .sort((a, b) => (a.key < b.key ? -1 : 1))
      },
    }),
    operations: t.field({
      type: OperationConnection,
      description: 'The work that was accepted for it, newest first.',
      args: pageArgs(),
      complexity: pageCost,
      resolve: async (row, args, context) =>
        connect(context, operations, await context.loaders.operationsOf.page(row.id, args), () =>
          context.loaders.operationsOf.count(row.id),
        ),
    }),
    events: t.field({
      type: EventConnection,
      description: 'What became of it, oldest first: one unbroken chain of states.',
      args: pageArgs(),
      complexity: pageCost,
      resolve: async (row, args, context) =>
        connect(context, events, await context.loaders.eventsOf.page(row.id, args), () =>
          context.loaders.eventsOf.count(row.id),
        ),
    }),
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
      const filter = deploymentFilter(args.filter as DeploymentFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, deployments, args, filter)
      return connect(context, deployments, page, () => countOf(db, actor.teamId, deployments, filter))
    },
  }),
}))

const EnvVarInput = builder.inputType('EnvVarInput', {
  description: 'An environment variable to set.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'A-Z, 0-9 and _, not beginning with a digit.' }),
    value: t.string({ required: true, description: 'Its value; an empty string is a value.' }),
  }),
})
const EnvExpectation = builder.inputType('EnvExpectation', {
  description: 'What the caller believes of a key: either its revision, or that it is absent.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'Its name.' }),
    revision: t.int({ description: 'The revision that it must have.' }),
    absent: t.boolean({ description: '`true`: the key must not be there.' }),
  }),
})

type Answered = Fields<calls.DeploymentPayload>
const moved = (t: Answered) => ({
  deployment: t.field({
    type: DeploymentRef,
    description: 'The deployment after the move.',
    resolve: (row) => row.deployment,
  }),
})
const accepted = (t: Answered) => ({
  ...moved(t),
  operation: t.field({
    type: OperationRef,
    nullable: true,
    description: 'The work that was accepted: follow it until it has ended.',
    resolve: (row) => row.operation,
  }),
})
const id = (t: InputFields) => ({ id: t.id({ required: true, description: 'Id of the deployment, `dep_…`.' }) })
const image = 'What to run: an image that the runtime knows.'
const ttl = 'Time limit in hours from now, 1 to 8760.'
const machine = deploymentMachine

declareMutation<calls.DeploymentPayload>({
  name: 'deploy',
  machine,
  summary:
    'Makes a deployment and rolls it out. With `redeploy: true`: rolls out again the live one of that name, with this image, these ' +
    'variables added and this time limit if one is given (from the states that `redeployDeployment` starts from).',
  undo: '`deleteDeployment` takes it away; `cancelOperation` takes back a roll-out that has not begun.',
  versioned: true,
  input: (t) => ({
    name: t.string({ required: true, description: '1 to 63 of a-z, 0-9 and -, beginning with a letter.' }),
    environment: t.string({ description: '1 to 32 of a-z, 0-9 and -; `development` when nothing is said.' }),
    image: t.string({ required: true, description: image }),
    env: t.field({ type: [EnvVarInput], description: 'Environment variables; input only without `env:read`.' }),
    ttlHours: t.int({ description: `${ttl} Without one it is permanent.` }),
    redeploy: t.boolean({ description: 'Roll out the live one of that name instead of making one.' }),
  }),
  payload: accepted,
  refusals: ['NotRedeployable', 'NothingToRedeploy', 'NameTaken', 'QuotaExceeded'],
  resolve: calls.deploy,
})

declareMutation<calls.DeploymentPayload>({
  name: 'redeployDeployment',
  machine,
  summary:
    'Rolls a deployment out again, perhaps with another image. An ended or stopped one is never brought back by it.',
  undo: 'redeploy with the former image; what ran before is replaced only when the new run is healthy or known to be replaced.',
  versioned: true,
  input: (t) => ({ ...id(t), image: t.string({ description: `${image} Without one the image stays.` }) }),
  payload: accepted,
  refusals: ['NotRedeployable'],
  resolve: calls.redeployDeployment,
})

declareMutation<calls.DeploymentPayload>({
  name: 'stopDeployment',
  machine,
  summary: 'Stops the workload and keeps the deployment, its name and its place in the plan.',
  undo: '`startDeployment`, once it is STOPPED.',
  versioned: true,
  input: id,
  payload: accepted,
  refusals: ['IllegalState'],
  resolve: calls.stopDeployment,
})

declareMutation<calls.DeploymentPayload>({
  name: 'startDeployment',
  machine,
  summary: 'Starts a stopped deployment again, with the environment variables as they are now.',
  undo: '`stopDeployment`.',
  versioned: true,
  input: id,
  payload: accepted,
  refusals: ['IllegalState'],
  resolve: calls.startDeployment,
})

declareMutation<calls.DeploymentPayload>({
  name: 'deleteDeployment',
  machine,
  summary:
    'Tears a deployment down for good. Its name and its place in the plan are free at once. A lost race is a success: ' +
    'DEPLOYMENT_ALREADY_DELETED says that what was asked for is so.',
  undo: 'none: a deleted deployment never comes back; `deploy` makes a new one of that name.',
  versioned: true,
  input: id,
  payload: accepted,
  refusals: ['IllegalState', 'DeploymentAlreadyDeleted'],
  resolve: calls.deleteDeployment,
})

declareMutation<calls.EnvMergePayload>({
  name: 'mergeDeploymentEnv',
  machine,
  summary:
    'Sets and unsets environment variables in one step; all other keys stay as they are. `expect` makes it depend on what you have ' +
    'read: every expectation must hold, or nothing is changed.',
  undo: 'merge the former values; each merge gives the keys that it sets a new revision.',
  versioned: true,
  input: (t) => ({
    ...id(t),
    set: t.field({
      type: [EnvVarInput],
      description: 'Keys to set. An equal value counts as set and gets a new revision.',
    }),
    unset: t.stringList({ description: 'Keys to take away; one that is not there is no fault.' }),
    expect: t.field({ type: [EnvExpectation], description: 'What must hold of keys, or nothing is changed.' }),
  }),
  payload: (t) => ({
    ...moved(t as unknown as Answered),
    keysSet: t.int({ description: 'How many keys were set.', resolve: (row) => row.keysSet }),
    keysDeleted: t.int({ description: 'How many keys were there and are gone.', resolve: (row) => row.keysDeleted }),
  }),
  refusals: ['IllegalState', 'EnvConflict', 'EnvTooLarge'],
  resolve: calls.mergeDeploymentEnv,
})

declareMutation<calls.DeploymentPayload>({
  name: 'setDeploymentTtl',
  machine,
  summary:
    'Moves the time limit of a deployment that has one, later or earlier. It wins or loses cleanly against the expiry.',
  undo: 'call it again with another time limit.',
  versioned: true,
  input: (t) => ({ ...id(t), ttlHours: t.int({ required: true, description: ttl }) }),
  payload: moved,
  refusals: ['NotExtendable'],
  resolve: calls.setDeploymentTtl,
})

declareMutation<calls.DeploymentPayload>({
  name: 'makeDeploymentPermanent',
  machine,
  summary: 'Takes the time limit away. A deployment that has none stays as it is.',
  undo: 'only by `deploy` with `redeploy: true` and `ttlHours`.',
  versioned: true,
  input: id,
  payload: moved,
  refusals: ['NotExtendable'],
  resolve: calls.makeDeploymentPermanent,
})
