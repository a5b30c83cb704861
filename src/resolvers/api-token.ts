// API tokens: made with scopes that the maker has, shown once, taken back for good.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import type { ActionClass, Scope } from '../auth.ts'
import type { Context } from '../context.ts'
import { apiToken } from '../db/api-token.ts'
import { entityOfId, newId } from '../db/id.ts'
import type { LifecycleTable } from '../db/tables.ts'
import { apiTokenMachine } from '../lifecycle/api-token.ts'
import { forbidden, notFound, refuse, validationFailed } from '../refusals.ts'
import { mintToken, type Token } from '../token.ts'
import {
  answer,
  type CallInput,
  causeOf,
  faulty,
  idempotencyOf,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
  versionConflict,
} from './call.ts'
import { apiTokenInput, check, nothingElse } from './input.ts'
import { bring, type Cause, type Database, defineBirth, defineBorn, defineRule, transition } from './transition.ts'
import { intParam, listParam, textParam } from './transition-statement.ts'

export type ApiToken = typeof apiToken.$inferSelect
export interface ApiTokenPayload extends Payload {
  readonly token: ApiToken
  /** Shown once: null in a replay. */
  readonly plaintext: string | null
}

/** How long a token works when nothing else is said. */
export const defaultTokenDays = 90
const dayMs = 86_400_000

const part = { table: apiToken, machine: apiTokenMachine } as const

const createRule = defineBirth({
  ...part,
  name: 'createApiToken',
  action: 'createApiToken',
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    memberId: textParam('memberId'),
    name: textParam('name'),
    lookupId: textParam('lookupId'),
    secretHash: textParam('secretHash'),
    scopes: listParam('scopes'),
    actionClasses: listParam('actionClasses'),
    expiresAt: sql`${textParam('expiresAt')}::timestamptz`,
  },
})

/** The first token of a member, born together with it. */
export const firstToken = <F extends LifecycleTable>(teamId: (found: F) => SQL) =>
  defineBorn<typeof apiToken, F>({
    ...part,
    action: 'createApiToken',
    values: (found) => ({
      id: textParam('tokenId'),
      teamId: teamId(found),
      memberId: textParam('memberId'),
      name: textParam('tokenName'),
      lookupId: textParam('lookupId'),
      secretHash: textParam('secretHash'),
      scopes: listParam('scopes'),
      actionClasses: listParam('actionClasses'),
      expiresAt: sql`clock_timestamp() + ${intParam('tokenDays')} * interval '1 day'`,
    }),
  })

/** The parameters of `firstToken`, with a new id. */
export const firstTokenValues = (
  { name, scopes, actionClasses, days }: FirstToken,
  { lookupId, secretHash }: Token,
  tokenId = newId('ApiToken'),
) => ({
  tokenId,
  tokenName: name,
  lookupId,
  secretHash,
  scopes: [...scopes].join(','),
  actionClasses: [...actionClasses].join(','),
  tokenDays: days ?? defaultTokenDays,
})
interface FirstToken {
  readonly name: string
  readonly scopes: Iterable<Scope>
  readonly actionClasses: Iterable<ActionClass>
  readonly days?: number
}

export const revokeRule = defineRule({
  name: 'revokeApiToken',
  subject: {
    ...part,
    action: 'revokeApiToken',
    where: and(eq(apiToken.id, textParam('id')), eq(apiToken.teamId, textParam('teamId'))) as SQL,
  },
  called: true,
})

export const expireApiToken = defineRule({
  name: 'expireApiToken',
  subject: {
    ...part,
    action: 'expireApiToken',
    where: sql`${apiToken.state} = 'ACTIVE' and ${apiToken.expiresAt} <= now()`,
    batch: { orderBy: sql`${apiToken.expiresAt}`, limit: intParam('limit') },
    guard: (found) => sql`${found.expiresAt} <= now()`,
  },
})

export interface NewApiToken extends CallInput {
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly actionClasses?: readonly ActionClass[] | null
  readonly expiresAt?: Date | null
}

/** Makes a token for the caller's team. A token can only give scopes that its maker has. */
export const createApiToken = (context: Context, input: NewApiToken): Promise<Result<ApiTokenPayload>> =>
  answer(context, 'ApiToken', 'createApiToken', async (): Promise<Result<ApiTokenPayload>> => {
    const checked = check(apiTokenInput, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { name, scopes } = checked.value
    const { actor } = context
    const actionClasses = checked.value.actionClasses ?? [...actor.classes]
    const scope = scopes.find((each) => !actor.scopes.has(each))
    if (scope) return forbidden({ kind: 'scope', name: scope })
    const beyond = actionClasses.find((each) => !actor.classes.has(each))
    if (beyond) return forbidden({ kind: 'action class', name: beyond })
    if (actor.memberId === null) throw new Error('a token is made for a member')
    const facts = { memberId: actor.memberId, name, scopes, actionClasses }
    const now = Date.now()
    const expiresAt = checked.value.expiresAt ?? new Date(now + defaultTokenDays * dayMs)
    if (expiresAt.getTime() <= now || expiresAt.getTime() > now + 366 * dayMs) {
      return validationFailed([
        { path: ['input', 'expiresAt'], message: 'must be in the future and at most 366 days away' },
      ])
    }
    const minted = mintToken()
    const idempotency = idempotencyOf('createApiToken', input, checked.idempotencyKey)
    const found = await bringToken(context.db, actor.teamId, { ...facts, expiresAt }, minted, {
      ...causeOf(context),
      ...(idempotency ? { idempotency } : {}),
    })
    switch (found.kind) {
      case 'moved':
        return { token: found.row, plaintext: minted.plaintext, replayed: false }
      case 'replayed': {
        const token = await find(context, found.subjectId)
        if (!token) throw new Error(`the replayed token ${found.subjectId} is gone`)
        return { token, plaintext: null, replayed: true }
      }
      case 'key-reused':
        return keyReused('createApiToken', found)
      default:
        throw new Error(`a birth cannot be ${found.kind}`)
    }
  })

export interface TokenFacts {
  /** Who it stands for. */
  readonly memberId: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly actionClasses: readonly ActionClass[]
  readonly expiresAt: Date
}

/** Stores a token that was made; `id` is given where a second attempt must not make a second token. */
export const bringToken = (
  db: Database,
  teamId: string,
  facts: TokenFacts,
  token: Token,
  call: Cause & { idempotency?: Parameters<typeof bring>[2]['idempotency']; id?: string },
) => {
  const id = call.id ?? newId('ApiToken')
  const { memberId, name, scopes, actionClasses, expiresAt } = facts
  return bring(db, createRule, {
    ...call,
    id,
    values: {
      teamId,
      memberId,
      name,
      lookupId: token.lookupId,
      secretHash: token.secretHash,
      scopes: scopes.join(','),
      actionClasses: actionClasses.join(','),
      expiresAt: expiresAt.toISOString(),
    },
  })
}

/** Takes a token back, at once and for good. */
export const revokeApiToken = (context: Context, input: CallInput & { id: string }): Promise<Result<ApiTokenPayload>> =>
  answer(context, 'ApiToken', 'revokeApiToken', async (): Promise<Result<ApiTokenPayload>> => {
    const checked = check(nothingElse, input)
    if (faulty(checked)) return refuseFaults(checked)
    if (entityOfId(input.id) !== 'ApiToken') return notFound('apiToken', input.id)
    const idempotency = idempotencyOf('revokeApiToken', input, checked.idempotencyKey)
    const found = await transition(context.db, revokeRule, {
      ...causeOf(context),
      values: { id: input.id, teamId: context.actor.teamId },
      ...(idempotency ? { idempotency } : {}),
      ...(checked.expectedVersion === null ? {} : { expectedVersion: checked.expectedVersion }),
    })
    switch (found.kind) {
      case 'moved':
        return { token: found.row, plaintext: null, replayed: false }
      case 'replayed': {
        const token = await find(context, found.subjectId)
        if (!token) throw new Error(`the replayed token ${found.subjectId} is gone`)
        return { token, plaintext: null, replayed: true }
      }
      case 'key-reused':
        return keyReused('revokeApiToken', found)
      case 'missing':
        return notFound('apiToken', input.id)
      case 'refused': {
        const token = found.found
        if (token.state === 'ACTIVE') return versionConflict('apiToken', token, checked.expectedVersion)
        return refuse('TokenAlreadyRevoked', {
          message: `The token ${token.name} has been ${token.state} since ${token.stateChangedAt.toISOString()}. Nothing more is to be done.`,
          facts: { apiToken: token },
        })
      }
    }
  })

async function find(context: Context, id: string): Promise<ApiToken | null> {
  const [row] = await context.db
    .select()
    .from(apiToken)
    .where(and(eq(apiToken.id, id), eq(apiToken.teamId, context.actor.teamId)))
  return row ?? null
}
