// Why a resource could not be moved, told from the row as it was under the lock, and what would be accepted instead.
import type { Context } from '../context.ts'
import { resource } from '../db/resource.ts'
import { comesTo } from '../lifecycle/machine.ts'
import { liveResourceStates, resourceMachine } from '../lifecycle/resource.ts'
import { callInstead, lookAt, type Refusal, type RefusalName, type Remedy, refuse } from '../refusals.ts'
import { illegalState } from './call.ts'
import { liveNamed as liveNamedIn } from './live-named.ts'
import type { Database } from './transition.ts'

export type Resource = typeof resource.$inferSelect
export type ResourceAction = keyof typeof resourceMachine.moves

/** The live resource that holds a name, if one does. */
export const liveNamed = liveNamedIn('resource', resource, liveResourceStates)

const where = (row: Resource) => `${row.name} in ${row.environment}`

/** What is accepted instead and serves the same wish, for this very row: found out, not guessed; never the opposite. */
async function wayOn(db: Database, action: ResourceAction, row: Resource): Promise<Remedy[]> {
  const look = lookAt('resource', { id: row.id }, 'See what it is doing and what may be done next.')
  switch (row.state) {
    case 'PAUSED':
      return action === 'rotateResourceCredentials'
        ? [callInstead('resumeResource', { id: row.id }, 'Let clients connect again, then rotate.'), look]
        : [look]
    case 'ACTIVE':
    case 'FAILED':
    case 'SUSPENDED':
    case 'PROVISIONING':
    case 'PAUSING':
    case 'RESUMING':
      return [look]
    case 'DELETING':
    case 'DELETED': {
      const heir = await liveNamed(db, row.teamId, row.environment, row.name)
      return heir
        ? [lookAt('resource', { id: heir.id }, 'Another resource has taken the name since: look at that one.')]
        : [look]
    }
  }
}

/** The state is not one that the action may start from. */
export async function wrongState({ db }: Context, action: ResourceAction, row: Resource): Promise<Refusal> {
  const name = resourceMachine.moves[action].refusal as RefusalName
  const facts = { resource: row, action }
  if (name === 'ResourceAlreadyDeleted') {
    const deletedAt = row.deletedAt ?? row.stateChangedAt
    return refuse(name, {
      message: `${where(row)} was deleted at ${deletedAt.toISOString()}; it is ${row.state}. Nothing more is to be done.`,
      facts: { ...facts, deletedAt },
    })
  }
  const from = resourceMachine.moves[action].from as readonly string[]
  const reason = row.stateReason ? ` (${row.stateReason})` : ''
  const message =
    `${action} is not possible: ${where(row)} has been ${row.state} since ${row.stateChangedAt.toISOString()}${reason}. ` +
    `${action} starts from ${from.join(', ')}.`
  return illegalState(name, message, facts, await wayOn(db, action, row), comesTo(resourceMachine, row.state, from))
}

/** The state was right, but a rotation is still under way. */
export const rotating =
  (action: ResourceAction) =>
  (row: Resource): Refusal =>
    illegalState(
      'IllegalState',
      `${action} is not possible yet: the credentials of ${where(row)} are being rotated.`,
      { resource: row, action },
      [lookAt('resource', { id: row.id }, 'See when the rotation is done.')],
      true,
    )

export const nameTaken = (holder: Resource): Refusal =>
  refuse('NameTaken', {
    message: `${where(holder)} is taken by ${holder.id}, which is ${holder.state}.`,
    facts: { resource: holder },
    remedies: [
      lookAt('resource', { id: holder.id }, 'Look at the one that is there; delete it first if you want another.'),
    ],
  })
