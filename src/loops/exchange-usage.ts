// Lets replicas know what each of them has let through, so that a budget is one budget however many there are. Does nothing
// while nobody asks for anything. When the database is away each goes by what it knows, and tells the rest later.
import type { RateLimit } from '../rate-limit.ts'
import { exchangeRateUsage, trimRateUsage } from '../resolvers/rate-usage.ts'
import type { Database } from '../resolvers/transition.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 10_000

export function exchangeUsageLoop(
  db: Database,
  rate: Pick<RateLimit, 'untold' | 'told' | 'hear' | 'horizonMs'>,
): LoopDeclaration {
  let since: string | null = null
  let replica: string | null = null
  return {
    name: 'exchange-usage',
    everyMs: 1_000,
    deadlineMs: 900,
    async pass() {
      const untold = rate.untold()
      if (untold === null) return {}
      const { heard, at } = await exchangeRateUsage(db, untold, { since, horizonMs: rate.horizonMs })
      rate.told(untold)
      rate.hear(heard)
      since = at
      const begun = untold.replica !== replica
      replica = untold.replica
      // Once in a term is often enough.
      if (begun) await trimRateUsage(db, batch)
      return { moved: untold.spent.length }
    },
  }
}
