// Every kind of caller that the scope sweep knows: nobody, each single scope, each role, each class of actions left out, a
// team that is being deleted, the token of an invitation.
import type postgres from 'postgres'
import { newId } from '../../src/db/id.ts'
import { mintToken } from '../../src/token.ts'
import { withTriggersOff } from '../row.ts'
import { allClasses, allScopes, type Need, scopesOfRole } from './expected-need.ts'

export interface Caller {
  readonly name: string
  readonly token: string
  readonly scopes: readonly string[]
  readonly classes: readonly string[]
  readonly role: string | null
  readonly known: boolean
  /** Of a team that is being deleted. */
  readonly leaving: boolean
}

/** What a caller is to be answered: 401, what it lacks, or null when it is let past. */
export function expected(caller: Caller, need: Need): string | null {
  if (!caller.known) return '401'
  const scope = need.scopes.find((one) => !caller.scopes.includes(one))
  if (scope !== undefined) return scope
  if (!caller.classes.includes(need.class)) return need.class
  const beyond = need.allClasses && allClasses.find((one) => !caller.classes.includes(one))
  if (beyond) return beyond
  if (need.owner && caller.role !== 'owner') return 'owner'
  return caller.leaving && !need.whileLeaving ? 'ACTIVE' : null
}

interface Given {
  readonly name: string
  readonly role?: string
  readonly scopes?: readonly string[]
  readonly classes?: readonly string[]
}

/** All of them, of one team; `leavingId` is the team that is being deleted. */
export async function openCallers(sql: postgres.Sql, teamId: string, leavingId: string): Promise<Caller[]> {
  const given: Given[] = [
    { name: 'everything' },
    ...allScopes.map((scope) => ({ name: `only the scope ${scope}`, scopes: [scope] })),
    ...Object.keys(scopesOfRole).map((role) => ({ name: `the role ${role}`, role })),
    ...allClasses.map((left) => ({
      name: `all but the class ${left}`,
      classes: allClasses.filter((one) => one !== left),
    })),
  ]
  const nobody = { scopes: [], classes: [], role: null, known: false, leaving: false }
  const callers: Caller[] = [
    { name: 'no token', token: '', ...nobody },
    { name: 'a bad token', token: mintToken().plaintext, ...nobody },
  ]
  for (const one of given) callers.push(await putCaller(sql, teamId, one, false))
  callers.push(await putCaller(sql, leavingId, { name: 'everything in a team that is being deleted' }, true))
  callers.push(await putInvited(sql, teamId))
  return callers
}

async function putCaller(sql: postgres.Sql, teamId: string, given: Given, leaving: boolean): Promise<Caller> {
  const { name, role = 'owner', scopes = allScopes, classes = allClasses } = given
  const [memberId, id] = [newId('Member'), newId('ApiToken')]
  const { plaintext, lookupId, secretHash } = mintToken()
  await withTriggersOff(sql, async (tx) => {
    await tx`insert into member (id, state, team_id, identity, name, role)
      values (${memberId}, 'ACTIVE', ${teamId}, ${`local:${memberId}`}, 'caller', ${role})`
    await tx`insert into api_token (id, state, team_id, member_id, name, lookup_id, secret_hash, scopes, action_classes, expires_at, last_used_at)
      values (${id}, 'ACTIVE', ${teamId}, ${memberId}, 'caller', ${lookupId}, ${secretHash}, ${[...scopes]}, ${[...classes]}, now() + interval '1 hour', now())`
  })
  const inEffect = scopes.filter((scope) => scopesOfRole[role]?.includes(scope))
  return { name, token: plaintext, scopes: inEffect, classes, role, known: true, leaving }
}

/** It may do one thing, for which it needs nothing else. */
async function putInvited(sql: postgres.Sql, teamId: string): Promise<Caller> {
  const { plaintext, lookupId, secretHash } = mintToken()
  const [memberId] = await sql<
    { id: string }[]
  >`select id from member where team_id = ${teamId} and role = 'owner' limit 1`
  await withTriggersOff(sql, async (tx) => {
    await tx`insert into invitation (id, state, team_id, email, role, lookup_id, secret_hash, expires_at, invited_by)
      values (${newId('Invitation')}, 'PENDING', ${teamId}, 'x@example.test', 'viewer', ${lookupId}, ${secretHash},
        now() + interval '1 hour', ${memberId?.id ?? ''})`
  })
  return {
    name: 'the token of an invitation',
    token: plaintext,
    scopes: [],
    classes: ['creating'],
    role: null,
    known: true,
    leaving: false,
  }
}
