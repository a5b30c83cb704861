// Waits for what is to come, and fails with what is still missing. Patient: a busy machine is no failure, and what has come is
// not waited for.
import { vi } from 'vitest'

export const until = <T>(condition: () => T | Promise<T>, timeout = 30_000): Promise<T> =>
  vi.waitFor(condition, { timeout, interval: 5 })
