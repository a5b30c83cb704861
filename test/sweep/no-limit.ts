// A rate limit that lets a sweep through: it asks for more at once than any caller may.
import { createRateLimit, type RateLimit } from '../../src/rate-limit.ts'

export const noLimit = (): RateLimit => {
  // As much as an answer can tell: an Int.
  const boundless = { burst: 2_000_000_000, perSecond: 2_000_000_000 }
  return createRateLimit({ rates: { actor: boundless, team: boundless } })
}
