// Teams. For now the first one, which a new database gets together with its owner's token.
import { eq } from 'drizzle-orm'
import { mintToken, parseToken, scopes } from '../auth.ts'
import { apiToken } from '../db/api-token.ts'
import { DatabaseFault } from '../db/fault.ts'
import { team } from '../db/team.ts'
import { teamMachine } from '../lifecycle/team.ts'
import { bringToken } from './api-token.ts'
import { bring, type Cause, type Database, defineBirth } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

/** What the standard plan has room for. */
export const standardCaps = { deployments: 100, resources: 20 } as const

const createRule = defineBirth({
  table: team,
  machine: teamMachine,
  name: 'createTeam',
  action: 'createTeam',
  values: { id: textParam('id'), name: textParam('name') },
  caps: { deployments: intParam('capDeployments'), resources: intParam('capResources') },
})

// Fixed ids: replicas that start at once on a new database make one team and one token between them.
const firstTeam = 'team_00000000000000000000000001'
const firstToken = 'tok_00000000000000000000000001'
const yearMs = 365 * 86_400_000

/**
 * Gives a new database its first team and owner token; does nothing to one that has them. Returns the plaintext when
 * this very call stored it, else null. `given` is the token to store; without it one is made.
 */
export async function bootstrap(db: Database, given: string | null): Promise<string | null> {
  const cause: Cause = { actor: { kind: 'system', id: 'bootstrap' }, requestId: 'bootstrap' }
  const [known] = await db.select({ id: apiToken.id }).from(apiToken).where(eq(apiToken.id, firstToken))
  if (known) return null
  await once(() =>
    bring(db, createRule, {
      ...cause,
      id: firstTeam,
      values: { name: 'first', capDeployments: standardCaps.deployments, capResources: standardCaps.resources },
    }),
  )
  const token = given === null ? mintToken() : { ...parsed(given), plaintext: given }
  const facts = { name: 'first owner', scopes, expiresAt: new Date(Date.now() + yearMs) }
  const stored = await once(() => bringToken(db, firstTeam, facts, token, { ...cause, id: firstToken }))
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
