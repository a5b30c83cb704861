// The rules of a team's own moves by callers, and what a loop asks about a team before it ends anything: a team that is not
// ACTIVE, as in its restore window, keeps all that it has until its own deletion takes it. That is asked twice: by the
// search, and under the lock at its newest. How a team ends is in team-end-rule.ts.
import { and, eq, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { team } from '../db/team.ts'
import { type TeamState, teamMachine } from '../lifecycle/team.ts'
import { defineRule } from './transition.ts'
import { textParam } from './transition-statement.ts'

const inUse: readonly TeamState[] = ['ACTIVE']
const usable: readonly TeamState[] = ['ACTIVE', 'DELETION_REQUESTED']

/** Whether its members may come in: while it is in use, and while it can be restored. */
export const ofUsableTeam = sql`${team.state} in (${sql.raw(quoted(usable))})`

/** For the search: as the statement's snapshot shows it. */
export const ofActiveTeam = (teamId: SQLWrapper): SQL =>
  sql`exists (select 1 from ${team} w where w.id = ${teamId} and w.state in (${sql.raw(quoted(inUse))}))`

/**
 * For the guard: the row at its newest, which FOR KEY SHARE would not show. Whoever is moving the team is not waited for:
 * what belongs to it is left to the next pass, and no other team's things with it.
 */
export const stillOfActiveTeam = (teamId: SQLWrapper): SQL =>
  sql`exists (select 1 from ${team} w where w.id = ${teamId} and w.state in (${sql.raw(quoted(inUse))}) for share skip locked)`

/** How long a team can be restored after its deletion was asked for. */
export const restoreWindowDays = 7

const part = { table: team, machine: teamMachine } as const
/** A caller's team is the one that it acts for. */
const own = and(eq(team.id, textParam('id')), eq(team.id, textParam('teamId'))) as SQL

export const deleteTeam = defineRule({
  name: 'deleteTeam',
  subject: {
    ...part,
    action: 'deleteTeam',
    where: own,
    set: () => ({ deletionAt: sql`clock_timestamp() + ${sql.raw(String(restoreWindowDays))} * interval '1 day'` }),
  },
  called: true,
})

export const restoreTeam = defineRule({
  name: 'restoreTeam',
  subject: {
    ...part,
    action: 'restoreTeam',
    where: own,
    guard: (found) => sql`${found.deletionAt} > clock_timestamp()`,
    set: () => ({ deletionAt: sql`null` }),
  },
  called: true,
})
