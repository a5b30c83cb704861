// What a plan has room for, told when there is no more of it: the counter decided, and this reads it for the refusal.
import { and, eq } from 'drizzle-orm'
import { planUsage, type UsageKind } from '../db/team.ts'
import { lookAt, type Refusal, refuse } from '../refusals.ts'
import type { Database } from './transition.ts'

/** The refusal of a birth that the constraint `plan_cap` has stopped. */
export async function planIsFull(db: Database, teamId: string, limit: UsageKind): Promise<Refusal> {
  const [usage] = await db
    .select()
    .from(planUsage)
    .where(and(eq(planUsage.teamId, teamId), eq(planUsage.kind, limit)))
  const { cap, used } = usage ?? { cap: 0, used: 0 }
  return refuse('QuotaExceeded', {
    message: `The plan has room for ${cap} ${limit}, and ${used} are in use. Delete one first.`,
    facts: { limit, cap, used },
    remedies: [lookAt(limit, {}, `List the ${limit} that take up the room.`)],
  })
}
