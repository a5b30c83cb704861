// Who is asked about, and when: oldest-asked first, each for a bounded time, in a window that slides. What the deadline cuts off is
// first in the next pass, in its old order; what hangs holds up nobody, and any fault leaves everything as it is.
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { DatabaseFault } from '../../src/db/fault.ts'
import { newId } from '../../src/db/id.ts'
import { createGates } from '../interleave.ts'
import { openWorld, operationsOf, type World } from '../races/world.ts'
import { withTriggersOff } from '../row.ts'
import { type Asked, passOf } from './fixture.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
beforeEach(() => withTriggersOff(world.stranger, async (sql) => void (await sql`delete from instance`)))
afterAll(() => world.close())

const well = { state: 'running', healthy: true, detail: null } as const
const gone = { state: 'gone', reason: 'it died' } as const
const nothing = { moved: 0, unchanged: 0, skipped: 0, deferred: 0 }

/** So many runs, of which the first was asked about longest ago; the incarnation tells their place in that order. */
async function fleet(count: number): Promise<void> {
  const { teamId } = world.team
  const rows = Array.from({ length: count }, (_, at) => ({
    id: newId('Instance'),
    state: 'ONLINE',
    team_id: teamId,
    environment: 'development',
    name: 'unit',
    runtime: 'PROCESS',
    subject_type: 'Deployment',
    subject_id: newId('Deployment'),
    incarnation: String(at),
    instance_id: randomBytes(8).toString('hex'),
    asked_at: at === 0 ? null : new Date(Date.now() - 3_600_000 + at * 1_000),
  }))
  await withTriggersOff(world.stranger, async (sql) => void (await sql`insert into instance ${sql(rows)}`))
}
const stamped = async (): Promise<number> =>
  Number((await world.stranger`select count(*) as n from instance where asked_at > now() - interval '1 minute'`)[0]?.n)

describe('R81 R83 oldest-asked first', () => {
  /** A pass that is cut off while it asks about the first 200, then a whole one: in which order they ask. */
  async function twoPasses(seen: World) {
    await fleet(300)
    const asked: number[][] = [[], []]
    const cycle = new AbortController()
    const cut: Asked = {
      observeInstance: async ({ incarnation }) => {
        asked[0]?.push(Number(incarnation))
        cycle.abort()
        return well
      },
    }
    const whole: Asked = {
      observeInstance: async ({ incarnation }) => {
        asked[1]?.push(Number(incarnation))
        return well
      },
    }
    const first = await passOf(seen.pool.db, cut, cycle.signal)
    const left = await stamped()
    await passOf(seen.pool.db, whole)
    return { first, left, asked }
  }
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at)

  test('R81 R83 what the deadline cuts off has its place again, and is first in the next pass', async () => {
    const { first, left, asked } = await twoPasses(world)
    expect(first).toMatchObject({ deferred: 100 })
    expect(left).toBe(200)
    expect(asked).toEqual([range(0, 200), range(200, 300)])
  })

  test('R81 the guards are needed: without the order the oldest wait, without giving back they wait for another pass', async () => {
    const newest = {
      name: 'takeAskable',
      from: 'order by asked_at nulls first',
      to: 'order by asked_at desc nulls last',
    }
    expect((await twoPasses(world.withMutants(newest))).asked[0]).not.toContain(1)
    await withTriggersOff(world.stranger, async (sql) => void (await sql`delete from instance`))
    const kept = { name: 'giveBackAskable', from: 'set asked_at = held."askedBefore"', to: 'set asked_at = i.asked_at' }
    expect((await twoPasses(world.withMutants(kept))).asked[1]).toEqual([])
  })

  test('R81 R107 runs that hang hold up neither the others nor the end, and are not the first ones next time', async () => {
    await fleet(300)
    const cycle = new AbortController()
    const answered: number[] = []
    const others = Promise.withResolvers<void>()
    const driver: Asked = {
      observeInstance: async ({ incarnation }) => {
        if (Number(incarnation) < 50) return new Promise(() => {})
        answered.push(Number(incarnation))
        if (answered.length === 250) others.resolve()
        return well
      },
    }
    const pass = passOf(world.pool.db, driver, cycle.signal)
    await others.promise
    cycle.abort()
    expect(await pass).toEqual({ ...nothing, unchanged: 250, skipped: 50 })
    // They were asked: nobody waits behind them again and again.
    expect(await stamped()).toBe(300)
  })
})

describe('a fault of the database', () => {
  const broken = (name: string) => {
    const gates = createGates()
    const pool = openPool({
      url: world.url,
      purpose: 'worker',
      slots: 2,
      statementTimeoutMs: 5_000,
      wrap: (channel) =>
        gates.wrap({
          run: (statement) =>
            statement.sql.startsWith(`/* ${name} */`)
              ? Promise.reject(Object.assign(new Error('it is away'), { code: '57P01' }))
              : channel.run(statement),
        }),
    })
    return { pool, ran: gates.ran }
  }

  test.each([
    ['between the question and the flip', 'restartDeployment', gone],
    ['between the question and the note', 'noteAnswers', well],
    ['before the question', 'takeAskable', gone],
  ] as const)(
    '%s: nothing is flipped, nothing is restarted, and the next pass finds it again',
    async (_, name, answer) => {
      const id = await world.deployment({ state: 'HEALTHY' })
      await fleet(1)
      await withTriggersOff(world.stranger, async (sql) => void (await sql`update instance set subject_id = ${id}`))
      const state = async () => (await world.stranger<{ state: string }[]>`select state from instance`)[0]?.state
      const { pool, ran } = broken(name)
      try {
        await expect(passOf(pool.db, { observeInstance: async () => answer })).rejects.toBeInstanceOf(DatabaseFault)
        expect(ran).toContain(name)
      } finally {
        await pool.close({ timeoutMs: 0 })
      }
      expect([await state(), await operationsOf(world, id)]).toEqual(['ONLINE', []])
      await withTriggersOff(world.stranger, async (sql) => void (await sql`update instance set asked_at = null`))
      await passOf(world.pool.db, { observeInstance: async () => gone })
      expect([await state(), await operationsOf(world, id)]).toEqual(['OFFLINE', ['deployment.restart PENDING']])
    },
  )
})
