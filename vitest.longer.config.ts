// The longer tests, which `npm test` leaves out: see vitest.config.ts. Each file has its modules to itself: some replace one.
import { defineConfig, mergeConfig } from 'vitest/config'
import base, { longer } from './vitest.config.ts'

const { include: _, exclude: __, ...rest } = base.test ?? {}
export default mergeConfig(
  { ...base, test: rest },
  defineConfig({ test: { include: longer, exclude: [], isolate: true } }),
)
