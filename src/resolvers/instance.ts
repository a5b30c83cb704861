// What callers may ask of instances that run elsewhere (runtime EXTERNAL): make one known, send its heartbeat, take it off the
// list. Each function is one mutation: it checks the input, makes one transition, and answers with a payload or a refusal.
import { randomBytes } from 'node:crypto'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { entityOfId, newId } from '../db/id.ts'
import { instance } from '../db/instance.ts'
import { liveDeploymentStates } from '../lifecycle/deployment.ts'
import type { InstanceAction } from '../lifecycle/instance.ts'
import { lookAt, notFound, type Refusal, refuse, validationFailed } from '../refusals.ts'
import {
  answer,
  type CallInput,
  callOptions,
  causeOf,
  faulty,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
} from './call.ts'
import { deploymentsById } from './deployment-read.ts'
import { check, nothingElse } from './input.ts'
import * as rules from './instance-external-rule.ts'
import { heartbeatInput, registerInstanceInput } from './instance-input.ts'
import { type InstanceView, knownInstanceOf } from './instance-read.ts'
import * as why from './instance-refusal.ts'
import { NameMoved, whileNameMoves } from './live-named.ts'
import { type Accepted, type ById, type Kind, moveById, replay } from './move-by-id.ts'
import { planIsFull } from './plan.ts'
import { bring } from './transition.ts'

export interface InstancePayload extends Payload {
  readonly instance: InstanceView
}

const kind: Kind<typeof instance, InstanceAction> = {
  table: instance,
  entity: 'Instance',
  word: 'instance',
  wrongState: why.wrongState,
}
const payload = ({ row, replayed }: Accepted<typeof instance>): InstancePayload => ({ instance: row, replayed })

/** It says that it is well, or, with `healthy: false`, that it runs and is not. No event unless its state changes. */
export const heartbeatInstance = (
  context: Context,
  input: ById & { healthy?: boolean | null; reason?: string | null },
): Promise<Result<InstancePayload>> => {
  const rule = input.healthy === false ? rules.reportInstanceDegraded : rules.heartbeatInstance
  return moveById(context, kind, 'heartbeatInstance', rule, heartbeatInput, input, {
    values: ({ reason }) => ({ reason }),
    guard: async (row) => {
      if (row.runtime !== 'EXTERNAL') return why.managed('heartbeatInstance', row)
      const ended = await endedDeploymentOf(context, row)
      if (!ended) throw new NameMoved()
      return why.partOfEnded('heartbeatInstance', row, ended)
    },
    payload,
  })
}

/** The deployment that it is part of, if that has ended. */
async function endedDeploymentOf({ db, actor }: Context, { subjectType, subjectId }: InstanceView) {
  if (subjectType !== 'Deployment' || subjectId === null) return null
  const [found] = await deploymentsById(db, actor.teamId, [subjectId])
  return found && !liveDeploymentStates.includes(found.state) ? found : null
}

/** It will not come back: its place in the plan is free, its id is not while it is kept. */
export const removeInstance = (context: Context, input: ById): Promise<Result<InstancePayload>> =>
  moveById(context, kind, 'removeInstance', rules.removeInstance, nothingElse, input, {
    guard: (row) => why.managed('removeInstance', row),
    payload,
  })

export interface NewInstance extends CallInput {
  readonly name: string
  readonly environment?: string | null
  /** The provider's id of it; made here where none is given. */
  readonly instanceId?: string | null
  readonly deploymentId?: string | null
  readonly url?: string | null
  readonly heartbeatSeconds?: number | null
}

/** Makes known what runs elsewhere. */
export const registerInstance = (context: Context, input: NewInstance): Promise<Result<InstancePayload>> =>
  answer(context, 'Instance', 'registerInstance', () => whileNameMoves(() => decideRegister(context, input)))

async function decideRegister(context: Context, input: NewInstance): Promise<Result<InstancePayload>> {
  const checked = check(registerInstanceInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { deploymentId } = checked.value
  if (deploymentId !== null && entityOfId(deploymentId) !== 'Deployment') return notFound('deployment', deploymentId)
  const id = newId('Instance')
  const wanted = {
    ...checked.value,
    instanceId: checked.value.instanceId ?? `external-${randomBytes(12).toString('hex')}`,
  }
  const found = await bring(context.db, rules.registerInstance, {
    ...causeOf(context),
    id,
    values: { id, teamId: context.actor.teamId, ...wanted },
    ...callOptions('registerInstance', input, checked),
  }).catch((error: unknown) => constrained(context, error, wanted))
  if ('refusal' in found) return found
  switch (found.kind) {
    case 'moved':
      return { instance: found.row, replayed: false }
    case 'replayed':
      return payload(await replay(context, kind, found))
    case 'key-reused':
      return keyReused('registerInstance', found)
    default:
      throw new Error(`a birth cannot be ${found.kind}`)
  }
}

interface Wanted {
  readonly environment: string | null
  readonly instanceId: string
  readonly deploymentId: string | null
}

/** A constraint decided a birth: the id is known, the plan is full, or it cannot be part of that deployment. */
async function constrained(context: Context, error: unknown, wanted: Wanted): Promise<Refusal> {
  const { db, actor } = context
  if (!(error instanceof DatabaseFault)) throw error
  if (error.constraint === 'plan_cap') return planIsFull(db, actor.teamId, 'instances')
  if (error.constraint === rules.idConstraint) {
    const known = await knownInstanceOf(db, actor.teamId, wanted.instanceId)
    // It was there; what ended long ago is forgotten in the end, and so is a run.
    if (!known) throw new NameMoved()
    return why.idIsKnown(db, known, await endedDeploymentOf(context, known))
  }
  if (error.constraint === rules.deploymentConstraint && wanted.deploymentId !== null)
    return unfit(context, wanted.deploymentId, wanted.environment)
  throw error
}

/** Why it cannot be part of that deployment. */
async function unfit({ db, actor }: Context, deploymentId: string, environment: string | null): Promise<Refusal> {
  const [found] = await deploymentsById(db, actor.teamId, [deploymentId])
  if (!found) return notFound('deployment', deploymentId)
  const look = lookAt('deployment', { id: found.id }, 'Look at the deployment as it is now.')
  if (!liveDeploymentStates.includes(found.state))
    return refuse('IllegalState', {
      message: `${found.name} in ${found.environment} has been ${found.state} since ${found.stateChangedAt.toISOString()}: nothing becomes part of it any more.`,
      facts: { deployment: found, action: 'registerInstance' },
      remedies: [look],
    })
  if (environment !== null && environment !== found.environment)
    return validationFailed([
      {
        path: ['input', 'environment'],
        message: `must be that of the deployment, ${found.environment}, or be left out`,
      },
    ])
  throw new NameMoved()
}
