// Why a deployment could not be moved, told from the row as it was under the lock, and what would be accepted instead.
import type { Context } from '../context.ts'
import { deployment } from '../db/deployment.ts'
import { type DeploymentAction, deploymentMachine, liveDeploymentStates } from '../lifecycle/deployment.ts'
import { comesTo } from '../lifecycle/machine.ts'
import { callInstead, lookAt, type Refusal, type RefusalName, type Remedy, refuse } from '../refusals.ts'
import { illegalState } from './call.ts'
import { type Hindrance, leadsNowhere, noRoom, unknownImage, unless } from './hindrance.ts'
import { liveNamed as liveNamedIn } from './live-named.ts'
import type { Database } from './transition.ts'

export type Deployment = typeof deployment.$inferSelect

/** The live deployment that holds a name, if one does. */
export const liveNamed = liveNamedIn('deployment', deployment, liveDeploymentStates)

const where = (row: Deployment) => `${row.name} in ${row.environment}`

/** The actions whose wish is that the workload runs. */
const wantsItToRun: readonly DeploymentAction[] = ['redeployDeployment', 'startDeployment']

/** What is accepted instead and serves the same wish, for this very row: found out, not guessed; never the opposite. */
async function wayOn(
  context: Context,
  action: DeploymentAction,
  row: Deployment,
  named: string | null,
): Promise<readonly Remedy[]> {
  const { db } = context
  const { id, teamId, name, environment } = row
  const look = lookAt('deployment', { id }, 'See what it is doing and what may be done next.')
  const wanted = wantsItToRun.includes(action)
  switch (row.state) {
    case 'STOPPED':
      return wanted ? [...(await startAgain(db, row, 'Start the stopped deployment again.')), look] : [look]
    case 'FAILED': {
      const again = callInstead('redeployDeployment', { id }, 'Roll it out again.')
      return wanted ? [...(await unless(again, leadsNowhere(db, row))), look] : [look]
    }
    case 'BUILDING':
    case 'DEPLOYING':
    case 'HEALTHY':
    case 'STOPPING':
      return [look]
    case 'EXPIRED':
    case 'DELETING':
    case 'DELETED': {
      const heir = await liveNamed(db, teamId, environment, name)
      if (heir)
        return [lookAt('deployment', { id: heir.id }, 'Another deployment has taken the name since: look at that one.')]
      if (!wanted) return [look]
      const again = 'Make a new deployment of that name; the ended one never comes back.'
      const image = named ?? row.image
      const hindrances = named === null ? [unknownImage(context, image)] : []
      return [...(await makeAnew(context, { teamId, name, environment, image }, again, ...hindrances)), look]
    }
  }
}

const startAgain = (db: Database, row: Deployment, why: string) =>
  unless(callInstead('startDeployment', { id: row.id }, why), leadsNowhere(db, row))

interface Wanted {
  readonly name: string
  readonly environment: string
  readonly image: string
}
const makeAnew = (
  { db }: Context,
  { teamId, name, environment, image }: Wanted & { teamId: string },
  why: string,
  ...hindrances: Promise<Hindrance>[]
) => unless(callInstead('deploy', { name, environment, image }, why), noRoom(db, teamId, 'deployments'), ...hindrances)

/** The state is not one that the action may start from. `image` is what the caller wants to run, if it has said so. */
export async function wrongState(
  context: Context,
  action: DeploymentAction,
  row: Deployment,
  image?: string | null,
  asked: string = action,
): Promise<Refusal> {
  const name = deploymentMachine.moves[action].refusal as RefusalName
  const facts = { deployment: row, action }
  if (name === 'DeploymentAlreadyDeleted') {
    const message = `${where(row)} has ended already: it has been ${row.state} since ${row.stateChangedAt.toISOString()}. Nothing more is to be done.`
    return refuse(name, { message, facts: { ...facts, endedAt: row.stateChangedAt } })
  }
  const from = deploymentMachine.moves[action].from as readonly string[]
  const message = `${asked} is not possible: ${where(row)} has been ${row.state} since ${row.stateChangedAt.toISOString()}${
    row.stateReason ? ` (${row.stateReason})` : ''
  }. ${action} starts from ${from.join(', ')}.`
  const ways = await wayOn(context, action, row, image ?? null)
  return illegalState(name, message, facts, ways, comesTo(deploymentMachine, row.state, from))
}

export async function nothingToRedeploy(context: Context, wanted: Wanted): Promise<Refusal> {
  const { teamId } = context.actor
  const why = 'Make it, with the variables and the time limit that it shall have.'
  return refuse('NothingToRedeploy', {
    message: `There is no deployment ${wanted.name} in ${wanted.environment} to redeploy.`,
    remedies: await makeAnew(context, { teamId, ...wanted }, why),
  })
}

export async function nameTaken(db: Database, holder: Deployment, image: string): Promise<Refusal> {
  const { name, environment, id } = holder
  const workable = (deploymentMachine.moves.redeployDeployment.from as readonly string[]).includes(holder.state)
  const again = { name, environment, image, redeploy: true }
  return refuse('NameTaken', {
    message: `${where(holder)} is taken by ${id}, which is ${holder.state}.`,
    facts: { deployment: holder },
    remedies: [
      ...(workable
        ? await unless(callInstead('deploy', again, 'Redeploy the one that is there.'), leadsNowhere(db, holder))
        : []),
      ...(holder.state === 'STOPPED'
        ? await startAgain(db, holder, 'Start the one that is there, as it was; then it can be redeployed.')
        : []),
      lookAt('deployment', { id }, 'Look at the one that is there.'),
    ],
  })
}

export const notExtendable = (row: Deployment): Refusal =>
  refuse('NotExtendable', {
    message: `${where(row)} is permanent: it has no time limit that could be moved.`,
    facts: { deployment: row },
    remedies: [lookAt('deployment', { id: row.id }, 'See its time limit policy.')],
  })
