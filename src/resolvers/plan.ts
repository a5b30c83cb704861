// What a plan has room for, told when there is no more of it: the counter decided, and this reads it for the refusal.
import { eq } from 'drizzle-orm'
import { planUsage, type UsageKind } from '../db/team.ts'
import { lookAt, type Refusal, refuse } from '../refusals.ts'
import type { Database } from './transition.ts'

/** The refusal of a move that the constraint `plan_cap` has stopped; of several things it tells the one that is full. */
export async function planIsFull(db: Database, teamId: string, ...limits: UsageKind[]): Promise<Refusal> {
  const usages = await db.select().from(planUsage).where(eq(planUsage.teamId, teamId))
  const asked = usages.filter(({ kind }) => limits.includes(kind))
  const usage = asked.find(({ used, cap }) => used >= cap) ?? asked[0]
  const { kind: limit, cap, used } = usage ?? { kind: limits[0], cap: 0, used: 0 }
  // Owners are listed among the members.
  const list = limit === 'owners' ? 'members' : String(limit)
  return refuse('QuotaExceeded', {
    message: `The plan has room for ${cap} ${limit}, and ${used} are in use. Delete one first.`,
    facts: { limit, cap, used },
    remedies: [lookAt(list, {}, `List the ${list} that take up the room.`)],
  })
}
