// Every metric, under the names that API.md promises. Label sets are closed: entities, actions, states, effects
// and refusals come from their declarations, the rest from the lists below. A value that is in none is counted
// as `other`, and throws where `strict` is set, so that a test finds it. Gauges that ask: metrics-gauge.ts.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Outcome } from './drivers/outcome.ts'
import { machines } from './lifecycle/machines.ts'
import { effects, entityLabel, type GaugeSources, registerGauges } from './metrics-gauge.ts'
import { labelOf, refusalNames } from './refusals.ts'

export const LOOPS = [
  'dispatch',
  'expire',
  'teardown',
  'reconcile-instances',
  'sweep',
  'trim',
  'sequence',
  'fan-out',
  'deliver',
  'measure',
  'exchange-usage',
] as const
export type Loop = (typeof LOOPS)[number]

/** How a pass ended: whole, cut off by its deadline with work left, or by an error. */
export const LOOP_OUTCOMES = ['done', 'cut_off', 'failed'] as const
/** What became of one item of a pass. */
export const ITEM_OUTCOMES = ['moved', 'unchanged', 'skipped', 'deferred', 'failed'] as const
/** What a driver answered, or what befell the call. */
export const EFFECT_OUTCOMES = [
  'done',
  'working',
  'refused',
  'stale',
  'unreachable',
  'unknown',
  'superseded',
  'fault',
] as const satisfies readonly (Outcome<never>['kind'] | 'superseded' | 'fault')[]
export const GRAPHQL_OUTCOMES = [
  'ok',
  'refused',
  'invalid',
  'unauthenticated',
  'limited',
  'unavailable',
  'fault',
] as const
export const DELIVERY_OUTCOMES = ['delivered', 'failed', 'dead', 'gone', 'dropped', 'lost'] as const

export type LoopOutcome = (typeof LOOP_OUTCOMES)[number]
export type ItemOutcome = (typeof ITEM_OUTCOMES)[number]
export type EffectOutcome = (typeof EFFECT_OUTCOMES)[number]
export type GraphqlOutcome = (typeof GRAPHQL_OUTCOMES)[number]
export type DeliveryOutcome = (typeof DELIVERY_OUTCOMES)[number]

export interface Metrics {
  /** A move by entity and action as declared; outcome `moved`, `missing` or a refusal's label. */
  transition(entity: string, action: string, outcome: string): void
  effect(effect: string, outcome: EffectOutcome, durationMs: number): void
  /** The end of a pass; `done` also stamps the loop's last success. */
  loopRun(loop: Loop, outcome: LoopOutcome): void
  loopItems(loop: Loop, outcome: ItemOutcome, count: number): void
  /** `dead`: given up; `gone`: by a 410; `dropped`: its webhook wants it no more; `lost`: the claim was over. */
  delivery(outcome: DeliveryOutcome): void
  /** `operation` is a root field of the schema, as given to createMetrics. */
  graphql(operation: string, outcome: GraphqlOutcome, durationMs: number): void
  /** A stream of that root field has begun (1) or ended (-1). */
  streams(subscription: string, by: 1 | -1): void
  /** An answer was handed to the connection of a stream. */
  streamEvent(subscription: string): void
  /** Gives, or replaces, the sources of the gauges. */
  collectFrom(sources: GaugeSources): void
  /** The page for a scrape, in `contentType`. */
  text(): Promise<string>
  readonly contentType: string
}

export interface MetricsOptions {
  /** Root fields of the schema: the values of the label `operation`. */
  graphqlOperations?: readonly string[]
  /** Throw on a label value that is not in its set. */
  strict?: boolean
  /** Also the process's own figures (memory, event loop, garbage collection), as pawl_process_* and pawl_nodejs_*. */
  processMetrics?: boolean
}

const OTHER = 'other'
const SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const EFFECT_SECONDS_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Mutations that are no move of the entity itself: they move its subject. */
const beside: Readonly<Record<string, readonly string[]>> = { Operation: ['retryOperation'] }
const entities = new Map(
  machines.map(({ entity, moves }) => [
    entity,
    { label: entityLabel(entity), actions: [...Object.keys(moves), ...(beside[entity] ?? [])] },
  ]),
)
const transitionOutcomes = ['moved', 'missing', ...refusalNames.map(labelOf)]

/** Makes a registry of its own, so that two in one process (tests, replicas) do not mix. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry()
  const registers = [registry]
  if (options.processMetrics) collectDefaultMetrics({ register: registry, prefix: 'pawl_' })
  let sources: GaugeSources = {}

  const closed = (label: string, allowed: readonly string[], value: string): string => {
    if (allowed.includes(value)) return value
    if (options.strict) throw new Error(`${JSON.stringify(value)} is not a value of the metric label ${label}`)
    return OTHER
  }

  const transitions = new Counter({
    name: 'pawl_transitions_total',
    help: 'Moves asked for: made, refused (by refusal), or of a missing row.',
    labelNames: ['entity', 'action', 'outcome'],
    registers,
  })
  const effectCount = new Counter({
    name: 'pawl_effects_total',
    help: 'Calls to drivers, by what they answered.',
    labelNames: ['effect', 'outcome'],
    registers,
  })
  const effectSeconds = new Histogram({
    name: 'pawl_effect_duration_seconds',
    help: 'How long calls to drivers took.',
    buckets: EFFECT_SECONDS_BUCKETS,
    registers,
  })
  const loopRuns = new Counter({
    name: 'pawl_loop_runs_total',
    help: 'Passes of a loop, by how they ended.',
    labelNames: ['loop', 'outcome'],
    registers,
  })
  const loopSuccess = new Gauge({
    name: 'pawl_loop_last_success_timestamp_seconds',
    help: 'When a loop last ended a pass that was whole.',
    labelNames: ['loop'],
    registers,
  })
  const loopItemCount = new Counter({
    name: 'pawl_loop_items_total',
    help: 'Items that passes of a loop have looked at, by what became of them.',
    labelNames: ['loop', 'outcome'],
    registers,
  })
  const deliveries = new Counter({
    name: 'pawl_webhook_deliveries_total',
    help: 'Attempts to deliver to webhooks, by how they ended, and deliveries that were dropped.',
    labelNames: ['outcome'],
    registers,
  })
  const graphqlSeconds = new Histogram({
    name: 'pawl_graphql_duration_seconds',
    help: 'How long GraphQL operations took, by root field.',
    labelNames: ['operation', 'outcome'],
    buckets: SECONDS_BUCKETS,
    registers,
  })
  registerGauges({ registers, closed, sources: () => sources })

  const openStreams = new Gauge({
    name: 'pawl_streams',
    help: 'Open streams, by what they follow.',
    labelNames: ['subscription'],
    registers,
  })
  const streamEvents = new Counter({
    name: 'pawl_stream_events_total',
    help: 'Answers that were handed to the connections of streams.',
    labelNames: ['subscription'],
    registers,
  })
  const subscriptionLabel = (name: string) => closed('subscription', options.graphqlOperations ?? [], name)

  return {
    streams: (subscription, by) => openStreams.inc({ subscription: subscriptionLabel(subscription) }, by),
    streamEvent: (subscription) => streamEvents.inc({ subscription: subscriptionLabel(subscription) }),
    transition(entity, action, outcome) {
      const known = entities.get(entity) ?? { label: closed('entity', [], entity), actions: [] }
      transitions.inc({
        entity: known.label,
        action: closed('action', known.actions, action),
        outcome: closed('outcome', transitionOutcomes, outcome),
      })
    },
    effect(effect, outcome, durationMs) {
      const known = { effect: closed('effect', effects, effect), outcome: closed('outcome', EFFECT_OUTCOMES, outcome) }
      effectCount.inc(known)
      effectSeconds.observe(durationMs / 1000)
    },
    loopRun(loop, outcome) {
      const name = closed('loop', LOOPS, loop)
      loopRuns.inc({ loop: name, outcome: closed('outcome', LOOP_OUTCOMES, outcome) })
      if (outcome === 'done') loopSuccess.set({ loop: name }, Date.now() / 1000)
    },
    loopItems(loop, outcome, count) {
      loopItemCount.inc(
        { loop: closed('loop', LOOPS, loop), outcome: closed('outcome', ITEM_OUTCOMES, outcome) },
        count,
      )
    },
    delivery: (outcome) => deliveries.inc({ outcome: closed('outcome', DELIVERY_OUTCOMES, outcome) }),
    graphql(operation, outcome, durationMs) {
      graphqlSeconds.observe(
        {
          operation: closed('operation', options.graphqlOperations ?? [], operation),
          outcome: closed('outcome', GRAPHQL_OUTCOMES, outcome),
        },
        durationMs / 1000,
      )
    },
    collectFrom(given) {
      sources = given
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}
