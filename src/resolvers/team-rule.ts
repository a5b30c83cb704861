// What a loop asks about a team before it ends anything: a team that is not ACTIVE, as in its restore window, keeps all that
// it has until its own deletion takes it. Asked twice: by the search, and under the lock at its newest.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { team } from '../db/team.ts'
import type { TeamState } from '../lifecycle/team.ts'

const inUse: readonly TeamState[] = ['ACTIVE']

/** For the search: as the statement's snapshot shows it. */
export const ofActiveTeam = (teamId: SQLWrapper): SQL =>
  sql`exists (select 1 from ${team} w where w.id = ${teamId} and w.state in (${sql.raw(quoted(inUse))}))`

/**
 * For the guard: the row at its newest, which FOR KEY SHARE would not show. Whoever is moving the team is not waited for:
 * what belongs to it is left to the next pass, and no other team's things with it.
 */
export const stillOfActiveTeam = (teamId: SQLWrapper): SQL =>
  sql`exists (select 1 from ${team} w where w.id = ${teamId} and w.state in (${sql.raw(quoted(inUse))}) for share skip locked)`
