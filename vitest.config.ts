// How the tests run: in child processes of Node, two at a time, against one PostgreSQL that test/setup.ts
// starts. Every test/**/*.test.ts runs; none is left out, and a forgotten `.only` fails the run.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    exclude: [],
    allowOnly: false,
    globalSetup: ['test/setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    teardownTimeout: 20_000,
  },
})
