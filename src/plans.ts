// The plans: how much of each thing a team may have. Data alone; the counters in the database are what holds them.
import type { UsageKind } from './db/team.ts'

export const plans = {
  standard: { deployments: 100, resources: 20, stacks: 50, secrets: 200, members: 100, owners: 100 },
} as const satisfies Record<string, Readonly<Record<UsageKind, number>>>

export type PlanName = keyof typeof plans
