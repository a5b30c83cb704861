// How the tests run: in child processes of Node, two at a time, against one PostgreSQL that test/setup.ts starts. Every
// test/**/*.test.ts runs, the longer ones apart, by `npm run test:longer`; a forgotten `.only` fails the run.

import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** What would take `npm test` beyond three minutes on two cores: processes that are killed, servers that are restarted, sweeps. */
export const longer = [
  'test/check/busy.test.ts',
  'test/check/damage.test.ts',
  'test/check/drivers.test.ts',
  'test/check/program.test.ts',
  'test/crash/*.test.ts',
  'test/db/embedded.test.ts',
  'test/db/probes.test.ts',
  'test/db/tls.test.ts',
  'test/drivers/process-address.test.ts',
  'test/drivers/process-instance.test.ts',
  'test/drivers/process.test.ts',
  'test/drivers/provision-postgres-crash.test.ts',
  'test/drivers/provision-postgres.test.ts',
  'test/events/complete.test.ts',
  'test/events/program.test.ts',
  'test/events/restore.test.ts',
  'test/explore/performed.test.ts',
  'test/instances/ask.test.ts',
  'test/instances/health.test.ts',
  'test/instances/older-release.test.ts',
  'test/instances/restart.test.ts',
  'test/live/*.test.ts',
  'test/loops/failure.test.ts',
  'test/loops/lease.test.ts',
  'test/loops/overdue.test.ts',
  'test/loops/resume.test.ts',
  'test/loops/simulation.test.ts',
  'test/loops/sweep*.test.ts',
  'test/races/R59-R76-R78-R103-worker.test.ts',
  'test/races/instance-*.test.ts',
  'test/races/resource-outcome.test.ts',
  'test/races/resource-theirs.test.ts',
  'test/resolvers/hindered-remedy.test.ts',
  'test/resources/change.test.ts',
  'test/resources/crash.test.ts',
  'test/resources/measure.test.ts',
  'test/resources/provision.test.ts',
  'test/schema/stuck.test.ts',
  'test/stacks/failure.test.ts',
  'test/sweep/fuzz.test.ts',
  'test/sweep/*mutant.test.ts',
  'test/sweep/relay.test.ts',
  'test/webhooks/backlog.test.ts',
  'test/webhooks/deliver.test.ts',
  'test/webhooks/race.test.ts',
]

export default defineConfig({
  // One copy of graphql for us and for what is not transformed: the one that Node itself finds.
  resolve: { alias: [{ find: /^graphql$/, replacement: fileURLToPath(import.meta.resolve('graphql')) }] },
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    // Whoever says how many rounds asks for the long form of something.
    exclude: process.env.PAWL_ROUNDS === undefined ? longer : [],
    allowOnly: false,
    globalSetup: ['test/setup.ts'],
    pool: 'forks',
    // Modules are loaded once per process: a test that replaces one belongs to the longer ones, which have theirs to themselves.
    isolate: false,
    maxWorkers: 2,
    // Who waits has patience: a busy machine is no failure.
    expect: { poll: { timeout: 30_000, interval: 5 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
})
