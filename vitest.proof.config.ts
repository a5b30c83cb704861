// The longer half of the proof: deaths, faults, lying drivers, and every answer of every mutation. See `npm run prove`.
import { defineConfig, mergeConfig } from 'vitest/config'
import base from './vitest.config.ts'

const { include: _, exclude: __, ...rest } = base.test ?? {}
export default mergeConfig(
  { ...base, test: rest },
  defineConfig({
    test: {
      maxConcurrency: 16,
      include: ['test/proof/**/*.proof.ts'],
      exclude: [],
      testTimeout: 600_000,
      hookTimeout: 120_000,
    },
  }),
)
