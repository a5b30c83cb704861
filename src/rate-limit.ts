// How much a caller may ask for: a bucket of points for each actor and each team, refilled all the time. Replicas tell each
// other from time to time what they have let through, so that all of them share one budget; while they cannot, each goes
// by its own. Pure: the clock is given, and whoever exchanges (src/loops/exchange-usage.ts) brings in the news. Libraries
// for this write to a store at every request, or share nothing; what is here neither waits for a database nor needs one.
import { LRUCache } from 'lru-cache'
import { type Rate, type RateScope, rates as usualRates } from './plans.ts'

/**
 * What a request costs at least, in points. A point is meant to be no more than 8 µs of a core. Measured on two cores: the
 * smallest request with its HTTP and token takes 0.6 ms, which are these 80 points; a document is parsed and validated at
 * 4 to 11 µs for each of its tokens, so each is a point; a page of 50 deployments with their operations (4,000 points of
 * fields) takes 2 to 4 ms.
 */
export const minRequestPoints = 80

/** What the arithmetic of fractions may miss. */
const tinyPoints = 1e-6
/** Actors and teams that are kept in mind at most; what was not used for longest goes first. Some 3 MB. */
const maxBuckets = 20_000
/** Buckets that one exchange tells of at most; the rest is told by the next one. */
const maxTold = 2_000
/** Counters of other replicas that are kept in mind at most, twice: those of this term, and those of the one before. */
const maxCounters = 50_000

/** Who pays: an actor, as authentication gave it. */
export interface Payer {
  readonly id: string
  readonly teamId: string
}

/** Which budget does not suffice, and in how many ms it would: rounded up, at least 1. */
export interface RateRefusal {
  readonly limit: RateScope
  readonly retryAfterMs: number
}

/** A budget as it stands; `remaining` in whole points, never below 0. */
export interface Budget extends Rate {
  readonly remaining: number
}
export type Budgets = Readonly<Record<RateScope, Budget>>

/** What one replica has let through from one bucket since its term began, in points: only ever goes up. */
export interface Spent {
  readonly bucket: string
  readonly spent: number
}
/** What is told to the others. `replica` is this process in this term; the part before the dot is the process. */
export interface Told {
  readonly replica: string
  readonly spent: readonly Spent[]
}
export interface Heard extends Spent {
  readonly replica: string
}

export interface RateLimit {
  /**
   * Takes the points from the actor's bucket and its team's, or from neither. Null when they were there. They may be what is
   * left to be paid of a `whole`: a refusal names the bucket that takes longer, and when all of that will be in both.
   */
  take(payer: Payer, points: number, whole?: number): RateRefusal | null
  budgets(payer: Payer): Budgets
  /** For how long, in ms, what was spent matters: then every bucket is full again. */
  readonly horizonMs: number
  /** What others do not know yet; null when there is nothing. Begins a new term when the old one has been told whole. */
  untold(): Told | null
  /** The others know that now. Until this is called, `untold` says the same again, and more. */
  told(what: Told): void
  /** What others have let through, by their counters: hearing a counter twice counts once. */
  hear(news: readonly Heard[]): void
  /** How much is kept in mind, as numbers of entries. */
  size(): { readonly buckets: number; readonly untold: number; readonly counters: number }
}

export interface RateLimitOptions {
  readonly rates?: Readonly<Record<RateScope, Rate>>
  /** A clock in ms that never goes back. */
  readonly nowMs?: () => number
  /** A name of this process that no other one has or had; without a dot. */
  readonly process?: string
}

interface Bucket {
  /** Points, at most the burst; below 0 when others have spent what was spent here as well. */
  tokens: number
  atMs: number
}

/** Full buckets for everybody, and nothing heard yet. */
export function createRateLimit({
  rates = usualRates,
  nowMs = () => performance.now(),
  process = crypto.randomUUID(),
}: RateLimitOptions = {}): RateLimit {
  const horizonMs = Math.max(...Object.values(rates).map(({ burst, perSecond }) => (burst / perSecond) * 1_000))
  const buckets = new LRUCache<string, Bucket>({ max: maxBuckets })
  /** Let through here and not told yet. */
  const pending = new Map<string, number>()
  /** Told in this term. */
  let counters = new Map<string, number>()
  /** The counters of others, of this term and of the one before. */
  let known = new Map<string, number>()
  let knownBefore = new Map<string, number>()
  let term = 0
  let termBeganMs = nowMs()
  /** Whether all that was handed out by `untold` is known to have been told: only then may counters begin anew. */
  let settled = true

  const refilled = ({ tokens, atMs }: Bucket, { burst, perSecond }: Rate, now: number) =>
    Math.min(burst, tokens + (Math.max(0, now - atMs) * perSecond) / 1_000)

  /** The bucket as it is now, made if need be, as the one that was used last. */
  function bucketOf(name: string, rate: Rate, now: number): Bucket {
    const bucket = buckets.get(name) ?? { tokens: rate.burst, atMs: now }
    bucket.tokens = refilled(bucket, rate, now)
    bucket.atMs = Math.max(bucket.atMs, now)
    buckets.set(name, bucket)
    return bucket
  }

  function begin(): void {
    term++
    termBeganMs = nowMs()
    counters = new Map()
    knownBefore = known
    known = new Map()
  }

  return {
    horizonMs,
    take(payer, points, whole = points) {
      const now = nowMs()
      const held = scopesOf(payer).map(([limit, name]) => ({
        limit,
        name,
        rate: rates[limit],
        bucket: bucketOf(name, rates[limit], now),
      }))
      // What costs more than a bucket holds waits for a full one, and leaves it in debt.
      const lacks = ({ rate, bucket }: (typeof held)[number], wanted: number) =>
        Math.min(wanted, rate.burst - (whole - wanted)) - bucket.tokens - tinyPoints
      if (held.every((each) => lacks(each, points) <= 0)) {
        for (const { name, bucket } of held) {
          bucket.tokens -= points
          const before = pending.get(name)
          // Only where nobody could be told for long: a few more are not told of.
          if (before !== undefined || pending.size < maxBuckets) pending.set(name, (before ?? 0) + points)
        }
        return null
      }
      const [actor, team] = held.map((each) => ({
        limit: each.limit,
        retryAfterMs: Math.ceil((lacks(each, whole) / each.rate.perSecond) * 1_000),
      })) as [RateRefusal, RateRefusal]
      return team.retryAfterMs > actor.retryAfterMs ? team : actor
    },
    budgets(payer) {
      const now = nowMs()
      const entries = scopesOf(payer).map(([limit, name]) => {
        const bucket = buckets.peek(name)
        const tokens = bucket ? refilled(bucket, rates[limit], now) : rates[limit].burst
        return [limit, { ...rates[limit], remaining: Math.max(0, Math.floor(tokens)) }]
      })
      return Object.fromEntries(entries) as Budgets
    },
    untold() {
      if (pending.size === 0) return null
      // Counters that went on for ever would say nothing to a replica that hears them for the first time. Those of one
      // term are of what has not been refilled yet.
      if (settled && nowMs() - termBeganMs >= horizonMs) begin()
      settled = false
      const spent = [...pending].slice(0, maxTold).map(([bucket, points]) => ({
        bucket,
        spent: (counters.get(bucket) ?? 0) + points,
      }))
      return { replica: `${process}.${term}`, spent }
    },
    told({ spent }) {
      for (const { bucket, spent: total } of spent) {
        const left = (counters.get(bucket) ?? 0) + (pending.get(bucket) ?? 0) - total
        counters.set(bucket, total)
        pending.delete(bucket)
        // Spent while it was being told; after those who have not been told at all.
        if (left > 0) pending.set(bucket, left)
      }
      settled = true
    },
    hear(news) {
      const now = nowMs()
      for (const { bucket: name, replica, spent } of news) {
        const rate = rates[name.slice(0, name.indexOf(':')) as RateScope]
        if (!rate) continue
        const counter = `${name} ${replica}`
        const before = known.get(counter) ?? knownBefore.get(counter) ?? 0
        const fresh = spent - before
        if (known.size >= maxCounters) {
          knownBefore = known
          known = new Map()
        }
        known.set(counter, Math.max(spent, before))
        // At most one bucket full: older news, of a replica that could tell nobody for long, has been refilled since.
        if (fresh > 0) bucketOf(name, rate, now).tokens -= Math.min(fresh, rate.burst)
      }
    },
    size: () => ({
      buckets: buckets.size,
      untold: pending.size,
      counters: counters.size + known.size + knownBefore.size,
    }),
  }
}

const scopesOf = ({ id, teamId }: Payer): readonly [RateScope, string][] => [
  ['actor', `actor:${id}`],
  ['team', `team:${teamId}`],
]
