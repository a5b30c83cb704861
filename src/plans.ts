// The plans: how much of each thing a team may have, and how much it may ask for. Data alone: counters in the database hold the
// one, the buckets of src/rate-limit.ts the other.
import type { UsageKind } from './db/team.ts'

export const plans = {
  standard: {
    deployments: 100,
    resources: 20,
    stacks: 50,
    secrets: 200,
    members: 100,
    owners: 100,
    instances: 1_000,
    webhooks: 20,
  },
} as const satisfies Record<string, Readonly<Record<UsageKind, number>>>

export type PlanName = keyof typeof plans

/** Whose budget it is: a token's or member's own, or the one that all of a team's have together. */
export type RateScope = 'actor' | 'team'
/** In points of an operation's cost: so many at once, and so many a second for as long as one likes. */
export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/**
 * The same for every plan. A point is at most 8 µs of a core (src/rate-limit.ts), so one actor may take a third of a core for
 * good, and a team, however many tokens it makes, two thirds: never a whole replica. For an actor that is 500 mutations or
 * other small requests a second, or ten dashboards of 50 deployments (4,000 points). Half a minute's worth may come at once:
 * 15,000 small requests, so that a storm of deployments, a start of many clients or a run of tests is not slowed down.
 */
export const rates: Readonly<Record<RateScope, Rate>> = {
  actor: { burst: 1_200_000, perSecond: 40_000 },
  team: { burst: 2_400_000, perSecond: 80_000 },
}
