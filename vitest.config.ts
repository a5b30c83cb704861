// How the tests run: in child processes of Node, two at a time, against one PostgreSQL that test/setup.ts
// starts. Every test/**/*.test.ts runs; none is left out, and a forgotten `.only` fails the run.

import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // One copy of graphql for us and for what is not transformed: the one that Node itself finds.
  resolve: { alias: [{ find: /^graphql$/, replacement: fileURLToPath(import.meta.resolve('graphql')) }] },
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
