// What callers may ask of deployments. Each function is one mutation: it checks the input, makes one transition, and
// answers with a payload or a typed refusal. Effects are carried out by the dispatcher, never here.
import { randomBytes } from 'node:crypto'
import { and, desc, eq, ne } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { deployment } from '../db/deployment.ts'
import { DatabaseFault } from '../db/fault.ts'
import { newId } from '../db/id.ts'
import { type Refusal, validationFailed } from '../refusals.ts'
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
  versionConflict,
} from './call.ts'
import * as why from './deployment-refusal.ts'
import * as rules from './deployment-rule.ts'
import { type EnvPatch, entriesAfter, envBytes, envValues, maxEnvBytes, mergeCounts } from './env.ts'
import { envRefusal, refuseEnv } from './env-refusal.ts'
import { check, deployInput, envPatch, nothingElse, redeployInput, ttlInput } from './input.ts'
import { NameMoved, whileNameMoves } from './live-named.ts'
import { type Accepted, type ById, type Kind, moveById, replay } from './move-by-id.ts'
import { planIsFull } from './plan.ts'
import { answeredBefore } from './read-back.ts'
import { refuseUnresolved } from './reference-refusal.ts'
import { unresolvedConstraint } from './reference-rule.ts'
import { bring, type Call, type Operation, startsFrom, transition } from './transition.ts'

type Deployment = why.Deployment
export interface DeploymentPayload extends Payload {
  readonly deployment: Deployment
  /** The accepted work; null where the action has no effect outside. */
  readonly operation: Operation | null
}
export interface EnvMergePayload extends DeploymentPayload {
  readonly keysSet: number
  readonly keysDeleted: number
}
const kind: Kind<typeof deployment, Parameters<typeof why.wrongState>[1]> = {
  table: deployment,
  entity: 'Deployment',
  word: 'deployment',
  wrongState: (context, action, row) => why.wrongState(context, action, row),
}
/** What is advised instead runs what the caller wants to run. */
const redeployed = (image: string | null | undefined): typeof kind => ({
  ...kind,
  wrongState: (context, action, row) => why.wrongState(context, action, row, image),
})
const payload = ({ row, operation, replayed }: Accepted<typeof deployment>): DeploymentPayload => ({
  deployment: row,
  operation,
  replayed,
})

export const redeployDeployment = (context: Context, input: ById & { image?: string | null }) =>
  moveById(context, redeployed(input.image), 'redeployDeployment', rules.redeployDeployment, redeployInput, input, {
    values: ({ image }) => ({ image }),
    refuseEarly: ({ image }, call) => refuseImage(context, call, image),
    guard: (row) => refuseUnresolved(context.db, row, { deployment: row }),
    payload,
  })

export const startDeployment = (context: Context, input: ById) =>
  moveById(context, kind, 'startDeployment', rules.startDeployment, nothingElse, input, {
    guard: (row) => refuseUnresolved(context.db, row, { deployment: row }),
    payload,
  })

export const stopDeployment = (context: Context, input: ById) =>
  moveById(context, kind, 'stopDeployment', rules.stopDeployment, nothingElse, input, { payload })

export const deleteDeployment = (context: Context, input: ById) =>
  moveById(context, kind, 'deleteDeployment', rules.deleteDeployment, nothingElse, input, { payload })

export const setDeploymentTtl = (context: Context, input: ById & { ttlHours: number }) =>
  moveById(context, kind, 'setDeploymentTtl', rules.setDeploymentTtl, ttlInput, input, {
    values: ({ ttlHours }) => ({ ttlHours }),
    guard: why.notExtendable,
    payload,
  })

export const makeDeploymentPermanent = (context: Context, input: ById) =>
  moveById(context, kind, 'makeDeploymentPermanent', rules.makeDeploymentPermanent, nothingElse, input, { payload })

export const mergeDeploymentEnv = (context: Context, input: ById): Promise<Result<EnvMergePayload>> =>
  moveById(context, kind, 'mergeDeploymentEnv', rules.mergeDeploymentEnv, envPatch, input, {
    values: envValues,
    refuseEarly: ({ set }, call) => refuseEnv(context, call, 'set', set),
    guard: (row, patch) => envRefusal('deployment', row, patch),
    payload: (accepted, patch) => ({
      ...payload(accepted),
      ...((accepted.result as Counts | null) ?? mergeCounts(accepted.before?.env ?? {}, patch)),
    }),
  })
type Counts = Pick<EnvMergePayload, 'keysSet' | 'keysDeleted'>

/** An image that the runtime cannot run is refused before anything is accepted, unless the call is a repeat of one that won. */
async function refuseImage(context: Context, call: Call, image: string | null): Promise<Refusal | null> {
  if (image === null) return null
  const outcome = await context.images.resolveImage(image, AbortSignal.timeout(5_000))
  // Any doubt is left to the roll-out, which asks again.
  if (outcome.kind !== 'refused' || (await answeredBefore(context.db, call))) return null
  return validationFailed([{ path: ['input', 'image'], message: `cannot be run: ${outcome.reason}` }])
}

export interface DeployInput extends CallInput {
  readonly name: string
  readonly environment?: string | null
  readonly image: string
  readonly env?: readonly { key: string; value: string }[] | null
  readonly ttlHours?: number | null
  readonly redeploy?: boolean | null
}

/** Makes a deployment; or, with `redeploy: true`, rolls out again the live one of that name. */
export const deploy = (context: Context, input: DeployInput): Promise<Result<DeploymentPayload>> =>
  answer(context, 'Deployment', 'deploy', () => whileNameMoves(() => decideDeploy(context, input)))

async function decideDeploy(context: Context, input: DeployInput): Promise<Result<DeploymentPayload>> {
  const checked = check(deployInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { name, environment, image, ttlHours, env, redeploy } = checked.value
  if (!redeploy && checked.expectedVersion !== null) {
    return validationFailed([
      { path: ['input', 'expectedVersion'], message: 'goes with redeploy: true only: what is new has no version' },
    ])
  }
  const id = newId('Deployment')
  const patch: EnvPatch = { set: env, unset: [], expect: [] }
  const call = {
    ...causeOf(context),
    id,
    values: {
      id,
      teamId: context.actor.teamId,
      name,
      environment,
      image,
      ttlHours,
      incarnation: randomBytes(12).toString('hex'),
      ...envValues(patch),
    },
    ...callOptions('deploy', input, checked),
  }
  const early = (await refuseEnv(context, call, 'env', env)) ?? (await refuseImage(context, call, image))
  if (early) return early
  const found = await (redeploy
    ? transition(context.db, rules.redeployByName, call)
    : bring(context.db, rules.deploy, call)
  ).catch((error: unknown) => constrained(context, error, { name, environment, image, env }))
  if ('refusal' in found) return found
  switch (found.kind) {
    case 'moved':
      return { deployment: found.row, operation: found.operation, replayed: false }
    case 'replayed':
      return payload(await replay(context, kind, found))
    case 'key-reused':
      return keyReused('deploy', found)
    case 'missing':
      return newestEnded(context, { name, environment, image })
    case 'refused': {
      const row = found.found
      if (!startsFrom(rules.redeployByName).includes(row.state))
        return why.wrongState(context, 'redeployDeployment', row, image, 'deploy with redeploy: true')
      if (checked.expectedVersion !== null && row.version !== checked.expectedVersion) {
        return versionConflict('deployment', row, checked.expectedVersion)
      }
      const after = entriesAfter(row.env, patch)
      if (envBytes(after) > maxEnvBytes)
        return validationFailed([
          { path: ['input', 'env'], message: `would make the environment larger than ${maxEnvBytes} bytes` },
        ])
      const merged = { ...row, env: asEnv([...after].map(([key, value]) => ({ key, value }))) }
      return refuseUnresolved(context.db, merged, { deployment: row })
    }
  }
}

const asEnv = (variables: EnvPatch['set']) => Object.fromEntries(variables.map(({ key, value }) => [key, { value }]))

type Wanted = { name: string; environment: string; image: string }

/** A constraint decided a birth: the name is held, the plan is full, or a reference leads nowhere. */
async function constrained(
  context: Context,
  error: unknown,
  wanted: Wanted & { env: EnvPatch['set'] },
): Promise<Refusal> {
  const { db, actor } = context
  if (!(error instanceof DatabaseFault)) throw error
  if (error.constraint === 'deployment_name') {
    const holder = await why.liveNamed(db, actor.teamId, wanted.environment, wanted.name)
    if (!holder) throw new NameMoved()
    return why.nameTaken(db, holder, wanted.image)
  }
  if (error.constraint === 'plan_cap') return planIsFull(db, actor.teamId, 'deployments')
  if (error.constraint === unresolvedConstraint) {
    const { environment, env } = wanted
    return refuseUnresolved(db, { teamId: actor.teamId, environment, env: asEnv(env) }, {})
  }
  throw error
}

/** Nothing live has the name: is the newest on its way out, or was there never one? */
async function newestEnded(context: Context, wanted: Wanted): Promise<Refusal> {
  const { db, actor } = context
  const [newest] = await db
    .select()
    .from(deployment)
    .where(
      and(
        eq(deployment.teamId, actor.teamId),
        eq(deployment.environment, wanted.environment),
        eq(deployment.name, wanted.name),
        ne(deployment.state, 'DELETED'),
      ),
    )
    .orderBy(desc(deployment.createdAt), desc(deployment.id))
    .limit(1)
  if (!newest) return why.nothingToRedeploy(context, wanted)
  if (startsFrom(rules.redeployByName).includes(newest.state)) throw new NameMoved()
  return why.wrongState(context, 'redeployDeployment', newest, wanted.image, 'deploy with redeploy: true')
}
