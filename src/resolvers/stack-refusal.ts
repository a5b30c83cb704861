// Why a stack could not be moved, told from the row as it was under the lock, and what would be accepted instead.
import type { Context } from '../context.ts'
import { type StackService, stack } from '../db/stack.ts'
import { liveStackStates, type StackAction, stackMachine } from '../lifecycle/stack.ts'
import { callInstead, lookAt, type Refusal, type RefusalName, type Remedy, refuse } from '../refusals.ts'
import { noRoom, unknownImage, unless } from './hindrance.ts'
import { liveNamed as liveNamedIn } from './live-named.ts'

export type Stack = typeof stack.$inferSelect

/** The live stack that holds a name, if one does. */
export const liveNamed = liveNamedIn('stack', stack, liveStackStates)

const where = (row: Stack) => `${row.name} in ${row.environment}`

/** What serves the same wish for a stack that has ended: its heir, or a new one of that name; nothing for a merge. */
async function wayOn(
  context: Context,
  action: StackAction,
  row: Stack,
  named: readonly Wanted[] | null,
): Promise<readonly Remedy[]> {
  const { db } = context
  const { id, teamId, name, environment } = row
  const look = lookAt('stack', { id }, 'See what it is doing and what may be done next.')
  const heir = await liveNamed(db, teamId, environment, name)
  if (heir) return [lookAt('stack', { id: heir.id }, 'Another stack has taken the name since: look at that one.')]
  if (action !== 'redeployStack') return [look]
  const why = 'Make a new stack of that name with these services; the ended one never comes back.'
  const again = callInstead('createStack', { name, environment, services: named ?? row.services }, why)
  const images = named === null ? row.services.map(({ image }) => image) : []
  return [...(await unless(again, noRoom(db, teamId, 'stacks'), unknownImage(context, ...images))), look]
}

/** What `services` of an input are. */
type Wanted = Pick<StackService, 'name' | 'image'>

interface Asked {
  /** What the caller has called, where that is not the action itself. */
  readonly asked?: string
  /** What the caller wants to run, if it has said so. */
  readonly services?: readonly Wanted[] | null | undefined
}

/** The state is not one that the action may start from. */
export async function wrongState(
  context: Context,
  action: StackAction,
  row: Stack,
  { asked = action, services }: Asked = {},
): Promise<Refusal> {
  const name = stackMachine.moves[action].refusal as RefusalName
  const deletedAt = row.deletedAt ?? row.stateChangedAt
  const since = `has been ${row.state} since ${row.stateChangedAt.toISOString()}`
  if (name === 'StackAlreadyDeleted') {
    const message = `${where(row)} is deleted already: its deletion was accepted at ${deletedAt.toISOString()}. Nothing more is to be done.`
    return refuse(name, { message, facts: { stack: row, action, deletedAt } })
  }
  return refuse(name, {
    message: `${asked} is not possible: ${where(row)} ${since}. Nothing was changed.`,
    facts: { stack: row, action },
    remedies: await wayOn(context, action, row, services ?? null),
  })
}

export const nameTaken = (holder: Stack): Refusal =>
  refuse('NameTaken', {
    message: `${where(holder)} is taken by ${holder.id}, which is ${holder.state}.`,
    facts: { stack: holder },
    remedies: [
      lookAt('stack', { id: holder.id }, 'Look at the one that is there; redeployStack gives it other services.'),
    ],
  })
