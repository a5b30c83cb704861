// The bounds that a client runs into sooner or later, in one place, each from where it is held; so that nobody has to find
// them out by being refused.

import type { Budget, Budgets } from '../rate-limit.ts'
import { maxEnvBytes, maxPatchKeys } from '../resolvers/env.ts'
import { defaultPageSize, maxPageSize } from '../resolvers/page.ts'
import { builder } from './builder.ts'
import { UsageRef } from './team.ts'

/** What only the door knows. */
export interface DoorLimits {
  readonly maxBodyBytes: number
  readonly minRequestPoints: number
  readonly document: Readonly<Record<keyof typeof documentLimits | 'cost', number>>
  /** Of the caller, as they are now. */
  readonly budgets: () => Budgets
}

const documentLimits = {
  tokens: 'Names, numbers, brackets and the like.',
  brackets: 'How deep brackets of any kind may lie in each other.',
  depth: 'How deep fields may lie in each other.',
  fields: 'Fields, with fragments spread out.',
  aliases: 'Fields under another name, with fragments spread out.',
  directives: 'Directives, wherever they stand.',
  introspection: 'Weight of an introspection; the whole schema, asked for once, has some 16,000.',
} as const

const DocumentLimitsRef = builder.objectRef<DoorLimits['document']>('DocumentLimits').implement({
  description: 'What a document may have at most. More is refused with the code LIMIT_EXCEEDED before anything is run.',
  fields: (t) =>
    Object.fromEntries(
      Object.entries(documentLimits).map(([name, description]) => [
        name,
        t.int({ description, resolve: (document) => document[name as keyof typeof documentLimits] }),
      ]),
    ),
})

const PageLimitsRef = builder.objectRef<Record<string, never>>('PageLimits').implement({
  description: 'How many rows a page of a list has.',
  fields: (t) => ({
    default: t.int({ description: 'When neither `first` nor `last` is given.', resolve: () => defaultPageSize }),
    max: t.int({ description: 'The most that `first` and `last` may ask for.', resolve: () => maxPageSize }),
  }),
})

const EnvLimitsRef = builder.objectRef<Record<string, never>>('EnvLimits').implement({
  description: 'What an environment may have at most.',
  fields: (t) => ({
    maxBytes: t.int({ description: 'Of all keys and values together, as UTF-8.', resolve: () => maxEnvBytes }),
    maxKeysPerMerge: t.int({ description: 'Keys that one merge may set, and unset.', resolve: () => maxPatchKeys }),
  }),
})

const RateBudgetRef = builder.objectRef<Budget>('RateBudget').implement({
  description:
    'What may be asked for, in points of cost. It flows in all the time and is kept up to the burst. Replicas share it, ' +
    'and learn within a second or so what the others have let through.',
  fields: (t) => ({
    burst: t.exposeInt('burst', { description: 'The most that can be asked for at once.' }),
    perSecond: t.exposeInt('perSecond', { description: 'What flows in: the most that can be asked for all the time.' }),
    remaining: t.exposeInt('remaining', { description: 'What is there now, when this request has been paid.' }),
  }),
})

const RateLimitsRef = builder.objectRef<DoorLimits>('RateLimits').implement({
  description:
    'Every request pays points from both budgets: the cost of its operation (`extensions.cost.requested` of the answer), at ' +
    'least as many as its document has tokens, and at least `minPerRequest`, also when it is refused. What the budgets ' +
    'have not got is answered 429 with `Retry-After`, the code RATE_LIMITED, `retryAfterMs` and the `limit` that was met; ' +
    'nothing of it is run.',
  fields: (t) => ({
    minPerRequest: t.exposeInt('minRequestPoints', { description: 'What the smallest request pays.' }),
    actor: t.field({
      type: RateBudgetRef,
      description: 'The budget of this token or member alone.',
      resolve: ({ budgets }) => budgets().actor,
    }),
    team: t.field({
      type: RateBudgetRef,
      description: 'The budget that all tokens and members of the team have together.',
      resolve: ({ budgets }) => budgets().team,
    }),
  }),
})

const LimitsRef = builder.objectRef<DoorLimits>('Limits').implement({
  description:
    'What is too much. Bounds of single fields stand in their descriptions, those of states in `lifecycles`.',
  fields: (t) => ({
    maxBodyBytes: t.exposeInt('maxBodyBytes', { description: 'The size of a request’s body.' }),
    document: t.expose('document', { type: DocumentLimitsRef, description: 'The form of a document.' }),
    maxCost: t.int({
      description: 'What one operation may cost; what it does cost is in `extensions.cost` of its answer.',
      resolve: ({ document }) => document.cost,
    }),
    page: t.field({ type: PageLimitsRef, description: 'The size of a page.', resolve: () => ({}) }),
    env: t.field({ type: EnvLimitsRef, description: 'The size of an environment.', resolve: () => ({}) }),
    rate: t.field({
      type: RateLimitsRef,
      description: 'How much may be asked for, and how often.',
      resolve: (door) => door,
    }),
    plan: t.field({
      type: [UsageRef],
      description: 'What the team’s plan has room for, and what of it is in use.',
      resolve: (_door, _args, { actor, loaders }) => loaders.usage.load(actor.teamId),
    }),
  }),
})

builder.queryField('limits', (t) =>
  t.field({
    type: LimitsRef,
    description: 'The bounds that hold for this caller, and what is left of them.',
    resolve: (_root, _args, { door }) => door,
  }),
)
