// What a plan has room for, told when there is no more of it: the counter decided, and this reads it for the refusal.
import { eq } from 'drizzle-orm'
import { planUsage, type UsageKind } from '../db/team.ts'
import { liveDeploymentStates } from '../lifecycle/deployment.ts'
import { liveInstanceStates } from '../lifecycle/instance.ts'
import { liveResourceStates } from '../lifecycle/resource.ts'
import { liveStackStates } from '../lifecycle/stack.ts'
import { lookAt, type Refusal, refuse } from '../refusals.ts'
import type { Database } from './transition.ts'

interface Room {
  /** What gives a place back. */
  readonly by: string
  /** The query that lists what takes up the room, and which of it. */
  readonly list: string
  readonly filter?: Readonly<Record<string, unknown>>
}
const rooms: Readonly<Record<UsageKind, Room>> = {
  deployments: { by: 'deleteDeployment', list: 'deployments', filter: { states: liveDeploymentStates } },
  resources: { by: 'deleteResource', list: 'resources', filter: { states: liveResourceStates } },
  stacks: { by: 'deleteStack', list: 'stacks', filter: { states: liveStackStates } },
  secrets: { by: 'deleteSecret', list: 'secrets' },
  members: { by: 'removeMember', list: 'members' },
  // Owners are listed among the members.
  owners: { by: 'setMemberRole or removeMember', list: 'members' },
  instances: { by: 'removeInstance', list: 'instances', filter: { runtime: 'EXTERNAL', states: liveInstanceStates } },
  webhooks: { by: 'deleteWebhook', list: 'webhooks' },
}

/** The refusal of a move that the constraint `plan_cap` has stopped; of several things it tells the one that is full. */
export async function planIsFull(
  db: Database,
  teamId: string,
  ...limits: [UsageKind, ...UsageKind[]]
): Promise<Refusal> {
  const usages = await db.select().from(planUsage).where(eq(planUsage.teamId, teamId))
  const asked = usages.filter(({ kind }) => limits.includes(kind))
  const usage = asked.find(({ used, cap }) => used >= cap) ?? asked[0]
  const { kind: limit, cap, used } = usage ?? { kind: limits[0], cap: 0, used: 0 }
  const { by, list, filter } = rooms[limit]
  return refuse('QuotaExceeded', {
    message: `The plan has room for ${cap} ${limit}, and ${used} are in use.${used > 0 ? ` Make room by ${by} first.` : ''}`,
    facts: { limit, cap, used },
    remedies: [
      lookAt(
        list,
        filter ? { filter } : {},
        `List the ${limit === 'owners' ? 'members' : limit} that take up the room.`,
      ),
    ],
  })
}
