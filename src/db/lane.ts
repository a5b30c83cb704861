// A share of a pool: so many statements at once, the others wait for their turn here and not for a connection, where they
// would crowd out everybody else. For callers that come in hundreds at the same moment and would rather wait than be refused.

import { DatabaseFault } from './fault.ts'
import { channelOf, type Database, databaseOver, statementName } from './session.ts'

export interface LaneOptions {
  /** Statements that are run, or wait for a connection, at the same time. */
  readonly atOnce: number
  readonly maxWaiting: number
  /** How long a statement waits for its turn. */
  readonly waitMs: number
}

interface Waiter {
  readonly goOn: () => void
  readonly timer: NodeJS.Timeout
}

/** The same database, by a lane of its own. What gets no turn fails as `unavailable`, shed. */
export function laneOf(db: Database, { atOnce, maxWaiting, waitMs }: LaneOptions): Database {
  const channel = channelOf(db)
  const waiters = new Set<Waiter>()
  let running = 0

  const turn = (statement: string | undefined): Promise<void> => {
    if (running < atOnce) {
      running++
      return Promise.resolve()
    }
    const shed = (reason: string) => new DatabaseFault('unavailable', reason, { statement, shed: true })
    if (waiters.size >= maxWaiting) return Promise.reject(shed('too many statements wait for their turn'))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiters.delete(waiter)
        reject(shed('its turn did not come in time'))
      }, waitMs)
      const waiter: Waiter = { goOn: resolve, timer }
      waiters.add(waiter)
    })
  }
  /** The turn goes to whoever waits longest. */
  const done = () => {
    const [first] = waiters
    if (!first) return void running--
    waiters.delete(first)
    clearTimeout(first.timer)
    first.goOn()
  }

  return databaseOver({
    async run(statement) {
      await turn(statementName(statement.sql))
      try {
        return await channel.run(statement)
      } finally {
        done()
      }
    },
  })
}
