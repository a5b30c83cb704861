// The mutations of deployments: their inputs, payloads and what the manual says of them beyond what is derived.
import { deploymentMachine } from '../lifecycle/deployment.ts'
import * as calls from '../resolvers/deployment.ts'
import type { Fields, InputFields } from './builder.ts'
import { EnvExpectation, EnvVarInput } from './env.ts'
import { declareMutation } from './mutation.ts'
import { DeploymentRef, OperationRef } from './ref.ts'

type Answered = Fields<calls.DeploymentPayload>
const moved = (t: Answered) => ({
  deployment: t.field({
    type: DeploymentRef,
    nullable: true,
    description: 'The deployment after the move; never null here.',
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
  refusals: ['NotRedeployable', 'NothingToRedeploy', 'NameTaken', 'QuotaExceeded', 'SecretUnresolved'],
  resolve: calls.deploy,
})

declareMutation<calls.DeploymentPayload>({
  name: 'redeployDeployment',
  machine,
  summary:
    'Rolls a deployment out again, perhaps with another image. An ended or stopped one is never brought back by it.',
  undo: 'call it again with the former image.',
  versioned: true,
  input: (t) => ({ ...id(t), image: t.string({ description: `${image} Without one the image stays.` }) }),
  payload: accepted,
  refusals: ['NotRedeployable', 'SecretUnresolved'],
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
  refusals: ['IllegalState', 'SecretUnresolved'],
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
