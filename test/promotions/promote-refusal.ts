// Refusals of promoteStack by what it is asked with and by the approval itself; those of the plan are in plan-refusal.ts.
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { approvePromotion } from '../../src/resolvers/promotion-decision.ts'
import { contextFor } from '../row.ts'
import { type Case, failing } from './refusal-case.ts'
import { accepted, outdate, type PromotionWorld, pair, renew, toEnvironment, unique } from './world.ts'

export type Promote = Parameters<typeof promoteStack>[1]
export const promoting = (
  world: PromotionWorld,
  stackId: string,
  approvalId: string | null,
  more: Partial<Promote> = {},
) => promoteStack(world.context, { stackId, toEnvironment, approvalId, ...more })

/** A source, its target of older services, and the approval of the step between them. */
export async function step(world: PromotionWorld, env: Record<string, string> = {}) {
  const { stackId, targetId } = await pair(world, env)
  const approval = await world.approved('STACK', stackId)
  return { stackId, targetId, approval, target: ['stack', targetId] as const }
}
/** What is refused at first and accepted once `mend` has been done. */
export const mending = (
  { approval, stackId, target }: Awaited<ReturnType<typeof step>>,
  world: PromotionWorld,
  mend: () => Promise<unknown>,
  more: Partial<Promote> = {},
) => ({
  approval,
  target,
  ask: () => promoting(world, stackId, approval, more),
  mend: async () => {
    await mend()
    return promoting(world, stackId, approval)
  },
})

export const promoteRefusals: readonly Case[] = [
  {
    refusal: 'ValidationFailed',
    because: 'the environment is none',
    arrange: async (world) => mending(await step(world), world, async () => {}, { toEnvironment: 'No Environment' }),
  },
  {
    refusal: 'ValidationFailed',
    because: 'it is where it is',
    arrange: async (world) => mending(await step(world), world, async () => {}, { toEnvironment: 'development' }),
  },
  {
    refusal: 'NotFound',
    because: 'no such stack',
    arrange: async (world) => mending(await step(world), world, async () => {}, { stackId: 'stk_x' }),
  },
  {
    refusal: 'NotFound',
    because: 'no such approval',
    arrange: async (world) => mending(await step(world), world, async () => {}, { approvalId: 'apr_x' }),
  },
  {
    refusal: 'Forbidden',
    because: 'the scope is missing',
    async arrange(world) {
      const made = await step(world)
      const narrow = contextFor(world.pool.db, { ...world.team.actor, scopes: new Set(['read', 'stack']) })
      const ask = () => promoteStack(narrow, { stackId: made.stackId, toEnvironment, approvalId: made.approval })
      return { ...mending(made, world, async () => {}), ask }
    },
  },
  {
    refusal: 'VersionConflict',
    because: 'the source was seen at another version',
    arrange: async (world) => mending(await step(world), world, async () => {}, { expectedVersion: '7' }),
  },
  {
    refusal: 'IdempotencyKeyReused',
    because: 'the key is that of another promotion',
    async arrange(world) {
      const [made, other] = [await step(world), await step(world)]
      const idempotencyKey = unique('k')
      accepted(await promoting(world, other.stackId, other.approval, { idempotencyKey }))
      return mending(made, world, async () => {}, { idempotencyKey })
    },
  },
  {
    refusal: 'Busy',
    because: 'a row is held',
    async arrange(world) {
      const made = await step(world)
      const context = failing(world, 'promoteStack:into', 'busy')
      const ask = () => promoteStack(context, { stackId: made.stackId, toEnvironment, approvalId: made.approval })
      return { ...mending(made, world, async () => {}), ask }
    },
  },
  {
    refusal: 'TemporarilyUnavailable',
    because: 'the database is away',
    async arrange(world) {
      const made = await step(world)
      const context = failing(world, 'promoteStack:into', 'unavailable')
      const ask = () => promoteStack(context, { stackId: made.stackId, toEnvironment, approvalId: made.approval })
      return { ...mending(made, world, async () => {}), ask }
    },
  },
  {
    refusal: 'ApprovalRequired',
    because: 'none was named',
    arrange: async (world) => mending(await step(world), world, async () => {}, { approvalId: null }),
  },
  {
    refusal: 'ApprovalNotApproved',
    because: 'PENDING',
    async arrange(world) {
      const made = await step(world)
      const approval = await world.asked('STACK', made.stackId)
      return mending({ ...made, approval }, world, () => approvePromotion(world.context, { id: approval }))
    },
  },
  ...(['REJECTED', 'WITHDRAWN'] as const).map(
    (state): Case => ({
      refusal: 'ApprovalNotApproved',
      because: state,
      async arrange(world) {
        const { stackId, target } = await step(world)
        const approval = await world.approval({ state, subjectId: stackId, toEnvironment })
        return { approval, target, ask: () => promoting(world, stackId, approval) }
      },
    }),
  ),
  {
    refusal: 'ApprovalMismatch',
    because: 'for another stack',
    async arrange(world) {
      const [made, other] = [await step(world), await step(world)]
      return mending(made, world, async () => {}, { stackId: other.stackId })
    },
  },
  {
    refusal: 'ApprovalMismatch',
    because: 'for another environment',
    arrange: async (world) => mending(await step(world), world, async () => {}, { toEnvironment: 'production' }),
  },
  {
    refusal: 'ApprovalMismatch',
    because: 'for a twin',
    async arrange(world) {
      const { stackId, target } = await step(world)
      const approval = await world.approved('TWIN', await world.resource())
      return { approval, target, ask: () => promoting(world, stackId, approval) }
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
      const { stackId, target } = await step(world)
      const approval = await world.approval({ state: 'EXPIRED', subjectId: stackId, expiresInSeconds: -1 })
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'ApprovalAlreadyExecuted',
    because: 'used before',
    async arrange(world) {
      const { stackId, approval, target } = await step(world)
      accepted(await promoting(world, stackId, approval))
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
]
