// Every refusal of twinResource, arranged with an approval that is as good as it can be.
import { approvePromotion } from '../../src/resolvers/promotion-decision.ts'
import { deleteResource } from '../../src/resolvers/resource.ts'
import { twinResource } from '../../src/resolvers/twin.ts'
import { contextFor, withTriggersOff } from '../row.ts'
import { type Case, failing, room } from './refusal-case.ts'
import { accepted, outdate, type PromotionWorld, renew, toEnvironment, unique } from './world.ts'

type Twin = Parameters<typeof twinResource>[1]
const twinning = (world: PromotionWorld, resourceId: string, approvalId: string | null, more: Partial<Twin> = {}) =>
  twinResource(world.context, { resourceId, toEnvironment, approvalId, ...more })

async function step(world: PromotionWorld) {
  const name = unique('db-')
  const resourceId = await world.resource('development', name)
  return { name, resourceId, approval: await world.approved('TWIN', resourceId) }
}
const mending = (
  { approval, resourceId }: Pick<Awaited<ReturnType<typeof step>>, 'approval' | 'resourceId'>,
  world: PromotionWorld,
  mend: () => Promise<unknown>,
  more: Partial<Twin> = {},
) => ({
  approval,
  ask: () => twinning(world, resourceId, approval, more),
  mend: async () => {
    await mend()
    return twinning(world, resourceId, approval)
  },
})
const nothing = async () => {}

export const twinRefusals: readonly Case[] = [
  {
    refusal: 'ValidationFailed',
    because: 'it is where it is',
    arrange: async (world) => mending(await step(world), world, nothing, { toEnvironment: 'development' }),
  },
  {
    refusal: 'NotFound',
    because: 'no such resource',
    arrange: async (world) => mending(await step(world), world, nothing, { resourceId: 'res_x' }),
  },
  {
    refusal: 'NotFound',
    because: 'no such approval',
    arrange: async (world) => mending(await step(world), world, nothing, { approvalId: 'apr_x' }),
  },
  {
    refusal: 'Forbidden',
    because: 'the scope is missing',
    async arrange(world) {
      const { resourceId, approval } = await step(world)
      const narrow = contextFor(world.pool.db, { ...world.team.actor, scopes: new Set(['read', 'resource']) })
      const ask = () => twinResource(narrow, { resourceId, toEnvironment, approvalId: approval })
      return { ...mending({ resourceId, approval }, world, nothing), ask }
    },
  },
  {
    refusal: 'VersionConflict',
    because: 'the source was seen at another version',
    arrange: async (world) => mending(await step(world), world, nothing, { expectedVersion: '7' }),
  },
  {
    refusal: 'IdempotencyKeyReused',
    because: 'the key is that of another twin',
    async arrange(world) {
      const [made, other] = [await step(world), await step(world)]
      const idempotencyKey = unique('k')
      accepted(await twinning(world, other.resourceId, other.approval, { idempotencyKey }))
      return mending(made, world, nothing, { idempotencyKey })
    },
  },
  ...(['busy', 'unavailable'] as const).map(
    (kind): Case => ({
      refusal: kind === 'busy' ? 'Busy' : 'TemporarilyUnavailable',
      because: kind === 'busy' ? 'a row is held' : 'the database is away',
      async arrange(world) {
        const { resourceId, approval } = await step(world)
        const context = failing(world, 'twinResource', kind)
        const ask = () => twinResource(context, { resourceId, toEnvironment, approvalId: approval })
        return { ...mending({ resourceId, approval }, world, nothing), ask }
      },
    }),
  ),
  {
    refusal: 'ApprovalRequired',
    because: 'none was named',
    arrange: async (world) => mending(await step(world), world, nothing, { approvalId: null }),
  },
  {
    refusal: 'ApprovalNotApproved',
    because: 'PENDING',
    async arrange(world) {
      const resourceId = await world.resource()
      const approval = await world.asked('TWIN', resourceId)
      return mending({ resourceId, approval }, world, () => approvePromotion(world.context, { id: approval }))
    },
  },
  ...(['REJECTED', 'WITHDRAWN'] as const).map(
    (state): Case => ({
      refusal: 'ApprovalNotApproved',
      because: state,
      async arrange(world) {
        const resourceId = await world.resource()
        const approval = await world.approval({ state, kind: 'TWIN', subjectId: resourceId, toEnvironment })
        return { approval, ask: () => twinning(world, resourceId, approval) }
      },
    }),
  ),
  {
    refusal: 'ApprovalMismatch',
    because: 'for another resource',
    async arrange(world) {
      return mending(await step(world), world, nothing, { resourceId: await world.resource() })
    },
  },
  {
    refusal: 'ApprovalMismatch',
    because: 'for another environment',
    arrange: async (world) => mending(await step(world), world, nothing, { toEnvironment: 'production' }),
  },
  {
    refusal: 'ApprovalMismatch',
    because: 'for a stack',
    async arrange(world) {
      const approval = await world.approved('STACK', await world.stack())
      const resourceId = await world.resource()
      return { approval, ask: () => twinning(world, resourceId, approval) }
    },
  },
  {
    refusal: 'ApprovalExpired',
    because: 'its time is over, not yet seen by the loop',
    async arrange(world) {
      const made = await step(world)
      await outdate(world, made.approval)
      return mending(made, world, () => renew(world, made.approval))
    },
  },
  {
    refusal: 'ApprovalExpired',
    because: 'EXPIRED',
    async arrange(world) {
      const resourceId = await world.resource()
      const facts = { kind: 'TWIN', subjectId: resourceId, expiresInSeconds: -1 } as const
      const approval = await world.approval({ state: 'EXPIRED', ...facts })
      return { approval, ask: () => twinning(world, resourceId, approval) }
    },
  },
  {
    refusal: 'ApprovalAlreadyExecuted',
    because: 'used before',
    async arrange(world) {
      const { resourceId, approval } = await step(world)
      accepted(await twinning(world, resourceId, approval))
      return { approval, ask: () => twinning(world, resourceId, approval) }
    },
  },
  {
    refusal: 'ApprovalStale',
    because: 'it is of another form of the plan',
    async arrange(world) {
      const { resourceId, approval } = await step(world)
      await withTriggersOff(world.stranger, async (sql) => {
        await sql`update promotion_approval set plan_digest = 'another' where id = ${approval}`
      })
      return { approval, ask: () => twinning(world, resourceId, approval) }
    },
  },
  {
    refusal: 'TwinExists',
    because: 'somebody else has made one of that name',
    async arrange(world) {
      const made = await step(world)
      const other = await world.resource(toEnvironment, made.name)
      return {
        ...mending(made, world, () => deleteResource(world.context, { id: other })),
        target: ['resource', other],
      }
    },
  },
  {
    refusal: 'ResourceTypeUnavailable',
    because: 'no provisioner of the type',
    async arrange(world) {
      const { resourceId, approval } = await step(world)
      const context = contextFor(world.pool.db, world.team.actor, { resourceTypes: () => 'Set PAWL_REDIS_URL.' })
      const ask = () => twinResource(context, { resourceId, toEnvironment, approvalId: approval })
      return { ...mending({ resourceId, approval }, world, nothing), ask }
    },
  },
  {
    refusal: 'QuotaExceeded',
    because: 'no room for the twin',
    async arrange(world) {
      const made = await step(world)
      await room(world, 'resources', 0)
      return mending(made, world, () => room(world, 'resources', null))
    },
  },
  {
    refusal: 'ResourceAlreadyDeleted',
    because: 'the source is deleted',
    async arrange(world) {
      const { resourceId, approval } = await step(world)
      accepted(await deleteResource(world.context, { id: resourceId }))
      return { approval, ask: () => twinning(world, resourceId, approval) }
    },
  },
]
