// What may be asked of teams. A team is made with its first owner and that owner's token, all in one statement; its deletion
// can be taken back for a while, in which nothing of it is touched.
import { sql } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { quoted } from '../db/columns.ts'
import { newId } from '../db/id.ts'
import { member } from '../db/member.ts'
import { team, type UsageKind, usageKinds } from '../db/team.ts'
import { memberMachine } from '../lifecycle/member.ts'
import { teamMachine } from '../lifecycle/team.ts'
import { plans } from '../plans.ts'
import { lookAt } from '../refusals.ts'
import { mintToken } from '../token.ts'
import { type ApiToken, firstToken, firstTokenValues } from './api-token.ts'
import { apiTokensById } from './api-token-read.ts'
import {
  answer,
  type CallInput,
  callOptions,
  causeOf,
  faulty,
  illegalState,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
} from './call.ts'
import { check, nothingElse, teamInput } from './input.ts'
import { type MemberView, membersById } from './member-read.ts'
import { type Accepted, type ById, type Kind, moveById } from './move-by-id.ts'
import { type Team, teamsById } from './team-read.ts'
import * as rules from './team-rule.ts'
import { bring, type Call, type Database, defineBirth, defineBorn } from './transition.ts'
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
    firstToken(() => textParam('id')),
  ],
  result: sql`jsonb_build_object('memberId', ${textParam('memberId')}, 'tokenId', ${textParam('tokenId')})`,
})

/** The first owner of a team. */
interface Owner {
  readonly memberId: string
  readonly identity: string
  readonly name: string
  readonly email: string | null
}

/** Makes a team of the standard plan with its first owner and that owner's first token. */
export const bringTeam = (
  db: Database,
  call: Call & { id: string },
  name: string,
  owner: Owner,
  token: ReturnType<typeof firstTokenValues>,
) =>
  bring(db, createRule, {
    ...call,
    values: {
      name,
      plan: 'standard',
      caps: JSON.stringify(plans.standard),
      memberId: owner.memberId,
      identity: owner.identity,
      memberName: owner.name,
      email: owner.email,
      ...token,
    },
  })

/** What a payload shows of a team that was just made; null where the caller is no member of it any more. */
export interface NewTeamPayload extends Payload {
  readonly team: Team | null
  readonly member: MemberView | null
  readonly token: Pick<ApiToken, 'id'> | null
  /** Shown once: null in a replay. */
  readonly plaintext: string | null
}

/** Makes a team; whoever asks is its first owner, under the identity that it has here. */
export const createTeam = (context: Context, input: CallInput & { name: string }): Promise<Result<NewTeamPayload>> =>
  answer(context, 'Team', 'createTeam', async (): Promise<Result<NewTeamPayload>> => {
    const checked = check(teamInput, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { db, actor } = context
    const [self] = actor.memberId === null ? [] : await membersById(db, actor.teamId, [actor.memberId])
    if (!self) throw new Error('a team is made by a member')
    const minted = mintToken()
    const memberId = newId('Member')
    const { identity, name, email } = self
    const token = firstTokenValues({ name: 'first token', scopes: actor.scopes, actionClasses: actor.classes }, minted)
    const id = newId('Team')
    const call = { ...causeOf(context), id, ...callOptions('createTeam', input, checked) }
    const found = await bringTeam(db, call, checked.value.name, { memberId, identity, name, email }, token)
    switch (found.kind) {
      case 'moved': {
        const [first, itsToken] = found.born as [MemberView?, ApiToken?]
        const rows = first && itsToken ? { team: found.row, member: first, token: itsToken } : null
        // Where the answer was lost they are read.
        const shown = rows ?? (await made(db, id, { memberId, ...token }))
        return { ...shown, plaintext: minted.plaintext, replayed: false }
      }
      case 'replayed':
        return { ...(await made(db, found.subjectId, found.result)), plaintext: null, replayed: true }
      case 'key-reused':
        return keyReused('createTeam', found)
      default:
        throw new Error(`a birth cannot be ${found.kind}`)
    }
  })

async function made(db: Database, teamId: string, born: Record<string, unknown> | null) {
  const { memberId, tokenId } = (born ?? {}) as { memberId: string; tokenId: string }
  const [[own], [row], [token]] = await Promise.all([
    membersById(db, teamId, [memberId]),
    teamsById(db, teamId, [teamId]),
    apiTokensById(db, teamId, [tokenId]),
  ])
  return own?.state === 'ACTIVE'
    ? { team: row ?? null, member: own, token: token ?? null }
    : { team: null, member: null, token: null }
}

const kind: Kind<typeof team, 'deleteTeam' | 'restoreTeam'> = {
  table: team,
  entity: 'Team',
  word: 'team',
  wrongState: async (_db, action, row) => {
    if (action === 'deleteTeam' && row.state === 'DELETION_REQUESTED') return underWay(row)
    const from = teamMachine.moves[action].from as readonly string[]
    return illegalState(
      'IllegalState',
      `${action} is not possible: the team ${row.name} has been ${row.state} since ${row.stateChangedAt.toISOString()}. ` +
        `${action} starts from ${from.join(', ')}.`,
      { team: row, action },
      [lookAt('team', { id: row.id }, 'See what becomes of it, and when.')],
      false,
    )
  },
}

/** Its deletion was asked for already. To take that back is another wish, and no remedy for this one. */
const underWay = (row: Team) =>
  illegalState(
    'IllegalState',
    `The team ${row.name} is being deleted already: it was asked for at ${row.stateChangedAt.toISOString()}, and begins at ` +
      `${row.deletionAt?.toISOString()}.`,
    { team: row, action: 'deleteTeam' },
    [lookAt('team', { id: row.id }, 'See what becomes of it, and when.')],
    false,
  )

export interface TeamPayload extends Payload {
  readonly team: Team
}
const payload = ({ row, replayed }: Accepted<typeof team>): TeamPayload => ({ team: row, replayed })

/** Asks for the end of the caller's team. It can be restored for a while; until then nothing of it is touched. */
export const deleteTeam = (context: Context, input: ById) =>
  moveById(context, kind, 'deleteTeam', rules.deleteTeam, nothingElse, input, { payload })

/** Takes the deletion back. */
export const restoreTeam = (context: Context, input: ById) =>
  moveById(context, kind, 'restoreTeam', rules.restoreTeam, nothingElse, input, {
    guard: (row) =>
      illegalState(
        'IllegalState',
        `restoreTeam is not possible any more: the team ${row.name} could be restored until ${row.deletionAt?.toISOString()}.`,
        { team: row, action: 'restoreTeam' },
        [lookAt('team', { id: row.id }, 'See what becomes of it.')],
        false,
      ),
    payload,
  })
