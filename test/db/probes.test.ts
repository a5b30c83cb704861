// The driver probes: what a network, an operator or a stranger can do to a connection. After each one the caller has a
// typed answer within its deadline, nothing wrong is stored, and the pool is whole again within 5 s. That the
// process stays alive is shown by the runner, which fails on any unhandled error.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../until.ts'
import {
  addItem,
  DEADLINE_MS,
  faultOf,
  openProbe,
  type Probe,
  prepareAddItem,
  SLOTS,
  sleepOn,
  storedIds,
  terminate,
  untilRunning,
  warm,
  wholeAgain,
} from './probe.ts'

let probe: Probe

beforeEach(async () => {
  probe = await openProbe()
  await warm(probe.pool)
})

afterEach(async () => {
  await wholeAgain(probe.pool)
  const [row] = await probe.stranger<{ sessions: number }[]>`
    SELECT count(*)::int AS sessions FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pawl-api'`
  expect(row?.sessions).toBeGreaterThanOrEqual(SLOTS)
  await probe.close()
})

describe('a backend is killed', () => {
  test('while idle: nobody notices', async () => {
    await terminate(probe.stranger)
    await until(() => expect(probe.pool.stats()).toEqual({ idle: 0, busy: 0, waiting: 0, retired: SLOTS }))
    await Promise.all([1, 2, 3, 4, 5, 6].map((id) => addItem(probe.pool, id)))
    expect(await storedIds(probe.stranger)).toEqual([1, 2, 3, 4, 5, 6])
  })

  test('in the middle of a write: unknown outcome, nothing stored', async () => {
    await slowTrigger(probe, 'BEFORE INSERT ON item', 'pg_sleep(1)')
    const call = faultOf(addItem(probe.pool, 1))
    await terminate(probe.stranger, await untilRunning(probe.stranger, 'item.add', 'PgSleep'))
    expect((await call).fault).toMatchObject({ kind: 'unknown-outcome', statement: 'item.add', retryAfterMs: 1000 })
    expect(await storedIds(probe.stranger)).toEqual([])
  })

  test('in the middle of a read: repeated once on another connection', async () => {
    const call = sleepOn(probe.pool, 0.5)
    await terminate(probe.stranger, await untilRunning(probe.stranger, 'read:sleep'))
    expect(await call).toHaveLength(1)
  })

  test('twice in the middle of a read: unavailable', async () => {
    // Long enough to be found and killed twice, on a busy machine too.
    const call = faultOf(sleepOn(probe.pool, 4))
    const first = await untilRunning(probe.stranger, 'read:sleep')
    await terminate(probe.stranger, first)
    await terminate(probe.stranger, await untilRunning(probe.stranger, 'read:sleep'))
    expect((await call).fault).toMatchObject({ kind: 'unavailable', statement: 'read:sleep' })
  })

  test('at commit: unknown outcome, nothing stored', async () => {
    await slowTrigger(probe, 'AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED', 'pg_sleep(1)')
    const call = faultOf(addItem(probe.pool, 1))
    await terminate(probe.stranger, await untilRunning(probe.stranger, 'item.add', 'PgSleep'))
    expect((await call).fault).toMatchObject({ kind: 'unknown-outcome' })
    expect(await storedIds(probe.stranger)).toEqual([])
  })
})

describe('the connection is reset', () => {
  test('while idle: nobody notices', async () => {
    probe.proxy.cut()
    await until(() => expect(probe.pool.stats().idle).toBe(0))
    await addItem(probe.pool, 1)
    expect(await storedIds(probe.stranger)).toEqual([1])
  })

  test('in the middle of a write: unknown outcome at once, stored at most once', async () => {
    await slowTrigger(probe, 'BEFORE INSERT ON item', 'pg_sleep(1)')
    const call = faultOf(addItem(probe.pool, 1))
    await untilRunning(probe.stranger, 'item.add', 'PgSleep')
    probe.proxy.cut()
    const { fault, afterMs } = await call
    expect(fault).toMatchObject({ kind: 'unknown-outcome' })
    expect(afterMs).toBeLessThan(1000)
  })

  test('again and again under load: each write is stored, or its caller told that this is unknown', async () => {
    const calls = Array.from({ length: 60 }, (_, id) =>
      addItem(probe.pool, id).then(
        () => ({ id, kind: 'stored' }),
        (error) => ({ id, kind: error.kind as string }),
      ),
    )
    for (let cut = 0; cut < 5; cut++) {
      await probe.proxy.next('E')
      probe.proxy.cut()
    }
    const outcomes = await Promise.all(calls)
    const stored = await storedIds(probe.stranger)
    for (const { id, kind } of outcomes) {
      expect(['stored', 'unknown-outcome', 'unavailable']).toContain(kind)
      if (kind === 'stored') expect(stored).toContain(id)
      if (kind === 'unavailable') expect(stored).not.toContain(id)
    }
  })
})

describe('the network falls silent', () => {
  test('a write is unknown after its deadline, or known as not done; new callers are turned away', async () => {
    const pool = probe.open({ slots: 2 })
    await warm(pool, 2)
    const add = prepareAddItem(pool)
    await add(1)
    probe.proxy.blackHole()
    const [executed, onlyParsed] = await Promise.all([faultOf(add(2)), faultOf(addItem(pool, 3))])
    expect(executed.fault).toMatchObject({ kind: 'unknown-outcome', statement: 'item.addPrepared' })
    expect(onlyParsed.fault).toMatchObject({ kind: 'unavailable', statement: 'item.add' })
    const others = await Promise.all([4, 5, 6].map((id) => faultOf(addItem(pool, id))))
    for (const { fault } of others) expect(fault).toMatchObject({ kind: 'unavailable' })
    for (const { afterMs } of [executed, onlyParsed, ...others]) expect(afterMs).toBeLessThan(DEADLINE_MS)
    expect(await storedIds(probe.stranger)).toEqual([1])
    probe.proxy.restore()
    await wholeAgain(pool, 2)
  })

  test('while connecting: the caller is turned away after the time to wait for a connection', async () => {
    const pool = probe.open({ purpose: 'worker' })
    probe.proxy.blackHole()
    const { fault, afterMs } = await faultOf(addItem(pool, 1))
    expect(fault).toMatchObject({ kind: 'unavailable' })
    expect(afterMs).toBeLessThan(1300)
    probe.proxy.restore()
    await wholeAgain(pool)
  })
})

describe('an answer is lost', () => {
  test.each(['reset', 'hang'] as const)(
    'of a write that is stored (%s): unknown outcome, stored once',
    async (then) => {
      const swallowed = probe.proxy.swallow({ then })
      const call = faultOf(addItem(probe.pool, 1))
      await swallowed
      const { fault, afterMs } = await call
      expect(fault).toMatchObject({ kind: 'unknown-outcome' })
      expect(afterMs).toBeLessThan(DEADLINE_MS)
      expect(await storedIds(probe.stranger)).toEqual([1])
    },
  )

  test('of a read: repeated once', async () => {
    const swallowed = probe.proxy.swallow()
    expect(await sleepOn(probe.pool, 0)).toHaveLength(1)
    await swallowed
  })
})

test('the pool is exhausted: shed at once past the bound, after the wait within it, and nobody else suffers', async () => {
  const pool = probe.open({ maxWaiting: 5 })
  await warm(pool)
  const holders = Array.from({ length: SLOTS }, () => sleepOn(pool, 1.3))
  const waiting = Array.from({ length: 5 }, (_, id) => faultOf(addItem(pool, id)))
  const shed = await faultOf(addItem(pool, 99))
  expect(shed.fault).toMatchObject({ kind: 'unavailable' })
  expect(shed.afterMs).toBeLessThan(100)
  expect(pool.stats()).toMatchObject({ idle: 0, busy: SLOTS, waiting: 5 })
  for (const { fault, afterMs } of await Promise.all(waiting)) {
    expect(fault).toMatchObject({ kind: 'unavailable' })
    expect(afterMs).toBeGreaterThan(900)
    expect(afterMs).toBeLessThan(1300)
  }
  await Promise.all(holders)
  expect(await storedIds(probe.stranger)).toEqual([])
  await wholeAgain(pool)
})

describe('a stranger holds the row', () => {
  test('busy after lock_timeout, while other connections serve', async () => {
    const pool = probe.open({ statementTimeoutMs: 5000 })
    await addItem(pool, 1)
    await whileLocked(probe, async () => {
      const call = faultOf(addItem(pool, 2, 'waits'))
      await untilRunning(probe.stranger, 'item.add')
      for (let i = 0; i < 10; i++) await sleepOn(pool, 0)
      const { fault, afterMs } = await call
      expect(fault).toMatchObject({ kind: 'busy', sqlState: '55P03', retryAfterMs: 1000 })
      expect(afterMs).toBeGreaterThan(2900)
      expect(afterMs).toBeLessThan(3500)
    })
    await addItem(pool, 2)
  })

  test('busy too when the statement runs out of time in the wait', async () => {
    await whileLocked(probe, async () => {
      const { fault, afterMs } = await faultOf(addItem(probe.pool, 2))
      expect(fault).toMatchObject({ kind: 'busy', sqlState: '57014' })
      expect(afterMs).toBeLessThan(DEADLINE_MS)
    })
  })
})

/** Holds id 2 uncommitted, so that whoever inserts it waits. */
async function whileLocked({ stranger }: Probe, work: () => Promise<void>): Promise<void> {
  await stranger
    .begin(async (tx) => {
      await tx`INSERT INTO item (id) VALUES (2)`
      await work()
      throw new Error('roll back')
    })
    .catch((error: Error) => {
      if (error.message !== 'roll back') throw error
    })
}

async function slowTrigger({ stranger }: Probe, when: string, action: string): Promise<void> {
  await stranger.unsafe(`
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM ${action}; RETURN NEW; END $$;
    CREATE ${when.includes('DEFERR') ? 'CONSTRAINT' : ''} TRIGGER slow ${when} FOR EACH ROW EXECUTE FUNCTION slow()`)
}
