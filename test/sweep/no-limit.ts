// A rate limit that lets a sweep through: it asks for more at once than any caller may.
import { createRateLimit, type RateLimit } from '../../src/rate-limit.ts'

export const noLimit = (): RateLimit => {
  const boundless = { burst: 1e12, perSecond: 1e9 }
  return createRateLimit({ rates: { actor: boundless, team: boundless } })
}
