// Looks after the runs of what Pawl runs: asks the driver about each very run, oldest-asked first, and lets what is gone be started
// again, or gives it up after the fifth time. Any doubt, error or time-out leaves everything as it is. Nothing is started here:
// a restart is accepted work, and its effect is the dispatcher's. Asking is in instance-window.ts, what follows in instance-answer.ts.
import type { RuntimeDriver } from '../drivers/runtime/driver.ts'
import type { ItemOutcome } from '../metrics.ts'
import { type Askable, giveBackAskable, takeAskable } from '../resolvers/instance-check.ts'
import * as rules from '../resolvers/instance-check-rule.ts'
import { offlineLeftUnit, removeLeftUnit } from '../resolvers/instance-left-rule.ts'
import { type Cause, type Database, type Rule, transitionEach } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import { settleExternal } from './external-instances.ts'
import { judge } from './instance-answer.ts'
import { askEach } from './instance-window.ts'
import type { LoopDeclaration } from './loop.ts'

const everyMs = 60_000
/**
 * A cycle ends inside 45 s: the rest is for writing down what was heard, and for giving back what was not asked about. A
 * database that many others are busy with took 3 s for that.
 */
const deadlineMs = 40_000
const batch = 200

/** Each by itself: one that fails hinders no other. */
const nets = [
  rules.offlineForgottenInstance,
  rules.requeueDeploymentRestart,
  rules.requeueStackRestart,
] as unknown as Rule[]
/** They look through all instances, for what only a replica of an older release leaves behind: at a start, and then seldom. */
const seldomNets = [removeLeftUnit, offlineLeftUnit] as unknown as Rule[]
const seldomMs = 10 * 60_000

export const reconcileInstancesLoop = (
  db: Database,
  driver: Pick<RuntimeDriver, 'observeInstance'>,
  told: Told,
): LoopDeclaration => {
  let lookedAt = Number.NEGATIVE_INFINITY
  return {
    name: 'reconcile-instances',
    everyMs,
    deadlineMs,
    async pass(signal) {
      const cause: Cause = {
        actor: { kind: 'loop', id: 'reconcile-instances' },
        requestId: `reconcile-${crypto.randomUUID()}`,
      }
      const items: Record<Extract<ItemOutcome, 'moved' | 'unchanged' | 'skipped' | 'deferred'>, number> = {
        moved: 0,
        unchanged: 0,
        skipped: 0,
        deferred: 0,
      }
      const errors: unknown[] = []
      const unless = <T>(error: unknown, otherwise: T): T => {
        errors.push(error)
        return otherwise
      }
      const seldom = performance.now() - lookedAt < seldomMs ? [] : seldomNets
      if (seldom.length > 0) lookedAt = performance.now()
      for (const rule of [...nets, ...seldom]) {
        const moved = await transitionEach(db, rule, cause, batch).catch((error: unknown) => unless(error, []))
        if (moved.length > 0) told(rule, moved.length)
        items.moved += moved.length
        // There may be more.
        if (seldom.includes(rule) && moved.length === batch) lookedAt = Number.NEGATIVE_INFINITY
      }
      items.moved += await settleExternal(db, told, signal).catch((error: unknown) => unless(error, 0))
      const answers = judge(db, cause, told, signal)
      const late: Askable[] = []
      const begunAt = performance.now()
      await askEach({
        driver,
        signal,
        // None twice in one pass, however long it takes.
        take: () =>
          takeAskable(db, everyMs / 2 + performance.now() - begunAt, batch).catch((error: unknown) =>
            unless(error, []),
          ),
        async answered(one, answer) {
          const verdict = await answers(one, answer).catch((error: unknown) => unless(error, 'skipped' as const))
          items[verdict]++
          if (verdict === 'deferred') late.push(one)
        },
        unasked: (left) => {
          items.deferred += left.length
          late.push(...left)
        },
      })
      // First in the next pass, in their old order.
      if (late.length > 0) await giveBackAskable(db, late).catch((error: unknown) => unless(error, undefined))
      if (errors.length > 0) throw errors[0]
      return items
    },
  }
}
