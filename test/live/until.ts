// Waits for what is to come, and fails with what is still missing.
import { vi } from 'vitest'

export const until = <T>(condition: () => T | Promise<T>, timeout = 30_000): Promise<T> =>
  vi.waitFor(condition, { timeout, interval: 5 })
