// How each move is asked for in the matrix: by the mutation where a caller may, by the rule where a runner or a loop does.
// Every way answers with null for a move, or with the name of the refusal.
import { deployment } from '../../src/db/deployment.ts'
import { type DeploymentState, deploymentMachine } from '../../src/lifecycle/deployment.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import * as rules from '../../src/resolvers/deployment-rule.ts'
import { unitsOf } from '../../src/resolvers/instance-rule.ts'
import * as operations from '../../src/resolvers/operation.ts'
import * as own from '../../src/resolvers/operation-rule.ts'
import { continueDeployment, continueDeploymentStop } from '../../src/resolvers/resume-rule.ts'
import { defineRule, type Rule, transition, transitionEach } from '../../src/resolvers/transition.ts'
import { callOf, type World } from '../races/world.ts'

type Answer = Promise<string | null>
const refusalOf = async (call: Promise<object>): Answer => {
  const result = await call
  return isRefusal(result) ? result.refusal : null
}
const kindOf = async (world: World, rule: unknown, values: Parameters<typeof callOf>[1]): Answer => {
  const { kind } = await transition(world.pool.db, rule as Rule, callOf(world, values))
  return kind === 'moved' ? null : kind
}
const passOf = async (
  world: World,
  rule: unknown,
  id: string,
  values: Record<string, string | number> = {},
): Answer => {
  const moved = await transitionEach(world.pool.db, rule as Rule, callOf(world, values), 200)
  return moved.some(({ row }) => row.id === id) ? null : 'refused'
}

/** For longer than any deadline it has been as it is. */
const overduePassOf = async (world: World, rule: unknown, id: string): Answer => {
  await world.stranger`update deployment set state_changed_at = now() - interval '1 day' where id = ${id}`
  return passOf(world, rule, id)
}

/** The unit that a roll-out registers. */
const unit = () => unitsOf('PROCESS')
/** By a runner that holds the claim of an operation at the deployment's generation. */
const byRunner = (rule: unknown) => async (world: World, id: string) => {
  const operationId = await world.operation({ subjectId: id, state: 'RUNNING', claimToken: 'mine', attempt: 1 })
  const facts = { claimToken: 'mine', generation: 1, outcome: 'told', url: 'http://app', instanceId: 'i' }
  return kindOf(world, rule, { id, operationId, ...facts, ...unit() })
}
/** By its move alone: what else must hold is played where loops and runners ask for it. */
const byMove = (action: keyof typeof deploymentMachine.moves) => {
  const { where } = rules.stopDeployment.subject
  const rule = defineRule({
    name: `matrix.${action}`,
    subject: { table: deployment, machine: deploymentMachine, action, where },
  })
  return (world: World, id: string) => kindOf(world, rule, { id })
}

export const deploymentMoves: Readonly<Record<string, (world: World, id: string) => Answer>> = {
  redeployDeployment: ({ context }, id) => refusalOf(mutations.redeployDeployment(context, { id })),
  deployAgain: async ({ context, stranger }, id) => {
    const [{ name, environment } = { name: '', environment: '' }] = await stranger<
      { name: string; environment: string }[]
    >`
      select name, environment from deployment where id = ${id}`
    return refusalOf(mutations.deploy(context, { name, environment, image: 'hello:2', redeploy: true }))
  },
  startDeployment: ({ context }, id) => refusalOf(mutations.startDeployment(context, { id })),
  stopDeployment: ({ context }, id) => refusalOf(mutations.stopDeployment(context, { id })),
  deleteDeployment: ({ context }, id) => refusalOf(mutations.deleteDeployment(context, { id })),
  mergeDeploymentEnv: ({ context }, id) =>
    refusalOf(mutations.mergeDeploymentEnv(context, { id, set: [{ key: 'A', value: '' }] } as never)),
  setDeploymentTtl: ({ context }, id) => refusalOf(mutations.setDeploymentTtl(context, { id, ttlHours: 1 })),
  makeDeploymentPermanent: ({ context }, id) => refusalOf(mutations.makeDeploymentPermanent(context, { id })),
  rollOutDeployment: byRunner(rules.rollOutDeployment),
  markDeploymentHealthy: byRunner(rules.markDeploymentHealthy),
  markDeploymentFailed: byRunner(rules.markDeploymentFailed),
  markDeploymentStopped: byRunner(rules.markDeploymentStopped),
  markDeploymentDeleted: byRunner(rules.markDeploymentDeleted),
  restartDeployment: byMove('restartDeployment'),
  beginDeploymentRestart: byMove('beginDeploymentRestart'),
  markDeploymentRestarted: byMove('markDeploymentRestarted'),
  giveUpDeployment: byMove('giveUpDeployment'),
  expireDeployment: (world, id) => passOf(world, rules.expireDeployment, id),
  tearDownDeployment: (world, id) => passOf(world, rules.tearDownDeployment, id),
  continueDeployment: (world, id) => overduePassOf(world, continueDeployment, id),
  continueDeploymentStop: (world, id) => overduePassOf(world, continueDeploymentStop, id),
}

interface Facts {
  readonly id: string
  readonly subjectId: string
  readonly kind: string
}
interface OperationMove {
  /** The state that its deployment must be in. */
  readonly subject: DeploymentState
  /** The deployment has moved on to the next generation. */
  readonly outdated?: true
  /** The operation is of a kind that no other cell has, so that a pass finds it alone. */
  readonly ownKind?: true
  readonly ask: (world: World, facts: Facts) => Answer
}

const byId =
  (rule: unknown) =>
  (world: World, { id }: Facts) =>
    kindOf(world, rule, { id, claimToken: 'mine', outcome: 'told', afterMs: 0, failed: 0 })
const withSubject =
  (rule: unknown) =>
  (world: World, { id, subjectId }: Facts) => {
    const facts = { claimToken: 'mine', generation: 1, outcome: 'told', url: 'http://app', instanceId: 'i' }
    return kindOf(world, rule, { id: subjectId, operationId: id, ...facts, ...unit() })
  }

export const operationMoves: Readonly<Record<string, OperationMove>> = {
  claimOperation: {
    subject: 'BUILDING',
    ownKind: true,
    ask: (world, { id, kind }) =>
      passOf(world, own.claimOperation('Deployment'), id, { kind, workerId: 'test', leaseMs: 10_000 }),
  },
  progressOperation: { subject: 'BUILDING', ask: withSubject(rules.rollOutDeployment) },
  postponeOperation: { subject: 'BUILDING', ask: byId(own.postponeOperation) },
  markOperationUnknown: { subject: 'BUILDING', ask: byId(own.markOperationUnknown) },
  succeedOperation: { subject: 'DEPLOYING', ask: withSubject(rules.markDeploymentHealthy) },
  failOperation: { subject: 'BUILDING', ask: byId(own.failOperation) },
  supersedeOperation: { subject: 'BUILDING', outdated: true, ask: byId(own.supersedeOperation('Deployment')) },
  supersedeOutdated: {
    subject: 'BUILDING',
    outdated: true,
    ownKind: true,
    ask: (world, { id, kind }) => passOf(world, own.supersedeOutdated('Deployment'), id, { kinds: kind }),
  },
  cancelOperation: {
    subject: 'BUILDING',
    ask: ({ context }, { id }) => refusalOf(operations.cancelOperation(context, { id })),
  },
  retryOperation: {
    subject: 'FAILED',
    ask: ({ context }, { id }) => refusalOf(operations.retryOperation(context, { id })),
  },
}
