// The attacks on the front door, over and over against a server in a process of its own, whose memory is looked at before and
// after. Apart from `npm test`, which runs each of them once.
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // One copy of graphql, as in vitest.config.ts.
  resolve: { alias: [{ find: /^graphql$/, replacement: fileURLToPath(import.meta.resolve('graphql')) }] },
  test: {
    environment: 'node',
    include: ['test/attack/**/*.attack.ts'],
    allowOnly: false,
    globalSetup: ['test/setup.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 120_000,
    teardownTimeout: 60_000,
  },
})
