// What benchmarks are judged by: turns, medians, ratios, and which answers are right. A bench that goes wrong must fail, and
// never tell a better figure.
import { describe, expect, test } from 'vitest'
import { scriptOf } from '../../bench/limit.ts'
import { apollo, mercurius, pawl, pawlRefuses, postgraphile } from '../../bench/redeploy.ts'
import { type Contestant, inTurns, median, medianRound, type Round, ratioFigure, summed } from '../../bench/round.ts'
import { anyOf, idOf, numberOf, shares, teamOf, tokenOf } from '../../bench/subject.ts'

const round = (perSecond: number): Round => ({ count: perSecond, perSecond, p50Ms: 1, p99Ms: 2, cores: {} })
const rounds = (figures: Readonly<Record<string, readonly number[]>>) =>
  new Map(Object.entries(figures).map(([name, rates]) => [name, rates.map(round)]))

describe('figures', () => {
  test('a median is the middle, between two it is their mean, of nothing it is no number', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([7]), median([])]).toEqual([2, 2.5, 7, Number.NaN])
  })

  test('a ratio is of rounds that were side by side, and reaches its target or not', () => {
    // The machine was slow in the second round, for both.
    const seen = rounds({ ours: [300, 30, 330], theirs: [100, 10, 100] })
    expect(ratioFigure(seen, 'ours', 'theirs', 3)).toMatchObject({ measured: '3.00×', target: '≥ 3×', reached: true })
    expect(ratioFigure(seen, 'ours', 'theirs', 3.1)).toMatchObject({ reached: false })
  })

  test('what was not measured reaches nothing', () => {
    const seen = rounds({ ours: [100], silent: [0], none: [] })
    for (const other of ['silent', 'none', 'unknown'])
      expect(ratioFigure(seen, 'ours', other, 0.1)).toMatchObject({ reached: false })
  })

  test('of the times of a round half are below p50, and of its rounds the median is told', () => {
    const times = Array.from({ length: 200 }, (_, at) => 200 - at)
    expect(summed(times, 2)).toEqual({ count: 200, perSecond: 100, p50Ms: 101, p99Ms: 199 })
    expect(summed([], 2)).toMatchObject({ count: 0, perSecond: 0, p50Ms: Number.NaN })
    expect(medianRound([round(5), round(1), round(3)])).toMatchObject({ count: 9, perSecond: 3 })
  })
})

describe('turns', () => {
  const contestant = (name: string, order: string[], fails = false): Contestant => ({
    name,
    settle: async () => void order.push(`settle ${name}`),
    round: async () => {
      order.push(name)
      if (fails) throw new Error(`${name} was answered wrongly`)
      return round(order.length)
    },
  })

  test('everybody has a turn after the other, each from a settled database, and the first ones are not counted', async () => {
    const order: string[] = []
    const seen = await inTurns([contestant('a', order), contestant('b', order)], 2, () => {})
    expect(order.filter((name) => !name.startsWith('settle'))).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
    expect(order.slice(0, 4)).toEqual(['settle a', 'a', 'settle b', 'b'])
    expect([...seen].map(([name, { length }]) => [name, length])).toEqual([
      ['a', 2],
      ['b', 2],
    ])
    expect(seen.get('a')?.map(({ perSecond }) => perSecond)).toEqual([6, 10])
  })

  test('when the time is over three rounds are had, and no more', async () => {
    const seen = await inTurns([contestant('a', [])], 9, () => {}, 0)
    expect(seen.get('a')).toHaveLength(3)
  })

  test('a round that goes wrong ends the bench', async () => {
    await expect(inTurns([contestant('a', []), contestant('b', [], true)], 2, () => {})).rejects.toThrow(
      'answered wrongly',
    )
  })
})

describe('calls', () => {
  const seeded = { rows: 1_000, tokens: ['one', 'two', 'three'] }
  const moved = (id: string, more: object = {}) => ({
    replayed: false,
    deployment: { id, state: 'BUILDING', version: '2', ...more },
    operation: { id: 'op_1', state: 'PENDING' },
  })
  const answer = (redeployDeployment: object) => JSON.stringify({ data: { redeployDeployment } })

  test('each is about a deployment of the kind that is asked for, with a token of its team', () => {
    for (const [kind, { first, count }] of Object.entries(shares)) {
      for (const random of [0, 0.5, 0.999_999]) {
        const n = anyOf(seeded, kind as keyof typeof shares, () => random)
        const share = (n * 37) % 100
        expect(n % 2, `${n} is of the big team`).toBe(1)
        expect(n).toBeLessThanOrEqual(seeded.rows)
        expect(share >= first && share < first + 2 * count, `${n} is none of ${kind}`).toBe(true)
      }
    }
    expect(numberOf(1, 3)).toBe(373)
    expect([teamOf(seeded, 373), tokenOf(seeded, 373)]).toEqual([1, 'one'])
  })

  test('each has a key of its own, and is answered rightly only by the move of what it asked for', () => {
    for (const [name, asking] of Object.entries({ pawl, mercurius, apollo, postgraphile })) {
      const next = asking(seeded)
      const [one, other] = [next(), next()]
      const { input } = JSON.parse(one.body).variables
      expect(input.id).toMatch(/^dep_\d{26}$/)
      expect(JSON.parse(other.body).variables.input.idempotencyKey).not.toBe(input.idempotencyKey)
      const as = (payload: object) =>
        answer(name === 'postgraphile' ? { result: { refusal: null, ...payload } } : payload)
      expect(one.right(200, as(moved(input.id)))).toBe(true)
      for (const wrong of [
        moved(idOf('dep', 0)),
        moved(input.id, { state: 'HEALTHY' }),
        { ...moved(input.id), replayed: true },
        name === 'postgraphile' ? { refusal: 'NOT_FOUND' } : { code: 'NOT_FOUND', message: '' },
      ])
        expect(one.right(200, as(wrong)), JSON.stringify(wrong)).toBe(false)
      expect(one.right(401, '')).toBe(false)
      expect(one.right(503, as(moved(input.id)))).toBe(false)
    }
  })

  test('of what is deleted the right answer is the refusal', () => {
    const call = pawlRefuses(seeded)()
    const { id } = JSON.parse(call.body).variables.input
    expect(call.right(200, answer({ code: 'NOT_REDEPLOYABLE', message: '' }))).toBe(true)
    expect(call.right(200, answer({ code: 'BUSY', message: '' }))).toBe(false)
    expect(call.right(200, answer(moved(id)))).toBe(false)
  })

  test('the limit runs the statement of the rule, with a value for each of its parameters', () => {
    const script = scriptOf(seeded)
    expect(script).toContain('/* redeployDeployment */')
    expect(script).not.toMatch(/\$\d/)
    // Variables of pgbench, each of which the script or the run defines.
    const used = new Set([...script.matchAll(/(?<!:):([a-z_]+)/g)].map(([, name]) => name))
    const defined = [...script.matchAll(/^\\set (\w+)/gm)].map(([, name]) => name)
    expect([...used].filter((name) => !defined.includes(name ?? '')).sort()).toEqual(['client_id'])
  })
})
