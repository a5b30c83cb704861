// Teams. For now the first one, which a new database gets together with its owner's token.
import { eq, sql } from 'drizzle-orm'
import { actionClasses, scopes } from '../auth.ts'
import { apiToken } from '../db/api-token.ts'
import { quoted } from '../db/columns.ts'
import { DatabaseFault } from '../db/fault.ts'
import { member } from '../db/member.ts'
import { team, type UsageKind, usageKinds } from '../db/team.ts'
import { memberMachine } from '../lifecycle/member.ts'
import { teamMachine } from '../lifecycle/team.ts'
import { plans } from '../plans.ts'
import { mintToken, parseToken } from '../token.ts'
import { bringToken } from './api-token.ts'
import { bring, type Cause, type Database, defineBirth, defineBorn } from './transition.ts'
import type { Cap } from './transition-counter.ts'
import { jsonParam, textParam } from './transition-statement.ts'

/** What a new team has room for, its first owner counted. */
const caps = Object.fromEntries(
  usageKinds.map((kind) => [
    kind,
    {
      cap: sql`(${jsonParam('caps')} ->> ${sql.raw(quoted([kind]))})::int`,
      used: kind === 'members' || kind === 'owners' ? 1 : 0,
    },
  ]),
) as Record<UsageKind, Cap>

const createRule = defineBirth({
  table: team,
  machine: teamMachine,
  name: 'createTeam',
  action: 'createTeam',
  values: { id: textParam('id'), name: textParam('name'), plan: textParam('plan') },
  caps,
  bears: [
    defineBorn({
      table: member,
      machine: memberMachine,
      action: 'joinTeam',
      values: () => ({
        id: textParam('memberId'),
        teamId: textParam('id'),
        identity: textParam('identity'),
        name: textParam('memberName'),
        email: textParam('email'),
        role: sql`'owner'`,
      }),
    }),
  ],
})

// Fixed ids: replicas that start at once on a new database make one team and one token between them.
const firstTeam = 'team_00000000000000000000000001'
const firstMember = 'mem_00000000000000000000000001'
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
      values: {
        name: 'first',
        plan: 'standard',
        caps: JSON.stringify(plans.standard),
        memberId: firstMember,
        identity: `local:${firstMember}`,
        memberName: 'first owner',
        email: null,
      },
    }),
  )
  const token = given === null ? mintToken() : { ...parsed(given), plaintext: given }
  const facts = {
    memberId: firstMember,
    name: 'first owner',
    scopes,
    actionClasses,
    expiresAt: new Date(Date.now() + yearMs),
  }
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
