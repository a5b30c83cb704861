// What moves of a subject leave behind that a replica of a release without instances makes: instances of what has ended, and those
// that are said to run of what has failed. A net, under the moves that take instances along: instance-rule.ts.
import { type SQL, sql } from 'drizzle-orm'
import { quoted, stateIn } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { instance } from '../db/instance.ts'
import { stack } from '../db/stack.ts'
import type { DeploymentState } from '../lifecycle/deployment.ts'
import { liveInstanceStates, watchedInstanceStates } from '../lifecycle/instance.ts'
import type { StackState } from '../lifecycle/stack.ts'
import { isManaged, part, withoutRun } from './instance-rule.ts'
import { defineRule } from './transition.ts'
import { intParam } from './transition-statement.ts'

type Instance = typeof instance
const named = (...states: readonly (DeploymentState | StackState)[]) => sql.raw(quoted(states))

/** What it is part of: as the snapshot has it, or at its newest; whoever is moving that is not waited for. */
type Look = 'snapshot' | 'newest'
const either = (look: Look, found: Instance, ofDeployment: SQL, ofStack: SQL) => {
  const how = sql.raw(look === 'newest' ? ' for share skip locked' : '')
  return sql`(exists (select 1 from ${deployment} d where d.id = ${found.subjectId} and ${ofDeployment}${how})
    or exists (select 1 from ${stack} s where s.id = ${found.subjectId} and ${ofStack}${how}))`
}
const hasEnded = (look: Look, found: Instance) =>
  either(look, found, sql`d.state in (${named('STOPPED', 'DELETED')})`, sql`s.state in (${named('DELETED')})`)
/** At its own generation: what runs on after a newer roll-out was cancelled is not meant, nor services that have not failed. */
const hasFailed = (look: Look, found: Instance) =>
  either(
    look,
    found,
    sql`d.state in (${named('FAILED')}) and d.generation = ${found.generation}`,
    sql`s.generation = ${found.generation} and s.placed -> ${found.service} ->> 'state' in (${named('FAILED')})
      and (s.placed -> ${found.service} ->> 'generation')::int = s.generation`,
  )

const batch = { orderBy: sql`${instance.id}`, limit: intParam('limit') }
const left = (action: 'removeInstance' | 'offlineInstance', of: typeof hasEnded, reason: SQL) =>
  defineRule({
    name: `${action}:left`,
    subject: {
      ...part,
      action,
      where: sql`${stateIn(action === 'removeInstance' ? liveInstanceStates : watchedInstanceStates)}
        and ${isManaged(instance)} and ${of('snapshot', instance)}`,
      batch,
      guard: (found) => sql`${isManaged(found)} and ${of('newest', found)}`,
      set: () => ({ ...withoutRun, stateReason: reason, restartDueAt: sql`null` }),
    },
  })

export const removeLeftUnit = left('removeInstance', hasEnded, sql`'what it was part of has ended'`)
export const offlineLeftUnit = left('offlineInstance', hasFailed, sql`'what it is part of has failed'`)
