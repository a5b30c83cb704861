// The owner that every team of a test has, and room in its plan: its id follows from the team's.
import type postgres from 'postgres'
import { type Actor, actionClasses, type Scope, scopes } from '../src/auth.ts'
import { usageKinds } from '../src/db/team.ts'

/** The id of a test team's owner. */
export const ownerOf = (teamId: string): string => teamId.replace('team_', 'mem_')

/** Puts the owner and the plan of a team in place; the triggers must be off. `cap` is how many deployments there is room for. */
export async function putOwner(sql: postgres.ISql, teamId: string, cap: number): Promise<void> {
  const id = ownerOf(teamId)
  await sql`insert into member (id, state, team_id, identity, name, role) values (${id}, 'ACTIVE', ${teamId}, ${`local:${id}`}, 'owner', 'owner')`
  for (const kind of usageKinds) {
    const used = kind === 'members' || kind === 'owners' ? 1 : 0
    await sql`insert into plan_usage (team_id, kind, used, cap) values (${teamId}, ${kind}, ${used}, ${kind === 'deployments' ? cap : 100})`
  }
}

/** That owner as authentication would give it, by a token of these scopes. */
export const ownerActor = (tokenId: string, teamId: string, given: readonly Scope[] = scopes): Actor => ({
  kind: 'token',
  id: tokenId,
  teamId,
  memberId: ownerOf(teamId),
  role: 'owner',
  scopes: new Set(given),
  classes: new Set(actionClasses),
})
