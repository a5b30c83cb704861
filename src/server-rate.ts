// What a request pays at the door, in three steps: something for being looked at, something for its document, and the cost of
// its operation; each step only what it adds. Whoever cannot pay is told when it will do, and nothing of the request is run.
import type { ServerResponse } from 'node:http'
import { type DocumentNode, GraphQLError } from 'graphql'
import { type Budgets, minRequestPoints, type Payer, type RateLimit, type RateRefusal } from './rate-limit.ts'
import type { Refused } from './server-answer.ts'

/** The account of one request. */
export interface Account {
  /** Raises what the request has paid to so many points; a refusal when the budget is not enough for that. */
  pay(points: number): RateRefusal | null
  /** Pays so many points more, for one of many answers. */
  payMore(points: number): RateRefusal | null
  budgets(): Budgets
}

/**
 * `x-ratelimit-remaining` of the answer says what is left of the scarcer budget. A header, because it moves all the time: two
 * answers to one question have the same body. The fields that the IETF drafts count requests or bytes, and know no points.
 */
export function openAccount(rate: RateLimit, payer: Payer, res: ServerResponse): Account {
  let paid = 0
  const tell = () => {
    const { actor, team } = rate.budgets(payer)
    if (!res.headersSent) res.setHeader('x-ratelimit-remaining', String(Math.min(actor.remaining, team.remaining)))
  }
  return {
    pay(points) {
      if (points <= paid) return null
      // The next attempt has to pay all of it.
      const refusal = rate.take(payer, points - paid, points)
      if (refusal === null) paid = points
      tell()
      return refusal
    },
    payMore: (points) => rate.take(payer, points),
    budgets: () => rate.budgets(payer),
  }
}

/**
 * Before anything of a request is read. What is refused later, for whatever reason, has paid this. A refusal at this step
 * knows nothing of what the request would cost, so the wait that it names is for the smallest.
 */
export const priceOfRequest = minRequestPoints

/** Before a document is validated: all operations and fragments in it count, also those that are not run. */
export const priceOfDocument = (document: DocumentNode): number => document.tokenCount ?? 0

const retryAfterSeconds = ({ retryAfterMs }: RateRefusal) => String(Math.max(1, Math.ceil(retryAfterMs / 1_000)))
const whose = { actor: 'This token or member has', team: 'All tokens and members of this team together have' } as const
const messageOf = ({ limit, retryAfterMs }: RateRefusal) =>
  `${whose[limit]} used up what may be asked for at a time. Try again in ${retryAfterMs} ms; ` +
  '`limits { rate }` tells how much there is.'

/** The refusal as the door itself answers it. */
export function rateRefused(refusal: RateRefusal) {
  const flaw: Refused = { status: 429, code: 'RATE_LIMITED', message: messageOf(refusal) }
  return { flaw, retryAfter: retryAfterSeconds(refusal), more: { ...refusal } }
}

/** The same where GraphQL answers. */
export const rateError = (refusal: RateRefusal): GraphQLError =>
  new GraphQLError(messageOf(refusal), {
    extensions: {
      code: 'RATE_LIMITED',
      retryAfterMs: refusal.retryAfterMs,
      limit: refusal.limit,
      http: { status: 429, headers: { 'retry-after': retryAfterSeconds(refusal) } },
    },
  })
