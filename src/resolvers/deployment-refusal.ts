// Why a deployment could not be moved, told from the row as it was under the lock, and what would be accepted instead.
import { deployment } from '../db/deployment.ts'
import { type DeploymentAction, deploymentMachine, liveDeploymentStates } from '../lifecycle/deployment.ts'
import { comesTo } from '../lifecycle/machine.ts'
import { callInstead, lookAt, type Refusal, type RefusalName, type Remedy, refuse } from '../refusals.ts'
import { illegalState } from './call.ts'
import { liveNamed as liveNamedIn } from './live-named.ts'
import type { Database } from './transition.ts'

export type Deployment = typeof deployment.$inferSelect

/** The live deployment that holds a name, if one does. */
export const liveNamed = liveNamedIn('deployment', deployment, liveDeploymentStates)

const where = (row: Deployment) => `${row.name} in ${row.environment}`

/** The actions whose wish is that the workload runs. */
const wantsItToRun: readonly DeploymentAction[] = ['redeployDeployment', 'startDeployment']

/** What is accepted instead and serves the same wish, for this very row: found out, not guessed; never the opposite. */
async function wayOn(db: Database, action: DeploymentAction, row: Deployment): Promise<Remedy[]> {
  const { id, name, environment, image } = row
  const look = lookAt('deployment', { id }, 'See what it is doing and what may be done next.')
  const wanted = wantsItToRun.includes(action)
  switch (row.state) {
    case 'STOPPED':
      return wanted ? [callInstead('startDeployment', { id }, 'Start the stopped deployment again.'), look] : [look]
    case 'FAILED':
      return wanted ? [callInstead('redeployDeployment', { id }, 'Roll it out again.'), look] : [look]
    case 'BUILDING':
    case 'DEPLOYING':
    case 'HEALTHY':
    case 'STOPPING':
      return [look]
    case 'EXPIRED':
    case 'DELETING':
    case 'DELETED': {
      const heir = await liveNamed(db, row.teamId, environment, name)
      if (heir)
        return [lookAt('deployment', { id: heir.id }, 'Another deployment has taken the name since: look at that one.')]
      if (!wanted) return [look]
      const again = 'Make a new deployment of that name; the ended one never comes back.'
      return [callInstead('deploy', { name, environment, image }, again), look]
    }
  }
}

/** The state is not one that the action may start from. */
export async function wrongState(db: Database, action: DeploymentAction, row: Deployment): Promise<Refusal> {
  const name = deploymentMachine.moves[action].refusal as RefusalName
  const facts = { deployment: row, action }
  if (name === 'DeploymentAlreadyDeleted') {
    const message = `${where(row)} has ended already: it has been ${row.state} since ${row.stateChangedAt.toISOString()}. Nothing more is to be done.`
    return refuse(name, { message, facts: { ...facts, endedAt: row.stateChangedAt } })
  }
  const from = deploymentMachine.moves[action].from as readonly string[]
  const message = `${action} is not possible: ${where(row)} has been ${row.state} since ${row.stateChangedAt.toISOString()}${
    row.stateReason ? ` (${row.stateReason})` : ''
  }. ${action} starts from ${from.join(', ')}.`
  return illegalState(name, message, facts, await wayOn(db, action, row), comesTo(deploymentMachine, row.state, from))
}

export async function nothingToRedeploy(input: { name: string; environment: string; image: string }): Promise<Refusal> {
  const { name, environment, image } = input
  return refuse('NothingToRedeploy', {
    message: `There is no deployment ${name} in ${environment} to redeploy.`,
    remedies: [
      callInstead(
        'deploy',
        { name, environment, image },
        'Make it, with the variables and the time limit that it shall have.',
      ),
    ],
  })
}

export const nameTaken = (holder: Deployment, image: string): Refusal => {
  const { name, environment, id } = holder
  const workable = (deploymentMachine.moves.redeployDeployment.from as readonly string[]).includes(holder.state)
  return refuse('NameTaken', {
    message: `${where(holder)} is taken by ${id}, which is ${holder.state}.`,
    facts: { deployment: holder },
    remedies: [
      ...(workable
        ? [callInstead('deploy', { name, environment, image, redeploy: true }, 'Redeploy the one that is there.')]
        : []),
      ...(holder.state === 'STOPPED'
        ? [callInstead('startDeployment', { id }, 'Start the one that is there, as it was; then it can be redeployed.')]
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
