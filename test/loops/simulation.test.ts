// The simulation at a size that a test can bear: two replicas as processes, ten hosts of which one hangs, and runs that are
// killed. The full size is `npm run simulate:instances`; what it shows is in docs/simulation.md.
import { expect, test } from 'vitest'
import { type Simulation, simulate, usual } from '../../bench/simulate/simulation.ts'
import { createTestDatabase } from '../database.ts'

const small: Simulation = {
  ...usual,
  instances: 2_000,
  replicas: 2,
  dead: 0.02,
  hang: 0.2,
  everyMs: 0,
  callTimeoutMs: 1_000,
}

test('R79 R81 R83 of a fleet with a host that hangs each dead instance is restarted once, and no living one ever', async () => {
  const database = await createTestDatabase()
  try {
    const { broken, dead, restarts, cycles } = await simulate(database.url, small, () => {})
    expect(broken).toEqual([])
    expect(dead).toBeGreaterThan(20)
    expect(restarts).toEqual({ ofLiving: 0, byWorld: [1, 1], byEvents: [1, 1], flaws: [] })
    expect(cycles.some(({ hung }) => hung > 0)).toBe(true)
  } finally {
    await database.drop()
  }
}, 300_000)
