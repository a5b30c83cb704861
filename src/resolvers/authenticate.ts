// Who a token belongs to. One named statement decides by the database's clock; why a token was not taken is never told.
import { and, eq, sql } from 'drizzle-orm'
import { type ActionClass, type Actor, type Scope, scopesInEffect } from '../auth.ts'
import { apiToken } from '../db/api-token.ts'
import { member } from '../db/member.ts'
import { statementOf } from '../db/prepared.ts'
import { team } from '../db/team.ts'
import { parseToken, sameHash } from '../token.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

/** Compared with when no token was found, so that both ways take as long. */
const nobody = '0'.repeat(64)

/**
 * The actor behind a token in plain text; null for anything but an ACTIVE, unexpired token of an ACTIVE team.
 * Throws `DatabaseFault` when the database cannot be asked. Notes the use, at most once a minute, behind the request's back.
 */
export async function authenticate(db: Database, text: string): Promise<Actor | null> {
  const token = parseToken(text)
  if (!token) return null
  const statement = statementOf(db, 'read:authenticate', () =>
    db
      .select({
        id: apiToken.id,
        teamId: apiToken.teamId,
        secretHash: apiToken.secretHash,
        scopes: apiToken.scopes,
        classes: apiToken.actionClasses,
        memberId: apiToken.memberId,
        role: member.role,
        unnoted: sql<boolean>`coalesce(${apiToken.lastUsedAt} < now() - interval '1 minute', true)`,
      })
      .from(apiToken)
      .innerJoin(team, eq(team.id, apiToken.teamId))
      .innerJoin(member, eq(member.id, apiToken.memberId))
      .where(
        and(
          eq(apiToken.lookupId, textParam('lookupId')),
          eq(apiToken.state, 'ACTIVE'),
          sql`${apiToken.expiresAt} > now()`,
          eq(team.state, 'ACTIVE'),
          eq(member.state, 'ACTIVE'),
        ),
      )
      .prepare('read:authenticate'),
  )
  const [row] = await statement.execute({ lookupId: token.lookupId })
  if (!sameHash(row?.secretHash ?? nobody, token.secretHash) || !row) return null
  // Only a figure for people: when it cannot be written the request goes on.
  if (row.unnoted) void noteUse(db, row.id).catch(() => {})
  const { id, teamId, memberId, role } = row
  const scopes = scopesInEffect(row.scopes as Scope[], role)
  return { kind: 'token', id, teamId, memberId, role, scopes, classes: new Set(row.classes as ActionClass[]) }
}

/** The guard is repeated in the statement, so that of many requests at once one writes. */
async function noteUse(db: Database, id: string): Promise<void> {
  const statement = statementOf(db, 'noteTokenUse', () =>
    db
      .update(apiToken)
      .set({ lastUsedAt: sql`now()` })
      .where(
        and(
          eq(apiToken.id, textParam('id')),
          sql`coalesce(${apiToken.lastUsedAt} < now() - interval '1 minute', true)`,
        ),
      )
      .prepare('noteTokenUse'),
  )
  await statement.execute({ id })
}
