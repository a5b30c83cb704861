// The test of README.md: what it tells a reader to type, in a fresh clone. Apart from `npm test`, which README runs itself.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/readme/**/*.readme.ts'],
    allowOnly: false,
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 1_500_000,
    hookTimeout: 900_000,
    teardownTimeout: 60_000,
    bail: 1,
  },
})
