// What a twin would be: a resource of the same type and name in another environment, told from the source's row and named by
// a digest of that definition. It starts empty: nothing that the source holds is copied.
import { and, eq } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { entityOfId } from '../db/id.ts'
import { resource } from '../db/resource.ts'
import { liveResourceStates } from '../lifecycle/resource.ts'
import { callInstead, lookAt, type Refusal, type Remedy, refuse } from '../refusals.ts'
import { wrongEnvironment } from './approval-use.ts'
import { noRoom, unless } from './hindrance.ts'
import { digestOf } from './promotion-plan.ts'
import { openApprovalOf } from './promotion-read.ts'
import { liveNamed, type Resource, wrongState } from './resource-refusal.ts'
import type { Database } from './transition.ts'

export interface TwinPlan {
  readonly source: Resource
  readonly toEnvironment: string
  /** What has the name there already; null when it is free. */
  readonly existing: Resource | null
  /** SHA-256 in hex of the definition: type, name, source and target environment. */
  readonly digest: string
}

/** The plan as rows are now; null when there is no such resource in the team. */
export async function planTwin(
  db: Database,
  teamId: string,
  resourceId: string,
  toEnvironment: string,
): Promise<TwinPlan | null> {
  if (entityOfId(resourceId) !== 'Resource') return null
  const [source] = await db
    .select()
    .from(resource)
    .where(and(eq(resource.id, resourceId), eq(resource.teamId, teamId)))
  if (!source) return null
  const existing = await liveNamed(db, teamId, toEnvironment, source.name)
  const digest = digestOf(['twin', source.type, source.name, source.id, toEnvironment])
  return { source, toEnvironment, existing, digest }
}

/** What of it is kept with its approval and shown. */
export const shownTwin = ({ source, toEnvironment }: TwinPlan): Record<string, unknown> => ({
  source: { id: source.id },
  type: source.type,
  name: source.name,
  toEnvironment,
})

/** What can be known to be wrong before anything is asked or changed. */
export async function refuseTwin(context: Context, plan: TwinPlan): Promise<Refusal | null> {
  const { source, existing } = plan
  const wrong = wrongEnvironment('resource', plan)
  if (wrong) return wrong
  if (!liveResourceStates.includes(source.state)) return wrongState(context, 'sendResource', source)
  if (existing) return twinExists(existing)
  const unavailable = context.resourceTypes(source.type)
  return unavailable === null
    ? null
    : refuse('ResourceTypeUnavailable', { message: unavailable, facts: { type: source.type } })
}

export const twinExists = (holder: Resource): Refusal<'TwinExists'> =>
  refuse('TwinExists', {
    message: `${holder.name} in ${holder.environment} is there already: ${holder.id}, which is ${holder.state}. Nothing was changed.`,
    facts: { resource: holder },
    remedies: [lookAt('resource', { id: holder.id }, 'Look at the one that is there.')],
  })

/** What leads to an approval, best first: one that can be used now, one that waits for a decision, the call that asks for one. */
export async function waysToTwin(context: Context, plan: TwinPlan): Promise<readonly Remedy[]> {
  if (await refuseTwin(context, plan)) return []
  const { source, toEnvironment, digest } = plan
  const input = { resourceId: source.id, toEnvironment }
  const known = await openApprovalOf(context.db, source.teamId, source.id, digest)
  if (known?.state === 'APPROVED')
    return unless(
      callInstead('twinResource', { ...input, approvalId: known.id }, 'Use the approval that is there.'),
      noRoom(context.db, source.teamId, 'resources'),
    )
  if (known) return [lookAt('promotionApproval', { id: known.id }, 'One is asked for already: somebody decides on it.')]
  return [callInstead('requestTwin', input, 'Ask for the approval of the twin.')]
}
