// The buckets alone, with a clock that is moved by hand: against a model that looks at every stretch of time by itself, in
// whole numbers; and what becomes of them between replicas and when there are very many.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRateLimit, type Heard, type Payer, type RateLimit } from '../../src/rate-limit.ts'

/** Points per ms are whole, so that the model needs no fractions. */
const rates = { actor: { burst: 500, perSecond: 2_000 }, team: { burst: 800, perSecond: 3_000 } }
const payers = ['a', 'b', 'c'].map((id): Payer => ({ id, teamId: id === 'c' ? 'other' : 'one' }))

/** What was paid from one bucket, and what that leaves: in no stretch of time more than is there at once plus what flows in. */
function model({ burst, perSecond }: { burst: number; perSecond: number }) {
  const paid: { atMs: number; points: number }[] = []
  const left = (nowMs: number) => {
    let least = burst
    let since = 0
    for (const { atMs, points } of paid.toReversed()) {
      since += points
      least = Math.min(least, burst + ((nowMs - atMs) * perSecond) / 1_000 - since)
    }
    return least
  }
  return { left, pay: (atMs: number, points: number) => void paid.push({ atMs, points }) }
}

const step = fc.record({
  who: fc.constantFrom(...payers),
  points: fc.integer({ min: 1, max: 700 }),
  waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })),
})

test('what is let through is what the model lets through, and a refusal names the earliest moment', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let nowMs = 1_000
      const rate = createRateLimit({ rates, nowMs: () => nowMs })
      const budgets = new Map<string, ReturnType<typeof model>>()
      const budget = (name: string, of: 'actor' | 'team') => {
        const known = budgets.get(name) ?? model(rates[of])
        budgets.set(name, known)
        return known
      }
      for (const { who, points, waitMs } of steps) {
        nowMs += waitMs
        const [own, team] = [budget(who.id, 'actor'), budget(who.teamId, 'team')]
        const lacks = { actor: Math.min(points, 500) - own.left(nowMs), team: points - team.left(nowMs) }
        const refusal = rate.take(who, points)
        expect(refusal === null).toBe(lacks.actor <= 0 && lacks.team <= 0)
        if (refusal === null) {
          own.pay(nowMs, points)
          team.pay(nowMs, points)
        } else {
          const waits = { actor: Math.ceil(lacks.actor / 2), team: Math.ceil(lacks.team / 3) }
          expect(refusal).toEqual({
            limit: waits.team > waits.actor ? 'team' : 'actor',
            retryAfterMs: Math.max(waits.actor, waits.team),
          })
        }
        const { actor, team: all } = rate.budgets(who)
        expect([actor.remaining, all.remaining]).toEqual([
          Math.max(0, Math.floor(own.left(nowMs))),
          Math.max(0, Math.floor(team.left(nowMs))),
        ])
      }
    }),
  )
})

test('after the time that a refusal names the same is let through, and not a millisecond sooner', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 3, maxLength: 30 }),
      fc.integer({ min: 1, max: 900_000 }),
      (steps, perSecond) => {
        let nowMs = 0
        const odd = { actor: { burst: 700, perSecond }, team: { burst: 900, perSecond: perSecond / 3 } }
        const rate = createRateLimit({ rates: odd, nowMs: () => nowMs })
        for (const { who, points, waitMs } of steps) {
          nowMs += waitMs / 100
          const refusal = rate.take(who, points)
          if (refusal === null) continue
          nowMs += refusal.retryAfterMs - 1
          expect(refusal.retryAfterMs > 1 ? rate.take(who, points) : refusal).not.toBeNull()
          nowMs += 1
          expect(rate.take(who, points)).toBeNull()
        }
      },
    ),
  )
})

test('a clock that goes back gives nothing away', () => {
  let nowMs = 1_000
  const rate = createRateLimit({ rates, nowMs: () => nowMs })
  const [payer] = payers as [Payer]
  expect(rate.take(payer, 500)).toBeNull()
  nowMs = 0
  expect(rate.take(payer, 1)).toEqual({ limit: 'actor', retryAfterMs: 1 })
  nowMs = 1_001
  expect(rate.budgets(payer).actor.remaining).toBe(2)
})

/** Replicas with one clock, and what a table between them would hold. */
function fleet(count: number) {
  let nowMs = 0
  const table = new Map<string, Heard>()
  const replicas = Array.from({ length: count }, (_, index) =>
    createRateLimit({ rates, nowMs: () => nowMs, process: `r${index}` }),
  )
  const exchange = (rate: RateLimit) => {
    const untold = rate.untold()
    for (const each of untold?.spent ?? [])
      table.set(`${untold?.replica} ${each.bucket}`, { ...each, replica: untold?.replica ?? '' })
    if (untold) rate.told(untold)
    const own = `r${replicas.indexOf(rate)}.`
    rate.hear([...table.values()].filter(({ replica }) => !replica.startsWith(own)))
  }
  const pass = (ms: number) => {
    nowMs += ms
  }
  return { replicas, exchange, pass, now: () => nowMs }
}

test('replicas that take all they can get together get one budget, and each the excess of the first moment', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.record({ at: fc.nat(3), points: fc.integer({ min: 1, max: 200 }) }), {
        minLength: 200,
        maxLength: 400,
      }),
      (count, wishes) => {
        const { replicas, exchange, pass, now } = fleet(count)
        const everyMs = 20
        let passed = 0
        wishes.forEach(({ at, points }, index) => {
          const rate = replicas[at % count] as RateLimit
          // Many tokens of one team.
          if (rate.take({ id: `token-${index}`, teamId: 'one' }, points) === null) passed += points
          if (index % 4 === 3) pass(1)
          if (now() % everyMs === 0) for (const each of replicas) exchange(each)
        })
        const { burst, perSecond } = rates.team
        const inFlow = (perSecond / 1_000) * (now() + count * everyMs)
        expect(passed).toBeLessThanOrEqual(count * burst + inFlow)
      },
    ),
    { numRuns: 50 },
  )
})

test('what was told is told once more only while it is not known to have arrived, and hearing it twice counts once', () => {
  const { replicas, pass } = fleet(2)
  const [one, two] = replicas as [RateLimit, RateLimit]
  const [payer] = payers as [Payer]
  expect(one.untold()).toBeNull()
  one.take(payer, 100)
  const first = one.untold()
  // The answer got lost: nobody knows whether it was stored.
  one.take(payer, 50)
  pass(one.horizonMs * 3)
  const second = one.untold()
  expect(second?.replica).toBe(first?.replica)
  expect(second?.spent).toEqual([
    { bucket: 'actor:a', spent: 150 },
    { bucket: 'team:one', spent: 150 },
  ])
  const news = (second?.spent ?? []).map((each) => ({ ...each, replica: second?.replica ?? '' }))
  two.hear(news)
  two.hear(news)
  expect(two.budgets(payer).team.remaining).toBe(650)
  if (second) one.told(second)
  expect(one.untold()).toBeNull()
  // Counters begin anew under another name, so that whoever hears of them first hears only of what matters.
  one.take(payer, 7)
  const third = one.untold()
  expect(third?.replica).not.toBe(first?.replica)
  expect(third?.spent[0]?.spent).toBe(7)
})

test('what is spent while it is being told is told the next time', () => {
  const [rate] = fleet(1).replicas as [RateLimit]
  const [payer] = payers as [Payer]
  rate.take(payer, 10)
  const underWay = rate.untold()
  rate.take(payer, 5)
  if (underWay) rate.told(underWay)
  expect(rate.untold()?.spent).toEqual([
    { bucket: 'actor:a', spent: 15 },
    { bucket: 'team:one', spent: 15 },
  ])
})

test('a replica that could tell nobody for an hour takes one bucket full from the others, not the hour', () => {
  const { replicas, exchange, pass } = fleet(2)
  const [cut, other] = replicas as [RateLimit, RateLimit]
  const [payer] = payers as [Payer]
  for (let second = 0; second < 3_600; second++) {
    pass(1_000)
    cut.take(payer, 500)
  }
  exchange(cut)
  exchange(other)
  expect(other.take(payer, 100)).toEqual({ limit: 'actor', retryAfterMs: 50 })
  pass(400)
  expect(other.take(payer, 500)).toBeNull()
})

test('however many callers there are, what is kept in mind is bounded, and a team that asks is not forgotten', () => {
  const [rate] = fleet(1).replicas as [RateLimit]
  expect(rate.take({ id: 'first', teamId: 'one' }, 400)).toBeNull()
  for (let index = 0; index < 25_000; index++) rate.take({ id: `token-${index}`, teamId: 'one' }, 1)
  expect(rate.take({ id: 'fresh', teamId: 'one' }, 400)).toMatchObject({ limit: 'team' })
  for (let index = 0; index < 25_000; index++) rate.take({ id: `t-${index}`, teamId: `team-${index}` }, 1)
  rate.hear(Array.from({ length: 55_000 }, (_, i) => ({ bucket: `actor:h${i}`, replica: 'x.1', spent: 1 })))
  const { buckets, untold, counters } = rate.size()
  expect(buckets).toBeLessThanOrEqual(20_000)
  expect(untold).toBeLessThanOrEqual(20_000)
  expect(counters).toBeLessThanOrEqual(100_000)
  expect(rate.untold()?.spent.length).toBeLessThanOrEqual(2_000)
})
