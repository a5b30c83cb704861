// Plans in the schema: what a promotion, or a twin, would do if it were made now. Read only; an approval is of the digest.

import type { PlannedCopy, PlannedService, PromotionPlan } from '../resolvers/promotion-plan.ts'
import { type PlanArgs, promotionPlan } from '../resolvers/promotion-plan-read.ts'
import { missingImages } from '../resolvers/promotion-refusal.ts'
import type { TwinPlan } from '../resolvers/twin-plan.ts'
import { builder, type Fields, type SchemaContext } from './builder.ts'
import { CopyPolicyRef } from './promotion.ts'
import { ResourceRef, StackRef } from './ref.ts'

const ServiceChange = builder.enumType('ServiceChange', {
  description: 'What a promotion does to a service of the target.',
  values: {
    ADDED: { value: 'ADDED', description: 'The target has none of that name yet.' },
    CHANGED: { value: 'CHANGED', description: 'Its image, port or exposure becomes that of the source.' },
    UNCHANGED: { value: 'UNCHANGED', description: 'It is as in the source already.' },
    REMOVED: { value: 'REMOVED', description: 'The source has none of that name: it is taken away.' },
  } as const,
})
const CopyChange = builder.enumType('CopyChange', {
  description: 'What a promotion does about a variable or a secret of the source.',
  values: {
    COPIED: { value: 'COPIED', description: 'The target lacks it and is given it.' },
    KEPT: { value: 'KEPT', description: 'The target has its own, which is never overwritten.' },
    MISSING: { value: 'MISSING', description: 'The target lacks it and is not given it.' },
  } as const,
})

const PlannedServiceRef = builder.objectRef<PlannedService>('PlannedService').implement({
  description: 'What becomes of one service of the target.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    change: t.field({ type: ServiceChange, description: 'What is done.', resolve: (row) => row.change }),
    fromImage: t.exposeString('fromImage', {
      nullable: true,
      description: 'The image that the target has now; null where it has none of that name.',
    }),
    image: t.string({
      nullable: true,
      description: 'The image that it would have; null for one that is removed.',
      resolve: (row) => (row.change === 'REMOVED' ? null : row.image),
    }),
    port: t.exposeInt('port', { nullable: true, description: 'Where it listens; null: the runtime’s choice.' }),
    exposed: t.exposeBoolean('exposed', { description: 'Whether it is reached from outside the stack.' }),
  }),
})

const PlannedCopyRef = builder.objectRef<PlannedCopy>('PlannedCopy').implement({
  description: 'What becomes of one variable or secret. Never its value.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    change: t.field({ type: CopyChange, description: 'What is done.', resolve: (row) => row.change }),
    revision: t.exposeInt('revision', { description: 'The revision that the plan is based on.' }),
  }),
})

interface Room {
  readonly kind: string
  readonly takes: number
  readonly used: number
  readonly cap: number
}
const RoomRef = builder.objectRef<Room>('PlannedRoom').implement({
  description: 'What a plan takes of one thing that the team’s plan bounds.',
  fields: (t) => ({
    kind: t.exposeString('kind', { description: 'What: `stacks`, `secrets` or `resources`.' }),
    takes: t.exposeInt('takes', { description: 'How many it would add.' }),
    used: t.exposeInt('used', { description: 'How many there are now.' }),
    cap: t.exposeInt('cap', { description: 'How many there may be.' }),
    fits: t.boolean({
      description: 'Whether there is room now; the mutation itself decides.',
      resolve: ({ takes, used, cap }) => takes === 0 || used + takes <= cap,
    }),
  }),
})

async function roomOf({ loaders }: SchemaContext, teamId: string, takes: Readonly<Record<string, number>>) {
  const usages = await loaders.usage.load(teamId)
  return Object.entries(takes).map(([kind, count]): Room => {
    const { used, cap } = usages.find((usage) => usage.kind === kind) ?? { used: 0, cap: 0 }
    return { kind, takes: count, used, cap }
  })
}
const room = <R>(t: Fields<R>, of: (row: R) => { teamId: string; takes: Readonly<Record<string, number>> }) =>
  t.field({
    type: [RoomRef],
    description: 'What it takes of the plan, and what room there is.',
    resolve: (row, _args, context) => roomOf(context, of(row).teamId, of(row).takes),
  })
const digest = 'SHA-256 in hex of all that it would do and of what it is based on: an approval is of one digest.'

export const PromotionPlanRef = builder.objectRef<PromotionPlan>('PromotionPlan').implement({
  description: 'What the promotion of a stack would do if it were made now. Names and revisions, never values.',
  fields: (t) => ({
    digest: t.exposeString('digest', { description: digest }),
    source: t.field({
      type: StackRef,
      nullable: true,
      description: 'The stack that is promoted; never null here.',
      resolve: (row) => row.source,
    }),
    target: t.field({
      type: StackRef,
      nullable: true,
      description: 'The stack of the same name there; null when the promotion makes it.',
      resolve: (row) => row.target,
    }),
    toEnvironment: t.exposeString('toEnvironment', { description: 'Where to.' }),
    envPolicy: t.field({
      type: CopyPolicyRef,
      description: 'How variables are copied.',
      resolve: (row) => row.envPolicy,
    }),
    secretPolicy: t.field({
      type: CopyPolicyRef,
      description: 'How secrets are copied.',
      resolve: (row) => row.secretPolicy,
    }),
    services: t.field({
      type: [PlannedServiceRef],
      description: 'Every service of source and target.',
      resolve: (row) => [...row.services],
    }),
    env: t.field({
      type: [PlannedCopyRef],
      description: 'Every variable of the source, by name. What only the target has is kept.',
      resolve: (row) => [...row.env],
    }),
    secrets: t.field({
      type: [PlannedCopyRef],
      description: 'Every secret that variables of source or target refer to, by name.',
      resolve: (row) => [...row.secrets],
    }),
    unresolved: t.stringList({
      description: 'Variables, and names of secrets, that would be lacking or lead nowhere: promoteStack refuses.',
      resolve: (row) => [...row.unresolved],
    }),
    missingImages: t.stringList({
      description: 'Services whose image the runtime does not know: promoteStack refuses. Asks the runtime.',
      complexity: 20,
      resolve: (row, _args, context) => missingImages(context, row),
    }),
    room: room(t, ({ source, takes }) => ({ teamId: source.teamId, takes })),
    isEmpty: t.exposeBoolean('isEmpty', { description: 'Whether nothing would change.' }),
  }),
})

export const TwinPlanRef = builder.objectRef<TwinPlan>('TwinPlan').implement({
  description: 'What a twin would be if it were made now: an empty resource of the same type and name.',
  fields: (t) => ({
    digest: t.exposeString('digest', { description: digest }),
    source: t.field({
      type: ResourceRef,
      nullable: true,
      description: 'The resource that it is like; never null here.',
      resolve: (row) => row.source,
    }),
    toEnvironment: t.exposeString('toEnvironment', { description: 'Where to.' }),
    room: room(t, ({ source }) => ({ teamId: source.teamId, takes: { resources: 1 } })),
  }),
})

builder.queryField('promotionPlan', (t) =>
  t.field({
    type: PromotionPlanRef,
    nullable: true,
    description:
      'What the promotion of a stack into another environment would do if it were made now; null when the stack is not there ' +
      'or is another team’s. `requestPromotion` with the same arguments asks for the approval of this plan.',
    args: {
      stackId: t.arg.id({ required: true, description: 'The source, `stk_…`.' }),
      toEnvironment: t.arg.string({ required: true, description: 'Where to: another environment than its own.' }),
      envPolicy: t.arg({ type: CopyPolicyRef, description: 'COPY_MISSING when nothing is said.' }),
      secretPolicy: t.arg({ type: CopyPolicyRef, description: 'COPY_MISSING when nothing is said.' }),
    },
    complexity: 20,
    resolve: (_root, args, context) => promotionPlan(context, args as PlanArgs),
  }),
)
