// The first team of a new database, with its owner and the owner's token: there is nobody yet who could ask for it.
import { eq } from 'drizzle-orm'
import { actionClasses, scopes } from '../auth.ts'
import { apiToken } from '../db/api-token.ts'
import { DatabaseFault } from '../db/fault.ts'
import { mintToken, parseToken } from '../token.ts'
import { bringToken, firstTokenValues } from './api-token.ts'
import { completePlans } from './plan-complete.ts'
import { bringTeam } from './team.ts'
import type { Cause, Database } from './transition.ts'

// Fixed ids: replicas that start at once on a new database make one team and one token between them.
const teamId = 'team_00000000000000000000000001'
const memberId = 'mem_00000000000000000000000001'
const tokenId = 'tok_00000000000000000000000001'
const days = 365
const name = 'first owner'

/**
 * Gives a new database its first team and owner token; one that has them gets no more than the counters that its teams lack.
 * Returns the plaintext when this very call stored it, else null. `given` is the token to store; without it one is made.
 */
export async function bootstrap(db: Database, given: string | null): Promise<string | null> {
  const cause: Cause = { actor: { kind: 'system', id: 'bootstrap' }, requestId: 'bootstrap' }
  await completePlans(db)
  const [known] = await db.select({ id: apiToken.id }).from(apiToken).where(eq(apiToken.id, tokenId))
  if (known) return null
  const token = given === null ? mintToken() : { ...parsed(given), plaintext: given }
  const person = { memberId, identity: `local:${memberId}`, name, email: null }
  const facts = firstTokenValues({ name, scopes, actionClasses, days }, token, tokenId)
  if (await once(() => bringTeam(db, { ...cause, id: teamId }, 'first', person, facts))) return token.plaintext
  // An older start may have made the team, and have been stopped before it made the token.
  const expiresAt = new Date(Date.now() + days * 86_400_000)
  const stored = await once(() =>
    bringToken(db, teamId, { memberId, name, scopes, actionClasses, expiresAt }, token, { ...cause, id: tokenId }),
  )
  return stored ? token.plaintext : null
}

function parsed(given: string) {
  const token = parseToken(given)
  if (!token) throw new Error('PAWL_BOOTSTRAP_TOKEN is not a token: `npm run new-token` prints one that is')
  return token
}

/** False when somebody else was first. */
async function once(make: () => Promise<unknown>): Promise<boolean> {
  try {
    await make()
    return true
  } catch (error) {
    if (error instanceof DatabaseFault && error.kind === 'constraint' && error.sqlState === '23505') return false
    throw error
  }
}
