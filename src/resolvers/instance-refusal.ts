// Why an instance could not be moved or registered, told from the row that was found, and what would be accepted instead.
import type { Context } from '../context.ts'
import { type InstanceAction, instanceMachine, liveInstanceStates } from '../lifecycle/instance.ts'
import { callInstead, lookAt, type Refusal, type RefusalName, type Remedy, refuse } from '../refusals.ts'
import type { DeploymentView } from './deployment-read.ts'
import { noRoom, unless } from './hindrance.ts'
import type { InstanceView } from './instance-read.ts'
import type { Database } from './transition.ts'

const where = (row: InstanceView) => `${row.name} in ${row.environment}`
const look = ({ id }: InstanceView) => lookAt('instance', { id }, 'See where it stands and what may be done with it.')
const subjectWord = ({ subjectType }: InstanceView) => (subjectType === 'Stack' ? 'stack' : 'deployment')
const lookAtSubject = (row: InstanceView): Remedy => {
  const word = subjectWord(row)
  if (row.subjectId === null) return look(row)
  return lookAt(word, { id: row.subjectId }, `Look at the ${word} that it is part of: it starts and ends with that.`)
}
const refusalOf = (action: InstanceAction) => instanceMachine.moves[action].refusal as RefusalName

/** The wish to be known goes on under an id of its own: that of a removed one is not taken while it is kept. */
function registerAnew(db: Database, row: InstanceView): Promise<readonly Remedy[]> {
  const { teamId, name, environment, url, heartbeatSeconds, subjectId } = row
  const input = {
    name,
    environment,
    ...(url === null ? {} : { url }),
    ...(heartbeatSeconds === null ? {} : { heartbeatSeconds }),
  }
  const why =
    subjectId === null
      ? 'Make it known as a new instance, under an id that is made for it.'
      : 'Make it known as a new instance that is part of nothing, under an id that is made for it.'
  return unless(callInstead('registerInstance', input, why), noRoom(db, teamId, 'instances'))
}

/** The state is not one that the action may start from: it was removed. */
export async function wrongState({ db }: Context, action: InstanceAction, row: InstanceView): Promise<Refusal> {
  const since = `${where(row)} has been ${row.state} since ${row.stateChangedAt.toISOString()}`
  return refuse(refusalOf(action), {
    message: `${action} is not possible: ${since}. What was removed never comes back.`,
    facts: { instance: row, action },
    remedies: action === 'heartbeatInstance' ? [...(await registerAnew(db, row)), look(row)] : [look(row)],
  })
}

/** It is run by Pawl, which asks about it itself; it goes with what it is part of. */
export function managed(action: InstanceAction, row: InstanceView): Refusal {
  return refuse(refusalOf(action), {
    message: `${action} is not possible: ${where(row)} is of the runtime ${row.runtime}, so Pawl runs it and asks about it itself. It ends with its ${subjectWord(row)}.`,
    facts: { instance: row, action },
    remedies: [lookAtSubject(row)],
  })
}

/** What it was part of has ended, and it ends with that; whoever looks after it can stop it. */
export function partOfEnded(action: InstanceAction, row: InstanceView, ended: DeploymentView): Refusal {
  return refuse(refusalOf(action), {
    message: `${action} is not possible: ${where(row)} is part of ${ended.name}, which has been ${ended.state} since ${ended.stateChangedAt.toISOString()}, and is REMOVED with it.`,
    facts: { instance: row, deployment: ended, action },
    remedies: [lookAt('deployment', { id: ended.id }, 'Look at the deployment as it is now.')],
  })
}

/** The provider's id is known: one that lives says so by heartbeats, and that of a removed one is not taken again while it is kept. */
export async function idIsKnown(db: Database, row: InstanceView, ended: DeploymentView | null): Promise<Refusal> {
  const action = 'registerInstance'
  const gone = !liveInstanceStates.includes(row.state)
  return refuse(refusalOf(action), {
    message: `${row.instanceId} is known: it is ${where(row)}, ${row.id}, which is ${row.state}.${gone ? ' Its id is not taken again while the removed instance is kept, for 7 days.' : ''}`,
    facts: { instance: row, action },
    remedies: gone
      ? [...(await registerAnew(db, row)), look(row)]
      : row.runtime !== 'EXTERNAL' || ended
        ? [look(row), lookAtSubject(row)]
        : [callInstead('heartbeatInstance', { id: row.id }, 'Say by a heartbeat that it is well.'), look(row)],
  })
}
