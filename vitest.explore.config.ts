// Every schedule of every pair of operations: see test/explore/whole.ts. Apart from `npm test`, which plays a few of them.
import { defineConfig, mergeConfig } from 'vitest/config'
import base from './vitest.config.ts'

const { include: _, exclude: __, ...rest } = base.test ?? {}
export default mergeConfig(
  { ...base, test: rest },
  defineConfig({
    test: {
      include: ['test/explore/*.explore.ts'],
      exclude: [],
      testTimeout: 1_800_000,
      hookTimeout: 120_000,
    },
  }),
)
