// All of the proof that is tests, in one run, so that both cores are busy to its end: schedules, planted bugs, deaths, faults,
// answers. The soak is a program of its own; `npm run prove` runs both.
import { defineConfig, mergeConfig } from 'vitest/config'
import explore from './vitest.explore.config.ts'

export default mergeConfig(
  explore,
  defineConfig({ test: { maxConcurrency: 16, include: ['test/explore/*.explore.ts', 'test/proof/**/*.proof.ts'] } }),
)
